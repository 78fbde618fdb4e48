#include "providers/host/route.h"

#include "providers/host/child.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SSH_PORT = 22, PORT_MAX = 65535, WORDS_MAX = 16 };

/* ---- This machine's user: OpenSSH asks the password file, not HOME */

struct me {
    char name[256], home[1024];
};

static struct me who_am_i(void) {
    struct me me = {.home = "/"};
    struct passwd entry, *found = NULL;
    char text[4096];
    if (getpwuid_r(getuid(), &entry, text, sizeof text, &found) == 0 && found != NULL) {
        snprintf(me.name, sizeof me.name, "%s", found->pw_name);
        snprintf(me.home, sizeof me.home, "%s", found->pw_dir);
    }
    return me;
}

/* ~/x and the %-tokens of ssh_config(5) that files and commands may have; NULL for one that is not
 * known, or when memory runs out. */
static const char *expand(const struct ssh_route *route, const char *alias, const char *text,
                          bool file, struct arena *arena) {
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    const struct me me = who_am_i();
    if (file && text[0] == '~' && (text[1] == '/' || text[1] == '\0')) {
        buf_adds(&out, me.home);
        text++;
    }
    for (; *text != '\0'; text++) {
        if (*text != '%') {
            buf_addc(&out, *text);
            continue;
        }
        switch (*++text) {
        case '%':
            buf_addc(&out, '%');
            break;
        case 'd':
            buf_adds(&out, me.home);
            break;
        case 'h':
            buf_adds(&out, route->address);
            break;
        case 'n':
            buf_adds(&out, alias);
            break;
        case 'p':
            buf_addf(&out, "%d", route->port);
            break;
        case 'r':
            buf_adds(&out, route->user);
            break;
        case 'u':
            buf_adds(&out, me.name);
            break;
        default:
            return NULL;
        }
    }
    return out.failed ? NULL : arena_dup(arena, buf_cstr(&out));
}

const char *ssh_route_split(struct arena *arena, const char *host, const char **ret_user) {
    const char *at = strrchr(host, '@');
    *ret_user = NULL;
    if (at == NULL)
        return host;
    *ret_user = arena_dup_str(arena, (struct str){host, (size_t)(at - host)});
    return *ret_user == NULL ? NULL : at + 1;
}

/* ---- What ssh -G says: lines "keyword value" */

struct config {
    const char *user, *hostname, *port, *agent, *alias, *jump, *command, *only_keys, *fdpass, *wait,
        *revoked;
    struct strlist identities, known_hosts;
};

static const struct word {
    const char *name;
    size_t offset;
    bool list, words; /* may come again; has several values */
} config_words[] = {
    {"user", offsetof(struct config, user), false, false},
    {"hostname", offsetof(struct config, hostname), false, false},
    {"port", offsetof(struct config, port), false, false},
    {"identityagent", offsetof(struct config, agent), false, false},
    {"connecttimeout", offsetof(struct config, wait), false, false},
    {"hostkeyalias", offsetof(struct config, alias), false, false},
    {"proxyjump", offsetof(struct config, jump), false, false},
    {"proxycommand", offsetof(struct config, command), false, false},
    {"identitiesonly", offsetof(struct config, only_keys), false, false},
    {"revokedhostkeys", offsetof(struct config, revoked), false, false},
    {"proxyusefdpass", offsetof(struct config, fdpass), false, false},
    {"identityfile", offsetof(struct config, identities), true, false},
    {"userknownhostsfile", offsetof(struct config, known_hosts), true, true},
    {"globalknownhostsfile", offsetof(struct config, known_hosts), true, true},
};

static int take_word(struct config *c, const struct word *word, struct str value,
                     struct arena *arena) {
    void *at = (char *)c + word->offset;
    struct str part = value;
    if (!word->list)
        return (*(const char **)at = arena_dup_str(arena, value)) == NULL ? -ERRC_NOMEM : 0;
    while (word->words ? str_split(&value, ' ', &part) : value.ptr != NULL) {
        const char *text = arena_dup_str(arena, part);
        if (text == NULL || strlist_add(arena, at, text) < 0)
            return -ERRC_NOMEM;
        if (!word->words)
            break;
    }
    return 0;
}

static int parse_config(struct str text, struct arena *arena, struct config *ret) {
    struct str line, name;
    while (text.len > 0 && str_split(&text, '\n', &line)) {
        if (!str_split(&line, ' ', &name) || line.ptr == NULL)
            continue;
        for (size_t i = 0; i < sizeof config_words / sizeof config_words[0]; i++)
            if (str_eqc(name, config_words[i].name) &&
                take_word(ret, &config_words[i], str_trim(line), arena) < 0)
                return -ERRC_NOMEM;
    }
    return 0;
}

