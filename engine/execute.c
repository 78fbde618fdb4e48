#include "engine/execute.h"

#include "engine/batch.h"
#include "engine/journal.h"
#include "specs/record.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS_MAX = 64 };

enum change_status { CHANGE_WAITING, CHANGE_STARTED, CHANGE_DONE, CHANGE_FAILED, CHANGE_SKIPPED };

struct executor {
    struct plan *plan;
    struct state *state;
    struct sessions *sessions;
    const struct run *run;
    const struct progress *progress;
    struct journal *journal;
    struct arena arena; /* under the mutex while threads run */
    struct batches batches;
    enum change_status *status; /* a change each */
    double *started;
    struct outcome *outcome;
    pthread_mutex_t mutex; /* everything above that changes, and the state */
    pthread_cond_t moved;
    size_t running;
};

struct worker {
    struct executor *x;
    struct exec_batch *batch;
    pthread_t thread;
    bool used, ended; /* under the mutex */
};

static double monotonic_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t change_index(const struct executor *x, const struct change *c) {
    return (size_t)(c - x->plan->changes);
}

/* Under the mutex. */
static void report(struct executor *x, enum progress_event event, const struct change *c,
                   const char *text) {
    if (x->progress != NULL && x->progress->report != NULL)
        x->progress->report(x->progress->ctx, event, c, text,
                            monotonic_s() - x->started[change_index(x, c)]);
}

static void add_error(struct executor *x, const struct change *c, const struct err *err) {
    struct outcome *o = x->outcome;
    struct change_error *items = arena_calloc(&o->arena, o->errors_len + 1, sizeof *items);
    if (items == NULL)
        return;
    if (o->errors_len > 0)
        memcpy(items, o->errors, o->errors_len * sizeof *items);
    items[o->errors_len++] = (struct change_error){arena_dup(&o->arena, c->address), *err};
    o->errors = items;
}

/* Journal first, then memory. Under the mutex. */
static int record_entry(struct executor *x, const struct recorded *entry, struct err *err) {
    int rc = journal_put(x->journal, entry, err);
    return rc < 0 ? rc : state_put(x->state, entry, err);
}

static struct recorded entry_of(const struct change *c, enum recorded_status status) {
    return (struct recorded){
        .address = c->address,
        .kind = c->kind,
        .kind_name = c->kind->name,
        .parent = c->parent,
        .deps = c->node != NULL ? c->node->deps : c->deps,
        .status = status,
        .protect = c->node != NULL && c->node->protect,
    };
}

/* ---- Callbacks for the worlds */

static int op_intent(void *ctx, struct change *c, struct err *err) {
    struct executor *x = ctx;
    struct recorded entry = entry_of(c, RECORDED_PENDING);
    entry.token = c->token;
    pthread_mutex_lock(&x->mutex);
    int rc = record_entry(x, &entry, err);
    pthread_mutex_unlock(&x->mutex);
    return rc;
}

static int op_created(void *ctx, struct change *c, const char *id, const void *record,
                      struct err *err) {
    struct executor *x = ctx;
    struct recorded entry = entry_of(c, RECORDED_FAILED); /* until it is converged */
    pthread_mutex_lock(&x->mutex);
    const struct recorded *known = recorded_find(&x->state->nodes, c->address);
    entry.id = id != NULL ? id : known == NULL ? NULL : known->id;
    entry.token = c->token != NULL ? c->token : known == NULL ? NULL : known->token;
    entry.record = record != NULL ? (void *)record : known == NULL ? NULL : known->record;
    int rc = record_entry(x, &entry, err);
    pthread_mutex_unlock(&x->mutex);
    return rc;
}

static int op_done(void *ctx, struct change *c, const void *record, struct err *err) {
    struct executor *x = ctx;
    int rc;
    pthread_mutex_lock(&x->mutex);
    if (record == NULL) {
        rc = journal_remove(x->journal, c->address, err);
        if (rc == 0)
            state_remove(x->state, c->address);
    } else {
        struct recorded entry = entry_of(c, RECORDED_OK);
        const struct recorded *known = recorded_find(&x->state->nodes, c->address);
        entry.id = known != NULL && known->id != NULL ? known->id
                   : c->live != NULL                  ? c->live->id
                                                      : NULL;
        entry.token = known == NULL ? c->token : known->token;
        entry.record = (void *)record;
        rc = record_entry(x, &entry, err);
    }
    if (rc == 0) {
        x->status[change_index(x, c)] = CHANGE_DONE;
        x->outcome->done++;
        report(x, PROGRESS_DONE, c, NULL);
    }
    pthread_mutex_unlock(&x->mutex);
    return rc;
}

