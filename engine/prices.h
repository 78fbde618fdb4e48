/* Finds the prices that a cost needs, beside the reading of the world: asked for what spec and
 * state name before anything is observed, and for the rest (drift, what tags led to) when the plan
 * is there. Nobody waits longer than PRICES_WAIT_S for them. */
#pragma once

#include "engine/cost.h"
#include "engine/observe.h"

/* For the answers, once the plan is there: with the time that it takes to drop a call, under 1 s.
 */
#define PRICES_WAIT_S 0.7

struct prices;

/* Begins to ask. `sessions` outlives it. NULL when memory runs out or nothing is to be asked: no
 * error, as nobody needs prices to go on. */
struct prices *prices_start(struct sessions *sessions, const struct nodes *nodes,
                            const struct state *state);
/* Fills the lines' prices, which are good until prices_free. What is not there in time stays
 * unknown. `prices` may be NULL. */
void prices_fill(struct prices *prices, struct cost *cost);
void prices_free(struct prices *prices); /* takes NULL */
