/* Converging a host, the hearing half: what the run on the host says is taken step by step; when
 * the connection is lost, the rest is heard over another. */
#include "providers/host/converge.h"

#include "providers/host/scripts.h"

#include <stdio.h>
#include <string.h>

/* Of a step's output: what is kept, what of it an error shows, and how much of a line progress
 * does. */
enum { TAIL_MAX = 256 * 1024, LINE_SHOWN = 8000, TAIL_SHOWN = 800, PROGRESS_MAX = 60 };

/* ---- What the host says while it converges */

static void note_all(struct convergence *x, const char *text) {
    for (size_t i = 0; i < x->batch->len; i++)
        if (converge_is_open(x, i) && (x->current == SIZE_MAX || i == x->current))
            x->ops->progress(x->ops->ctx, x->batch->changes[i], text);
}

/* Of the run as such; true when the line was one. */
static bool on_run(struct convergence *x, struct str word, struct str rest) {
    struct str name = {NULL, 0};
    if (str_eqc(word, "I")) {
        if (str_split(&rest, '\t', &name) && name.len < sizeof x->run &&
            str_to_i64(rest, 1, INT32_MAX, &x->pid)) {
            snprintf(x->run, sizeof x->run, "%.*s", STR_FMT(name));
            memcpy(x->connection->last, x->run, sizeof x->run);
            snprintf(x->stop, sizeof x->stop, "%s%s%s", host_as_root(&x->connection->endpoint),
                     script_stop, x->run);
        }
        return true;
    }
    if (str_eqc(word, "W")) {
        const char *text = arena_printf(x->batch->arena, "waiting for %.*s", STR_FMT(rest));
        if (text != NULL)
            note_all(x, text);
        return true;
    }
    if (str_eqc(word, "M"))
        x->moved = arena_dup_str(x->batch->arena, rest);
    else if (str_eqc(word, "Z"))
        x->ended = true;
    else
        return false;
    return true;
}

/* What a step said, whole, where an error has room for its end only. */
static void show_tail(const struct convergence *x, const char *address, struct str tail) {
    const struct run *run = x->session->run;
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    struct str line;
    if (tail.len <= TAIL_SHOWN || run->note == NULL)
        return;
    buf_addf(&text, "%s said:", address);
    run->note(run->note_ctx, buf_cstr(&text));
    if (x->lost > 0) {
        buf_reset(&text);
        buf_addf(&text,
                 "  (%zu KiB of it are not shown; until the next run there, all is to be had by",
                 x->lost / 1024 + 1);
        run->note(run->note_ctx, buf_cstr(&text));
        buf_reset(&text);
        buf_addf(&text, "  berth ssh -- sudo cat " HOST_RUN "/%s/log)", x->run);
        run->note(run->note_ctx, buf_cstr(&text));
    }
    while (str_split(&tail, '\n', &line)) {
        buf_reset(&text);
        buf_addf(&text, "  | %.*s", STR_FMT(line));
        run->note(run->note_ctx, buf_cstr(&text));
    }
}

/* "V<tab>KEY<tab>VALUE": what the current step found out, to be recorded. */
static void on_value(struct convergence *x, struct str line) {
    struct str key = {NULL, 0};
    str_split(&line, '\t', &key);
    if (x->current == SIZE_MAX || line.ptr == NULL)
        return;
    struct change *c = x->batch->changes[x->current];
    struct host_step *step = &x->steps[x->current];
    const struct host_kind *kind = host_kind_of(c->kind);
    const char *k = arena_dup_str(x->batch->arena, key);
    const char *v = arena_dup_str(x->batch->arena, line);
    /* On disk at once: what was installed is berth's to remove even if this run is cut. Where the
     * disk is full, the end of the step meets the same error. */
    struct err ignored = {0};
    if (kind->value != NULL && k != NULL && v != NULL && kind->value(step, k, v) == 0 &&
        step->record != NULL)
        x->ops->created(x->ops->ctx, c, c->address, step->record, &ignored);
}

