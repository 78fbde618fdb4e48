/* server[N].jupyter.extensions: what extends Jupyter is enabled, and Jupyter says that it is good.
 * The packages themselves are installed with all others, by server[N].python.packages. Which
 * extensions a package brings is found out on the host when it is converged and kept in a list
 * there, so that a probe reads files and starts no Python. */
#include "providers/host/python_env.h"
#include "providers/host/scripts.h"
#include "specs/sections/sections.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#define RECORD struct host_extensions_record
#define LIST HOST_ETC "/extensions"
#define LABS HOST_ENV "/share/jupyter/labextensions"

enum { F_EXTENSIONS, F_REQUIREMENTS };

static const struct field fields[] = {
    [F_EXTENSIONS] = {.name = "extensions",
                      .doc = "Packages that extend Jupyter, and whether they are to.",
                      .type = FIELD_MAP,
                      .offset = offsetof(RECORD, extensions)},
    [F_REQUIREMENTS] = {.name = "requirements",
                        .doc = "What was asked for when Jupyter was last asked about them.",
                        .type = FIELD_MAP,
                        .offset = offsetof(RECORD, requirements)},
    FIELD_END,
};

/* "Jupyterlab_Git[x] >=0.5" → "jupyterlab-git" and ">=0.5", or "any". */
static int split(struct arena *arena, const char *requirement, const char **ret_name,
                 const char **ret_specifier) {
    struct strmap one = {0};
    if (env_add_requirement(arena, &one, str_of(requirement)) < 0)
        return -ERRC_NOMEM;
    const char *key = one.items[0].key;
    *ret_specifier = one.items[0].value;
    *ret_name = arena_dup_str(arena, (struct str){key, strcspn(key, "[")});
    return *ret_name == NULL ? -ERRC_NOMEM : 0;
}

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    RECORD *r = node->desired;
    const struct jupyter_section *j = spec_jupyter(in->spec);
    const struct jupyter_extension *items = j->extensions.items;
    const struct strlist *packages = &spec_packages(in->spec)->python.packages;
    const char *name, *specifier;
    const char *lab = cstr_eq(j->interface, "lab") ? "jupyterlab" : "notebook";
    (void)ctx;
    for (size_t i = 0; i < j->extensions.len; i++)
        if (split(arena, items[i].name, &name, &specifier) < 0 ||
            strmap_set(arena, &r->requirements, name, specifier) < 0 ||
            strmap_set(arena, &r->extensions, name, items[i].enabled ? "enabled" : "disabled") < 0)
            return -ERRC_NOMEM;
    /* Another Jupyter may not take them any more. */
    for (size_t i = 0; i < packages->len; i++)
        if (split(arena, packages->items[i], &name, &specifier) < 0 ||
            (strcmp(name, lab) == 0 && strmap_set(arena, &r->requirements, name, specifier) < 0))
            return -ERRC_NOMEM;
    strmap_sort(&r->requirements);
    strmap_sort(&r->extensions);
    return 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    static const char *const deps[] = {"python.packages", NULL};
    (void)diags;
    return spec_jupyter(in->spec)->extensions.len == 0
               ? 0
               : host_desire_each(in, out, &host_extensions_kind, "jupyter.extensions", deps, fill,
                                  NULL);
}

/* The list: lines "R NAME SPECIFIER" as asked for, "D NAME FOLDER" of an installed package, "S NAME
 * MODULE" and "L NAME EXTENSION" that a package brings. Of the files what comes later counts. */