/* *ret_asked is false where there is no ssh to ask. */
static int ask_ssh(const struct given_login *login, struct buf *out, bool *ret_asked,
                   struct err *err) {
    char port[16];
    const char *words[WORDS_MAX] = {"ssh", "-G"};
    size_t n = 2;
    _cleanup_buf_ struct buf said = BUF_INIT(BUF_SMALL);
    struct err why = {0};
    int status = 0;
    if (login->port > 0) {
        snprintf(port, sizeof port, "%d", login->port);
        words[n++] = "-p";
        words[n++] = port;
    }
    if (login->jump != NULL) {
        words[n++] = "-J";
        words[n++] = login->jump;
    }
    words[n++] = "--";
    words[n++] = login->host;
    int rc = child_capture(words, out, &said, &status, &why);
    *ret_asked = rc == 0;
    if (rc == -ERRC_NOTFOUND)
        return 0;
    if (rc < 0) {
        *err = why;
        return rc;
    }
    if (status != 0) {
        _cleanup_buf_ struct buf lines = BUF_INIT(BUF_SMALL);
        child_add_lines(buf_str(&said), &lines);
        err_set(err, ERRC_INVALID, "OpenSSH cannot say how to come to %s: %.400s", login->host,
                buf_cstr(&lines));
        err_hint(err, "mend ~/.ssh/config: ssh -G %s", login->host);
        return -ERRC_INVALID;
    }
    return out->failed ? err_set(err, ERRC_LIMIT, "ssh -G %s says too much", login->host) : 0;
}

/* ---- From that to a route */

/* As `ssh -J` does it: a second ssh that carries the connection (ssh(1) -W). */
static int jump_words(struct ssh_route *r, const char *jump, struct arena *arena) {
    const char *comma = strrchr(jump, ',');
    const char *last = comma == NULL ? jump : comma + 1;
    const char *colon = strrchr(last, ':'), *bracket = strrchr(last, ']');
    bool has_port =
        colon != NULL && (bracket == NULL ? strchr(last, ':') == colon : colon > bracket);
    size_t len = has_port ? (size_t)(colon - last) : strlen(last);
    bool six = strchr(r->address, ':') != NULL;
    const char *target = arena_printf(arena, six ? "[%s]:%d" : "%s:%d", r->address, r->port);
    const char *before =
        comma == NULL ? "" : arena_dup_str(arena, (struct str){jump, (size_t)(comma - jump)});
    /* "me@[2001:db8::1]" without its brackets, which only set the port apart. */
    _cleanup_buf_ struct buf hop = BUF_INIT(BUF_SMALL);
    for (size_t i = 0; i < len; i++)
        if (last[i] != '[' && last[i] != ']')
            buf_addc(&hop, last[i]);
    const char *words[] = {"ssh",
                           "-o",
                           "BatchMode=yes",
                           "-o",
                           "ServerAliveInterval=15", /* a dead link is not its kernel's to find */
                           comma == NULL ? NULL : "-J",
                           before,
                           has_port ? "-p" : NULL,
                           has_port ? colon + 1 : "",
                           "-W",
                           target,
                           "--",
                           arena_dup(arena, buf_cstr(&hop))};
    r->proxy_jump = jump;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (words[i] == NULL) { /* an option that is not needed: not its value either */
            i++;
            continue;
        }
        if (strlist_add(arena, &r->proxy, words[i]) < 0)
            return -ERRC_NOMEM;
    }
    return target == NULL || before == NULL ? -ERRC_NOMEM : 0;
}

static int command_words(struct ssh_route *r, const char *alias, const char *command,
                         struct arena *arena, struct err *err) {
    const char *text = expand(r, alias, command, false, arena);
    if (text == NULL) {
        err_set(err, ERRC_UNSUPPORTED, "berth does not know a %%-token of the ProxyCommand `%s`",
                command);
        err_hint(err, "%%h, %%n, %%p, %%r, %%u and %%d are known; or say `server.jump`");
        return -ERRC_UNSUPPORTED;
    }
    const char *run = arena_printf(arena, "exec %s", text);
    r->proxy_command = command;
    return run == NULL || strlist_add(arena, &r->proxy, "/bin/sh") < 0 ||
                   strlist_add(arena, &r->proxy, "-c") < 0 || strlist_add(arena, &r->proxy, run) < 0
               ? err_no_memory(err)
               : 0;
}

static const char *agent_of(const struct ssh_route *r, const char *alias, const char *said,
                            struct arena *arena) {
    const char *variable = said == NULL || strcmp(said, "SSH_AUTH_SOCK") == 0 ? "SSH_AUTH_SOCK"
                           : said[0] == '$'                                   ? said + 1
                                                                              : NULL;
    if (said != NULL && strcmp(said, "none") == 0)
        return NULL;
    const char *path = variable != NULL ? getenv(variable) : expand(r, alias, said, true, arena);
    return path == NULL || path[0] == '\0' ? NULL : arena_dup(arena, path);
}

