#include "cmd/servers.h"
#include "cmd/verbs.h"
#include "specs/fs.h"
#include "specs/sections/sections.h"

#include <cjson/cJSON.h>
#include <string.h>

/* One row an output. `of` gives the value for one server; those without are of the project. */
static const char *url_of(struct session *s, const struct server_view *v) {
    (void)s;
    return v->url;
}

static const char *address_of(struct session *s, const struct server_view *v) {
    (void)s;
    return v->host;
}

static const char *user_of(struct session *s, const struct server_view *v) {
    (void)s;
    return v->endpoint.user;
}

static const char *ssh_of(struct session *s, const struct server_view *v) {
    return arena_printf(&s->arena, "berth ssh%s '%s'", servers_file_option(s), v->address);
}

static const char *id_of(struct session *s, const struct server_view *v) {
    (void)s;
    return v->id;
}

static const struct output {
    const char *name;
    const char *(*of)(struct session *s, const struct server_view *v);
} outputs[] = {
    {"url", url_of}, {"address", address_of}, {"user", user_of}, {"ssh", ssh_of},
    {"id", id_of},   {"key", NULL},           {"ca", NULL},      {"token", NULL},
};
enum { OUTPUTS_LEN = sizeof outputs / sizeof outputs[0] };

static const char *project_output(struct session *s, const struct server_list *list,
                                  const char *name, struct err *err) {
    if (strcmp(name, "ca") == 0) {
        const char *path = arena_printf(&s->arena, "%s/ca.pem", s->project_dir);
        return path != NULL && servers_trusts_ca(s) && fs_exists(path) ? path : NULL;
    }
    if (strcmp(name, "key") == 0)
        return list->len == 0 ? NULL : list->items[0].endpoint.key_path;
    _cleanup_buf_ struct buf token = BUF_INIT(BUF_SMALL);
    if (servers_token(s, &token, err) < 0)
        return NULL;
    return arena_dup(&s->arena, buf_cstr(&token));
}

static int print_all(struct session *s, const struct server_list *list) {
    cJSON *json = cJSON_CreateObject();
    cJSON *servers = cJSON_AddArrayToObject(json, "servers");
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    for (size_t i = 0; i < list->len; i++) {
        cJSON *server = cJSON_CreateObject();
        cJSON_AddStringToObject(server, "server", list->items[i].address);
        if (list->len > 1)
            buf_addf(&text, "%s\n", list->items[i].address);
        for (size_t o = 0; o < OUTPUTS_LEN; o++) {
            const char *value = outputs[o].of == NULL ? NULL : outputs[o].of(s, &list->items[i]);
            if (value == NULL)
                continue;
            cJSON_AddStringToObject(server, outputs[o].name, value);
            buf_addf(&text, "%s%-8s %s\n", list->len > 1 ? "  " : "", outputs[o].name, value);
        }
        cJSON_AddItemToArray(servers, server);
    }
    struct err ignored = {0};
    const char *names[] = {"key", "ca"};
    for (size_t i = 0; i < 2; i++) {
        const char *value = project_output(s, list, names[i], &ignored);
        if (value == NULL)
            continue;
        cJSON_AddStringToObject(json, names[i], value);
        buf_addf(&text, "%-8s %s\n", names[i], value);
    }
    if (s->cmd->args.json)
        return cmd_print_json(s->cmd, json);
    cJSON_Delete(json);
    if (spec_has(s->spec, &section_jupyter))
        buf_adds(&text, "token    (by name only: berth output token)\n");
    return cmd_print(s->cmd, &text);
}

static int print_one(struct session *s, const struct server_list *list, const char *name) {
    const struct output *output = NULL;
    const char *names[OUTPUTS_LEN + 1] = {0};
    for (size_t o = 0; o < OUTPUTS_LEN; o++) {
        names[o] = outputs[o].name;
        if (strcmp(outputs[o].name, name) == 0)
            output = &outputs[o];
    }
    if (output == NULL) {
        const char *nearest = str_nearest(str_of(name), names);
        if (nearest != NULL)
            return cmd_usage(s->cmd, "there is no output %s; did you mean %s?", name, nearest);
        return cmd_usage(s->cmd, "there is no output %s", name);
    }
    struct err err = {0};
    cJSON *json = cJSON_CreateArray();
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    size_t n = output->of == NULL ? 1 : list->len, found = 0;
    for (size_t i = 0; i < n; i++) {
        const char *value = output->of == NULL ? project_output(s, list, name, &err)
                                               : output->of(s, &list->items[i]);
        if (value == NULL)
            continue;
        found++;
        buf_addf(&text, "%s\n", value);
        cJSON_AddItemToArray(json, cJSON_CreateString(value));
    }
    if (found == 0) {
        cJSON_Delete(json);
        if (err.code == 0) {
            bool tunnel = strcmp(name, "url") == 0 && list->len > 0 && list->items[0].tunnel;
            err_set(&err, ERRC_NOTFOUND, "there is no %s now", name);
            err_hint(&err, tunnel ? "no port is open: berth open or berth tunnel makes one here"
                                  : "berth status says how things are");
        }
        return cmd_fail(s->cmd, &err);
    }
    if (s->cmd->args.json)
        return cmd_print_json(s->cmd, json);
    cJSON_Delete(json);
    return cmd_print(s->cmd, &text);
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    struct server_list list = {0};
    session_init(&s, cmd);
    int rc = servers_recorded(&s, &list, &err);
    if (rc < 0)
        return session_fail(&s, &err);
    int code = cmd->args.positional_len == 0 ? print_all(&s, &list)
                                             : print_one(&s, &list, cmd->args.positional[0]);
    session_free(&s);
    return code;
}

const struct verb verb_output = {
    .name = "output",
    .args = "[NAME]",
    .summary = "print what others use: url, address, user, ssh, id, key, ca, token",
    .details = "With NAME: that value alone, a line each server; with -json a list. The token is\n"
               "printed only when it is asked for by name. Reads the project folder only.",
    .options = {&option_file, &option_json},
    .positional_max = 1,
    .run = run,
};