static int probe(const struct host_node *node, struct buf *script) {
    const char *user = node->connection == NULL ? NULL : node->connection->endpoint.user;
    const char *home = host_path(node->arena, user == NULL ? "root" : user, "~/.jupyter");
    if (home == NULL)
        return -ERRC_NOMEM;
    buf_adds(script, "if [ -e " LIST " ]; then fact64 list " LIST "\n"
                     "while IFS='\t' read -r kind name what; do case $kind in\n"
                     "D) [ ! -e \"$what\" ] || fact there \"$name\";;\n"
                     "L) [ ! -e \"" LABS "/$what/package.json\" ] || fact lab \"$what\";;\n"
                     "esac; done <" LIST "\n");
    for (int i = 0; i < 2; i++) {
        const char *etc = i == 0 ? HOST_ENV "/etc/jupyter" : home;
        buf_addf(script,
                 "fact server%d \"$(cat %s/jupyter_server_config.d/*.json "
                 "%s/jupyter_server_config.json 2>/dev/null | base64 -w0)\"\n"
                 "fact64 page%d %s/labconfig/page_config.json\n",
                 i, etc, etc, i, etc);
    }
    buf_adds(script, "fi\n");
    return 0;
}

/* ---- What the files say */

enum said { SAID_NOTHING, SAID_ON, SAID_OFF };

static bool is_yes(const cJSON *json, const char *first, const char *second, const char *name,
                   bool *ret) {
    const cJSON *at = cJSON_GetObjectItemCaseSensitive(json, first);
    at = second == NULL ? at : cJSON_GetObjectItemCaseSensitive(at, second);
    at = cJSON_GetObjectItemCaseSensitive(at, name);
    *ret = cJSON_IsTrue(at);
    return cJSON_IsBool(at);
}

/* Several JSON texts, one after the other. */
static enum said ask_server(struct str text, const char *module) {
    enum said said = SAID_NOTHING;
    while ((text = str_trim(text)).len > 0) {
        const char *end = NULL;
        cJSON *json = cJSON_ParseWithLengthOpts(text.ptr, text.len, &end, 0);
        bool yes;
        if (json == NULL || end == text.ptr) {
            cJSON_Delete(json);
            break;
        }
        if (is_yes(json, "ServerApp", "jpserver_extensions", module, &yes))
            said = yes ? SAID_ON : SAID_OFF;
        cJSON_Delete(json);
        text = (struct str){end, text.len - (size_t)(end - text.ptr)};
    }
    return said;
}

static enum said ask_page(struct str text, const char *extension) {
    cJSON *json = cJSON_ParseWithLength(text.ptr == NULL ? "" : text.ptr, text.len);
    bool off = false;
    bool known = is_yes(json, "disabledExtensions", NULL, extension, &off);
    cJSON_Delete(json);
    return known ? off ? SAID_OFF : SAID_ON : SAID_NOTHING;
}

static bool has_fact(const struct host_node *node, const struct facts *facts, const char *key,
                     const char *value) {
    for (size_t i = 0; i < facts->len; i++)
        if (strcmp(facts->items[i].key, key) == 0 &&
            strcmp(facts->items[i].node, node->address) == 0 &&
            strcmp(facts->items[i].value, value) == 0)
            return true;
    return false;
}

struct reading {
    const struct host_node *node;
    const struct facts *facts;
    struct buf list, server[2], page[2];
};

static bool is_on(const struct reading *r, char kind, const char *what) {
    enum said said = kind == 'L' ? SAID_ON : SAID_OFF;
    for (int i = 0; i < 2; i++) {
        enum said more = kind == 'L' ? ask_page(buf_str(&r->page[i]), what)
                                     : ask_server(buf_str(&r->server[i]), what);
        said = more == SAID_NOTHING ? said : more;
    }
    return said == SAID_ON && (kind == 'S' || has_fact(r->node, r->facts, "lab", what));
}

static const char *state_of(const struct reading *r, const char *name) {
    struct str rest = buf_str(&r->list), line, kind, owner;
    size_t on = 0, off = 0;
    while (str_split(&rest, '\n', &line)) {
        if (!str_split(&line, '\t', &kind) || !str_split(&line, '\t', &owner) || line.ptr == NULL ||
            !str_eqc(owner, name) || (!str_eqc(kind, "S") && !str_eqc(kind, "L")))
            continue;
        const char *what = arena_dup_str(r->node->arena, line);
        if (what == NULL)
            return NULL;
        if (is_on(r, kind.ptr[0], what))
            on++;
        else
            off++;
    }
    if (!has_fact(r->node, r->facts, "there", name))
        return "another version than Jupyter was asked about";
    return on > 0 && off > 0 ? "enabled in part" : on > 0 ? "enabled" : "disabled";
}

