#include "cmd/run_plan.h"

#include "cmd/ask.h"
#include "cmd/progress.h"
#include "cmd/show_cost.h"
#include "cmd/show_error.h"
#include "cmd/show_group.h"
#include "cmd/show_plan.h"
#include "cmd/signals.h"
#include "engine/execute.h"

int run_plan_approve(struct session *s, const char *question, const char *const *yes) {
    struct cmd *cmd = s->cmd;
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    show_plan(&s->plan, session_spec_name(s), &cmd->out_look, &text);
    if (s->plan.blockers_len == 0)
        show_losses(&s->plan, &cmd->out_look, &text);
    show_cost(&s->cost, &cmd->out_look, &text);
    int code = cmd_print(cmd, &text);
    if (code != EXIT_OK)
        return code;
    if (s->plan.blockers_len > 0)
        return EXIT_FAILED;
    if (!plan_has_changes(&s->plan) || show_plan_count(&s->plan) == 0 || cmd->args.auto_approve)
        return EXIT_OK;
    struct err err = {0};
    int rc = ask_person(cmd, question, yes, &err);
    if (rc == -ERRC_CANCELLED) {
        cmd_note(cmd, "%s", err.msg);
        return EXIT_FAILED;
    }
    return rc < 0 ? cmd_fail(cmd, &err) : EXIT_OK;
}

/* Those that failed for the same reason are one entry. */
static void show_failures(const struct cmd *cmd, const struct outcome *o) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    struct groups groups = {.each = cmd->err_look.each};
    const struct err **errs = arena_calloc(&groups.arena, o->errors_len + 1, sizeof *errs);
    for (size_t i = 0; errs != NULL && i < o->errors_len; i++) {
        _cleanup_buf_ struct buf body = BUF_INIT(BUF_SMALL);
        size_t at = 0;
        show_error(&o->errors[i].err, &cmd->err_look, &body);
        if (groups_add_at(&groups, o->errors[i].address, 0, buf_str(&body), &at) == 0)
            errs[at] = &o->errors[i].err;
    }
    for (size_t i = 0; errs != NULL && i < groups.len; i++) {
        _cleanup_buf_ struct buf address = BUF_INIT(BUF_SMALL);
        group_label(&groups.items[i], &cmd->err_look, &address);
        show_error_at(buf_cstr(&address), errs[i], &cmd->err_look, &text);
    }
    groups_free(&groups);
    fputs(buf_cstr(&text), cmd->err);
}

static int say_end(const struct session *s, const struct outcome *o) {
    const struct cmd *cmd = s->cmd;
    if (o->skipped > 0 || o->failed > 0) {
        cmd_note(cmd, "\nStopped part-way: %zu done, %zu failed, %zu not done (%.1f s).", o->done,
                 o->failed, o->skipped, o->seconds);
        cmd_note(cmd, "What was done is recorded; the same command goes on from there.");
        return EXIT_PARTIAL;
    }
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    buf_addf(&text, "\nDone: %zu change%s in %.1f s.\n", o->done, o->done == 1 ? "" : "s",
             o->seconds);
    return cmd_print(cmd, &text);
}

int run_plan_execute(struct session *s) {
    struct cmd *cmd = s->cmd;
    struct progress_view *view = progress_open(cmd, &s->cancel);
    struct err err = {0};
    if (view == NULL) {
        err_no_memory(&err);
        return cmd_fail(cmd, &err);
    }
    struct outcome outcome = {0};
    const struct progress progress = progress_for(view);
    s->view = view;
    signals_catch(&s->cancel);
    int rc = execute_plan(&s->plan, &s->state, s->sessions, cmd->kinds, &s->run, &progress,
                          &outcome, &err);
    s->view = NULL;
    progress_close(view);
    show_failures(cmd, &outcome);
    signals_release();
    int code;
    if (rc == 0 || rc == -ERRC_PARTIAL || rc == -ERRC_CANCELLED) {
        code = say_end(s, &outcome);
        if (rc == -ERRC_CANCELLED)
            code = EXIT_INTERRUPTED;
    } else {
        code = cmd_fail(cmd, &err);
        if (outcome.done + outcome.failed > 0) /* a failed one may have begun */
            code = EXIT_PARTIAL;
    }
    outcome_free(&outcome);
    return code;
}

int run_plan_refresh(struct session *s, struct err *err) {
    bool moved = s->state.replayed;
    for (size_t i = 0; i < s->plan.len; i++)
        moved |= plan_noop_moves_state(&s->plan.changes[i]);
    if (!moved)
        return 0;
    struct outcome outcome = {0};
    int rc =
        execute_plan(&s->plan, &s->state, s->sessions, s->cmd->kinds, &s->run, NULL, &outcome, err);
    outcome_free(&outcome);
    return rc;
}
