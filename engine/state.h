/* The state: what berth made, in one JSON file, `.berth/NAME/state.json`. Written atomically (temp
 * file, fsync, rename, fsync of the folder), mode 0600; the last good copy is kept beside it as
 * state.json.backup. A file from a newer berth, or one cut short, is refused and never overwritten.
 * The journal beside it holds what a run has done since; opening replays it. */
#pragma once

#include "providers/provider.h"

struct state {
    struct arena arena;
    char *path;
    char lineage[40];                     /* UUID, made once */
    int64_t serial;                       /* one more at each write */
    const char *name, *provider, *region; /* of the spec that it belongs to; "" when new */
    struct recorded_list nodes;
    bool exists;   /* the file was there */
    bool replayed; /* a journal of an interrupted run was folded in */
};

enum { STATE_VERSION = 1 };

/* Read the file (absent is an empty state with a new lineage from `random`) and replay the journal.
 * Nothing is written. Unknown kinds are kept. Errors: -ERRC_STATE with the backup named. */
int state_open(const char *project_dir, const struct kind *const *kinds,
               int (*random)(void *, size_t), struct state *ret, struct err *err);
/* serial + 1, backup, write, then remove the journal. */
int state_write(struct state *state, struct err *err);
void state_free(struct state *state);

/* Set or replace, remove. Records are copied. */
int state_put(struct state *state, const struct recorded *entry, struct err *err);
void state_remove(struct state *state, const char *address);

/* Pure parts, for tests and fuzzing. */
int state_parse(struct arena *arena, const struct kind *const *kinds, struct str text,
                struct state *ret, struct err *err);
int state_print(const struct state *state, struct buf *out);
