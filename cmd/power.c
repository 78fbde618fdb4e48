#include "cmd/power.h"

#include "cmd/ask.h"
#include "cmd/run_plan.h"
#include "cmd/servers.h"
#include "cmd/show_cost.h"
#include "cmd/show_group.h"
#include "cmd/show_plan.h"
#include "cmd/ssh_config.h"
#include "cmd/text.h"
#include "engine/scope.h"

#include <string.h>

/* "server[1]", "1" and "0..2" name servers. */
static int take_servers(struct session *s, struct err *err) {
    const struct args *args = &s->cmd->args;
    for (size_t i = 0; i < args->positional_len; i++) {
        const char *name = args->positional[i];
        bool bare = name[strspn(name, "0123456789.")] == '\0';
        if (strlist_addf(&s->arena, &s->targets, bare ? "server[%s]" : "%s", name) < 0)
            return err_no_memory(err);
    }
    return 0;
}

static bool is_power(const struct change *c) { return scope_power_field(c->kind) != NULL; }

/* "server[0..2]" of those whose power changes, or stays; how many they are. */
static size_t list_servers(const struct plan *plan, bool changes, struct buf *out) {
    struct groups groups = {0};
    size_t n = 0;
    for (size_t i = 0; i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        if (!is_power(c) || c->action == ACTION_UNKNOWN || (c->fields_len > 0) != changes)
            continue;
        n++;
        if (groups_add(&groups, c->address, 0, STR("")) < 0)
            out->failed = true;
    }
    for (size_t i = 0; i < groups.len; i++) {
        buf_adds(out, i == 0 ? "" : ", ");
        group_address(&groups.items[i], out);
    }
    groups_free(&groups);
    return n;
}

/* What is to change, what need not, and what cannot be done. */
static void show(const struct plan *plan, const char *power, const struct look *look,
                 struct buf *out) {
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    bool start = strcmp(power, "running") == 0;
    if (list_servers(plan, true, &line) > 0) {
        buf_addf(&line, ": %s %s %s", start ? "stopped" : "running", text_arrow(look), power);
        text_line(look, buf_str(&line), 0, out);
    }
    buf_reset(&line);
    size_t same = list_servers(plan, false, &line);
    if (same > 0) {
        buf_addf(&line, " %s %s already.", same == 1 ? "is" : "are", power);
        text_line(look, buf_str(&line), 0, out);
    }
    for (size_t i = 0; i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        if (c->action != ACTION_UNKNOWN)
            continue;
        buf_reset(&line);
        buf_addf(&line, "%s could not be looked at: %s", c->address,
                 c->live == NULL ? "it does not answer" : c->live->err.msg);
        text_line(look, buf_str(&line), 0, out);
    }
    for (size_t i = 0; i < plan->warnings_len; i++) {
        buf_reset(&line);
        if (plan->warnings[i].address != NULL)
            buf_addf(&line, "%s: ", plan->warnings[i].address);
        buf_adds(&line, plan->warnings[i].text);
        text_line(look, buf_str(&line), 0, out);
    }
}

static int approve(struct session *s, const char *question) {
    static const char *const yes[] = {"y", "yes", NULL};
    struct cmd *cmd = s->cmd;
    struct err err = {0};
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    if (question == NULL || cmd->args.auto_approve || list_servers(&s->plan, true, &text) == 0)
        return EXIT_OK;
    int rc = ask_person(cmd, question, yes, &err);
    if (rc == -ERRC_CANCELLED) {
        cmd_note(cmd, "%s", err.msg);
        return EXIT_FAILED;
    }
    return rc < 0 ? cmd_fail(cmd, &err) : EXIT_OK;
}

static int print_outputs(struct session *s, const char *power) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    struct err err = {0};
    live_world_free(&s->live); /* the state is newer */
    if (strcmp(power, "running") != 0)
        return cmd_print(s->cmd, &text);
    if (servers_outputs(s, &text, &err) < 0)
        return cmd_fail(s->cmd, &err);
    if (ssh_config_refresh(s, &err) < 0)
        cmd_note(s->cmd, "note: the entries for ~/.ssh/config are as before: %s", err.msg);
    return cmd_print(s->cmd, &text);
}

static bool has_servers(const struct plan *plan) {
    for (size_t i = 0; i < plan->len; i++)
        if (is_power(&plan->changes[i]))
            return true;
    return false;
}

static int do_it(struct session *s, const char *power, const char *question) {
    struct cmd *cmd = s->cmd;
    struct err err = {0};
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    show(&s->plan, power, &cmd->out_look, &text);
    if (plan_has_changes(&s->plan))
        show_cost(&s->cost, &cmd->out_look, &text);
    int code = cmd_print(cmd, &text);
    if (code == EXIT_OK && strcmp(power, "running") == 0 && !has_servers(&s->plan))
        return EXIT_FAILED; /* none of them is there to be started: it has been said */
    if (code == EXIT_OK)
        code = approve(s, question);
    if (code != EXIT_OK)
        return code;
    if (plan_has_changes(&s->plan))
        code = run_plan_execute(s);
    else if (run_plan_refresh(s, &err) < 0)
        code = cmd_fail(cmd, &err);
    return code == EXIT_OK ? print_outputs(s, power) : code;
}

int power_run(struct cmd *cmd, const char *power, const char *question) {
    struct err err = {0};
    struct session s;
    session_init(&s, cmd);
    s.options = (struct plan_options){.power = power, .targets = &s.targets};
    int rc = session_load_spec(&s, NULL, &err);
    if (rc == 0 && s.spec->given) {
        rc = err_set(&err, ERRC_UNSUPPORTED, "berth did not make this server, and cannot %s it",
                     strcmp(power, "running") == 0 ? "start" : "stop");
        err_hint(&err, "%s",
                 strcmp(power, "running") == 0
                     ? "start it as you always do"
                     : "berth ssh -- sudo shutdown -h now, if you can start it again");
    }
    if (rc == 0)
        rc = take_servers(&s, &err);
    if (rc == 0)
        rc = session_run(&s, true, &err);
    if (rc < 0)
        return session_fail(&s, &err);
    int code = do_it(&s, power, question);
    session_free(&s);
    return code;
}
