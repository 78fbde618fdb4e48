#include "cmd/verbs.h"

static int run(struct cmd *cmd) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    if (cmd->args.json)
        buf_adds(&text, "{\"version\": \"" BERTH_VERSION "\"}\n");
    else
        buf_adds(&text, "berth " BERTH_VERSION "\n");
    return cmd_print(cmd, &text);
}

const struct verb verb_version = {
    .name = "version",
    .args = "",
    .summary = "print the version",
    .options = {&option_json},
    .run = run,
};
