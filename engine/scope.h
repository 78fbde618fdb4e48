/* What of a whole plan is carried out: that of some nodes alone (-target), or the power of servers
 * alone (start, stop). A subset of the whole plan, in its order. Pure. */
#pragma once

#include "engine/plan.h"

/* Does every pattern name something of the plan? -ERRC_NOTFOUND with the nearest address in the
 * hint, where one does not. */
int scope_check_named(struct plan *plan, const struct strlist *patterns, struct err *err);

/* Keeps what `targets` name with what lives in it; what is made with what it depends on; what goes
 * with what depends on it. Counts the changes that are left out. -ERRC_NOTFOUND as above;
 * -ERRC_INVALID for what goes only with another. */
int scope_targets(struct plan *plan, const struct strlist *targets, struct err *err);

/* The field that start and stop change, or NULL where the kind has none. */
const struct field *scope_power_field(const struct kind *kind);
/* Keeps, of the changes to what `servers` name (all when it is empty), the power alone, and what
 * must follow an address that is another after a start. -ERRC_NOTFOUND as above. */
int scope_power(struct plan *plan, const struct strlist *servers, struct err *err);
