/* Groups the changes of a plan into batches that one call of a world applies, and orders them. */
#pragma once

#include "engine/graph.h"
#include "engine/plan.h"

enum batch_status { BATCH_WAITING, BATCH_RUNNING, BATCH_DONE };

struct exec_batch {
    const char *key;
    struct change **changes;
    size_t len;
    struct edges after; /* batches that must be done before */
    enum batch_status status;
    bool gathering;  /* intents and creations are not waited for until ops->sync */
    bool state_only; /* nothing to call: adopt without differences, forget what leaves nothing, with
                        the parent */
};

struct batches {
    struct exec_batch *items;
    size_t len;
    size_t *of_change;   /* change index → batch index, SIZE_MAX for no-ops and unknowns */
    struct edges *needs; /* change index → changes that must have succeeded */
};

/* `kinds` in registry order: of what no state remembers (orphans), later kinds are removed before
 * earlier ones. Everything lives in `arena`. */
int batches_make(struct plan *plan, const struct kind *const *kinds, struct arena *arena,
                 struct batches *ret, struct err *err);
