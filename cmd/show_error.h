/* The one renderer of errors. Pure. */
#pragma once

#include "cmd/cmd.h"

/* "error: WHAT", then AWS's own words when there are any, then what to do next; a line each. */
void show_error(const struct err *err, const struct look *look, struct buf *out);
/* The same for a part of a run: "error: ADDRESS: WHAT". */
void show_error_at(const char *address, const struct err *err, const struct look *look,
                   struct buf *out);
