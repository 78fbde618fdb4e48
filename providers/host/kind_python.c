/* server[N].python: an environment of its own, made by uv (or venv where uv cannot be had); never
 * the system's Python. */
#include "providers/host/python_env.h"
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
    {.name = "requires",
     .doc = "Python versions that the project allows.",
     .type = FIELD_STR,
     .offset = offsetof(RECORD, requires)},
    {.name = "python",
     .doc = "The interpreter's version.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, python)},
    {.name = "machine",
     .doc = "The sort of processor.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, machine)},
    FIELD_END,
};

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)arena;
    RECORD *r = node->desired;
    r->version = spec_packages(in->spec)->python.version;
    r->path = HOST_ENV;
    r->requires = ctx;
    node->extra = spec_packages(in->spec)->python.index_url; /* where uv comes from */
    return 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    static const char *const alone[] = {"host_key", NULL};
    static const char *const after[] = {"host_key", "packages", NULL};
    if (!spec_has_python(in->spec) && !spec_has(in->spec, &section_jupyter))
        return 0;
    const char *requires = NULL;
    if (project_requires(in, out->arena, &requires) < 0)
        return -ERRC_NOMEM;
    /* apt holds one lock: first the system's packages, then what python needs of them. */
    return host_desire_each(in, out, &host_python_kind, "python",
                            spec_packages(in->spec)->system.len > 0 ? after : alone, fill,
                            (void *) requires);
}

static int probe(const struct host_node *node, struct buf *script) {
    (void)node;
    env_probe_python(HOST_ENV, script);
    return 0;
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)err;
    RECORD *r = record;
    const RECORD *desired = node->desired;
    const char *python = facts_get(facts, node->address, "python");
    *ret = env_presence(node, facts);
    if (python == NULL)
        return 0;
    r->path = HOST_ENV;
    r->python = arena_dup(node->arena, python);
    r->machine = arena_dup(node->arena, facts_get(facts, node->address, "machine"));
    /* Without a wish any version will do; with one, "3.12" stands for every 3.12.x. */
    const RECORD *recorded = node->recorded;
    if (desired != NULL && env_is_version(python, desired->version))
        r->version = desired->version;
    else if (recorded != NULL && env_is_version(python, recorded->version))
        r->version = recorded->version;
    else
        r->version = r->python;
    const char *requires = desired == NULL ? NULL : desired->requires;
    r->requires = requires == NULL || pep440_matches(python, requires) ? requires : r->python;
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
    if (after == NULL) {
        buf_adds(script, "remove_environment " HOST_ENV "\n");
        return 0;
    }
    const char *pythons = project_pythons(after->requires, s->node->arena);
    if (pythons == NULL)
        return err_no_memory(err);
    buf_adds(script, "need_uv ");
    shell_quote(script, s->node->extra == NULL ? "" : s->node->extra);
    buf_addf(script, "\nmake_environment %s '%s'\n", after->version == NULL ? "''" : after->version,
             pythons);
    if (after->requires != NULL) {
        buf_adds(script, "check_python ");
        shell_quote(script, after->requires);
        buf_addc(script, '\n');
    }
    return 0;
}

static int take_value(struct host_step *s, const char *key, const char *value) {
    RECORD *r = s->record;
    const char **to = r == NULL                     ? NULL
                      : strcmp(key, "python") == 0  ? &r->python
                      : strcmp(key, "machine") == 0 ? &r->machine
                                                    : NULL;
    if (to == NULL)
        return 0;
    *to = arena_dup(s->node->arena, value);
    return *to == NULL ? -ERRC_NOMEM : 0;
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
