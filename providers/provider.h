/* The seam between the engine and the worlds it converges. A *kind* describes one sort of node by a
 * field table and a few pure functions; a *world* (EC2, a host over SSH) observes and applies nodes
 * of its kinds, in bulk. The registry is one row a kind. The engine knows nothing else of either.
 *
 * Both sides include the seam whole, by this header; its rooms, in the order of a run:
 *   input.h     what kinds ask for of the outside
 *   node.h      a node as the spec wants it, as the state remembers it, as the world says it is
 *   change.h    what the plan says to do with it
 *   cost.h      what it is charged for
 *   endpoint.h  how to reach what others live in
 *   kind.h      one sort of node
 *   world.h     what reads and changes nodes */
#pragma once

#include "providers/seam/change.h"
#include "providers/seam/cost.h"
#include "providers/seam/endpoint.h"
#include "providers/seam/input.h"
#include "providers/seam/kind.h"
#include "providers/seam/node.h"
#include "providers/seam/world.h"
#include "specs/arena.h"

#include <stddef.h>

/* A new idempotency token: "berth-" and 32 hex digits, within the 64 ASCII characters that EC2
 * takes. 0, -ERRC_INTERNAL without random numbers, or -ERRC_NOMEM. */
int token_mint(int (*random)(void *, size_t), struct arena *arena, const char **ret);

/* Seconds of CLOCK_MONOTONIC (clock_gettime(2)): for durations and waits. Not for the pure half. */
double monotonic_s(void);

/* The registry: one row a kind, ends with NULL; in an order that desire may rely on (parents
 * before what lives in them). */
extern const struct kind *const registry_kinds[];
const struct kind *registry_find(const struct kind *const *kinds, const char *name);