/* The step has failed with what it said last. */
static void fail_with_tail(struct convergence *x, size_t i, int status) {
    struct err err;
    struct str tail = str_trim(buf_str(&x->tail));
    size_t skip = tail.len > TAIL_SHOWN ? tail.len - TAIL_SHOWN : 0;
    show_tail(x, x->batch->changes[i]->address, tail);
    err_set(&err, ERRC_HOST, "exit %d:\n%s%.*s", status, skip > 0 ? "…" : "",
            (int)(tail.len - skip), tail.ptr + skip);
    err_hint(&err, "mend what it says and apply again; to look at the server: berth ssh");
    converge_fail(x, i, &err);
}

/* "E<tab>STEP<tab>STATUS" */
static void on_end(struct convergence *x, size_t i, int status) {
    x->current = SIZE_MAX;
    if (status == 0 && x->stream.changed[i] != NULL) {
        struct err err;
        err_set(&err, ERRC_CONFLICT, "%s was changed while it was sent", x->stream.changed[i]);
        err_hint(&err, "apply again");
        converge_fail(x, i, &err);
        return;
    }
    if (status != 0)
        fail_with_tail(x, i, status);
    else if (i != x->restarter)
        converge_succeed(x, i);
    else /* that one waits for Jupyter, when the host is done */
        x->restarted = true;
    buf_reset(&x->tail);
}

static void on_control(struct convergence *x, struct str line) {
    struct str word, number, text;
    int64_t i = 0, status = 0;
    line.ptr++;
    line.len--;
    str_split(&line, '\t', &word);
    if (on_run(x, word, line))
        return;
    if (str_eqc(word, "V")) {
        on_value(x, line);
        return;
    }
    if (!str_split(&line, '\t', &number) || !str_to_i64(number, 0, (int64_t)x->batch->len - 1, &i))
        return;
    if (str_eqc(word, "B")) {
        x->current = (size_t)i;
        buf_reset(&x->tail);
        x->lost = 0;
        converge_begin(x, x->current);
    } else if (str_eqc(word, "S")) {
        if (!converge_leave_out_blocked(x, (size_t)i))
            converge_leave_out(x, (size_t)i, "what it needs failed");
    } else if (str_eqc(word, "E") && str_split(&line, '\t', &text) &&
               str_to_i64(text, 0, 255, &status)) {
        on_end(x, (size_t)i, (int)status);
    }
}

/* What a step says, up to a limit; the older half goes first. */
static void keep(struct convergence *x, struct str line) {
    bool cut = line.len > LINE_SHOWN;
    if (x->tail.len + line.len + 1 > TAIL_MAX && x->tail.len > 0) {
        const char *half = x->tail.ptr + x->tail.len / 2;
        const char *end = memchr(half, '\n', (size_t)(x->tail.ptr + x->tail.len - half));
        size_t drop = end == NULL ? x->tail.len : (size_t)(end - x->tail.ptr) + 1;
        memmove(x->tail.ptr, x->tail.ptr + drop, x->tail.len - drop);
        x->tail.len -= drop;
        x->lost += drop;
    }
    if (cut) {
        x->lost += line.len - LINE_SHOWN;
        line.len = LINE_SHOWN;
    }
    buf_addstr(&x->tail, line);
    buf_adds(&x->tail, cut ? " …\n" : "\n");
}

