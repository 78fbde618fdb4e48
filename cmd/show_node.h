/* Shows what is recorded of a node. Pure. */
#pragma once

#include "cmd/cmd.h"
#include "providers/provider.h"

/* Its address and id, how it stands, and its fields, a line each. */
void show_node(const struct recorded *r, const struct look *look, struct buf *out);
