/* server[N].python.packages: what is in the environment. */
#include "providers/host/python_env.h"
#include "specs/sections/sections.h"

#include <string.h>

#define RECORD struct host_python_packages_record
#define FIELD_PACKAGES "packages.python.packages"
#define FIELD_REQUIREMENTS "packages.python.requirements"

enum { F_PACKAGES, F_INDEX, F_ENVIRONMENT, F_EXTRA, F_LOCK };

static const struct field fields[] = {
    [F_PACKAGES] = {.name = "packages",
                    .doc = "Packages and the versions asked for.",
                    .type = FIELD_MAP,
                    .offset = offsetof(RECORD, packages)},
    [F_INDEX] = {.name = "index_url",
                 .doc = "Package index.",
                 .type = FIELD_STR,
                 .flags = FIELD_UNREADABLE,
                 .offset = offsetof(RECORD, index_url)},
    [F_ENVIRONMENT] = {.name = "environment",
                       .doc = "The Python that they are installed for.",
                       .type = FIELD_STR,
                       .flags = FIELD_UNREADABLE,
                       .offset = offsetof(RECORD, environment)},
    [F_EXTRA] = {.name = "extra",
                 .doc = "Installed by hand, which `exact` removes.",
                 .type = FIELD_LIST,
                 .flags = FIELD_SET,
                 .offset = offsetof(RECORD, extra)},
    /* So that a plan that was written down is not good for another lock. */
    [F_LOCK] = {.name = "lock",
                .doc = "Hash of the project's lock.",
                .type = FIELD_STR,
                .flags = FIELD_COMPUTED | FIELD_UNSTORED,
                .offset = offsetof(RECORD, lock)},
    FIELD_END,
};

static int ask(const struct spec *spec, struct inputs *inputs) {
    const char *path = spec_packages(spec)->python.requirements;
    int rc = path == NULL ? 0 : inputs_ask(inputs, INPUT_FILE, path, FIELD_REQUIREMENTS, true);
    return rc < 0 ? rc : project_ask(spec, inputs);
}

/* A package that the project has too, wherever it may be installed, is wanted once; false, and
 * told, when they cannot both be met. */
static bool is_others(const struct desire *in, const struct python_project *p,
                      const struct strpair *wish, struct diags *diags) {
    bool everywhere = false;
    for (size_t i = 0; p != NULL && p->locked && i < p->len; i++) {
        const struct project_need *need = &p->needs[i];
        if (strcmp(need->key, wish->key) != 0)
            continue;
        if (cstr_eq(wish->value, need->value) || pep440_matches(need->value, wish->value)) {
            everywhere |= project_is_needed_everywhere(p, need);
            continue;
        }
        diag_add(diags, spec_mark(in->spec, FIELD_PACKAGES),
                 "leave it out, or change it in the project: uv lock",
                 "%s %s is asked for, and uv.lock has %s", wish->key, wish->value, need->value);
        return false;
    }
    return !everywhere;
}

static int add_others(const struct desire *in, struct python_want *want, struct arena *arena,
                      struct diags *diags) {
    const struct python_section *python = &spec_packages(in->spec)->python;
    struct strmap all = {0};
    const struct reclist *extensions = &spec_jupyter(in->spec)->extensions;
    const struct jupyter_extension *extension = extensions->items;
    int rc = env_add_file(in, python->requirements, FIELD_REQUIREMENTS, &all, arena, diags);
    for (size_t i = 0; rc == 0 && i < extensions->len; i++)
        rc = env_add_requirement(arena, &all, str_of(extension[i].name));
    for (size_t i = 0; rc == 0 && i < python->packages.len; i++)
        rc = env_add_requirement(arena, &all, str_of(python->packages.items[i]));
    if (rc == 0 && spec_has(in->spec, &section_jupyter)) {
        const char *interface = spec_jupyter(in->spec)->interface;
        const char *name = cstr_eq(interface, "lab") ? "jupyterlab" : "notebook";
        if (strmap_get(&all, name) == NULL)
            rc = strmap_set(arena, &all, name, "any");
    }
    for (size_t i = 0; rc == 0 && i < all.len; i++)
        if (is_others(in, want->project, &all.items[i], diags))
            rc = strmap_set(arena, &want->others, all.items[i].key, all.items[i].value);
    return rc;
}

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)in;
    RECORD *r = node->desired;
    const struct python_want *want = ctx;
    r->index_url = want->index_url;
    r->lock = want->project == NULL ? NULL : want->project->sha256;
    node->extra = want;
    node->unknown = 1u << F_ENVIRONMENT;
    if (want->project != NULL && !project_is_uniform(want->project))
        node->unknown |= 1u << F_PACKAGES;
    return env_packages(want, NULL, NULL, arena, &r->packages);
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    static const char *const deps[] = {"python", NULL};
    if (!spec_has_python(in->spec) && !spec_has(in->spec, &section_jupyter))
        return 0;
    const struct python_section *python = &spec_packages(in->spec)->python;
    struct python_want *want = ARENA_NEW(out->arena, struct python_want);
    if (want == NULL)
        return -ERRC_NOMEM;
    want->env = HOST_ENV;
    want->index_url = python->index_url;
    want->exact = python->exact;
    int rc = project_read(in, out->arena, diags, &want->project);
    if (rc == 0)
        rc = add_others(in, want, out->arena, diags);
    return rc < 0 ? rc
                  : host_desire_each(in, out, &host_python_packages_kind, "python.packages", deps,
                                     fill, want);
}

