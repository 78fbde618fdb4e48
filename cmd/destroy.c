#include "cmd/run_plan.h"
#include "cmd/verbs.h"

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
    int code = run_plan_approve(&s, "\nDestroy all of it? Only `yes` is taken for yes:", yes);
    if (code == EXIT_OK && plan_has_changes(&s.plan))
        code = run_plan_execute(&s);
    else if (code == EXIT_OK && run_plan_refresh(&s, &err) < 0)
        code = cmd_fail(cmd, &err);
    session_free(&s);
    return code;
}

const struct verb verb_destroy = {
    .name = "destroy",
    .args = "",
    .summary = "take everything down again; says what data goes with it, and asks",
    .details = "Destroys what the state records and what carries the project's tags.\n"
               "`protect: true`, in the spec or as applied, forbids it. Data volumes with\n"
               "`keep: true` stay, unless -data is given. With -target: what it names, what\n"
               "lives in it and what depends on it.",
    .options = {&option_file, &option_by_name, &option_target, &option_data, &option_auto_approve},
    .run = run,
};
