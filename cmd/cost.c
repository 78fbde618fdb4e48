#include "cmd/session.h"
#include "cmd/show_cost.h"
#include "cmd/verbs.h"

#include <string.h>

static int print_json(struct session *s, const struct cost_lines *lines) {
    struct cost_sum sum = cost_sum(lines);
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "name", s->name);
    cJSON_AddStringToObject(out, "provider", s->provider);
    cJSON_AddStringToObject(out, "region", s->run.region == NULL ? "" : s->run.region);
    cJSON *items = cJSON_AddArrayToObject(out, "items");
    bool good = items != NULL;
    for (size_t i = 0; good && i < lines->len; i++)
        good = cJSON_AddItemToArray(items, cost_line_to_json(&lines->items[i]));
    good = good && cJSON_AddItemToObject(out, "total", cost_sum_to_json(&sum));
    if (!good) {
        cJSON_Delete(out);
        out = NULL;
    }
    return cmd_print_json(s->cmd, out);
}

/* What the spec wants is what it costs, whether it is there yet or not. */
static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    session_init(&s, cmd);
    int rc = session_load_spec(&s, NULL, &err);
    if (rc == 0 && s.spec->given) {
        err_set(&err, ERRC_UNSUPPORTED, "what a server of yours costs, berth does not know");
        return session_fail(&s, &err);
    }
    if (rc == 0)
        rc = session_run(&s, false, &err);
    if (rc < 0)
        return session_fail(&s, &err);
    const struct cost_lines *lines = &s.cost.lines[COST_AFTER];
    int code;
    if (cmd->args.json) {
        code = print_json(&s, lines);
    } else {
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
        const char *region = s.run.region == NULL ? s.provider : s.run.region;
        bool named = strcmp(region, s.provider) != 0; /* the sandbox's is called as it is */
        buf_addf(&text, "%s on %s%s%s, in USD, without tax and traffic\n", s.name, s.provider,
                 named ? ", " : "", named ? region : "");
        if (show_cost_table(lines, &cmd->out_look, &text) < 0)
            text.failed = true;
        show_cost_now(&s.cost, &text);
        code = cmd_print(cmd, &text);
    }
    session_free(&s);
    return code;
}

const struct verb verb_cost = {
    .name = "cost",
    .args = "",
    .summary = "what the spec costs an hour and a month, running and stopped",
    .details = "A row an item: instances, disks, public addresses. A month is 730 hours. Prices\n"
               "are AWS's own, on demand or of the spot market now, and kept for a day; one that\n"
               "cannot be had is unknown, and -v says why. Traffic, I/O and tax are not counted.",
    .options = {&option_file, &option_json},
    .run = run,
};
