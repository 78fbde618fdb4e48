#include "cmd/ssh_child.h"
#include "cmd/verbs.h"

#include <string.h>
static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    struct server_list list = {0};
    session_init(&s, cmd);
    const char *name = cmd->args.positional_len > 0 ? cmd->args.positional[0] : NULL;
    const struct server_view *server = servers_asked(&s, 0, &list, &err);
    if (server == NULL && list.len > 0 && name != NULL && cmd->args.rest == NULL &&
        strchr("0123456789", name[0]) == NULL && strncmp(name, "server", 6) != 0)
        err_hint(&err, "a command stands behind two dashes: berth ssh -- %s", name);
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
