#include "cmd/login.h"

#include "providers/host/host.h"
#include "providers/host/route.h"
#include "specs/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Every field of the recorded node that is a public key line counts. */
static int add_recorded_keys(struct arena *arena, const struct recorded *r, struct strlist *out) {
    if (r == NULL || r->kind == NULL || r->record == NULL)
        return 0;
    for (const struct field *f = r->kind->fields; f->name != NULL; f++) {
        if (f->type != FIELD_STR)
            continue;
        const char *value = *(const char *const *)((const char *)r->record + f->offset);
        if (value != NULL && (strncmp(value, "ssh-", 4) == 0 || strncmp(value, "ecdsa-", 6) == 0) &&
            strlist_add(arena, out, value) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

int login_host_keys(struct session *s, const struct server_view *v, struct strlist *ret,
                    struct err *err) {
    struct strlist keys = {0};
    const char *node = arena_printf(&s->arena, "%s.host_key", v->address);
    int rc = node == NULL
                 ? -ERRC_NOMEM
                 : add_recorded_keys(&s->arena, recorded_find(&s->state.nodes, node), &keys);
    if (rc == 0 && keys.len == 0) { /* it has no parts (any more), or no run has been on it */
        const char *key =
            host_key_recall(s->project_dir, v->address, host_key_launch(&v->endpoint), &s->arena);
        key = key != NULL ? key : v->endpoint.host_key;
        if (key != NULL)
            rc = strlist_add(&s->arena, &keys, key);
    }
    if (rc < 0)
        return err_no_memory(err);
    if (keys.len == 0) {
        err_set(err, ERRC_HOSTKEY, "the host key of %s is not known", v->address);
        err_hint(err, "berth apply pins it");
        return -ERRC_HOSTKEY;
    }
    *ret = keys;
    return 0;
}

/* Stands for the server in known_hosts, whatever its address is today. */
static const char *alias_of(struct session *s, const struct server_view *v) {
    char text[256];
    snprintf(text, sizeof text, "berth.%s.%s", s->name, v->address);
    for (char *c = text; *c != '\0'; c++)
        if (*c == '[' || *c == ']') /* "[" begins a [host]:port pattern in known_hosts */
            *c = '.';
    return arena_dup(&s->arena, text);
}

/* Never accepted, whatever was pinned. */
static int add_revoked(struct session *s, const struct server_view *v, const char *alias,
                       struct buf *text, struct err *err) {
    struct ssh_route route = {0};
    struct known_keys known = {0};
    int rc = v->endpoint.given.host == NULL
                 ? 0
                 : ssh_route_find(&v->endpoint.given, &s->arena, &route, err);
    if (rc == 0)
        rc = ssh_route_known(&route, &s->arena, &known, err);
    for (size_t i = 0; rc == 0 && i < known.revoked.len; i++)
        buf_addf(text, "@revoked %s %s\n", alias, known.revoked.items[i]);
    return rc;
}

int login_write_known_hosts(struct session *s, const struct server_list *list, struct err *err) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    for (size_t i = 0; i < list->len; i++) {
        struct strlist keys = {0};
        struct err why = {0};
        const char *alias = alias_of(s, &list->items[i]);
        if (alias == NULL)
            return err_no_memory(err);
        if (login_host_keys(s, &list->items[i], &keys, &why) == -ERRC_NOMEM)
            return err_no_memory(err);
        for (size_t k = 0; k < keys.len; k++)
            buf_addf(&text, "%s %s\n", alias, keys.items[k]);
        int rc = add_revoked(s, &list->items[i], alias, &text, err);
        if (rc < 0)
            return rc;
    }
    const char *path = arena_printf(&s->arena, "%s/known_hosts", s->project_dir);
    if (path == NULL || text.failed)
        return err_no_memory(err);
    /* A folder that cannot be written to is enough where nothing is new. */
    _cleanup_buf_ struct buf now = BUF_INIT(BUF_MEDIUM);
    struct err ignored = {0};
    if (fs_read(path, &now, &ignored) == 0 && str_eq(buf_str(&now), buf_str(&text)))
        return 0;
    return fs_write(path, buf_str(&text), 0600, err);
}

/* ssh_config(5) expands %-tokens in file options: a path's own % is doubled. Quoted against blanks.
 * A "${" would be a variable, and nothing escapes that. */
static const char *quote_path(struct session *s, const char *path, struct err *err) {
    char cwd[4096] = "";
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    if (path[0] != '/' && getcwd(cwd, sizeof cwd) == NULL) {
        err_set_errno(err, ERRC_IO, errno, "find the working folder");
        return NULL;
    }
    const char *parts[] = {cwd, path[0] == '/' ? "" : "/", path};
    buf_addc(&text, '"');
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        for (const char *c = parts[i]; *c != '\0'; c++) {
            if (*c == '"' || *c == '\\')
                buf_addc(&text, '\\');
            buf_addf(&text, *c == '%' ? "%%%%" : "%c", *c);
        }
    buf_addc(&text, '"');
    if (strstr(buf_cstr(&text), "${") != NULL || strchr(buf_cstr(&text), '\n') != NULL) {
        err_set(err, ERRC_INVALID, "OpenSSH cannot use a path such as %s", buf_cstr(&text));
        err_hint(err, "move the project to a folder whose name has no ${ and no line break");
        return NULL;
    }
    const char *out = text.failed ? NULL : arena_dup(&s->arena, buf_cstr(&text));
    if (out == NULL)
        err_no_memory(err);
    return out;
}

struct options {
    struct session *s;
    struct login_option *items;
    size_t len;
    struct err *err;
};

/* A NULL value is a failure that `err` tells of, or of memory. */
static void add(struct options *o, const char *name, const char *value) {
    if (o->err->code != 0)
        return;
    if (value == NULL)
        err_no_memory(o->err);
    else if (o->len == LOGIN_OPTIONS)
        err_set(o->err, ERRC_LIMIT, "too many key files for %s", o->s->name);
    else
        o->items[o->len++] = (struct login_option){name, value};
}

/* An address may have a % (a zone: RFC 4007, 11), which ssh_config(5) would expand. */
static void add_host(struct options *o, const char *address) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    for (const char *c = address; *c != '\0'; c++)
        buf_addf(&text, *c == '%' ? "%%%%" : "%c", *c);
    add(o, "HostName", text.failed ? NULL : arena_dup(&o->s->arena, buf_cstr(&text)));
}

static void add_path(struct options *o, const char *name, const char *path) {
    if (o->err->code == 0)
        add(o, name, path == NULL ? NULL : quote_path(o->s, path, o->err));
}

/* What the user's own configuration says under the name that the spec has; under another one it
 * would be lost. */
static void add_given(struct options *o, const struct server_view *v) {
    struct ssh_route route = {0};
    if (ssh_route_find(&v->endpoint.given, &o->s->arena, &route, o->err) < 0)
        return;
    add_host(o, route.address);
    add(o, "Port", arena_printf(&o->s->arena, "%d", route.port));
    add(o, "User", route.user);
    for (size_t i = 0; i < route.keys.len; i++)
        if (fs_exists(route.keys.items[i]))
            add_path(o, "IdentityFile", route.keys.items[i]);
    if (route.only_keys)
        add(o, "IdentitiesOnly", "yes");
    if (route.agent == NULL)
        add(o, "IdentityAgent", "none");
    else if (!cstr_eq(route.agent, getenv("SSH_AUTH_SOCK")))
        add_path(o, "IdentityAgent", route.agent);
    if (route.proxy_jump != NULL)
        add(o, "ProxyJump", route.proxy_jump);
    else if (route.proxy_command != NULL)
        add(o, "ProxyCommand", route.proxy_command);
    /* Somebody may have to do something on the way, such as touch a key. */
    if (route.connect_wait != NULL && (route.proxy.len > 0 || !cstr_eq(route.connect_wait, "none")))
        add(o, "ConnectTimeout", route.connect_wait);
}

static void add_made(struct options *o, const struct server_view *v) {
    const int port = v->endpoint.port > 0 ? v->endpoint.port : 22;
    add(o, "HostName", v->host);
    add(o, "Port", arena_printf(&o->s->arena, "%d", port));
    add(o, "User", v->endpoint.user);
    add_path(o, "IdentityFile", v->endpoint.key_path);
    add(o, "IdentitiesOnly", "yes");
}

int login_options(struct session *s, const struct server_view *v,
                  struct login_option ret[LOGIN_OPTIONS + 1], struct err *err) {
    struct err why = {0};
    struct options o = {.s = s, .items = ret, .err = &why};
    bool given = v->endpoint.given.host != NULL;
    int rc = servers_check_way(v, err);
    if (rc < 0)
        return rc;
    if (given)
        add_given(&o, v);
    else
        add_made(&o, v);
    add(&o, "HostKeyAlias", alias_of(s, v));
    add_path(&o, "UserKnownHostsFile", arena_printf(&s->arena, "%s/known_hosts", s->project_dir));
    add(&o, "GlobalKnownHostsFile", "/dev/null");
    add(&o, "StrictHostKeyChecking", "yes");
    add(&o, "UpdateHostKeys", "no");
    ret[o.len] = (struct login_option){NULL, NULL};
    if (why.code == 0)
        return 0;
    *err = why;
    return -why.code;
}
