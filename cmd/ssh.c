#include "cmd/servers.h"
#include "cmd/verbs.h"
#include "providers/host/host.h"
#include "specs/fs.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { SSH_ARGS_MAX = 256 };

/* OpenSSH expands %-tokens in file options: a path's own % is doubled. Quoted against blanks. */
static const char *option_path(struct arena *arena, const char *option, const char *path) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    buf_addf(&text, "%s=\"", option);
    for (; *path != '\0'; path++)
        buf_addf(&text, *path == '%' ? "%%%%" : "%c", *path);
    buf_addc(&text, '"');
    return text.failed ? NULL : arena_dup(arena, buf_cstr(&text));
}

/* The pinned key of a server is recorded by the node that pins it: every field of it that is a
 * public key line counts, so that a rotation under way is accepted by both names. */
static void add_pinned_keys(const struct recorded *r, const char *alias, struct buf *out) {
    if (r == NULL || r->kind == NULL || r->record == NULL)
        return;
    for (const struct field *f = r->kind->fields; f->name != NULL; f++) {
        if (f->type != FIELD_STR)
            continue;
        const char *value = *(const char *const *)((const char *)r->record + f->offset);
        if (value != NULL && (strncmp(value, "ssh-", 4) == 0 || strncmp(value, "ecdsa-", 6) == 0))
            buf_addf(out, "%s %s\n", alias, value);
    }
}

/* known_hosts in the project folder: written anew from the state each time. The alias stands for
 * the server, whatever its address is today. */
static int write_known_hosts(struct session *s, const struct server_view *v, const char *alias,
                             const char *path, struct err *err) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    const char *address = arena_printf(&s->arena, "%s.host_key", v->address);
    if (address == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    add_pinned_keys(recorded_find(&s->state.nodes, address), alias, &text);
    if (text.len == 0) { /* it has no parts (any more), or no run has been on it */
        const char *key =
            host_key_recall(s->project_dir, v->address, v->endpoint.host_key, &s->arena);
        key = key != NULL ? key : v->endpoint.host_key;
        if (key != NULL)
            buf_addf(&text, "%s %s\n", alias, key);
    }
    if (text.len == 0) {
        err_set(err, ERRC_HOSTKEY, "the host key of %s is not known", v->address);
        err_hint(err, "berth apply pins it");
        return -ERRC_HOSTKEY;
    }
    return fs_write(path, buf_str(&text), 0600, err);
}

static int exec_ssh(struct session *s, const struct server_view *v, struct err *err) {
    struct arena *a = &s->arena;
    const char *alias = arena_printf(a, "berth.%s.%s", s->name, v->address);
    const char *known = arena_printf(a, "%s/known_hosts", s->project_dir);
    if (alias == NULL || known == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    /* "[" begins a [host]:port pattern in known_hosts. */
    for (char *c = (char *)alias; *c != '\0'; c++)
        if (*c == '[' || *c == ']')
            *c = '.';
    int rc = write_known_hosts(s, v, alias, known, err);
    if (rc < 0)
        return rc;
    const char *key = option_path(a, "IdentityFile", v->endpoint.key_path);
    const char *hosts = option_path(a, "UserKnownHostsFile", known);
    const char *host_alias = arena_printf(a, "HostKeyAlias=%s", alias);
    const char *user = arena_printf(a, "User=%s", v->endpoint.user);
    const char *port = arena_printf(a, "Port=%d", v->endpoint.port > 0 ? v->endpoint.port : 22);
    if (key == NULL || hosts == NULL || host_alias == NULL || user == NULL || port == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    const char *const options[] = {key,
                                   "IdentitiesOnly=yes",
                                   hosts,
                                   "GlobalKnownHostsFile=/dev/null",
                                   "StrictHostKeyChecking=yes",
                                   "UpdateHostKeys=no",
                                   host_alias,
                                   user,
                                   port};
    const char *argv[SSH_ARGS_MAX + 1] = {"ssh"};
    size_t n = 1;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        argv[n++] = "-o";
        argv[n++] = options[i];
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
    if (rc < 0)
        return session_fail(&s, &err);
    const char *name = cmd->args.positional_len > 0 ? cmd->args.positional[0] : NULL;
    const struct server_view *server = servers_find(&list, name, &err);
    if (server == NULL)
        return session_fail(&s, &err);
    if (server->host == NULL || server->endpoint.key_path == NULL) {
        err_set(&err, ERRC_NOTFOUND, "%s has no address now", server->address);
        err_hint(&err, "berth status says how it is");
        return session_fail(&s, &err);
    }
    exec_ssh(&s, server, &err); /* returns only when it failed */
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
