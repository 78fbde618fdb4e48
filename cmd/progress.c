#include "cmd/progress.h"

#include "cmd/text.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* In a pipe, notes of one change come at most every NOTE_EVERY_S, unless -v. */
enum { RUNNING_MAX = 256, SHOWN_MAX = 8, NOTE_SIZE = 160, TICK_MS = 200, NOTE_EVERY_S = 2 };

struct running {
    const struct change *change;
    enum action action;          /* as it was shown; the engine may go on with another */
    struct timespec since, said; /* started; last line in a pipe */
    char note[NOTE_SIZE];
};

struct progress_view {
    const struct cmd *cmd;
    atomic_int *cancel;
    int said; /* what of *cancel the user was told */
    struct running running[RUNNING_MAX];
    size_t len;
    size_t drawn; /* live lines on the screen now */
    bool ending;
    pthread_mutex_t mutex; /* all of the above */
    pthread_cond_t end;
    pthread_t ticker;
};

static const struct {
    const char *doing, *done;
} words[ACTION_COUNT] = {
    [ACTION_CREATE] = {"creating", "created"},
    [ACTION_ADOPT] = {"taking over", "taken over"},
    [ACTION_RESUME] = {"creating", "created"},
    [ACTION_UPDATE] = {"updating", "updated"},
    [ACTION_STOP_UPDATE_START] = {"updating", "updated"},
    [ACTION_REPLACE] = {"replacing", "replaced"},
    [ACTION_DESTROY] = {"destroying", "destroyed"},
    [ACTION_FORGET] = {"forgetting", "forgotten"},
};

static double seconds_since(const struct timespec *then) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

/* Back to where the live lines begin; the terminal may have echoed a ^C meanwhile. */
static void erase(struct progress_view *v, struct buf *out) {
    buf_addc(out, '\r');
    if (v->drawn > 0)
        buf_addf(out, "\033[%zuA", v->drawn);
    buf_adds(out, "\033[J");
    v->drawn = 0;
}

/* A live line never wraps: redrawing counts lines. */
static void add_cut(struct str text, size_t columns, struct buf *out) {
    size_t end = 0, n = 0;
    while (end < text.len && n < columns) {
        end++;
        while (end < text.len && ((unsigned char)text.ptr[end] & 0xc0) == 0x80)
            end++;
        n++;
    }
    text_add_clean((struct str){text.ptr, end}, out);
}

static void draw(struct progress_view *v, struct buf *out) {
    const struct look *look = &v->cmd->err_look;
    size_t shown = v->len > SHOWN_MAX ? SHOWN_MAX : v->len;
    for (size_t i = 0; i < shown; i++) {
        const struct running *r = &v->running[i];
        _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
        buf_addf(&line, "  %s: %s, %.0f s%s%s", r->change->address, words[r->action].doing,
                 seconds_since(&r->since), r->note[0] != '\0' ? ": " : "", r->note);
        add_cut(buf_str(&line), look->width > 1 ? look->width - 1 : 1, out);
        buf_addc(out, '\n');
    }
    if (v->len > shown)
        buf_addf(out, "  and %zu more\n", v->len - shown);
    v->drawn = shown + (v->len > shown);
}

static void flush(struct progress_view *v, const struct buf *out) {
    fwrite(buf_cstr(out), 1, out->len, v->cmd->err);
    fflush(v->cmd->err);
}

/* Under the mutex: `line` stays, the live lines move below it. */
static void say(struct progress_view *v, const struct buf *line) {
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    if (v->cmd->err_look.tty)
        erase(v, &out);
    buf_addstr(&out, buf_str(line));
    if (v->cmd->err_look.tty && !v->ending)
        draw(v, &out);
    flush(v, &out);
}

static void say_cancelled(struct progress_view *v) {
    int now = atomic_load(v->cancel);
    if (now == v->said)
        return;
    v->said = now;
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    buf_adds(&line, now == 1 ? "finishing what is in flight, Ctrl-C again to stop now\n"
                             : "stopping now; what was done is recorded\n");
    say(v, &line);
}

static void *tick(void *arg) {
    struct progress_view *v = arg;
    pthread_mutex_lock(&v->mutex);
    while (!v->ending) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += TICK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        if (pthread_cond_timedwait(&v->end, &v->mutex, &until) != ETIMEDOUT)
            continue;
        say_cancelled(v);
        _cleanup_buf_ struct buf nothing = BUF_INIT(BUF_SMALL);
        if (v->cmd->err_look.tty && v->len > 0)
            say(v, &nothing);
    }
    pthread_mutex_unlock(&v->mutex);
    return NULL;
}

static struct running *find(struct progress_view *v, const struct change *c) {
    for (size_t i = 0; i < v->len; i++)
        if (v->running[i].change == c)
            return &v->running[i];
    return NULL;
}

