/* What the parts of execute.c share: the run as it stands, the callbacks for the worlds
 * (execute_ops.c), and the scheduler (schedule.c). */
#pragma once

#include "engine/batch.h"
#include "engine/execute.h"
#include "engine/journal.h"

#include <pthread.h>

enum change_status { CHANGE_WAITING, CHANGE_STARTED, CHANGE_DONE, CHANGE_FAILED, CHANGE_SKIPPED };

struct executor {
    struct plan *plan;
    struct state *state;
    struct sessions *sessions;
    const struct run *run;
    const struct progress *progress;
    struct journal *journal;
    struct arena arena; /* for what is made before the threads start */
    struct batches batches;
    struct index *by_address;   /* of changes; does not change */
    enum change_status *status; /* a change each */
    double *started;            /* a change each, seconds; 0 until it starts */
    const void **planned;       /* a change each: its `after` in the plan */
    struct outcome *outcome;
    pthread_mutex_t mutex; /* over all that changes: status, started, outcome, state, changes */
    pthread_cond_t moved;  /* a batch ended */
};

/* Of a change in the plan: into status, started and planned. */
size_t executor_index_of(const struct executor *x, const struct change *c);

/* Under the mutex. */
void executor_report(struct executor *x, enum progress_event event, const struct change *c,
                     const char *text);
void executor_add_error(struct executor *x, const struct change *c, const struct err *err);
void executor_skip(struct executor *x, const struct change *c, const char *why);

/* What the state says of a change that has got so far; borrows its strings. */
struct recorded executor_entry(const struct change *c, enum recorded_status status);

/* Resolves and applies one batch; each of its changes is answered for when it returns. */
void executor_apply_batch(struct executor *x, struct exec_batch *batch);

/* Runs all batches; returns when nothing runs and nothing more can start. */
void executor_schedule(struct executor *x);