static int add_keys(struct ssh_route *r, const struct given_login *login, const char *alias,
                    const struct config *c, struct arena *arena) {
    if (login->key != NULL) {
        r->only_keys = true;
        return strlist_add(arena, &r->keys, login->key);
    }
    r->only_keys = cstr_eq(c->only_keys, "yes");
    for (size_t i = 0; i < c->identities.len; i++) {
        const char *path = expand(r, alias, c->identities.items[i], true, arena);
        if (path != NULL && strlist_add(arena, &r->keys, path) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static bool is_plain(const char *user) {
    static const char good[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@+-";
    return user[0] != '\0' && user[0] != '-' && strspn(user, good) == strlen(user);
}

/* What OpenSSH could do and berth cannot is an error: never less than the user asked for. */
static int check_fit(const struct ssh_route *r, const struct given_login *login,
                     const struct config *c, struct err *err) {
    if (cstr_eq(c->fdpass, "yes"))
        return err_set(err, ERRC_UNSUPPORTED,
                       "berth cannot use ProxyUseFdpass, which ~/.ssh/config says for %s",
                       login->host);
    if (c->revoked != NULL && strcmp(c->revoked, "none") != 0) {
        err_set(err, ERRC_UNSUPPORTED,
                "berth cannot read %s, the RevokedHostKeys that ~/.ssh/config says for %s",
                c->revoked, login->host);
        err_hint(err, "write `RevokedHostKeys none` for that Host, and @revoked into known_hosts");
        return -ERRC_UNSUPPORTED;
    }
    if (is_plain(r->user)) /* scripts of the administrator's have it in them */
        return 0;
    err_set(err, ERRC_UNSUPPORTED, "berth cannot log in to %s as `%s`", login->host, r->user);
    err_hint(err, "give it a user of letters, digits and ._@+- : server.host, or User in "
                  "~/.ssh/config");
    return -ERRC_UNSUPPORTED;
}

static int fill(struct ssh_route *r, const struct given_login *login, const struct config *c,
                struct arena *arena, struct err *err) {
    const struct me me = who_am_i();
    const char *user = NULL;
    const char *alias = ssh_route_split(arena, login->host, &user);
    int64_t port = login->port > 0 ? login->port : SSH_PORT;
    if (c->port != NULL)
        str_to_i64(str_of(c->port), 1, PORT_MAX, &port);
    r->port = (int)port;
    r->user = c->user != NULL ? c->user : user != NULL ? user : arena_dup(arena, me.name);
    r->address = c->hostname != NULL ? c->hostname : alias;
    r->known_as = c->alias != NULL      ? c->alias
                  : r->port == SSH_PORT ? r->address
                                        : arena_printf(arena, "[%s]:%d", r->address, r->port);
    if (alias == NULL || r->user == NULL || r->known_as == NULL ||
        add_keys(r, login, alias, c, arena) < 0)
        return err_no_memory(err);
    r->agent = agent_of(r, alias, c->agent, arena);
    r->connect_wait = c->wait;
    for (size_t i = 0; i < c->known_hosts.len; i++) {
        const char *path = expand(r, alias, c->known_hosts.items[i], true, arena);
        if (path != NULL && strlist_add(arena, &r->known_hosts, path) < 0)
            return err_no_memory(err);
    }
    int rc = check_fit(r, login, c, err);
    if (rc < 0)
        return rc;
    const char *jump = c->jump;
    if (jump != NULL && strcmp(jump, "none") != 0)
        return jump_words(r, jump, arena) < 0 ? err_no_memory(err) : 0;
    if (c->command != NULL && strcmp(c->command, "none") != 0)
        return command_words(r, alias, c->command, arena, err);
    return 0;
}

int ssh_route_read(const struct given_login *login, struct str config, struct arena *arena,
                   struct ssh_route *ret, struct err *err) {
    struct config words = {0};
    struct ssh_route route = {0};
    if (parse_config(config, arena, &words) < 0)
        return err_no_memory(err);
    int rc = fill(&route, login, &words, arena, err);
    if (rc == 0)
        *ret = route;
    return rc;
}

int ssh_route_find(const struct given_login *login, struct arena *arena, struct ssh_route *ret,
                   struct err *err) {
    _cleanup_buf_ struct buf config = BUF_INIT(BUF_SMALL);
    bool asked = false;
    int rc = ask_ssh(login, &config, &asked, err);
    if (rc == 0 && !asked && login->jump != NULL) {
        err_set(err, ERRC_UNSUPPORTED, "`server.jump` needs OpenSSH's ssh, which is not here");
        err_hint(err, "install it (apt-get install openssh-client)");
        rc = -ERRC_UNSUPPORTED;
    }
    return rc < 0 ? rc : ssh_route_read(login, buf_str(&config), arena, ret, err);
}
