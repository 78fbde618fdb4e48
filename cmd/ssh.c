#include "cmd/ssh_child.h"
#include "cmd/verbs.h"

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    struct server_list list = {0};
    session_init(&s, cmd);
    const struct server_view *server = servers_asked(&s, 0, &list, &err);
    if (server != NULL)
        ssh_exec(&s, &list, server, (const char *const *)cmd->args.rest, &err);
    return session_fail(&s, &err);
}

const struct verb verb_ssh = {
    .name = "ssh",
    .args = "[SERVER] [-- COMMAND...]",
    .summary = "log in to a server, or run a command there",
    .details = "Runs the OpenSSH client with the project's key and the host key that apply\n"
               "pinned; an unknown host key is refused. SERVER is server[1] or 1; not needed for\n"
               "one server. The exit code is ssh's own.",
    .options = {&option_file},
    .positional_max = 1,
    .rest = true,
    .run = run,
};
