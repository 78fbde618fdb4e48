#include "cmd/progress.h"

#include "cmd/show_group.h"
#include "cmd/text.h"
#include "engine/scope.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* In a pipe, notes of one change come at most every NOTE_EVERY_S, unless -v. */
enum { SHOWN_MAX = 8, JOINED_MAX = 8, NOTE_SIZE = 160, TICK_MS = 200, NOTE_EVERY_S = 2 };

/* For others of its run: nothing is done to it yet. */
#define WAITING "waiting"

struct running {
    const struct change *change;
    const char *doing, *done;    /* as it was begun; the engine may go on with another action */
    struct timespec since, said; /* started; last line in a pipe */
    char note[NOTE_SIZE];
    size_t flush, line; /* its last line: in that flush, of v->joined */
};

/* What like changes say alike is one line: it waits for the next tick, and is said with all that
 * said it by then. */
struct joined {
    struct groups addresses;
    enum progress_event event;
    const char *word; /* "created" */
    char text[NOTE_SIZE];
    double seconds; /* of the slowest */
};

struct progress_view {
    const struct cmd *cmd;
    atomic_int *cancel;
    int said; /* what of *cancel the user was told */
    struct running *running;
    size_t len, cap;
    struct joined joined[JOINED_MAX]; /* in the order of their first */
    size_t joined_len;
    size_t flushes;
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

/* What is done to it ("creating"), and what it is then. */
static const char *word_of(const struct change *c, bool done) {
    const struct field *f = c->settled && c->fields_len == 1 ? c->fields[0].field : NULL;
    if (f == NULL || f != scope_power_field(c->kind))
        return done ? words[c->action].done : words[c->action].doing;
    bool starts = cstr_eq(*(const char *const *)((const char *)c->after + f->offset), "running");
    return done ? (starts ? "started" : "stopped") : starts ? "starting" : "stopping";
}

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

/* Those that do the same are one entry, "DOING\nNOTE", as old as the oldest. */
static int group_running(const struct progress_view *v, struct groups *groups, double **ret_ages) {
    double *ages = arena_calloc(&groups->arena, v->len + 1, sizeof *ages);
    int rc = ages == NULL ? -ERRC_NOMEM : 0;
    for (size_t i = 0; rc == 0 && i < v->len; i++) {
        const struct running *r = &v->running[i];
        _cleanup_buf_ struct buf body = BUF_INIT(BUF_SMALL);
        double age = seconds_since(&r->since);
        size_t at = 0;
        buf_addf(&body, "%s\n%s", r->doing, r->note);
        rc = groups_add_at(groups, r->change->address, 0, buf_str(&body), &at);
        if (rc == 0 && age > ages[at])
            ages[at] = age;
    }
    *ret_ages = ages;
    return rc;
}

static void draw(struct progress_view *v, struct buf *out) {
    const struct look *look = &v->cmd->err_look;
    struct groups groups = {.each = look->each};
    double *ages;
    size_t shown = 0, more = 0;
    if (group_running(v, &groups, &ages) < 0)
        groups.len = 0;
    for (size_t i = 0; i < groups.len; i++) {
        const struct group *g = &groups.items[i];
        if (shown == SHOWN_MAX) {
            more += g->len > 0 ? g->len : 1;
            continue;
        }
        struct str note = g->body, doing;
        _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
        str_split(&note, '\n', &doing);
        buf_adds(&line, "  ");
        group_label(g, look, &line);
        if (str_eqc(note, WAITING))
            buf_adds(&line, ": " WAITING);
        else
            buf_addf(&line, ": %.*s, %.0f s%s%.*s", STR_FMT(doing), ages[i],
                     note.len > 0 ? ": " : "", STR_FMT(note));
        add_cut(buf_str(&line), look->width > 1 ? look->width - 1 : 1, out);
        buf_addc(out, '\n');
        shown++;
    }
    if (more > 0)
        buf_addf(out, "  and %zu more\n", more);
    groups_free(&groups);
    v->drawn = shown + (more > 0);
}

static void flush(struct progress_view *v, const struct buf *out) {
    fwrite(buf_cstr(out), 1, out->len, v->cmd->err);
    fflush(v->cmd->err);
}

static void add_joined_line(const struct joined *j, const struct look *look, const char *address,
                            struct buf *out) {
    buf_addf(out, "%s: ", address);
    if (j->event == PROGRESS_DONE || j->event == PROGRESS_FAILED) {
        text_paint(look, j->event == PROGRESS_DONE ? PAINT_GREEN : PAINT_RED, j->word, out);
        buf_addf(out, " (%.1f s)", j->seconds);
    } else {
        buf_adds(out, j->word);
    }
    if (j->text[0] != '\0') {
        buf_adds(out, j->word[0] != '\0' ? ": " : "");
        text_add_clean(str_of(j->text), out);
    }
    buf_addc(out, '\n');
}

static void add_joined(struct progress_view *v, struct buf *out) {
    for (size_t k = 0; k < v->joined_len; k++) {
        struct groups *groups = &v->joined[k].addresses;
        for (size_t i = 0; i < groups->len; i++) {
            _cleanup_buf_ struct buf address = BUF_INIT(BUF_SMALL);
            group_label(&groups->items[i], &v->cmd->err_look, &address);
            add_joined_line(&v->joined[k], &v->cmd->err_look, buf_cstr(&address), out);
        }
        groups_free(groups);
    }
    v->joined_len = 0;
    v->flushes++;
}

/* Under the mutex: what waits and `line` stay, the live lines move below them. */
static void say(struct progress_view *v, const struct buf *line) {
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    if (v->cmd->err_look.tty)
        erase(v, &out);
    add_joined(v, &out);
    buf_addstr(&out, buf_str(line));
    if (v->cmd->err_look.tty && !v->ending)
        draw(v, &out);
    flush(v, &out);
}

static const struct buf nothing = BUF_INIT(BUF_SMALL);

static struct running *find(struct progress_view *v, const struct change *c) {
    for (size_t i = 0; i < v->len; i++)
        if (v->running[i].change == c)
            return &v->running[i];
    return NULL;
}

/* One more says this. Lines stand in the order in which the first of each came: one that would put
 * a change's later line before its earlier one has to wait for the next flush. */
static void join(struct progress_view *v, const struct change *c, enum progress_event event,
                 const char *word, struct str text, double seconds) {
    char note[NOTE_SIZE];
    struct running *r = find(v, c);
    size_t k = 0;
    snprintf(note, sizeof note, "%.*s", STR_FMT(text));
    while (k < v->joined_len &&
           (v->joined[k].event != event || strcmp(v->joined[k].word, word) != 0 ||
            strcmp(v->joined[k].text, note) != 0))
        k++;
    if (k == JOINED_MAX || (r != NULL && r->flush == v->flushes && k < r->line)) {
        say(v, &nothing);
        k = 0;
    }
    if (r != NULL) {
        r->flush = v->flushes;
        r->line = k;
    }
    struct joined *j = &v->joined[k];
    if (k == v->joined_len) {
        *j = (struct joined){.event = event, .word = word};
        memcpy(j->text, note, sizeof note);
        v->joined_len++;
    }
    j->seconds = j->seconds > seconds ? j->seconds : seconds;
    (void)groups_add(&j->addresses, c->address, 0, STR("")); /* without memory it is not said */
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
        if (v->joined_len > 0 || (v->cmd->err_look.tty && v->len > 0))
            say(v, &nothing);
    }
    pthread_mutex_unlock(&v->mutex);
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

static void start(struct progress_view *v, const struct change *c) {
    if (v->len == v->cap) {
        size_t cap = v->cap == 0 ? 64 : v->cap * 2;
        struct running *grown = realloc(v->running, cap * sizeof *grown);
        if (grown == NULL)
            return; /* it has no live line, then */
        v->running = grown;
        v->cap = cap;
    }
    struct running *r = &v->running[v->len++];
    *r = (struct running){.change = c, .doing = word_of(c, false), .done = word_of(c, true)};
    clock_gettime(CLOCK_MONOTONIC, &r->since);
}

static void note(struct progress_view *v, const struct change *c, struct running *r,
                 struct str text) {
    if (r != NULL && strncmp(r->note, text.len == 0 ? "" : text.ptr, NOTE_SIZE - 1) == 0)
        return;
    if (r != NULL)
        snprintf(r->note, sizeof r->note, "%.*s", STR_FMT(text));
    if (!v->cmd->err_look.tty && !str_eqc(text, WAITING) && note_is_due(v, r))
        join(v, c, PROGRESS_NOTE, "", text, 0);
}

static void take(struct progress_view *v, enum progress_event event, const struct change *c,
                 struct str text, double seconds) {
    struct running *r = find(v, c);
    const char *done = r != NULL ? r->done : word_of(c, true);
    if (c->with_parent && event != PROGRESS_FAILED && !v->cmd->args.verbose)
        return; /* its server's line says it */
    switch (event) {
    case PROGRESS_START:
        if (r == NULL)
            start(v, c);
        if (!v->cmd->err_look.tty)
            join(v, c, event, word_of(c, false), STR(""), 0);
        return;
    case PROGRESS_BEGUN:
        if (r != NULL) {
            r->note[0] = '\0';
            clock_gettime(CLOCK_MONOTONIC, &r->since);
        }
        return;
    case PROGRESS_NOTE:
        note(v, c, r, text);
        return;
    case PROGRESS_DONE:
        join(v, c, event, done, STR(""), seconds);
        drop(v, c);
        return;
    case PROGRESS_FAILED:
        join(v, c, event, "failed", STR(""), seconds);
        drop(v, c);
        return;
    case PROGRESS_SKIPPED:
        join(v, c, event, "not done", text, 0);
        drop(v, c);
        return;
    }
}

static void report(void *ctx, enum progress_event event, const struct change *change,
                   const char *text, double seconds) {
    struct progress_view *v = ctx;
    pthread_mutex_lock(&v->mutex);
    say_cancelled(v);
    take(v, event, change, str_of(text), seconds);
    if (v->joined_len > 0 && v->cmd->err_look.each)
        say(v, &nothing);
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
    pthread_mutex_lock(&view->mutex);
    view->ending = true;
    say(view, &nothing);
    pthread_cond_signal(&view->end);
    pthread_mutex_unlock(&view->mutex);
    pthread_join(view->ticker, NULL);
    pthread_mutex_destroy(&view->mutex);
    pthread_cond_destroy(&view->end);
    free(view->running);
    free(view);
}
