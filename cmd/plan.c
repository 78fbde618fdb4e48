#include "cmd/session.h"
#include "cmd/show_cost.h"
#include "cmd/show_plan.h"
#include "cmd/text.h"
#include "cmd/verbs.h"
#include "engine/planfile.h"

static cJSON *plan_with_cost(const struct session *s) {
    cJSON *out = plan_to_json(&s->plan);
    cJSON *cost = cost_is_any(&s->cost) ? cost_to_json(&s->cost) : NULL;
    if (cost != NULL)
        cJSON_AddItemToObject(out, "cost", cost);
    return out;
}

static int print_plan(struct session *s) {
    struct cmd *cmd = s->cmd;
    if (cmd->args.json)
        return cmd_print_json(cmd, plan_with_cost(s));
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    show_plan(&s->plan, session_spec_name(s), &cmd->out_look, &text);
    show_cost(&s->cost, &cmd->out_look, &text);
    if (cmd->args.out != NULL) {
        buf_addf(&text, "\nWritten to %s. To do just this: berth apply ", cmd->args.out);
        text_shell_word(str_of(cmd->args.out), &text);
        buf_addc(&text, '\n');
    }
    return cmd_print(cmd, &text);
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    session_init(&s, cmd);
    session_take_options(&s);
    int rc = session_load_spec(&s, NULL, &err);
    if (rc == 0)
        rc = session_run(&s, cmd->args.out != NULL, &err);
    if (rc == 0 && cmd->args.out != NULL)
        rc = planfile_write(cmd->args.out, &s.plan, &s.options, s.spec_path, &err);
    if (rc < 0)
        return session_fail(&s, &err);
    int code = print_plan(&s);
    if (code == EXIT_OK && s.plan.blockers_len > 0)
        code = EXIT_FAILED;
    else if (code == EXIT_OK && cmd->args.detailed_exitcode && plan_has_changes(&s.plan))
        code = EXIT_CHANGES;
    session_free(&s);
    return code;
}

const struct verb verb_plan = {
    .name = "plan",
    .args = "",
    .summary = "say what differs between the spec and the world, and why",
    .details = "Reads the spec, the state and the live world, the servers included; changes\n"
               "nothing. Fields are marked (spec) when you changed them, (drift) when somebody\n"
               "else did. What cannot be read is shown as unknown, never as unchanged.\n"
               "The keys of -json: docs/plan.md.",
    .options = {&option_file, &option_out, &option_detailed_exitcode, &option_target,
                &option_replace, &option_destroy, &option_data, &option_json},
    .run = run,
};
