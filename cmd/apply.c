#include "cmd/run_plan.h"
#include "cmd/servers.h"
#include "cmd/show_cost.h"
#include "cmd/show_plan.h"
#include "cmd/ssh_config.h"
#include "cmd/verbs.h"
#include "engine/planfile.h"

static int print_outputs(struct session *s) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    struct err err = {0};
    live_world_free(&s->live); /* the state is newer */
    if (!s->plan.destroy && servers_outputs(s, &text, &err) < 0)
        return cmd_fail(s->cmd, &err);
    if (!s->plan.destroy && ssh_config_refresh(s, &err) < 0)
        cmd_note(s->cmd, "note: the entries for ~/.ssh/config are as before: %s", err.msg);
    if (!s->plan.destroy)
        show_cost_made(&s->cost, &text);
    return cmd_print(s->cmd, &text);
}

static int approve_and_execute(struct session *s, bool ask) {
    struct cmd *cmd = s->cmd;
    char question[64];
    size_t n = show_plan_count(&s->plan);
    if (n == 1)
        snprintf(question, sizeof question, "\nApply this change? [y/N]");
    else
        snprintf(question, sizeof question, "\nApply these %zu changes? [y/N]", n);
    static const char *const yes[] = {"y", "yes", NULL};
    if (!ask)
        cmd->args.auto_approve = true;
    int code = run_plan_approve(s, question, yes);
    if (code != EXIT_OK)
        return code;
    struct err err = {0};
    if (plan_has_changes(&s->plan))
        code = run_plan_execute(s);
    else if (run_plan_refresh(s, &err) < 0)
        code = cmd_fail(cmd, &err);
    return code == EXIT_OK ? print_outputs(s) : code;
}

static int run_file(struct cmd *cmd, const char *path) {
    struct err err = {0};
    struct planfile file = {0};
    struct session s;
    session_init(&s, cmd);
    int rc = planfile_read(path, &file, &err);
    if (rc == 0)
        rc = session_load_spec(&s, cmd->args.file != NULL ? NULL : file.spec_path, &err);
    if (rc == 0)
        rc = planfile_options(&file, &s.arena, &s.options, &s.targets, &s.replaces, &err);
    if (rc == 0)
        rc = session_run(&s, true, &err);
    if (rc == 0)
        rc = planfile_check(&file, &s.plan, &err);
    planfile_free(&file);
    if (rc < 0)
        return session_fail(&s, &err);
    int code = approve_and_execute(&s, false);
    session_free(&s);
    return code;
}

static int run(struct cmd *cmd) {
    if (cmd->args.positional_len > 0 && cmd->args.targets.len + cmd->args.replaces.len > 0)
        return cmd_usage(cmd,
                         "a saved plan says itself what is done: leave -target and -replace out");
    if (cmd->args.positional_len > 0)
        return run_file(cmd, cmd->args.positional[0]);
    struct err err = {0};
    struct session s;
    session_init(&s, cmd);
    session_take_options(&s);
    int rc = session_load_spec(&s, NULL, &err);
    if (rc == 0)
        rc = session_run(&s, true, &err);
    if (rc < 0)
        return session_fail(&s, &err);
    int code = approve_and_execute(&s, true);
    session_free(&s);
    return code;
}

const struct verb verb_apply = {
    .name = "apply",
    .args = "[FILE]",
    .summary = "make the spec true: show the plan, ask, do it",
    .details = "Everything is recorded before and after it is done: after Ctrl-C, a failure or\n"
               "a crash, the same command goes on. FILE is a plan that `berth plan -out FILE`\n"
               "wrote; it is checked against spec, state and live world again, and done without\n"
               "asking. With -target only what it names is done, with what lives in it and\n"
               "what it needs. Addresses are those of the plan: server[0].python, server[0..2],\n"
               "or server for all of them.",
    .options = {&option_file, &option_target, &option_replace, &option_auto_approve},
    .positional_max = 1,
    .run = run,
};
