/* Converging a host: every step of a batch goes down one connection, without a round trip between
 * them; each is answered for as soon as the host says how it ended. */
#include "providers/host/world.h"

#include "providers/host/internal.h"
#include "providers/host/scripts.h"
#include "specs/record.h"

#include <stdio.h>
#include <string.h>

#define BOOT_S 240.0
/* Of a step's output: what is kept, what of it an error shows, and how much of a line progress
 * does. */
enum { TAIL_MAX = 3000, TAIL_SHOWN = 800, PROGRESS_MAX = 60 };

enum step_status { STEP_WAITING, STEP_BEGUN, STEP_DONE, STEP_FAILED };

struct convergence {
    struct host_session *session;
    struct batch *batch;
    const struct apply_ops *ops;
    struct host_connection *connection;
    struct host_node *nodes;
    struct host_step *steps;
    enum step_status *status;
    size_t current;   /* that the host is at; SIZE_MAX between steps */
    size_t restarter; /* whose step ends with a restart of Jupyter; SIZE_MAX: none */
    bool restarted;   /* and that step went well */
    struct buf tail;  /* end of the current step's output */
};

static bool is_removal(const struct change *c) { return c->action == ACTION_DESTROY; }

/* Nothing new is to start. */
static bool is_cancelled(const struct convergence *x) {
    return atomic_load(x->session->run->cancel) > 0;
}

static bool is_open(const struct convergence *x, size_t i) {
    return x->status[i] == STEP_WAITING || x->status[i] == STEP_BEGUN;
}

static void begin(struct convergence *x, size_t i) {
    x->status[i] = STEP_BEGUN;
    x->ops->begun(x->ops->ctx, x->batch->changes[i]);
}

static void fail(struct convergence *x, size_t i, const struct err *err) {
    if (!is_open(x, i))
        return;
    x->status[i] = STEP_FAILED;
    x->ops->failed(x->ops->ctx, x->batch->changes[i], err);
}

/* It was not begun. */
static void leave_out(struct convergence *x, size_t i, const char *why) {
    if (!is_open(x, i))
        return;
    x->status[i] = STEP_FAILED;
    x->ops->not_begun(x->ops->ctx, x->batch->changes[i], why);
}

static bool needs(const struct change *c, const struct change *other) {
    return !is_removal(c) && strlist_has(&c->deps, other->address);
}

/* Leaves it out when something of the batch that it needs failed; false when nothing did. */
static bool leave_out_blocked(struct convergence *x, size_t i) {
    size_t k = 0;
    while (k < x->batch->len &&
           (x->status[k] != STEP_FAILED || !needs(x->batch->changes[i], x->batch->changes[k])))
        k++;
    if (k == x->batch->len)
        return false;
    const char *why = arena_printf(x->batch->arena, "needs %s", x->batch->changes[k]->address);
    leave_out(x, i, why == NULL ? "what it needs failed" : why);
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
    return rc < 0 ? err_set(err, ERRC_NOMEM, "out of memory") : 0;
}

static void succeed(struct convergence *x, size_t i) {
    struct err err = {0};
    const void *record = is_removal(x->batch->changes[i]) ? NULL : x->steps[i].record;
    if (resolve_late(x, i, &err) < 0 ||
        x->ops->done(x->ops->ctx, x->batch->changes[i], record, &err) < 0) {
        fail(x, i, &err);
    } else {
        x->status[i] = STEP_DONE;
    }
}

/* ---- What the host says while it converges */

static void on_control(struct convergence *x, struct str line) {
    struct str word, number, text;
    int64_t i = 0, status = 0;
    line.ptr++;
    line.len--;
    str_split(&line, '\t', &word);
    if (str_eqc(word, "V")) {
        struct str key = {NULL, 0};
        str_split(&line, '\t', &key);
        if (x->current == SIZE_MAX || line.ptr == NULL)
            return;
        const struct host_kind *kind = host_kind_of(x->batch->changes[x->current]->kind);
        const char *k = arena_dup_str(x->batch->arena, key);
        const char *v = arena_dup_str(x->batch->arena, line);
        struct change *c = x->batch->changes[x->current];
        struct host_step *step = &x->steps[x->current];
        /* On disk at once: what was installed is berth's to remove even if this run is cut. Where
         * the disk is full, the end of the step meets the same error. */
        struct err ignored = {0};
        if (kind->value != NULL && k != NULL && v != NULL && kind->value(step, k, v) == 0 &&
            step->record != NULL)
            x->ops->created(x->ops->ctx, c, c->address, step->record, &ignored);
        return;
    }
    if (!str_split(&line, '\t', &number) || !str_to_i64(number, 0, (int64_t)x->batch->len - 1, &i))
        return;
    if (str_eqc(word, "B")) {
        x->current = (size_t)i;
        buf_reset(&x->tail);
        begin(x, x->current);
    } else if (str_eqc(word, "S")) {
        if (!leave_out_blocked(x, (size_t)i))
            leave_out(x, (size_t)i, "what it needs failed");
    } else if (str_eqc(word, "E") && str_split(&line, '\t', &text) &&
               str_to_i64(text, 0, 255, &status)) {
        x->current = SIZE_MAX;
        if (status == 0) {
            if ((size_t)i != x->restarter)
                succeed(x, (size_t)i);
            else /* that one waits for Jupyter, when the host is done */
                x->restarted = true;
            return;
        }
        struct err err;
        struct str tail = str_trim(buf_str(&x->tail));
        size_t skip = tail.len > TAIL_SHOWN ? tail.len - TAIL_SHOWN : 0;
        err_set(&err, ERRC_HOST, "exit %d:\n%s%.*s", (int)status, skip > 0 ? "…" : "",
                (int)(tail.len - skip), tail.ptr + skip);
        err_hint(&err, "mend what it says and apply again; to look at the server: berth ssh");
        fail(x, (size_t)i, &err);
    }
}

