#include "cmd/run_plan.h"
#include "cmd/verbs.h"

#include <time.h>

/* ---- Is anything left? */

static bool is_left(const struct change *c) {
    return (c->action == ACTION_DESTROY || c->action == ACTION_UNKNOWN) && !c->with_parent;
}

static size_t count_left(const struct plan *plan) {
    size_t n = 0;
    for (size_t i = 0; i < plan->len; i++)
        n += is_left(&plan->changes[i]);
    return n;
}

/* The world is asked again. It may tell for some seconds of what is gone: what is left is asked for
 * again before it is believed. */
static int look_again(struct session *s, struct err *err) {
    enum { TRIES = 4 };
    struct timespec pause = {1, 0};
    for (int i = 1;; i++) {
        plan_free(&s->plan);
        live_world_free(&s->live);
        int rc = session_look(s, err);
        if (rc < 0 || count_left(&s->plan) == 0 || i == TRIES)
            return rc;
        nanosleep(&pause, NULL); /* Ctrl-C ends the process: all is recorded */
        pause.tv_sec *= 2;
    }
}

static void add_named(const struct change *c, struct buf *out) {
    const char *id = change_id(c);
    buf_addf(out, "\n  %s%s%s", c->address, id == NULL ? "" : "  ", id == NULL ? "" : id);
    if (c->action == ACTION_UNKNOWN && c->live != NULL && c->live->err.msg[0] != '\0')
        buf_addf(out, ": %s", c->live->err.msg);
    if (c->action == ACTION_KEEP && c->note != NULL)
        buf_addf(out, ": %s", c->note);
}

static int say_left(const struct session *s) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    for (size_t i = 0; i < s->plan.len; i++)
        if (is_left(&s->plan.changes[i]))
            add_named(&s->plan.changes[i], &text);
    cmd_note(s->cmd, "Left of %s, or not known:%s\nberth destroy tries again.", s->name,
             buf_cstr(&text));
    return EXIT_PARTIAL;
}

static int say_end(struct session *s) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    struct err err = {0};
    if (look_again(s, &err) < 0) {
        cmd_note(s->cmd, "Everything was destroyed, but whether anything is left is not known:");
        cmd_fail(s->cmd, &err);
        return EXIT_PARTIAL;
    }
    if (count_left(&s->plan) > 0)
        return say_left(s);
    buf_addf(&text, "Nothing of %s is left", s->name);
    buf_adds(&text, s->plan.counts[ACTION_KEEP] > 0 ? " but what is kept:" : ".");
    for (size_t i = 0; i < s->plan.len; i++)
        if (s->plan.changes[i].action == ACTION_KEEP)
            add_named(&s->plan.changes[i], &text);
    buf_addc(&text, '\n');
    return cmd_print(s->cmd, &text);
}

/* As was shown and approved. */
static int destroy(struct session *s) {
    struct err err = {0};
    bool whole = !s->plan.partial;
    if (!plan_has_changes(&s->plan))
        return run_plan_refresh(s, &err) < 0 ? cmd_fail(s->cmd, &err) : EXIT_OK;
    int code = run_plan_execute(s);
    return code == EXIT_OK && whole ? say_end(s) : code;
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    session_init(&s, cmd);
    int rc = session_load(&s, &err);
    if (rc == -ERRC_NOTFOUND && cmd->args.name == NULL)
        err_hint(&err, "without a spec: berth destroy -name NAME, beside the .berth folder");
    session_take_options(&s);
    s.options.destroy = true;
    if (rc == 0)
        rc = session_run(&s, true, &err);
    if (rc < 0)
        return session_fail(&s, &err);
    static const char *const yes[] = {"yes", NULL};
    int code = run_plan_approve(&s, "\nDestroy all of this? Only `yes` is taken for yes:", yes);
    if (code == EXIT_OK)
        code = destroy(&s);
    session_free(&s);
    return code;
}

const struct verb verb_destroy = {
    .name = "destroy",
    .args = "",
    .summary = "take everything down again; says what data goes with it, and asks",
    .details = "Destroys what the state records and what carries the project's tags. `protect:\n"
               "true`, in the spec or as applied, forbids it. Data volumes with `keep: true`\n"
               "stay, unless -data is given. At the end the world is asked again: what is left\n"
               "is named, and the exit code is 3. With -target: what it names, what lives in it\n"
               "and what depends on it.",
    .options = {&option_file, &option_by_name, &option_target, &option_data, &option_auto_approve},
    .run = run,
};