/* A Python that is to be another: what is installed for it is known behind it. */
static bool is_settled(const struct host_python_record *python) {
    return python != NULL && python->python != NULL &&
           env_is_version(python->python, python->version) &&
           (python->requires == NULL || pep440_matches(python->python, python->requires));
}

static int resolve(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown) {
    const char *address = arena_printf(arena, "%s.python", node->parent);
    const struct python_want *want = node->extra;
    const struct host_python_record *python =
        address == NULL ? NULL : lookup->record(lookup->ctx, address, NULL);
    if (!is_settled(python))
        return 0;
    RECORD *r = record;
    r->environment = arena_dup(arena, python->python);
    *unknown &= ~(UINT64_C(1) << F_ENVIRONMENT);
    int rc = env_packages(want, python->python, python->machine, arena, &r->packages);
    if (want->project == NULL || project_is_uniform(want->project) ||
        (python->machine != NULL &&
         project_place(want->project, python->python, python->machine) != SIZE_MAX))
        *unknown &= ~(UINT64_C(1) << F_PACKAGES);
    return r->environment == NULL ? -ERRC_NOMEM : rc;
}

static int probe(const struct host_node *node, struct buf *script) {
    (void)node;
    env_probe_packages(HOST_ENV, script);
    return 0;
}

/* As wanted for the Python that is there. */
static int find_wanted(const struct host_node *node, const struct facts *facts,
                       struct strmap *ret) {
    const char *dot = strrchr(node->address, '.');
    size_t len = dot == NULL ? 0 : (size_t)(dot - node->address);
    const char *python = arena_dup_str(node->arena, (struct str){node->address, len});
    *ret = (struct strmap){0};
    if (python == NULL)
        return -ERRC_NOMEM;
    return node->desired == NULL
               ? 0
               : env_packages(node->extra, facts_get(facts, python, "python"),
                              facts_get(facts, python, "machine"), node->arena, ret);
}

static int find_by_hand(const struct host_node *node, const struct facts *facts,
                        struct strlist *ret) {
    const RECORD *recorded = node->recorded;
    struct strmap wanted;
    int rc = find_wanted(node, facts, &wanted);
    return rc < 0 ? rc
                  : env_read_by_hand(node, facts, &wanted,
                                     recorded == NULL ? NULL : &recorded->packages, ret);
}

static const char *remark(const struct host_node *node, const struct facts *facts) {
    struct strlist list = {0};
    return node->desired == NULL || env_is_exact(node) || find_by_hand(node, facts, &list) < 0
               ? NULL
               : env_remark(&list, node->arena);
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)err;
    RECORD *r = record;
    const RECORD *recorded = node->recorded;
    struct strmap wanted;
    int rc = find_wanted(node, facts, &wanted);
    if (recorded != NULL) {
        r->index_url = recorded->index_url;
        r->environment = recorded->environment;
        /* What the spec no longer names is to go: it shows as a difference. */
        if (rc == 0)
            rc = env_read_packages(node, facts, &recorded->packages, &r->packages);
    }
    if (rc == 0)
        rc = env_read_packages(node, facts, &wanted, &r->packages);
    if (rc == 0 && node->desired != NULL && env_is_exact(node))
        rc = find_by_hand(node, facts, &r->extra);
    strmap_sort(&r->packages);
    /* A run that was cut off from its host has done it, perhaps. */
    bool all = wanted.len > 0 && strmap_equal(&wanted, &r->packages);
    *ret = recorded == NULL && !all ? LIVE_NONE : LIVE_OURS;
    return rc;
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const RECORD *before = s->change->live == NULL ? NULL : s->change->live->record;
    const RECORD *after = s->after;
    if (after == NULL)
        return 0;                        /* they go with their environment */
    buf_adds(script, "stale_jupyter\n"); /* before: this run may be cut */
    bool known = (s->change->after_unknown >> F_PACKAGES & 1) == 0;
    int rc = env_change(s->node->extra, before == NULL ? NULL : &before->packages,
                        before == NULL ? NULL : &before->extra, known ? &after->packages : NULL,
                        s->node->arena, script);
    env_own(s->node, script);
    return rc < 0 ? err_set(err, ERRC_NOMEM, "out of memory") : 0;
}

const struct kind host_python_packages_kind = {
    .name = "server.python.packages",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .ask = ask,
    .desire = desire,
    .resolve = resolve,
    .besides = HOST_RESTARTS,
    .beside = &host_service_kind,
    .batch = host_batch,
};

const struct host_kind host_python_packages_host = {
    .kind = &host_python_packages_kind,
    .restarts_jupyter = true,
    .probe = probe,
    .read = read,
    .remark = remark,
    .step = step,
};
