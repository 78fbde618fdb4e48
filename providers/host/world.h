/* The two halves of the host world. */
#pragma once

#include "providers/provider.h"

/* As struct world's. */
int host_observe(void *session, const struct observe_in *in, struct observed *out, struct err *err);
int host_apply(void *session, struct batch *batch, const struct apply_ops *ops, struct err *err);
