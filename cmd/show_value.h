/* Shows fields of records: whole values, and what differs between two. Pure. */
#pragma once

#include "cmd/cmd.h"

/* "NAME: VALUE" at `indent`, wrapped; several lines for collections. `unknown`: its value is known
 * only after apply. Fields that are unset are left out. */
void show_field(const struct look *look, const struct field *f, const void *record, bool unknown,
                size_t indent, struct buf *out);

/* What changes in a field: "~ NAME: BEFORE → AFTER MARK", or below the name a line each for what is
 * added to or removed from a list, map or JSON text, or a line diff. `mark` stands behind the name
 * ("(drift)"), or is NULL. */
void show_field_change(const struct look *look, const struct field *f, const void *before,
                       const void *after, bool unknown, const char *mark, size_t indent,
                       struct buf *out);
