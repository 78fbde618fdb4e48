#include "cmd/servers.h"

#include "cmd/text.h"
#include "providers/host/host.h"
#include "specs/fs.h"
#include "specs/sections/sections.h"

#include <string.h>

enum { TOKEN_BYTES_MAX = 4096 };

static bool is_set(const char *text) { return text != NULL && text[0] != '\0'; }

/* A name where the world gives one, else a number. */
static const char *host_of(const struct endpoint *e) {
    if (is_set(e->public_dns))
        return e->public_dns;
    return is_set(e->address) ? e->address : NULL;
}

static const char *page_of(const struct session *s) {
    return strcmp(spec_jupyter(s->spec)->interface, "notebook") == 0 ? "tree" : "lab";
}

void servers_add_url(const struct session *s, const char *host, int64_t port, struct buf *out) {
    bool bare = strchr(host, ':') != NULL; /* an IPv6 number stands in brackets */
    buf_addf(out, "%s://%s%s%s:%lld/%s", spec_has_tls(s->spec) ? "https" : "http", bare ? "[" : "",
             host, bare ? "]" : "", (long long)port, page_of(s));
}

const struct host_health_record *servers_health(struct session *s, const struct server_view *v) {
    const char *address = arena_printf(&s->arena, "%s.jupyter.health", v->address);
    const struct recorded *r = address == NULL ? NULL : recorded_find(&s->state.nodes, address);
    return r == NULL || r->kind != &host_health_kind ? NULL : r->record;
}

bool servers_trusts_ca(const struct session *s) {
    return spec_has_tls(s->spec) && !spec_has_own_tls(s->spec);
}

static int fill(struct session *s, struct server_view *v, const struct kind *kind,
                const void *record, struct err *err) {
    if (record == NULL || kind->endpoint(record, s->project_dir, &s->arena, &v->endpoint) < 0) {
        v->endpoint = (struct endpoint){0};
        return 0;
    }
    /* One that is stopped has an address to be reached by only where that is elastic. */
    if (v->endpoint.running || !cstr_eq(v->endpoint.address, v->endpoint.private_address))
        v->host = host_of(&v->endpoint);
    if (v->host == NULL || s->spec == NULL || !spec_has(s->spec, &section_jupyter))
        return 0;
    if (spec_has_tunnel(s->spec)) {
        v->tunnel = true;
        return 0;
    }
    _cleanup_buf_ struct buf url = BUF_INIT(BUF_SMALL);
    const struct host_health_record *health = servers_health(s, v);
    if (spec_has_own_tls(s->spec) && health != NULL && health->certificate != NULL)
        buf_addf(&url, "%s/%s", health->url, page_of(s)); /* by a name in the certificate */
    else
        servers_add_url(s, v->host, spec_jupyter(s->spec)->port, &url);
    v->url = arena_dup(&s->arena, buf_cstr(&url));
    return v->url == NULL ? err_no_memory(err) : 0;
}

int servers_make(struct session *s, struct server_list *ret, struct err *err) {
    struct server_list list = {0};
    size_t most = s->state.nodes.len + s->desired.nodes.len + 1;
    list.items = arena_calloc(&s->arena, most, sizeof *list.items);
    if (list.items == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < s->desired.nodes.len + s->state.nodes.len; i++) {
        bool wanted = i < s->desired.nodes.len;
        const struct node *n = wanted ? &s->desired.nodes.items[i] : NULL;
        const struct recorded *r = wanted ? recorded_find(&s->state.nodes, n->address)
                                          : &s->state.nodes.items[i - s->desired.nodes.len];
        const struct kind *kind = wanted ? n->kind : r->kind;
        const char *address = wanted ? n->address : r->address;
        if (kind == NULL || kind->endpoint == NULL ||
            (!wanted && nodes_find(&s->desired.nodes, address) != NULL))
            continue;
        struct server_view v = {.address = address, .recorded = r};
        v.live = s->live.worlds == NULL ? NULL : live_find(&s->live, address);
        bool seen = v.live != NULL && v.live->presence == LIVE_OURS;
        v.id = seen ? v.live->id : r != NULL ? r->id : NULL;
        const void *record = seen ? v.live->record : r != NULL ? r->record : NULL;
        if (v.live != NULL && v.live->presence == LIVE_NONE)
            record = NULL;
        int rc = fill(s, &v, kind, record, err);
        if (rc < 0)
            return rc;
        list.items[list.len++] = v;
    }
    *ret = list;
    return 0;
}

int servers_recorded(struct session *s, struct server_list *ret, struct err *err) {
    int rc = session_load_spec(s, NULL, err);
    if (rc == 0)
        rc = session_peek_state(s, err);
    return rc < 0 ? rc : servers_make(s, ret, err);
}

const struct server_view *servers_find(const struct server_list *list, const char *name,
                                       struct err *err) {
    if (list->len == 0) {
        err_set(err, ERRC_NOTFOUND, "there is no server yet");
        err_hint(err, "berth apply makes it");
        return NULL;
    }
    if (name == NULL && list->len == 1)
        return &list->items[0];
    if (name == NULL) {
        err_set(err, ERRC_INVALID, "there are %zu servers", list->len);
        err_hint(err, "name one, from %s to %s", list->items[0].address,
                 list->items[list->len - 1].address);
        return NULL;
    }
    char full[64];
    snprintf(full, sizeof full, "server[%s]", name);
    for (size_t i = 0; i < list->len; i++)
        if (strcmp(list->items[i].address, name) == 0 || strcmp(list->items[i].address, full) == 0)
            return &list->items[i];
    err_set(err, ERRC_NOTFOUND, "there is no %s%s",
            strncmp(name, "server", 6) == 0 ? "" : "server ", name);
    if (list->len == 1)
        err_hint(err, "there is %s alone, which needs no name", list->items[0].address);
    else
        err_hint(err, "there are %s to %s", list->items[0].address,
                 list->items[list->len - 1].address);
    return NULL;
}

