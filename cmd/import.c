#include "engine/import.h"

#include "cmd/session.h"
#include "cmd/verbs.h"

static int run(struct cmd *cmd) {
    if (cmd->args.positional_len < 2)
        return cmd_usage(cmd,
                         "say what becomes what: berth import 'server[0]' i-0123456789abcdef0");
    struct err err = {0};
    struct session s;
    session_init(&s, cmd);
    int rc = session_load_spec(&s, NULL, &err);
    if (rc == 0)
        rc = session_open_state(&s, true, &err);
    if (rc == 0)
        rc = session_open_worlds(&s, &err);
    if (rc == 0)
        rc = session_desire(&s, &err);
    const struct import_in in = {.desired = &s.desired,
                                 .sessions = s.sessions,
                                 .run = &s.run,
                                 .address = cmd->args.positional[0],
                                 .id = cmd->args.positional[1],
                                 .force = cmd->args.force};
    if (rc == 0)
        rc = import_node(&in, &s.state, &err);
    if (rc == 0)
        rc = state_write(&s.state, &err);
    if (rc < 0)
        return session_fail(&s, &err);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    buf_addf(&text,
             "%s is %s from now on. Nothing was changed: berth plan says what differs from "
             "the spec.\n",
             in.address, in.id);
    int code = cmd_print(cmd, &text);
    session_free(&s);
    return code;
}

const struct verb verb_import = {
    .name = "import",
    .args = "ADDRESS ID",
    .summary = "record a thing that is there already under a node of the spec",
    .details = "berth import 'server[0]' i-0123456789abcdef0. It must be in the region of the\n"
               "spec, and not another berth project's, unless -force is given. Nothing is\n"
               "changed but the state: the next plan says what differs, the tags that berth\n"
               "sets included. What berth made and a lost state forgot needs no import: apply\n"
               "finds it by tag.",
    .options = {&option_file, &option_force},
    .positional_max = 2,
    .run = run,
};
