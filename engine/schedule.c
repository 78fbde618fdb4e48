/* Runs batches side by side, each as soon as all that it waits for is done. A failure stops only
 * what depends on it; an interruption starts nothing new. */
#include "engine/executor.h"

#include <stdio.h>

enum { THREADS_MAX = 64 };

struct worker {
    struct executor *x;
    struct exec_batch *batch;
    pthread_t thread;
    bool used;
    bool ended; /* under the mutex */
};

struct pool {
    struct worker workers[THREADS_MAX];
    size_t used;
};

static void *run_worker(void *arg) {
    struct worker *w = arg;
    executor_apply_batch(w->x, w->batch);
    pthread_mutex_lock(&w->x->mutex);
    w->batch->status = BATCH_DONE;
    w->ended = true;
    pthread_cond_signal(&w->x->moved);
    pthread_mutex_unlock(&w->x->mutex);
    return NULL;
}

/* ---- All below under the mutex */

static bool is_ready(const struct executor *x, const struct exec_batch *batch) {
    if (batch->status != BATCH_WAITING)
        return false;
    for (size_t i = 0; i < batch->after.len; i++)
        if (x->batches.items[batch->after.items[i]].status != BATCH_DONE)
            return false;
    return true;
}

/* The first need of a change that did not succeed; false when there is none. In-batch needs are the
 * world's. */
static bool find_broken_need(const struct executor *x, const struct change *c, size_t *ret) {
    size_t index = executor_index_of(x, c);
    const struct edges *needs = &x->batches.needs[index];
    for (size_t i = 0; i < needs->len; i++) {
        size_t n = needs->items[i];
        if (x->batches.of_change[n] == x->batches.of_change[index])
            continue;
        if (x->status[n] == CHANGE_FAILED || x->status[n] == CHANGE_SKIPPED ||
            x->plan->changes[n].action == ACTION_UNKNOWN) {
            *ret = n;
            return true;
        }
    }
    return false;
}

/* Leaves out of the batch what cannot start; false when nothing is left. */
static bool prune(struct executor *x, struct exec_batch *batch, bool cancelled) {
    size_t kept = 0;
    for (size_t i = 0; i < batch->len; i++) {
        struct change *c = batch->changes[i];
        size_t broken = 0;
        if (cancelled) {
            executor_skip(x, c, "interrupted");
        } else if (find_broken_need(x, c, &broken)) {
            char text[256];
            snprintf(text, sizeof text, "needs %s", x->plan->changes[broken].address);
            executor_skip(x, c, text);
        } else {
            batch->changes[kept++] = c;
        }
    }
    batch->len = kept;
    return kept > 0;
}

static void mark_started(struct executor *x, struct exec_batch *batch) {
    batch->status = BATCH_RUNNING;
    for (size_t i = 0; i < batch->len; i++) {
        size_t index = executor_index_of(x, batch->changes[i]);
        x->status[index] = CHANGE_STARTED;
        x->started[index] = monotonic_s();
        executor_report(x, PROGRESS_START, batch->changes[i], NULL);
    }
}

/* In a thread of its own; where the system has none left, in this one. */
static void start(struct executor *x, struct pool *pool, struct exec_batch *batch) {
    struct worker *w = pool->workers;
    while (w->used)
        w++;
    *w = (struct worker){.x = x, .batch = batch};
    mark_started(x, batch);
    w->used = pthread_create(&w->thread, NULL, run_worker, w) == 0;
    if (w->used) {
        pool->used++;
        return;
    }
    pthread_mutex_unlock(&x->mutex);
    executor_apply_batch(x, batch);
    pthread_mutex_lock(&x->mutex);
    batch->status = BATCH_DONE;
}

/* Gives the mutex up for a moment for each thread that ended; true when there was one. */
static bool reap(struct executor *x, struct pool *pool) {
    bool any = false;
    for (size_t i = 0; i < THREADS_MAX; i++) {
        struct worker *w = &pool->workers[i];
        if (!w->used || !w->ended)
            continue;
        pthread_mutex_unlock(&x->mutex);
        pthread_join(w->thread, NULL);
        pthread_mutex_lock(&x->mutex);
        w->used = false;
        pool->used--;
        any = true;
    }
    return any;
}

static bool start_ready(struct executor *x, struct pool *pool) {
    bool any = false;
    for (size_t i = 0; i < x->batches.len && pool->used < THREADS_MAX; i++) {
        struct exec_batch *batch = &x->batches.items[i];
        if (!is_ready(x, batch))
            continue;
        any = true;
        if (prune(x, batch, atomic_load(x->run->cancel) > 0))
            start(x, pool, batch);
        else
            batch->status = BATCH_DONE;
    }
    return any;
}

/* A plan has no circle, so that nothing is left; if it has one, it must not pass for success. */
static void give_up(struct executor *x) {
    struct err err = {0};
    err_set(&err, ERRC_INTERNAL, "it waits for itself");
    for (size_t i = 0; i < x->batches.len; i++) {
        struct exec_batch *batch = &x->batches.items[i];
        for (size_t j = 0; batch->status == BATCH_WAITING && j < batch->len; j++) {
            executor_add_error(x, batch->changes[j], &err);
            executor_skip(x, batch->changes[j], err.msg);
        }
    }
}

void executor_schedule(struct executor *x) {
    struct pool pool = {0};
    pthread_mutex_lock(&x->mutex);
    for (;;) {
        bool moved = start_ready(x, &pool);
        moved |= reap(x, &pool);
        if (moved)
            continue;
        if (pool.used == 0)
            break;
        pthread_cond_wait(&x->moved, &x->mutex);
    }
    give_up(x);
    pthread_mutex_unlock(&x->mutex);
}