static int read_list(const struct reading *reading, RECORD *r) {
    struct str rest = buf_str(&reading->list), line, kind, name;
    struct arena *arena = reading->node->arena;
    const RECORD *desired = reading->node->desired, *recorded = reading->node->recorded;
    const RECORD *known = desired != NULL ? desired : recorded;
    while (str_split(&rest, '\n', &line)) {
        if (!str_split(&line, '\t', &kind) || !str_split(&line, '\t', &name) || line.ptr == NULL ||
            !str_eqc(kind, "R"))
            continue;
        const char *key = arena_dup_str(arena, name), *value = arena_dup_str(arena, line);
        if (key == NULL || value == NULL || strmap_set(arena, &r->requirements, key, value) < 0)
            return -ERRC_NOMEM;
        bool interface = known != NULL && strmap_get(&known->requirements, key) != NULL &&
                         strmap_get(&known->extensions, key) == NULL;
        if (interface)
            continue;
        const char *state = state_of(reading, key);
        if (state == NULL || strmap_set(arena, &r->extensions, key, state) < 0)
            return -ERRC_NOMEM;
    }
    strmap_sort(&r->requirements);
    strmap_sort(&r->extensions);
    return 0;
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    struct reading reading = {.node = node, .facts = facts, .list = BUF_INIT(BUF_SMALL)};
    char key[16];
    int rc = 0;
    (void)err;
    *ret = LIVE_NONE;
    for (int i = 0; i < 2; i++) {
        reading.server[i] = reading.page[i] = BUF_INIT(BUF_MEDIUM);
        snprintf(key, sizeof key, "server%d", i);
        facts_get_base64(facts, node->address, key, &reading.server[i]);
        snprintf(key, sizeof key, "page%d", i);
        facts_get_base64(facts, node->address, key, &reading.page[i]);
    }
    if (facts_get_base64(facts, node->address, "list", &reading.list)) {
        *ret = LIVE_OURS;
        rc = read_list(&reading, record);
    }
    buf_free(&reading.list);
    for (int i = 0; i < 2; i++) {
        buf_free(&reading.server[i]);
        buf_free(&reading.page[i]);
    }
    return rc;
}

/* ---- Making it */

static void add_words(const struct strmap *map, struct buf *script) {
    for (size_t i = 0; i < map->len; i++) {
        buf_addc(script, ' ');
        shell_quote(script, map->items[i].key);
        buf_addc(script, ' ');
        shell_quote(script, map->items[i].value);
    }
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const RECORD *after = s->after;
    static const struct strmap none = {0};
    (void)err;
    buf_adds(script, "stale_jupyter\n"); /* before: this run may be cut */
    script_add_extensions(script);
    buf_adds(script, "{\n");
    for (size_t i = 0; after != NULL && i < after->requirements.len; i++) {
        buf_adds(script, "printf 'R\\t%s\\t%s\\n' ");
        shell_quote(script, after->requirements.items[i].key);
        buf_addc(script, ' ');
        shell_quote(script, after->requirements.items[i].value);
        buf_addc(script, '\n');
    }
    buf_adds(script, ":\n} >\"$work/asked\"\n");
    buf_addf(script, "converge_extensions %s", s->node->connection->endpoint.user);
    add_words(after == NULL ? &none : &after->extensions, script);
    buf_addc(script, '\n');
    return 0;
}

const struct kind host_extensions_kind = {
    .name = "server.jupyter.extensions",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .desire = desire,
    .besides = HOST_RESTARTS,
    .beside = &host_service_kind,
    .batch = host_batch,
};

const struct host_kind host_extensions_host = {
    .kind = &host_extensions_kind,
    .restarts_jupyter = true,
    .restarts_when_removed = true,
    .probe = probe,
    .read = read,
    .step = step,
};