static void drop(struct progress_view *v, const struct change *c) {
    struct running *r = find(v, c);
    if (r == NULL)
        return;
    size_t at = (size_t)(r - v->running);
    memmove(r, r + 1, (v->len - at - 1) * sizeof *r);
    v->len--;
}

static bool note_is_due(const struct progress_view *v, struct running *r) {
    if (r == NULL || v->cmd->args.verbose)
        return true;
    if (r->said.tv_sec != 0 && seconds_since(&r->said) < NOTE_EVERY_S)
        return false;
    clock_gettime(CLOCK_MONOTONIC, &r->said);
    return true;
}

/* Whether an event changed anything that a reader wants a line of. */
static bool line_of(struct progress_view *v, enum progress_event event, const struct change *c,
                    const char *text, double seconds, struct buf *line) {
    const struct look *look = &v->cmd->err_look;
    struct running *r = find(v, c);
    enum action action = r != NULL ? r->action : c->action;
    struct str clean = str_of(text);
    if (c->with_parent && event != PROGRESS_FAILED && !v->cmd->args.verbose)
        return false; /* its server's line says it */
    switch (event) {
    case PROGRESS_START:
        if (r == NULL && v->len < RUNNING_MAX) {
            r = &v->running[v->len++];
            *r = (struct running){.change = c, .action = action};
            clock_gettime(CLOCK_MONOTONIC, &r->since);
        }
        if (!look->tty)
            buf_addf(line, "%s: %s\n", c->address, words[action].doing);
        return true;
    case PROGRESS_BEGUN:
        if (r != NULL) {
            r->note[0] = '\0';
            clock_gettime(CLOCK_MONOTONIC, &r->since);
        }
        return true;
    case PROGRESS_NOTE:
        if (r != NULL && strncmp(r->note, text == NULL ? "" : text, NOTE_SIZE - 1) == 0)
            return false;
        if (r != NULL)
            snprintf(r->note, sizeof r->note, "%s", text == NULL ? "" : text);
        if (!look->tty && note_is_due(v, r)) {
            buf_addf(line, "%s: ", c->address);
            text_add_clean(clean, line);
            buf_addc(line, '\n');
        }
        return true;
    case PROGRESS_DONE:
        drop(v, c);
        buf_addf(line, "%s: ", c->address);
        text_paint(look, PAINT_GREEN, words[action].done, line);
        buf_addf(line, " (%.1f s)\n", seconds);
        return true;
    case PROGRESS_FAILED:
        drop(v, c);
        buf_addf(line, "%s: ", c->address);
        text_paint(look, PAINT_RED, "failed", line);
        buf_addf(line, " (%.1f s)\n", seconds);
        return true;
    case PROGRESS_SKIPPED:
        drop(v, c);
        buf_addf(line, "%s: not done", c->address);
        if (clean.len > 0) {
            buf_adds(line, ": ");
            text_add_clean(clean, line);
        }
        buf_addc(line, '\n');
        return true;
    }
    return false;
}

static void report(void *ctx, enum progress_event event, const struct change *change,
                   const char *text, double seconds) {
    struct progress_view *v = ctx;
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    pthread_mutex_lock(&v->mutex);
    say_cancelled(v);
    if (line_of(v, event, change, text, seconds, &line))
        say(v, &line);
    pthread_mutex_unlock(&v->mutex);
}

struct progress_view *progress_open(const struct cmd *cmd, atomic_int *cancel) {
    struct progress_view *v = calloc(1, sizeof *v);
    if (v == NULL)
        return NULL;
    v->cmd = cmd;
    v->cancel = cancel;
    pthread_mutex_init(&v->mutex, NULL);
    pthread_cond_init(&v->end, NULL);
    if (pthread_create(&v->ticker, NULL, tick, v) != 0) {
        free(v);
        return NULL;
    }
    return v;
}

struct progress progress_for(struct progress_view *view) {
    return (struct progress){.report = report, .ctx = view};
}

void progress_say(struct progress_view *view, const char *text) {
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    text_add_clean(str_of(text), &line);
    buf_addc(&line, '\n');
    pthread_mutex_lock(&view->mutex);
    say(view, &line);
    pthread_mutex_unlock(&view->mutex);
}

void progress_close(struct progress_view *view) {
    if (view == NULL)
        return;
    _cleanup_buf_ struct buf nothing = BUF_INIT(BUF_SMALL);
    pthread_mutex_lock(&view->mutex);
    view->ending = true;
    say(view, &nothing);
    pthread_cond_signal(&view->end);
    pthread_mutex_unlock(&view->mutex);
    pthread_join(view->ticker, NULL);
    pthread_mutex_destroy(&view->mutex);
    pthread_cond_destroy(&view->end);
    free(view);
}