static void op_failed(void *ctx, struct change *c, const struct err *err) {
    struct executor *x = ctx;
    pthread_mutex_lock(&x->mutex);
    x->status[change_index(x, c)] = CHANGE_FAILED;
    x->outcome->failed++;
    add_error(x, c, err);
    const struct recorded *known = recorded_find(&x->state->nodes, c->address);
    if (known != NULL && known->status == RECORDED_OK) {
        struct recorded entry = *known;
        struct err ignored = {0}; /* the first error is the one to show */
        entry.status = RECORDED_FAILED;
        record_entry(x, &entry, &ignored);
    }
    report(x, PROGRESS_FAILED, c, err->msg);
    pthread_mutex_unlock(&x->mutex);
}

static void op_progress(void *ctx, struct change *c, const char *text) {
    struct executor *x = ctx;
    pthread_mutex_lock(&x->mutex);
    report(x, PROGRESS_NOTE, c, text);
    pthread_mutex_unlock(&x->mutex);
}

/* Newest first: what this run recorded is in the state; else what was observed. */
static const void *newest_record(void *ctx, const char *address, const struct kind **ret_kind) {
    struct executor *x = ctx;
    const void *record = NULL;
    pthread_mutex_lock(&x->mutex);
    const struct recorded *known = recorded_find(&x->state->nodes, address);
    bool fresh = false;
    for (size_t i = 0; i < x->plan->len && !fresh; i++) {
        const struct change *c = &x->plan->changes[i];
        if (!cstr_eq(c->address, address))
            continue;
        if (ret_kind != NULL)
            *ret_kind = c->kind;
        if (x->status[i] == CHANGE_WAITING && c->live != NULL && c->live->record != NULL)
            record = c->live->record;
        fresh = true;
    }
    if (record == NULL && known != NULL) {
        record = known->record;
        if (ret_kind != NULL)
            *ret_kind = known->kind;
    }
    pthread_mutex_unlock(&x->mutex);
    return record;
}

static int op_endpoint(void *ctx, const char *address, struct arena *arena, struct endpoint *ret) {
    struct executor *x = ctx;
    const struct kind *kind = NULL;
    const void *record = newest_record(ctx, address, &kind);
    if (record == NULL || kind == NULL || kind->endpoint == NULL)
        return -ERRC_NOTFOUND;
    return kind->endpoint(record, x->run->project_dir, arena, ret);
}

/* ---- One batch */

static int resolve(struct executor *x, struct change *c, struct arena *arena, struct err *err) {
    if (c->node == NULL || c->kind->resolve == NULL || c->after == NULL)
        return 0;
    void *record = arena_alloc(arena, c->kind->size);
    if (record == NULL || record_copy(arena, c->kind->fields, record, c->after) < 0)
        return err_set(err, ERRC_NOMEM, "out of memory");
    const struct lookup lookup = {newest_record, x};
    uint64_t unknown = c->node->unknown;
    int rc = c->kind->resolve(c->node, &lookup, arena, record, &unknown);
    if (rc < 0)
        return err_set(err, (enum err_code) - rc, "cannot work out %s", c->address);
    c->after = record;
    c->after_unknown = unknown;
    return 0;
}

static int adopt(struct executor *x, struct change *c, struct err *err) {
    struct recorded entry = entry_of(c, RECORDED_FAILED);
    entry.id = c->live->id;
    entry.token = c->live->token;
    /* What the world cannot tell is taken to be as the spec wants it. */
    entry.record = (void *)c->after;
    pthread_mutex_lock(&x->mutex);
    int rc = record_entry(x, &entry, err);
    pthread_mutex_unlock(&x->mutex);
    /* For the world it is an update from here on. */
    c->action = ACTION_UPDATE;
    return rc;
}

