#include "cmd/doctor_given.h"

#include "cmd/servers.h"
#include "cmd/text.h"
#include "providers/host/host.h"
#include "providers/host/route.h"

#include <cjson/cJSON.h>
#include <string.h>

enum { INDENT = 19, WORD = 6 };

struct finding {
    const char *what;
    const char *said; /* NULL: not looked at */
    struct err err;   /* code 0: good */
};

enum { WAY, HOST_KEY, LOGIN, FINDINGS };

static void find_way(struct session *s, const struct ssh_route *r, struct finding *out) {
    out->said = arena_printf(&s->arena, "%s@%s, port %d%s%s", r->user, r->address, r->port,
                             r->proxy.len == 0 ? "" : ", through ",
                             r->proxy.len == 0          ? ""
                             : r->proxy_jump != NULL    ? r->proxy_jump
                             : r->proxy_command != NULL ? r->proxy_command
                                                        : "");
}

static void find_host_key(struct session *s, const struct given_login *login,
                          const struct ssh_route *r, struct finding *out) {
    struct known_keys known = {0};
    const char *pinned = host_key_recall(s->project_dir, "server[0]", login->host, &s->arena);
    if (login->host_key != NULL)
        out->said = "as the spec says";
    else if (pinned != NULL)
        out->said = "pinned by an apply";
    else if (ssh_route_known(r, &s->arena, &known, &out->err) == 0 && known.keys.len > 0)
        out->said =
            arena_printf(&s->arena, "%zu in known_hosts for %s", known.keys.len, r->known_as);
    else if (out->err.code == 0)
        err_set(&out->err, ERRC_HOSTKEY, "known_hosts has none for %s", r->known_as);
}

/* Of the plan, what could not be read, and why. */
static void find_login(struct session *s, struct finding *out) {
    size_t parts = 0;
    for (size_t i = 0; i < s->plan.len && out->err.code == 0; i++) {
        const struct change *c = &s->plan.changes[i];
        parts += c->parent != NULL;
        if (c->action == ACTION_UNKNOWN && c->live != NULL)
            out->err = c->live->err;
    }
    if (out->err.code == 0)
        out->said = parts > 0 ? arena_printf(&s->arena,
                                             "works, as administrator too; %zu parts of "
                                             "the spec were looked at",
                                             parts)
                              : "not tried: the spec wants nothing on the server";
}

static const struct given_login *find_server(struct session *s, struct server_list *list,
                                             struct err *err) {
    int rc = servers_make(s, list, err);
    return rc < 0 || list->len == 0 ? NULL : &list->items[0].endpoint.given;
}

static int look(struct session *s, struct finding found[FINDINGS], struct err *err) {
    struct server_list list = {0};
    struct ssh_route route = {0};
    int rc = session_run(s, false, err);
    if (rc < 0)
        return rc;
    const struct given_login *login = find_server(s, &list, err);
    if (login == NULL)
        return err->code != 0 ? -err->code : err_set(err, ERRC_INTERNAL, "there is no server");
    find_login(s, &found[LOGIN]);
    if (login->host == NULL) { /* there is no way: that error is of it */
        found[WAY].err = found[LOGIN].err;
        found[LOGIN].err.code = 0;
        return 0;
    }
    if (ssh_route_find(login, &s->arena, &route, &found[WAY].err) < 0)
        return 0;
    find_way(s, &route, &found[WAY]);
    find_host_key(s, login, &route, &found[HOST_KEY]);
    return 0;
}

static void show(const struct look *look, const struct finding *f, struct buf *out) {
    bool good = f->err.code == 0;
    text_paint(look, good ? PAINT_GREEN : PAINT_RED, good ? "ok" : "bad", out);
    buf_addn(out, ' ', good ? WORD - 2 : WORD - 3);
    buf_adds(out, f->what);
    buf_addn(out, ' ', INDENT - WORD - strlen(f->what));
    text_wrap(look, str_of(good ? f->said : f->err.msg), INDENT, INDENT, out);
    buf_addc(out, '\n');
    if (good || f->err.hint[0] == '\0')
        return;
    _cleanup_buf_ struct buf hint = BUF_INIT(BUF_SMALL);
    buf_addf(&hint, "try: %s", f->err.hint);
    text_line(look, buf_str(&hint), INDENT, out);
}

static cJSON *to_json(const struct session *s, const struct finding found[FINDINGS], bool good) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "name", s->name);
    cJSON_AddStringToObject(out, "provider", s->provider);
    cJSON_AddBoolToObject(out, "good", good);
    cJSON *list = cJSON_AddArrayToObject(out, "findings");
    for (size_t i = 0; i < FINDINGS; i++) {
        cJSON *item = cJSON_CreateObject();
        bool well = found[i].err.code == 0;
        if (well && found[i].said == NULL) {
            cJSON_Delete(item);
            continue;
        }
        cJSON_AddStringToObject(item, "what", found[i].what);
        cJSON_AddBoolToObject(item, "good", well);
        cJSON_AddStringToObject(item, "said", well ? found[i].said : found[i].err.msg);
        if (!well && found[i].err.hint[0] != '\0')
            cJSON_AddStringToObject(item, "hint", found[i].err.hint);
        cJSON_AddItemToArray(list, item);
    }
    return out;
}

int doctor_given(struct session *s) {
    struct cmd *cmd = s->cmd;
    struct err err = {0};
    struct finding found[FINDINGS] = {
        [WAY] = {.what = "way"}, [HOST_KEY] = {.what = "host key"}, [LOGIN] = {.what = "login"}};
    bool good = true;
    if (look(s, found, &err) < 0)
        return session_fail(s, &err);
    for (size_t i = 0; i < FINDINGS; i++)
        good = good && found[i].err.code == 0;
    int code;
    if (cmd->args.json) {
        code = cmd_print_json(cmd, to_json(s, found, good));
    } else {
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
        for (size_t i = 0; i < FINDINGS; i++)
            if (found[i].err.code != 0 || found[i].said != NULL)
                show(&cmd->out_look, &found[i], &text);
        code = cmd_print(cmd, &text);
    }
    session_free(s);
    return code != EXIT_OK || good ? code : EXIT_FAILED;
}
