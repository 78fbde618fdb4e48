/* What start and stop look at: things that have a power, and, to start them, what follows their
 * address. A stop reads no host. Pure. */
#pragma once

#include "engine/state.h"

/* The kinds to declare nodes of, ending with NULL, in the order of `kinds`; in `arena`. `power` is
 * "running" or "stopped". NULL when memory runs out. */
const struct kind *const *power_kinds(const struct kind *const *kinds, const char *power,
                                      struct arena *arena);
/* What is recorded and has to be read: for a stop nothing that lives in something else. The entries
 * are the state's. 0 or -ERRC_NOMEM. */
int power_state(const struct state *state, const char *power, struct arena *arena,
                struct recorded_list *ret);