static void on_line(void *ctx, struct str line) {
    struct convergence *x = ctx;
    x->heard += line.len + 1;
    if (line.len > 1 && line.ptr[0] == '\001') {
        on_control(x, line);
        return;
    }
    if (line.len == 0)
        return;
    keep(x, line);
    if (x->current == SIZE_MAX) /* of the shell itself: why it stops */
        return;
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

/* ---- Over one connection, or several */

static void on_silence(void *ctx, int silent_s) {
    struct convergence *x = ctx;
    const char *text = arena_printf(x->batch->arena, "no answer from the host for %d s", silent_s);
    if (text != NULL)
        note_all(x, text);
}

static int listen(struct convergence *x, const char *command, struct str input, struct buf *errors,
                  const struct ssh_source *source, int *ret_status, struct err *err) {
    const struct ssh_command c = {.command = command,
                                  .input = input,
                                  .source = source,
                                  .on_line = on_line,
                                  .ctx = x,
                                  .enough = &x->ended,
                                  .errors = errors,
                                  .stop = x->stop,
                                  .on_silence = on_silence};
    return ssh_run_command(x->connection->ssh, &c, ret_status, err);
}

/* The run goes on without the connection: hear the rest of it over another. */
static int rejoin(struct convergence *x, struct buf *errors, int *ret_status, struct err *err) {
    struct host_connection *old = x->connection;
    char command[1024];
    note_all(x, "the connection was lost; making it again");
    host_disconnect(x->session, old);
    int rc = converge_connect(x, REJOIN_S, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&x->connection->mutex);
    pthread_mutex_unlock(&old->mutex);
    note_all(x, "connected again");
    snprintf(command, sizeof command, "%s%s%s %lld %zu", host_as_root(&x->connection->endpoint),
             script_rejoin, x->run, (long long)x->pid, x->heard + 1);
    return listen(x, command, (struct str){"", 0}, errors, NULL, ret_status, err);
}

/* By the shell that probed the host, where it is still there, or by another. */
static int start(struct convergence *x, const struct buf *script, struct buf *errors,
                 int *ret_status, struct err *err) {
    const struct ssh_source files = stream_source(&x->stream);
    char command[1024];
    if (!ssh_has_kept(x->connection->ssh)) {
        snprintf(command, sizeof command, "%s%s%zu", host_as_root(&x->connection->endpoint),
                 script_start, script->len);
        return listen(x, command, buf_str(script), errors, &files, ret_status, err);
    }
    _cleanup_secret_buf_ struct buf input = BUF_INIT(script->len + 32);
    buf_addf(&input, "%zu\n", script->len);
    buf_addstr(&input, buf_str(script));
    if (input.failed)
        return err_no_memory(err);
    return listen(x, NULL, buf_str(&input), errors, &files, ret_status, err);
}

int converge_on_host(struct convergence *x, const struct buf *script, struct buf *errors,
                     int *ret_status, struct err *err) {
    int rc = start(x, script, errors, ret_status, err);
    while (rc == -ERRC_NET && x->run[0] != '\0' && !x->ended &&
           atomic_load(x->session->run->cancel) == 0) {
        struct err why = {0};
        struct host_connection *before = x->connection;
        rc = rejoin(x, errors, ret_status, &why);
        if (rc == 0 || x->connection != before) /* else the first error is the one to show */
            *err = why;
        if (rc < 0 && x->connection == before)
            return -ERRC_NET;
    }
    return rc;
}

int converge_explain(struct convergence *x, int rc, int status, const struct buf *errors,
                     struct err *err) {
    struct str last = str_trim(buf_str(errors->len > 0 ? errors : &x->tail));
    size_t skip = last.len > TAIL_SHOWN ? last.len - TAIL_SHOWN : 0;
    if (rc < 0) {
        if (x->run[0] != '\0')
            err_hint(err, "what was begun goes on there, and the next apply takes it up: berth "
                          "apply");
        return rc;
    }
    if (x->moved != NULL) {
        err_set(err, ERRC_CONFLICT, "%s changed this host after the plan was made", x->moved);
        err_hint(err, "apply again");
    } else if (converge_is_cancelled(x)) {
        err_set(err, ERRC_CANCELLED, "interrupted");
    } else {
        err_set(err, ERRC_HOST, "the host stopped (exit %d): %.*s", status, (int)(last.len - skip),
                last.ptr + skip);
    }
    return 0;
}
