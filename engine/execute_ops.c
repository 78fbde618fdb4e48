/* What a world calls back while it applies a batch, and the applying of one batch. */
#include "engine/executor.h"
#include "engine/index.h"
#include "specs/record.h"

#include <string.h>

size_t executor_index_of(const struct executor *x, const struct change *c) {
    return (size_t)(c - x->plan->changes);
}

void executor_report(struct executor *x, enum progress_event event, const struct change *c,
                     const char *text) {
    if (x->progress == NULL || x->progress->report == NULL)
        return;
    double since = x->started[executor_index_of(x, c)];
    x->progress->report(x->progress->ctx, event, c, text, since > 0 ? monotonic_s() - since : 0);
}

void executor_add_error(struct executor *x, const struct change *c, const struct err *err) {
    struct outcome *o = x->outcome;
    size_t len = o->errors_len;
    const char *address = arena_dup(&o->arena, c->address);
    if ((len & (len - 1)) == 0) { /* the capacity is the next power of two */
        struct change_error *items = arena_calloc(&o->arena, len == 0 ? 1 : len * 2, sizeof *items);
        if (items == NULL)
            return; /* it is counted all the same */
        if (len > 0)
            memcpy(items, o->errors, len * sizeof *items);
        o->errors = items;
    }
    if (address != NULL)
        o->errors[o->errors_len++] = (struct change_error){address, *err};
}

void executor_skip(struct executor *x, const struct change *c, const char *why) {
    x->status[executor_index_of(x, c)] = CHANGE_SKIPPED;
    x->outcome->skipped++;
    executor_report(x, PROGRESS_SKIPPED, c, why);
}

