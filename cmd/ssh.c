#include "cmd/login.h"
#include "cmd/verbs.h"

#include <errno.h>
#include <unistd.h>

enum { SSH_ARGS_MAX = 256 };

static int exec_ssh(struct session *s, const struct server_list *list, const struct server_view *v,
                    struct err *err) {
    struct login_option options[LOGIN_OPTIONS + 1];
    struct strlist keys = {0};
    int rc = login_options(s, v, options, err);
    if (rc == 0)
        rc = login_host_keys(s, v, &keys, err);
    if (rc == 0)
        rc = login_write_known_hosts(s, list, err);
    if (rc < 0)
        return rc;
    const char *argv[SSH_ARGS_MAX + 1] = {"ssh"};
    size_t n = 1;
    for (const struct login_option *o = options; o->name != NULL; o++) {
        argv[n++] = "-o";
        argv[n] = arena_printf(&s->arena, "%s=%s", o->name, o->value);
        if (argv[n++] == NULL)
            return err_set(err, ERRC_NOMEM, "out of memory");
    }
    argv[n++] = "--";
    argv[n++] = v->host;
    for (char **rest = s->cmd->args.rest; rest != NULL && *rest != NULL; rest++) {
        if (n == SSH_ARGS_MAX)
            return err_set(err, ERRC_LIMIT, "too many words after `--`");
        argv[n++] = *rest;
    }
    execvp("ssh", (char *const *)argv);
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
