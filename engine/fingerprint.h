/* What a plan was computed from, as three hashes: a saved plan is good only for the same three. */
#pragma once

#include "engine/plan.h"

/* Fills spec_sha256, state_sha256 and live_sha256. Secrets count, and do not stand in the hashes'
 * input once this returns. */
int plan_fingerprint(const struct desired *desired, const struct state *state,
                     const struct live_world *live, struct plan *plan, struct err *err);