static void on_line(void *ctx, struct str line) {
    struct convergence *x = ctx;
    if (line.len > 1 && line.ptr[0] == '\001') {
        on_control(x, line);
        return;
    }
    if (x->current == SIZE_MAX || line.len == 0)
        return;
    if (x->tail.len + line.len + 1 > TAIL_MAX && x->tail.len > 0) {
        size_t drop = x->tail.len / 2;
        memmove(x->tail.ptr, x->tail.ptr + drop, x->tail.len - drop);
        x->tail.len -= drop;
    }
    if (line.len > TAIL_MAX / 2)
        line.len = TAIL_MAX / 2;
    buf_addstr(&x->tail, line);
    buf_addc(&x->tail, '\n');
    char text[PROGRESS_MAX + 1];
    struct str shown = str_trim(line);
    snprintf(text, sizeof text, "%.*s", (int)(shown.len < PROGRESS_MAX ? shown.len : PROGRESS_MAX),
             shown.ptr);
    for (char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    /* A line a package is too much: uv's " + name==1.0", dpkg's "(Reading database …". */
    if (text[0] != '\0' && line.ptr[0] != ' ' && line.ptr[0] != '(' &&
        !str_starts(shown, STR("Selecting ")) && !str_starts(shown, STR("Preparing to unpack ")))
        x->ops->progress(x->ops->ctx, x->batch->changes[x->current], text);
}

/* ---- Composing */

static int compose_step(struct convergence *x, size_t i, struct buf *script, struct err *err) {
    const struct host_kind *kind = host_kind_of(x->batch->changes[i]->kind);
    buf_adds(script, "if need");
    for (size_t k = 0; k < i; k++)
        if (x->status[k] == STEP_WAITING && needs(x->batch->changes[i], x->batch->changes[k]))
            buf_addf(script, " %zu", k);
    buf_addf(script, "; then begin %zu\n( set -e\n", i);
    int rc = kind->step(&x->steps[i], script, err);
    /* No `if` around the subshell itself: it would switch its set -e off. */
    if (i == x->restarter)
        buf_adds(script, "refresh_jupyter\n");
    buf_addf(script, ") </dev/null 2>&1\nend %zu $?\nelse skip %zu; fi\n", i, i);
    return rc;
}

/* Jupyter reads its files at start only: the last change of what it reads restarts it and, unless
 * its health is converged anyway, is done when it answers again. */
static size_t find_restarter(const struct batch *b) {
    size_t last = SIZE_MAX;
    for (size_t i = 0; i < b->len; i++) {
        if (is_removal(b->changes[i]))
            return SIZE_MAX;
        if (host_kind_of(b->changes[i]->kind)->restarts_jupyter)
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
        rc = health_wait(x->session->run, x->connection, health->url, arena, &err);
    }
    if (rc < 0)
        fail(x, x->restarter, &err);
    else
        succeed(x, x->restarter);
}

/* All that the host has not answered for. */
static void end_steps(struct convergence *x, const struct err *err) {
    for (size_t i = 0; i < x->batch->len; i++) {
        if (host_kind_of(x->batch->changes[i]->kind)->step == NULL)
            continue;
        if (x->status[i] == STEP_WAITING && is_cancelled(x))
            leave_out(x, i, "interrupted");
        else
            fail(x, i, err);
    }
}

static void run_script(struct convergence *x) {
    _cleanup_secret_buf_ struct buf script = BUF_INIT(4 * (size_t)BUF_LARGE);
    _cleanup_buf_ struct buf errors = BUF_INIT(BUF_SMALL);
    struct err err = {0};
    size_t steps = 0;
    if (is_cancelled(x)) {
        end_steps(x, &err);
        return;
    }
    buf_adds(&script, script_common);
    for (size_t i = 0; script_converge[i] != NULL; i++)
        buf_adds(&script, script_converge[i]);
    for (size_t i = 0; i < x->batch->len; i++) {
        const struct host_kind *kind = host_kind_of(x->batch->changes[i]->kind);
        if (kind->begin_early != NULL && !is_removal(x->batch->changes[i]))
            kind->begin_early(&x->nodes[i], &script);
    }
    for (size_t i = 0; i < x->batch->len; i++) {
        if (x->status[i] != STEP_WAITING || host_kind_of(x->batch->changes[i]->kind)->step == NULL)
            continue;
        if (leave_out_blocked(x, i))
            continue;
        size_t before = script.len;
        if (compose_step(x, i, &script, &err) < 0) {
            script.len = before;
            fail(x, i, &err);
        } else {
            steps++;
        }
    }
    if (steps == 0)
        return;
    buf_adds(&script, "exit 0\n");
    int status = 0;
    int rc = script.failed ? err_set(&err, ERRC_LIMIT, "there is more to send than fits in memory")
                           : ssh_run(x->connection->ssh, "sudo -n sh -s", buf_str(&script), on_line,
                                     x, NULL, &errors, script_stop, &status, &err);
    if (rc < 0)
        host_disconnect(x->session, x->connection);
    else if (is_cancelled(x))
        err_set(&err, ERRC_CANCELLED, "interrupted");
    else
        err_set(&err, ERRC_HOST, "the host stopped (exit %d): %.400s", status, buf_cstr(&errors));
    if (rc == 0 && x->restarted && is_open(x, x->restarter))
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
        if (leave_out_blocked(x, i))
            continue;
        if (is_cancelled(x)) {
            leave_out(x, i, "interrupted");
            continue;
        }
        struct err err = {0};
        begin(x, i);
        if (kind->local(&x->steps[i], x->connection, x->ops, &err) < 0)
            fail(x, i, &err);
        else
            succeed(x, i);
    }
}

