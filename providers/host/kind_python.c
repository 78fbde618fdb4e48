/* server[N].python: an environment of its own, made by uv (or venv where uv cannot be had); never
 * the system's Python. */
#include "providers/host/internal.h"
#include "specs/sections/sections.h"

#include <string.h>

#define RECORD struct host_python_record

static const struct field fields[] = {
    {.name = "version",
     .doc = "Python version asked for.",
     .type = FIELD_STR,
     .offset = offsetof(RECORD, version)},
    {.name = "path",
     .doc = "Where the environment is.",
     .type = FIELD_STR,
     .offset = offsetof(RECORD, path)},
    {.name = "python",
     .doc = "The interpreter's version.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, python)},
    FIELD_END,
};

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)arena, (void)ctx;
    RECORD *r = node->desired;
    r->version = spec_packages(in->spec)->python.version;
    r->path = HOST_ENV;
    node->extra = spec_packages(in->spec)->python.index_url; /* where uv comes from */
    return 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    static const char *const alone[] = {"host_key", NULL};
    static const char *const after[] = {"host_key", "packages", NULL};
    if (!spec_has_python(in->spec) && !spec_has(in->spec, &section_jupyter))
        return 0;
    /* apt holds one lock: first the system's packages, then what python needs of them. */
    return host_desire_each(in, out, &host_python_kind, "python",
                            spec_packages(in->spec)->system.len > 0 ? after : alone, fill, NULL);
}

static int probe(const struct host_node *node, struct buf *script) {
    (void)node;
    buf_adds(script, "if [ -x " HOST_ENV "/bin/python ] && [ -f " HOST_ENV
                     "/pyvenv.cfg ] && [ ! -e " HOST_ENV_CUT " ]; then\n"
                     "while IFS='= ' read -r k v; do case $k in version|version_info) fact python "
                     "\"${v#= }\";; esac; done <" HOST_ENV "/pyvenv.cfg\nfi\n");
    return 0;
}

static bool is_version(const char *python, const char *wish) {
    if (wish == NULL)
        return true;
    size_t len = strlen(wish);
    return strncmp(python, wish, len) == 0 && (python[len] == '.' || python[len] == '\0');
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)err;
    RECORD *r = record;
    const RECORD *desired = node->desired;
    const char *python = facts_get(facts, node->address, "python");
    *ret = python == NULL ? LIVE_NONE : LIVE_OURS;
    if (python == NULL)
        return 0;
    r->path = HOST_ENV;
    r->python = arena_dup(node->arena, python);
    /* Without a wish any version will do; with one, "3.12" stands for every 3.12.x. */
    const RECORD *recorded = node->recorded;
    if (desired != NULL && is_version(python, desired->version))
        r->version = desired->version;
    else if (recorded != NULL && is_version(python, recorded->version))
        r->version = recorded->version;
    else
        r->version = r->python;
    return r->python == NULL ? -ERRC_NOMEM : 0;
}

/* uv is fetched while system packages are installed. */
static void begin_early(const struct host_node *node, struct buf *script) {
    buf_adds(script, "start_uv ");
    shell_quote(script, node->extra == NULL ? "" : node->extra);
    buf_addc(script, '\n');
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const RECORD *after = s->after;
    (void)err;
    if (after == NULL) {
        buf_adds(script, "rm -rf " HOST_ENV "\n");
        return 0;
    }
    buf_adds(script, "need_uv ");
    shell_quote(script, s->node->extra == NULL ? "" : s->node->extra);
    buf_addf(script,
             "\nmake_environment %s\nvalue python \"$(" HOST_ENV
             "/bin/python -c 'import platform; print(platform.python_version())')\"\n",
             after->version == NULL ? "''" : after->version);
    return 0;
}

static int take_value(struct host_step *s, const char *key, const char *value) {
    RECORD *r = s->record;
    if (r == NULL || strcmp(key, "python") != 0)
        return 0;
    r->python = arena_dup(s->node->arena, value);
    return r->python == NULL ? -ERRC_NOMEM : 0;
}

const struct kind host_python_kind = {
    .name = "server.python",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .desire = desire,
    .batch = host_batch,
};

const struct host_kind host_python_host = {
    .kind = &host_python_kind,
    .begin_early = begin_early,
    .probe = probe,
    .read = read,
    .step = step,
    .value = take_value,
};
