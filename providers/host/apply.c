/* Converging a host: every step of a batch goes down one connection, without a round trip between
 * them; each is answered for as soon as the host says how it ended. */
#include "providers/host/converge.h"

#include "providers/host/scripts.h"
#include "providers/host/world.h"
#include "specs/record.h"

#define BOOT_S 240.0

static bool is_removal(const struct change *c) { return c->action == ACTION_DESTROY; }

/* Nothing new is to start. */
bool converge_is_cancelled(const struct convergence *x) {
    return atomic_load(x->session->run->cancel) > 0;
}

bool converge_is_open(const struct convergence *x, size_t i) {
    return x->status[i] == STEP_WAITING || x->status[i] == STEP_BEGUN;
}

void converge_begin(struct convergence *x, size_t i) {
    x->status[i] = STEP_BEGUN;
    x->ops->begun(x->ops->ctx, x->batch->changes[i]);
}

void converge_fail(struct convergence *x, size_t i, const struct err *err) {
    if (!converge_is_open(x, i))
        return;
    x->status[i] = STEP_FAILED;
    x->ops->failed(x->ops->ctx, x->batch->changes[i], err);
}

/* It was not begun. */
void converge_leave_out(struct convergence *x, size_t i, const char *why) {
    if (!converge_is_open(x, i))
        return;
    x->status[i] = STEP_FAILED;
    x->ops->not_begun(x->ops->ctx, x->batch->changes[i], why);
}

static bool needs(const struct change *c, const struct change *other) {
    /* What was made upon it goes first. */
    return is_removal(c) ? is_removal(other) && strlist_has(&other->deps, c->address)
                         : strlist_has(&c->deps, other->address);
}

/* Leaves it out when something of the batch that it needs failed; false when nothing did. */
bool converge_leave_out_blocked(struct convergence *x, size_t i) {
    size_t k = 0;
    while (k < x->batch->len &&
           (x->status[k] != STEP_FAILED || !needs(x->batch->changes[i], x->batch->changes[k])))
        k++;
    if (k == x->batch->len)
        return false;
    const char *why = arena_printf(x->batch->arena, "needs %s", x->batch->changes[k]->address);
    converge_leave_out(x, i, why == NULL ? "what it needs failed" : why);
    return true;
}

/* What depended on an earlier change of the same batch is known now. */
static int resolve_late(struct convergence *x, size_t i, struct err *err) {
    const struct change *c = x->batch->changes[i];
    if (is_removal(c) || c->node == NULL || c->kind->resolve == NULL)
        return 0;
    uint64_t unknown = c->node->unknown;
    int rc =
        c->kind->resolve(c->node, &x->ops->lookup, x->batch->arena, x->steps[i].record, &unknown);
    return rc < 0 ? err_no_memory(err) : 0;
}

void converge_succeed(struct convergence *x, size_t i) {
    struct err err = {0};
    const void *record = is_removal(x->batch->changes[i]) ? NULL : x->steps[i].record;
    if (resolve_late(x, i, &err) < 0 ||
        x->ops->done(x->ops->ctx, x->batch->changes[i], record, &err) < 0) {
        converge_fail(x, i, &err);
    } else {
        x->status[i] = STEP_DONE;
    }
}

/* ---- Composing */

static int compose_step(struct convergence *x, size_t i, struct buf *script, struct err *err) {
    const struct host_kind *kind = host_kind_of(x->batch->changes[i]->kind);
    buf_adds(script, "if need");
    for (size_t k = 0; k < i; k++)
        if (x->status[k] == STEP_WAITING && needs(x->batch->changes[i], x->batch->changes[k]))
            buf_addf(script, " %zu", k);
    buf_addf(script, "; then begin %zu ", i);
    shell_quote(script, x->batch->changes[i]->address);
    buf_adds(script, "\n( set -e\n");
    int rc = kind->step(&x->steps[i], script, err);
    /* No `if` around the subshell itself: it would switch its set -e off. */
    if (i == x->restarter)
        buf_adds(script, "refresh_jupyter\n");
    buf_addf(script, ") </dev/null 2>&1\nend %zu $?\nelse skip %zu; fi\n", i, i);
    if (x->stream.bytes[i] > 0)
        buf_addf(script, "pass_archive %zu %lld\n", i, (long long)x->stream.bytes[i]);
    return rc;
}

/* Jupyter reads its files at start only: the last change of what it reads restarts it and, unless
 * its health is converged anyway, is done when it answers again. */
static size_t find_restarter(const struct batch *b) {
    size_t last = SIZE_MAX;
    for (size_t i = 0; i < b->len; i++) {
        const struct host_kind *kind = host_kind_of(b->changes[i]->kind);
        if (is_removal(b->changes[i]) && !kind->restarts_when_removed)
            return SIZE_MAX;
        if (kind->restarts_jupyter)
            last = i;
    }
    return last;
}

