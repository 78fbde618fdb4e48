/* What has to be right of a server that berth did not make before anything is done to it. */
#pragma once

#include "providers/host/internal.h"

/* Appends to a probe: which project keeps it, and the login user's home where host_path() has
 * another. */
int given_ask(struct arena *arena, const char *user, struct buf *script);
/* Of what the probe said (nothing, of a server of berth's own): -ERRC_CONFLICT where another
 * project keeps it, -ERRC_UNSUPPORTED for a home elsewhere. */
int given_check(const char *project, const char *user, const struct facts *facts,
                struct arena *arena, struct err *err);
