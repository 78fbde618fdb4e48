#include "cmd/login.h"

#include "providers/host/host.h"
#include "specs/fs.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static int no_memory(struct err *err) { return err_set(err, ERRC_NOMEM, "out of memory"); }

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
            host_key_recall(s->project_dir, v->address, v->endpoint.host_key, &s->arena);
        key = key != NULL ? key : v->endpoint.host_key;
        if (key != NULL)
            rc = strlist_add(&s->arena, &keys, key);
    }
    if (rc < 0)
        return no_memory(err);
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

int login_write_known_hosts(struct session *s, const struct server_list *list, struct err *err) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    for (size_t i = 0; i < list->len; i++) {
        struct strlist keys = {0};
        struct err why = {0};
        const char *alias = alias_of(s, &list->items[i]);
        if (alias == NULL)
            return no_memory(err);
        if (login_host_keys(s, &list->items[i], &keys, &why) == -ERRC_NOMEM)
            return no_memory(err);
        for (size_t k = 0; k < keys.len; k++)
            buf_addf(&text, "%s %s\n", alias, keys.items[k]);
    }
    const char *path = arena_printf(&s->arena, "%s/known_hosts", s->project_dir);
    if (path == NULL || text.failed)
        return no_memory(err);
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
        no_memory(err);
    return out;
}

int login_options(struct session *s, const struct server_view *v,
                  struct login_option ret[LOGIN_OPTIONS + 1], struct err *err) {
    struct arena *a = &s->arena;
    if (v->recorded != NULL && v->recorded->id != NULL && !v->endpoint.running) {
        err_set(err, ERRC_NOTFOUND, "%s was stopped when it was last recorded", v->address);
        err_hint(err, "berth start brings it back");
        return -ERRC_NOTFOUND;
    }
    if (v->host == NULL || v->endpoint.key_path == NULL) {
        err_set(err, ERRC_NOTFOUND, "%s has no address now", v->address);
        err_hint(err, "berth status says how it is");
        return -ERRC_NOTFOUND;
    }
    const char *known = arena_printf(a, "%s/known_hosts", s->project_dir);
    const char *identity = quote_path(s, v->endpoint.key_path, err);
    const char *hosts = known == NULL || identity == NULL ? NULL : quote_path(s, known, err);
    const char *port = arena_printf(a, "%d", v->endpoint.port > 0 ? v->endpoint.port : 22);
    const char *alias = alias_of(s, v);
    if (known == NULL || port == NULL || alias == NULL)
        return no_memory(err);
    if (identity == NULL || hosts == NULL)
        return -err->code;
    const struct login_option options[] = {
        {"HostName", v->host},
        {"Port", port},
        {"User", v->endpoint.user},
        {"IdentityFile", identity},
        {"IdentitiesOnly", "yes"},
        {"HostKeyAlias", alias},
        {"UserKnownHostsFile", hosts},
        {"GlobalKnownHostsFile", "/dev/null"},
        {"StrictHostKeyChecking", "yes"},
        {"UpdateHostKeys", "no"},
        {NULL, NULL},
    };
    static_assert(sizeof options / sizeof options[0] == LOGIN_OPTIONS + 1, "a row for each");
    memcpy(ret, options, sizeof options);
    return 0;
}
