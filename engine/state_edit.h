/* What `berth state` does to a state in memory: forget records, give them another address. Nothing
 * is made or destroyed by it. */
#pragma once

#include "engine/state.h"

/* Takes out what `patterns` (address.h) name, with what lives in it. What went is listed in `ret`:
 * entries that live in the state's arena. -ERRC_NOTFOUND for a pattern that names nothing, with the
 * nearest in the hint; then nothing went. */
int state_forget(struct state *state, const struct strlist *patterns, struct recorded_list *ret,
                 struct err *err);
/* `from`, and what lives in it, is `to` from now on, also where others depend on it.
 * -ERRC_NOTFOUND, -ERRC_CONFLICT where `to` is taken, -ERRC_INVALID where it is of another sort. */
int state_move(struct state *state, const char *from, const char *to, struct err *err);
/* The one of that address; NULL with -ERRC_NOTFOUND in `err`, and the nearest in its hint. */
const struct recorded *state_entry(const struct state *state, const char *address,
                                   struct arena *arena, struct err *err);