static void apply_batch(struct executor *x, struct exec_batch *batch, struct arena *arena) {
    struct apply_ops ops = {.ctx = x,
                            .intent = op_intent,
                            .created = op_created,
                            .done = op_done,
                            .failed = op_failed,
                            .progress = op_progress,
                            .lookup = {newest_record, x},
                            .endpoint = op_endpoint};
    struct err err = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < batch->len; i++) {
        struct change *c = batch->changes[i];
        if (batch->state_only)
            rc = op_done(x, c, c->action == ACTION_ADOPT ? c->after : NULL, &err);
        else
            rc = c->action == ACTION_ADOPT ? adopt(x, c, &err) : 0;
        if (rc == 0 && !batch->state_only)
            rc = resolve(x, c, arena, &err);
    }
    if (rc == 0 && !batch->state_only) {
        const struct world *world = batch->changes[0]->kind->world;
        struct batch in = {batch->changes, batch->len, arena};
        rc = world->apply(sessions_get(x->sessions, world), &in, &ops, &err);
    }
    for (size_t i = 0; i < batch->len; i++) {
        enum change_status status = x->status[change_index(x, batch->changes[i])];
        if (status == CHANGE_DONE || status == CHANGE_FAILED)
            continue;
        if (rc == 0)
            err_set(&err, ERRC_INTERNAL, "it was not answered for");
        op_failed(x, batch->changes[i], &err);
    }
}

static void *run_worker(void *arg) {
    struct worker *w = arg;
    struct arena arena = {0};
    apply_batch(w->x, w->batch, &arena);
    pthread_mutex_lock(&w->x->mutex);
    w->batch->status = BATCH_DONE;
    w->ended = true;
    w->x->running--;
    pthread_cond_signal(&w->x->moved);
    for (size_t i = 0; i < w->batch->len; i++)
        w->batch->changes[i]->after = NULL; /* it was resolved into this batch's arena */
    pthread_mutex_unlock(&w->x->mutex);
    arena_free(&arena);
    return NULL;
}

/* ---- Scheduling, under the mutex */

static bool is_ready(const struct executor *x, const struct exec_batch *batch) {
    for (size_t i = 0; i < batch->after.len; i++)
        if (x->batches.items[batch->after.items[i]].status != BATCH_DONE)
            return false;
    return batch->status == BATCH_WAITING;
}

static void skip(struct executor *x, struct change *c, const char *why) {
    x->status[change_index(x, c)] = CHANGE_SKIPPED;
    x->outcome->skipped++;
    report(x, PROGRESS_SKIPPED, c, why);
}

/* The first need of a change that did not succeed, or NULL. In-batch needs are the world's. */
static const struct change *broken_need(const struct executor *x, const struct change *c) {
    size_t index = change_index(x, c);
    const struct edges *needs = &x->batches.needs[index];
    for (size_t i = 0; i < needs->len; i++) {
        size_t n = needs->items[i];
        if (x->batches.of_change[n] == x->batches.of_change[index])
            continue;
        if (x->status[n] == CHANGE_FAILED || x->status[n] == CHANGE_SKIPPED ||
            x->plan->changes[n].action == ACTION_UNKNOWN)
            return &x->plan->changes[n];
    }
    return NULL;
}

/* Leaves out of the batch what cannot start; false when nothing is left. */
static bool prune(struct executor *x, struct exec_batch *batch, bool cancelled) {
    size_t kept = 0;
    for (size_t i = 0; i < batch->len; i++) {
        struct change *c = batch->changes[i];
        const struct change *broken = broken_need(x, c);
        if (cancelled) {
            skip(x, c, "interrupted");
        } else if (broken != NULL) {
            char text[256];
            snprintf(text, sizeof text, "needs %s", broken->address);
            skip(x, c, text);
        } else {
            batch->changes[kept++] = c;
        }
    }
    batch->len = kept;
    return kept > 0;
}

static void start(struct executor *x, struct worker *workers, struct exec_batch *batch) {
    size_t slot = 0;
    while (workers[slot].used)
        slot++;
    workers[slot] = (struct worker){.x = x, .batch = batch, .used = true};
    batch->status = BATCH_RUNNING;
    for (size_t i = 0; i < batch->len; i++) {
        size_t index = change_index(x, batch->changes[i]);
        x->status[index] = CHANGE_STARTED;
        x->started[index] = monotonic_s();
        report(x, PROGRESS_START, batch->changes[i], NULL);
    }
    x->running++;
    if (pthread_create(&workers[slot].thread, NULL, run_worker, &workers[slot]) == 0)
        return;
    x->running--;
    workers[slot].used = false;
    batch->status = BATCH_DONE;
    prune(x, batch, true);
}

