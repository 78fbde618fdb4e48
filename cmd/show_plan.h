/* The plan as text: what changes, field by field, and why. Pure. */
#pragma once

#include "cmd/cmd.h"
#include "engine/plan.h"

/* `spec_name` is what the user calls the spec ("berth.yaml"). Like changes of like nodes are shown
 * once (`server[0..2]`). Ends with the counts, or with "No changes." */
void show_plan(const struct plan *plan, const char *spec_name, const struct look *look,
               struct buf *out);
/* What a destroy or a replace loses, a line each; nothing when nothing is lost. */
void show_losses(const struct plan *plan, const struct look *look, struct buf *out);
/* How many changes apply would make: parts that go with their server are not counted. */
size_t show_plan_count(const struct plan *plan);