const struct server_view *servers_asked(struct session *s, size_t at, struct server_list *ret,
                                        struct err *err) {
    const struct args *args = &s->cmd->args;
    if (servers_recorded(s, ret, err) < 0)
        return NULL;
    return servers_find(ret, args->positional_len > at ? args->positional[at] : NULL, err);
}

int servers_check_way(const struct server_view *v, struct err *err) {
    if (v->recorded != NULL && v->recorded->id != NULL && !v->endpoint.running) {
        err_set(err, ERRC_NOTFOUND, "%s was stopped when it was last recorded", v->address);
        err_hint(err, "berth start brings it back");
        return -ERRC_NOTFOUND;
    }
    if (v->host == NULL || (v->endpoint.key_path == NULL && v->endpoint.given.host == NULL)) {
        err_set(err, ERRC_NOTFOUND, "%s has no address now", v->address);
        err_hint(err, "berth status says how it is");
        return -ERRC_NOTFOUND;
    }
    return 0;
}

int servers_token(const struct session *s, struct buf *out, struct err *err) {
    _cleanup_buf_ struct buf path = BUF_INIT(BUF_SMALL);
    buf_addf(&path, "%s/token", s->project_dir);
    int rc = fs_read(buf_cstr(&path), out, err);
    if (rc == -ERRC_NOTFOUND) {
        err_set(err, ERRC_NOTFOUND, "there is no login token yet");
        err_hint(err, "berth apply makes it");
        return rc;
    }
    if (rc < 0)
        return rc;
    if (out->len > TOKEN_BYTES_MAX)
        return err_set(err, ERRC_LIMIT, "%s is no token", buf_cstr(&path));
    while (out->len > 0 && out->ptr[out->len - 1] == '\n')
        out->ptr[--out->len] = '\0';
    return 0;
}

int servers_login_url(const struct session *s, const struct server_view *server, struct buf *out,
                      struct err *err) {
    if (s->spec == NULL || !spec_has(s->spec, &section_jupyter)) {
        err_set(err, ERRC_NOTFOUND, "%s has no Jupyter: the spec has no `jupyter`",
                server->address);
        err_hint(err, "add a `jupyter:` section, then berth apply");
        return -ERRC_NOTFOUND;
    }
    int rc = server->url != NULL ? 0 : servers_check_way(server, err);
    if (rc < 0)
        return rc;
    if (server->url == NULL)
        return err_set(err, ERRC_NOTFOUND, "%s has no address now", server->address);
    _cleanup_buf_ struct buf token = BUF_INIT(BUF_SMALL);
    rc = servers_token(s, &token, err);
    if (rc < 0)
        return rc;
    buf_addf(out, "%s?token=%s", server->url, buf_cstr(&token));
    return 0;
}

const char *servers_file_option(struct session *s) {
    if (s->spec_path == NULL || strcmp(s->spec_path, "berth.yaml") == 0)
        return "";
    _cleanup_buf_ struct buf word = BUF_INIT(BUF_SMALL);
    text_shell_word(str_of(s->spec_path), &word);
    const char *text = arena_printf(&s->arena, " -file %s", buf_cstr(&word));
    return text == NULL ? "" : text;
}

static void add_server(const struct server_view *v, const char *file, bool only, struct buf *out) {
    buf_addf(out, "\n%s\n", v->address);
    if (v->url != NULL)
        buf_addf(out, "  Jupyter:  %s\n", v->url);
    if (v->tunnel)
        buf_adds(out, "  Jupyter:  over SSH only\n");
    buf_addf(out, "  address:  %s\n", v->host);
    if (only)
        buf_addf(out, "  ssh:      berth ssh%s\n", file);
    else
        buf_addf(out, "  ssh:      berth ssh%s '%s'\n", file, v->address);
}

int servers_outputs(struct session *s, struct buf *out, struct err *err) {
    struct server_list list = {0};
    int rc = servers_make(s, &list, err);
    if (rc < 0)
        return rc;
    const char *file = servers_file_option(s);
    bool urls = false;
    size_t shown = 0, more = 0;
    for (size_t i = 0; i < list.len; i++) {
        const struct server_view *v = &list.items[i];
        if (v->host == NULL)
            continue;
        urls |= v->url != NULL || v->tunnel;
        if (shown == SERVERS_SHOWN_MAX && !s->cmd->out_look.each) {
            more++;
            continue;
        }
        add_server(v, file, list.len == 1, out);
        shown++;
    }
    if (more > 0)
        buf_addf(out, "\nand %zu more, up to %s: berth status%s -v names them all\n", more,
                 list.items[list.len - 1].address, file);
    if (!urls)
        return 0;
    bool password = spec_jupyter(s->spec)->password != NULL;
    buf_addf(out, "\nLog in:   berth open%s   %sprints the address with its token%s\n", file,
             spec_has_tunnel(s->spec) ? "opens a tunnel and " : "",
             password ? "; or use your password" : "");
    if (servers_trusts_ca(s))
        buf_addf(out, "Trust:    import %s/ca.pem into the browser, once\n", s->project_dir);
    return 0;
}
