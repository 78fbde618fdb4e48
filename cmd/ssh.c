#include "cmd/ssh_child.h"
#include "cmd/verbs.h"

#include <errno.h>
#include <unistd.h>

static int exec_ssh(struct session *s, const struct server_list *list, const struct server_view *v,
                    struct err *err) {
    const char **argv = NULL;
    int rc = ssh_command(s, list, v, NULL, (const char *const *)s->cmd->args.rest, &argv, err);
    if (rc < 0)
        return rc;
    execvp(argv[0], (char *const *)argv);
    err_set_errno(err, ERRC_IO, errno, "start ssh");
    err_hint(err, "install the OpenSSH client (apt-get install openssh-client)");
    return -ERRC_IO;
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    struct server_list list = {0};
    session_init(&s, cmd);
    int rc = servers_recorded(&s, &list, &err);
    const char *name = cmd->args.positional_len > 0 ? cmd->args.positional[0] : NULL;
    const struct server_view *server = rc < 0 ? NULL : servers_find(&list, name, &err);
    if (server != NULL)
        exec_ssh(&s, &list, server, &err); /* returns only when it failed */
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
