#include "cmd/session.h"
#include "cmd/show_node.h"
#include "cmd/verbs.h"

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    session_init(&s, cmd);
    int rc = session_load(&s, &err);
    if (rc == 0)
        rc = session_peek_state(&s, &err);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    if (rc == 0 && cmd->args.json) {
        if (state_print(&s.state, &text) < 0)
            rc = err_no_memory(&err);
    } else if (rc == 0) {
        buf_addf(&text, "%s on %s, state %lld%s\n", s.state.name == NULL ? s.name : s.state.name,
                 s.state.provider == NULL ? "?" : s.state.provider, (long long)s.state.serial,
                 s.state.replayed ? ", and what an interrupted run did since" : "");
        for (size_t i = 0; i < s.state.nodes.len; i++) {
            buf_addc(&text, '\n');
            show_node(&s.state.nodes.items[i], &cmd->out_look, &text);
        }
        if (s.state.nodes.len == 0)
            buf_adds(&text, "nothing is there\n");
    }
    if (rc < 0)
        return session_fail(&s, &err);
    int code = cmd_print(cmd, &text);
    session_free(&s);
    return code;
}

const struct verb verb_show = {
    .name = "show",
    .args = "",
    .summary = "print the state: what berth made, as last seen",
    .details = "Reads the project folder only. `berth status` asks the world.",
    .options = {&option_file, &option_by_name, &option_json},
    .run = run,
};