static void await_jupyter(struct convergence *x) {
    struct err err = {0};
    struct change *c = x->batch->changes[x->restarter];
    struct arena *arena = x->batch->arena;
    const char *address = arena_printf(arena, "%s.jupyter.health", c->parent);
    for (size_t i = 0; i < x->batch->len; i++)
        if (x->batch->changes[i]->kind == &host_health_kind)
            address = NULL; /* its turn comes */
    const struct host_health_record *health =
        address == NULL ? NULL : x->ops->lookup.record(x->ops->lookup.ctx, address, NULL);
    int rc = 0;
    if (health != NULL && health->url != NULL) {
        x->ops->progress(x->ops->ctx, c, "waiting for Jupyter to answer");
        rc = health_wait(x->session->run, x->connection, health, arena, &err);
    }
    if (rc < 0)
        converge_fail(x, x->restarter, &err);
    else
        converge_succeed(x, x->restarter);
}

/* All that the host has not answered for. */
static void end_steps(struct convergence *x, const struct err *err) {
    for (size_t i = 0; i < x->batch->len; i++) {
        if (host_kind_of(x->batch->changes[i]->kind)->step == NULL)
            continue;
        if (x->status[i] == STEP_WAITING && converge_is_cancelled(x))
            converge_leave_out(x, i, "interrupted");
        else
            converge_fail(x, i, err);
    }
}

static void begin_script(struct convergence *x, struct buf *script) {
    const char *who = x->session->run->who;
    buf_adds(script, "who=");
    shell_quote(script, who == NULL ? "another run" : who);
    buf_adds(script, "\nseen=");
    shell_quote(script, x->connection->last);
    buf_addc(script, '\n');
    buf_adds(script, script_common);
    buf_adds(script, script_busy);
    for (size_t i = 0; script_converge[i] != NULL; i++)
        buf_adds(script, script_converge[i]);
    if (x->connection->endpoint.given.host != NULL) {
        buf_adds(script, "printf '%s\\n' ");
        shell_quote(script, x->session->run->name);
        buf_adds(script, " >" HOST_OWNER "\n");
    }
    for (size_t i = 0; i < x->batch->len; i++) {
        const struct host_kind *kind = host_kind_of(x->batch->changes[i]->kind);
        if (kind->begin_early != NULL && !is_removal(x->batch->changes[i]))
            kind->begin_early(&x->nodes[i], script);
    }
}

/* How many steps it has. */
static size_t compose(struct convergence *x, struct buf *script) {
    size_t steps = 0;
    begin_script(x, script);
    for (size_t i = 0; i < x->batch->len; i++) {
        struct err err = {0};
        if (x->status[i] != STEP_WAITING || host_kind_of(x->batch->changes[i]->kind)->step == NULL)
            continue;
        if (converge_leave_out_blocked(x, i))
            continue;
        size_t before = script->len, files = x->stream.len;
        if (compose_step(x, i, script, &err) < 0) {
            script->len = before;
            x->stream.len = files;
            x->stream.bytes[i] = 0;
            converge_fail(x, i, &err);
        } else {
            steps++;
        }
    }
    buf_adds(script, "exit 0\n");
    return steps;
}

static void run_script(struct convergence *x) {
    _cleanup_secret_buf_ struct buf script = BUF_INIT(4 * (size_t)BUF_LARGE);
    _cleanup_buf_ struct buf errors = BUF_INIT(BUF_SMALL);
    struct err err = {0};
    int status = 0;
    if (converge_is_cancelled(x)) {
        end_steps(x, &err);
        return;
    }
    if (compose(x, &script) == 0)
        return;
    int rc = script.failed ? err_set(&err, ERRC_LIMIT, "there is more to send than fits in memory")
                           : converge_on_host(x, &script, &errors, &status, &err);
    if (rc < 0)
        host_disconnect(x->session, x->connection);
    rc = converge_explain(x, rc, status, &errors, &err);
    if (rc == 0 && x->restarted && converge_is_open(x, x->restarter))
        await_jupyter(x);
    end_steps(x, &err);
}

/* Steps that are taken from here. `before`: those that stand before every step on the host. */
static void run_local(struct convergence *x, bool before) {
    for (size_t i = 0; i < x->batch->len; i++) {
        const struct host_kind *kind = host_kind_of(x->batch->changes[i]->kind);
        if (before && kind->local == NULL)
            return;
        if (kind->local == NULL || x->status[i] != STEP_WAITING)
            continue;
        if (converge_leave_out_blocked(x, i))
            continue;
        if (converge_is_cancelled(x)) {
            converge_leave_out(x, i, "interrupted");
            continue;
        }
        struct err err = {0};
        converge_begin(x, i);
        if (kind->local(&x->steps[i], x->connection, x->ops, &err) < 0)
            converge_fail(x, i, &err);
        else
            converge_succeed(x, i);
    }
}