/* ---- A batch */

static int prepare(struct convergence *x, struct err *err) {
    struct batch *b = x->batch;
    x->nodes = arena_calloc(b->arena, b->len, sizeof *x->nodes);
    x->steps = arena_calloc(b->arena, b->len, sizeof *x->steps);
    x->status = arena_calloc(b->arena, b->len, sizeof *x->status);
    if (x->nodes == NULL || x->steps == NULL || x->status == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    for (size_t i = 0; i < b->len; i++) {
        const struct change *c = b->changes[i];
        void *record = arena_alloc(b->arena, c->kind->size);
        if (record == NULL ||
            (c->after != NULL && record_copy(b->arena, c->kind->fields, record, c->after) < 0))
            return err_set(err, ERRC_NOMEM, "out of memory");
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
static bool is_given_up(void *ctx) { return is_cancelled(ctx); }

static int connect(struct convergence *x, const char *parent, struct err *err) {
    struct endpoint endpoint;
    struct arena *arena = x->batch->arena;
    if (x->ops->endpoint(x->ops->ctx, parent, arena, &endpoint) < 0 || endpoint.address == NULL)
        return err_set(err, ERRC_HOST, "%s has no address", parent);
    const char *address = arena_printf(arena, "%s.host_key", parent);
    const struct host_key_record *record =
        address == NULL ? NULL : x->ops->lookup.record(x->ops->lookup.ctx, address, NULL);
    const struct host_keys keys = host_keys_of(x->session->run, parent, &endpoint, record, arena);
    for (size_t i = 0; i < x->batch->len; i++)
        x->ops->progress(x->ops->ctx, x->batch->changes[i], i == 0 ? "connecting" : "waiting");
    return host_connect(x->session, parent, &endpoint, &keys, BOOT_S, is_given_up, x,
                        &x->connection, err);
}

int host_apply(void *session, struct batch *batch, const struct apply_ops *ops, struct err *err) {
    struct convergence x = {.session = session,
                            .batch = batch,
                            .ops = ops,
                            .current = SIZE_MAX,
                            .restarter = find_restarter(batch),
                            .tail = BUF_INIT(BUF_SMALL)};
    int rc = connect(&x, batch->changes[0]->parent, err);
    if (rc == -ERRC_CANCELLED) {
        for (size_t i = 0; i < batch->len; i++)
            ops->not_begun(ops->ctx, batch->changes[i], "interrupted");
        return 0;
    }
    if (rc == 0)
        rc = prepare(&x, err);
    if (rc == 0 && x.connection != NULL) {
        pthread_mutex_lock(&x.connection->mutex);
        run_local(&x, true);
        run_script(&x);
        run_local(&x, false);
        pthread_mutex_unlock(&x.connection->mutex);
    }
    buf_free(&x.tail);
    return rc;
}
