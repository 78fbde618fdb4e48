/* One change of a plan as text. Pure. */
#pragma once

#include "cmd/cmd.h"
#include "engine/plan.h"

/* What stands behind the change's address, from there on: a remark, its fields, what it does to
 * others of the plan, what it loses. Nothing of it names the node itself, so that like nodes have
 * equal bodies. */
void show_change_body(const struct plan *plan, const struct change *c, const struct look *look,
                      struct buf *out);