/* ---- A batch */

static int prepare(struct convergence *x, struct err *err) {
    struct batch *b = x->batch;
    x->nodes = arena_calloc(b->arena, b->len, sizeof *x->nodes);
    x->steps = arena_calloc(b->arena, b->len, sizeof *x->steps);
    x->status = arena_calloc(b->arena, b->len, sizeof *x->status);
    if (x->nodes == NULL || x->steps == NULL || x->status == NULL ||
        stream_init(&x->stream, b->arena, b->len) < 0)
        return err_no_memory(err);
    for (size_t i = 0; i < b->len; i++) {
        const struct change *c = b->changes[i];
        void *record = arena_alloc(b->arena, c->kind->size);
        if (record == NULL ||
            (c->after != NULL && record_copy(b->arena, c->kind->fields, record, c->after) < 0))
            return err_no_memory(err);
        x->nodes[i] = (struct host_node){
            .address = c->address,
            .desired = c->node == NULL ? NULL : c->node->desired,
            .recorded = c->recorded == NULL ? NULL : c->recorded->record,
            .extra = c->node == NULL ? NULL : c->node->extra,
            .session = x->session,
            .connection = x->connection,
            .arena = b->arena,
        };
        x->steps[i] = (struct host_step){
            .index = i,
            .stream = &x->stream,
            .node = &x->nodes[i],
            .change = c,
            .before = c->before,
            .after = is_removal(c) ? NULL : c->after,
            .lookup = &x->ops->lookup,
            .record = is_removal(c) ? NULL : record,
        };
    }
    return 0;
}

/* Nothing has been started on a host that is yet to be reached. */
static bool is_given_up(void *ctx) { return converge_is_cancelled(ctx); }

int converge_connect(struct convergence *x, double boot_s, struct err *err) {
    const char *parent = x->batch->changes[0]->parent;
    struct endpoint endpoint;
    struct arena *arena = x->batch->arena;
    if (x->ops->endpoint(x->ops->ctx, parent, arena, &endpoint) < 0 || endpoint.address == NULL)
        return err_set(err, ERRC_HOST, "%s has no address", parent);
    const char *address = arena_printf(arena, "%s.host_key", parent);
    const struct host_key_record *record =
        address == NULL ? NULL : x->ops->lookup.record(x->ops->lookup.ctx, address, NULL);
    const struct host_keys keys = host_keys_of(x->session->run, parent, &endpoint, record, arena);
    if (endpoint.given.host != NULL && boot_s > REJOIN_S) /* it does not boot for berth's sake */
        boot_s = REJOIN_S;
    return host_connect(x->session, parent, &endpoint, &keys, boot_s, is_given_up, x,
                        &x->connection, err);
}

/* Its turn on the connection; which may have been lost while another batch had it. */
static int take_connection(struct convergence *x, struct err *err) {
    pthread_mutex_lock(&x->connection->mutex);
    while (!ssh_is_alive(x->connection->ssh)) {
        pthread_mutex_unlock(&x->connection->mutex);
        host_disconnect(x->session, x->connection);
        int rc = converge_connect(x, REJOIN_S, err);
        if (rc < 0)
            return rc;
        pthread_mutex_lock(&x->connection->mutex);
    }
    for (size_t i = 0; i < x->batch->len; i++)
        x->nodes[i].connection = x->connection;
    return 0;
}

int host_apply(void *session, struct batch *batch, const struct apply_ops *ops, struct err *err) {
    struct convergence x = {.session = session,
                            .batch = batch,
                            .ops = ops,
                            .current = SIZE_MAX,
                            .stream = {.fd = -1},
                            .restarter = find_restarter(batch),
                            .tail = BUF_INIT(BUF_MEDIUM)};
    for (size_t i = 0; i < batch->len; i++)
        ops->progress(ops->ctx, batch->changes[i], i == 0 ? "connecting" : "waiting");
    int rc = converge_connect(&x, BOOT_S, err);
    if (rc == -ERRC_CANCELLED) {
        for (size_t i = 0; i < batch->len; i++)
            ops->not_begun(ops->ctx, batch->changes[i], "interrupted");
        return 0;
    }
    if (rc == 0)
        rc = prepare(&x, err);
    if (rc == 0)
        rc = take_connection(&x, err);
    if (rc == 0) {
        run_local(&x, true);
        run_script(&x);
        run_local(&x, false);
        pthread_mutex_unlock(&x.connection->mutex);
    }
    buf_free(&x.tail);
    stream_free(&x.stream);
    return rc;
}