struct recorded executor_entry(const struct change *c, enum recorded_status status) {
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

/* Of the batch that the change is in. Only its own threads look at it. */
static bool *gathering(struct executor *x, const struct change *c) {
    size_t batch = x->batches.of_change[executor_index_of(x, c)];
    return &x->batches.items[batch].gathering;
}

/* Journal first, then memory. Not under the mutex: it waits for the disk. Entries of one address
 * are written by one thread, so that the order on disk is the order in memory without holding the
 * mutex over the disk. */
static int put_entry(struct executor *x, const struct recorded *entry, bool sync, struct err *err) {
    int rc = journal_put(x->journal, entry, err);
    if (rc == 0 && sync)
        rc = journal_sync(x->journal, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&x->mutex);
    rc = state_put(x->state, entry, err);
    pthread_mutex_unlock(&x->mutex);
    return rc;
}

/* What the state knows of an address now. What it points to lives as long as the state. */
static bool known_entry(struct executor *x, const char *address, struct recorded *ret) {
    pthread_mutex_lock(&x->mutex);
    const struct recorded *known = recorded_find(&x->state->nodes, address);
    if (known != NULL)
        *ret = *known;
    pthread_mutex_unlock(&x->mutex);
    return known != NULL;
}

/* ---- Callbacks */

static int op_intent(void *ctx, struct change *c, struct err *err) {
    struct recorded entry = executor_entry(c, RECORDED_PENDING);
    entry.token = c->token;
    return put_entry(ctx, &entry, !*gathering(ctx, c), err);
}

static int op_created(void *ctx, struct change *c, const char *id, const void *record,
                      struct err *err) {
    struct executor *x = ctx;
    struct recorded known = {0};
    struct recorded entry = executor_entry(c, RECORDED_FAILED); /* until it is converged */
    known_entry(x, c->address, &known);
    entry.id = id != NULL ? id : known.id;
    entry.token = c->token != NULL ? c->token : known.token;
    entry.record = record != NULL ? (void *)record : known.record;
    return put_entry(x, &entry, !*gathering(x, c), err);
}

static void op_gather(void *ctx, struct change *c) { *gathering(ctx, c) = true; }

static int op_sync(void *ctx, struct change *c, struct err *err) {
    struct executor *x = ctx;
    *gathering(x, c) = false;
    return journal_sync(x->journal, err);
}

/* That it is done may be forgotten by a crash of the machine: the next run looks at it and finds it
 * so. */
static int record_done(struct executor *x, struct change *c, const void *record, struct err *err) {
    struct recorded known = {0};
    struct recorded entry = executor_entry(c, RECORDED_OK);
    known_entry(x, c->address, &known);
    entry.id = known.id != NULL ? known.id : c->live != NULL ? c->live->id : NULL;
    entry.token = known.address == NULL ? c->token : known.token;
    entry.record = (void *)record;
    return put_entry(x, &entry, false, err);
}

static int record_gone(struct executor *x, const struct change *c, struct err *err) {
    int rc = journal_remove(x->journal, c->address, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&x->mutex);
    state_remove(x->state, c->address);
    pthread_mutex_unlock(&x->mutex);
    return 0;
}

static int op_done(void *ctx, struct change *c, const void *record, struct err *err) {
    struct executor *x = ctx;
    int rc = record == NULL ? record_gone(x, c, err) : record_done(x, c, record, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&x->mutex);
    x->status[executor_index_of(x, c)] = CHANGE_DONE;
    x->outcome->done++;
    executor_report(x, PROGRESS_DONE, c, NULL);
    pthread_mutex_unlock(&x->mutex);
    return 0;
}

static void op_failed(void *ctx, struct change *c, const struct err *err) {
    struct executor *x = ctx;
    struct recorded known = {0};
    if (known_entry(x, c->address, &known) && known.status == RECORDED_OK) {
        struct err ignored = {0}; /* the first error is the one to show */
        known.status = RECORDED_FAILED;
        put_entry(x, &known, true, &ignored);
    }
    pthread_mutex_lock(&x->mutex);
    x->status[executor_index_of(x, c)] = CHANGE_FAILED;
    x->outcome->failed++;
    executor_add_error(x, c, err);
    executor_report(x, PROGRESS_FAILED, c, err->msg);
    pthread_mutex_unlock(&x->mutex);
}

static void op_not_begun(void *ctx, struct change *c, const char *why) {
    struct executor *x = ctx;
    pthread_mutex_lock(&x->mutex);
    executor_skip(x, c, why);
    pthread_mutex_unlock(&x->mutex);
}

static void op_begun(void *ctx, struct change *c) {
    struct executor *x = ctx;
    pthread_mutex_lock(&x->mutex);
    x->started[executor_index_of(x, c)] = monotonic_s();
    executor_report(x, PROGRESS_BEGUN, c, NULL);
    pthread_mutex_unlock(&x->mutex);
}

static void op_progress(void *ctx, struct change *c, const char *text) {
    struct executor *x = ctx;
    pthread_mutex_lock(&x->mutex);
    executor_report(x, PROGRESS_NOTE, c, text);
    pthread_mutex_unlock(&x->mutex);
}

/* Newest first: what this run recorded is in the state; what it does not touch is as decided; what
 * it has not come to yet is as it was observed. */
static const void *newest_record(void *ctx, const char *address, const struct kind **ret_kind) {
    struct executor *x = ctx;
    const struct kind *kind = NULL;
    const void *record = NULL;
    size_t i = index_get(x->by_address, address);
    pthread_mutex_lock(&x->mutex);
    if (i != SIZE_MAX && x->status[i] == CHANGE_WAITING) {
        const struct change *c = &x->plan->changes[i];
        kind = c->kind;
        bool seen = c->live != NULL && c->live->record != NULL;
        record = c->action == ACTION_NOOP ? c->after : seen ? c->before : NULL;
    }
    const struct recorded *known = record != NULL ? NULL : recorded_find(&x->state->nodes, address);
    if (known != NULL) {
        kind = known->kind;
        record = kind == NULL ? NULL : known->record;
    }
    pthread_mutex_unlock(&x->mutex);
    if (ret_kind != NULL && kind != NULL)
        *ret_kind = kind;
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
    if (c->node == NULL || c->kind->resolve == NULL || c->after == NULL || c->settled)
        return 0;
    void *record = arena_alloc(arena, c->kind->size);
    if (record == NULL || record_copy(arena, c->kind->fields, record, c->after) < 0)
        return err_no_memory(err);
    const struct lookup lookup = {newest_record, x};
    uint64_t unknown = c->node->unknown;
    int rc = c->kind->resolve(c->node, &lookup, arena, record, &unknown);
    if (rc < 0)
        return err_set(err, (enum err_code) - rc, "cannot work out %s", c->address);
    pthread_mutex_lock(&x->mutex);
    c->after = record;
    c->after_unknown = unknown;
    pthread_mutex_unlock(&x->mutex);
    return 0;
}

/* The id is ours from here on, whatever becomes of the rest; for the world it is an update. */
static int adopt(struct executor *x, struct change *c, struct err *err) {
    struct recorded entry = executor_entry(c, RECORDED_FAILED);
    enum action action = ACTION_UPDATE;
    entry.id = c->live->id;
    entry.token = c->live->token;
    /* What the world cannot tell is taken to be as the spec wants it. */
    entry.record = (void *)c->after;
    int rc = put_entry(x, &entry, true, err);
    for (size_t i = 0; i < c->fields_len; i++)
        if (c->fields[i].field->flags & FIELD_NEEDS_STOP)
            action = ACTION_STOP_UPDATE_START;
    pthread_mutex_lock(&x->mutex);
    c->action = action;
    pthread_mutex_unlock(&x->mutex);
    return rc;
}

static int prepare(struct executor *x, struct change *c, bool state_only, struct arena *arena,
                   struct err *err) {
    if (state_only)
        return op_done(x, c, c->action == ACTION_ADOPT ? c->after : NULL, err);
    int rc = c->action == ACTION_ADOPT ? adopt(x, c, err) : 0;
    return rc < 0 ? rc : resolve(x, c, arena, err);
}

static bool is_answered(struct executor *x, const struct change *c) {
    pthread_mutex_lock(&x->mutex);
    enum change_status status = x->status[executor_index_of(x, c)];
    pthread_mutex_unlock(&x->mutex);
    return status == CHANGE_DONE || status == CHANGE_FAILED || status == CHANGE_SKIPPED;
}

void executor_apply_batch(struct executor *x, struct exec_batch *batch) {
    const struct apply_ops ops = {.ctx = x,
                                  .intent = op_intent,
                                  .created = op_created,
                                  .gather = op_gather,
                                  .sync = op_sync,
                                  .done = op_done,
                                  .failed = op_failed,
                                  .not_begun = op_not_begun,
                                  .begun = op_begun,
                                  .progress = op_progress,
                                  .lookup = {newest_record, x},
                                  .endpoint = op_endpoint};
    _cleanup_arena_ struct arena arena = {0};
    struct err err = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < batch->len; i++)
        rc = prepare(x, batch->changes[i], batch->state_only, &arena, &err);
    if (rc == 0 && !batch->state_only) {
        const struct world *world = batch->changes[0]->kind->world;
        struct batch in = {batch->changes, batch->len, &arena};
        /* What it did not answer for is answered below, with its error. */
        (void)world->apply(sessions_get(x->sessions, world), &in, &ops, &err);
    }
    for (size_t i = 0; i < batch->len; i++) {
        if (is_answered(x, batch->changes[i]))
            continue;
        if (err.code == 0)
            err_set(&err, ERRC_INTERNAL, "it was not answered for");
        op_failed(x, batch->changes[i], &err);
    }
    /* What was resolved lives in this batch's arena. */
    pthread_mutex_lock(&x->mutex);
    for (size_t i = 0; i < batch->len; i++)
        batch->changes[i]->after = x->planned[executor_index_of(x, batch->changes[i])];
    pthread_mutex_unlock(&x->mutex);
}