static void reap(struct executor *x, struct worker *workers, bool all) {
    for (size_t i = 0; i < THREADS_MAX; i++) {
        if (!workers[i].used || (!workers[i].ended && !all))
            continue;
        pthread_mutex_unlock(&x->mutex);
        pthread_join(workers[i].thread, NULL);
        pthread_mutex_lock(&x->mutex);
        workers[i].used = false;
    }
}

static void schedule(struct executor *x) {
    struct worker workers[THREADS_MAX] = {0};
    pthread_mutex_lock(&x->mutex);
    for (;;) {
        bool cancelled = atomic_load(x->run->cancel) > 0;
        bool moved = false;
        for (size_t i = 0; i < x->batches.len; i++) {
            struct exec_batch *batch = &x->batches.items[i];
            if (!is_ready(x, batch) || x->running == THREADS_MAX)
                continue;
            moved = true;
            if (prune(x, batch, cancelled))
                start(x, workers, batch);
            else
                batch->status = BATCH_DONE;
        }
        reap(x, workers, false);
        if (moved)
            continue;
        if (x->running == 0)
            break; /* all done; or what waits waits for itself, which a plan never has */
        pthread_cond_wait(&x->moved, &x->mutex);
    }
    reap(x, workers, true);
    pthread_mutex_unlock(&x->mutex);
}

/* No-ops refresh what the state remembers of computed fields; unknowns are errors. */
static int settle(struct executor *x, struct err *err) {
    for (size_t i = 0; i < x->plan->len; i++) {
        struct change *c = &x->plan->changes[i];
        if (c->action == ACTION_UNKNOWN) {
            struct err why = {0};
            if (c->live != NULL && c->live->err.code != 0)
                why = c->live->err;
            else
                err_set(&why, ERRC_HOST, "could not be read");
            add_error(x, c, &why);
            x->outcome->skipped++;
        } else if (c->action == ACTION_NOOP && c->live != NULL && c->live->record != NULL) {
            struct recorded entry = entry_of(c, RECORDED_OK);
            entry.id = c->live->id != NULL ? c->live->id : c->recorded->id;
            entry.token = c->recorded->token;
            entry.record = (void *)c->after;
            int rc = state_put(x->state, &entry, err);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

static int begin(struct executor *x, struct err *err) {
    size_t n = x->plan->len + 1;
    x->status = calloc(n, sizeof *x->status);
    x->started = calloc(n, sizeof *x->started);
    if (x->status == NULL || x->started == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    int rc = batches_make(x->plan, &x->arena, &x->batches, err);
    if (rc < 0)
        return rc;
    rc = journal_open(x->run->project_dir, &x->journal, err);
    return rc < 0 ? rc : journal_begin(x->journal, x->state, err);
}

int execute_plan(struct plan *plan, struct state *state, struct sessions *sessions,
                 const struct kind *const *kinds, const struct run *run,
                 const struct progress *progress, struct outcome *ret, struct err *err) {
    (void)kinds;
    struct outcome outcome = {0};
    struct executor x = {.plan = plan,
                         .state = state,
                         .sessions = sessions,
                         .run = run,
                         .progress = progress,
                         .outcome = &outcome};
    double start_s = monotonic_s();
    pthread_mutex_init(&x.mutex, NULL);
    pthread_cond_init(&x.moved, NULL);
    int rc = begin(&x, err);
    if (rc == 0) {
        schedule(&x);
        rc = settle(&x, err);
        if (rc == 0)
            rc = state_write(state, err);
    }
    journal_close(x.journal);
    pthread_mutex_destroy(&x.mutex);
    pthread_cond_destroy(&x.moved);
    arena_free(&x.arena);
    free(x.status);
    free(x.started);
    outcome.seconds = monotonic_s() - start_s;
    outcome.cancelled = atomic_load(run->cancel) > 0 && outcome.skipped > 0;
    *ret = outcome;
    if (rc < 0)
        return rc;
    if (outcome.cancelled)
        return err_set(err, ERRC_CANCELLED, "interrupted");
    if (outcome.failed > 0 || outcome.skipped > 0)
        return err_set(err, ERRC_PARTIAL, "%zu failed, %zu not done", outcome.failed,
                       outcome.skipped);
    return 0;
}

void outcome_free(struct outcome *outcome) {
    arena_free(&outcome->arena);
    *outcome = (struct outcome){0};
}
