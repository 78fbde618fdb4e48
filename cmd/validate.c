#include "cmd/session.h"
#include "cmd/verbs.h"

#include <cjson/cJSON.h>

static cJSON *diag_json(const struct diag *d) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "level", d->level == DIAG_ERROR ? "error" : "warning");
    cJSON_AddNumberToObject(out, "line", (double)d->mark.line);
    cJSON_AddNumberToObject(out, "column", (double)d->mark.col);
    cJSON_AddStringToObject(out, "message", d->msg);
    if (d->help != NULL)
        cJSON_AddStringToObject(out, "help", d->help);
    return out;
}

static int print_json(struct session *s) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddBoolToObject(out, "valid", s->spec != NULL);
    cJSON *list = cJSON_AddArrayToObject(out, "diagnostics");
    for (size_t i = 0; i < s->said && list != NULL; i++)
        cJSON_AddItemToArray(list, diag_json(&s->diags.items[i]));
    int code = cmd_print_json(s->cmd, out);
    return code == EXIT_OK && s->spec == NULL ? EXIT_FAILED : code;
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    session_init(&s, cmd);
    const char *path = cmd->args.positional_len > 0 ? cmd->args.positional[0] : NULL;
    s.quiet = cmd->args.json;
    int rc = session_load_spec(&s, path, &err);
    if (rc < 0 && (!cmd->args.json || err.msg[0] != '\0'))
        return session_fail(&s, &err);
    int code = EXIT_OK;
    if (cmd->args.json) {
        code = print_json(&s);
    } else {
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
        buf_addf(&text, "%s is valid\n", s.spec_path);
        code = cmd_print(cmd, &text);
    }
    session_free(&s);
    return code;
}

const struct verb verb_validate = {
    .name = "validate",
    .args = "[SPEC]",
    .summary = "check the spec; nothing is asked of any server",
    .details = "Says all mistakes at once, each with its line, what was expected, and the\n"
               "nearest valid name. Reads the spec only: no network, no state.",
    .options = {&option_file, &option_json},
    .positional_max = 1,
    .run = run,
};
