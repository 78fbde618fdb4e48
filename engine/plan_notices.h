/* What a plan says beside its changes: warnings, notes, and what blocks it. For what makes plans.
 * Texts are copied into the plan's arena; addresses may be NULL. 0 or -ERRC_NOMEM. Pure. */
#pragma once

#include "engine/plan.h"

int plan_warn(struct plan *plan, const char *address, const char *text);
/* Nothing to worry about. */
int plan_note(struct plan *plan, const char *address, const char *text);
/* Adds a blocker where the change is one of cases 3, 14, 17 and 19, which stop an apply before it
 * starts. */
int plan_block(struct plan *plan, const struct change *c);
