/* Reads the live world: every world side by side; those that live inside others (hosts) start at
 * once from the addresses in the state and are read again where the parent turned out to have
 * another address, and dropped where it vanished. */
#pragma once

#include "engine/sessions.h"
#include "engine/state.h"
#include "providers/provider.h"

struct live_world {
    struct observed *worlds; /* one a world */
    size_t len;
    size_t calls;
    double seconds; /* wall time of the reading */
};

/* Worlds whose nodes live in others are asked only when there is a node or a record of theirs; the
 * rest always, since tags may lead to what no state remembers. `nodes` may be empty (destroy). */
int observe_all(struct sessions *sessions, const struct nodes *nodes, const struct state *state,
                const struct run *run, struct live_world *ret, struct err *err);
const struct live *live_find(const struct live_world *live, const char *address);
void live_world_free(struct live_world *live);
