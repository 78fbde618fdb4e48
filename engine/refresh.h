/* What moved in the world since the state was written: field by field, recorded → live; and taking
 * it over into the state. Pure. */
#pragma once

#include "engine/observe.h"

struct moved {
    const struct recorded *recorded;
    const struct live *live;     /* NULL, or not LIVE_OURS: nothing is taken over */
    const void *after;           /* the record with what moved; NULL when nothing is taken over */
    const struct field **fields; /* that differ */
    size_t fields_len;
};

struct refresh {
    struct moved *items; /* in the order of the state: what moved, vanished or cannot be read */
    size_t len;
};

/* In `arena`; points into state and world. What the world cannot tell and what is secret is not
 * compared. What was wanted by hand (FIELD_KEPT) is shown, and not taken over: that would make
 * drift a wish. What lives in something that stands still is left out. */
int refresh_make(const struct state *state, const struct live_world *world, struct arena *arena,
                 struct refresh *ret, struct err *err);
/* Into the state in memory. How many records moved, or -code. */
int refresh_take(const struct refresh *refresh, struct state *state, struct err *err);
