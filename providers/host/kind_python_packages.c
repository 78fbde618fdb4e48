/* server[N].python.packages: what is in the environment. */
#include "providers/host/python_env.h"
#include "specs/sections/sections.h"

#include <string.h>

#define RECORD struct host_python_packages_record
#define FIELD "packages.python"

enum { F_PACKAGES, F_INDEX, F_ENVIRONMENT, F_EXTRA, F_LOCK };

static const struct field fields[] = {
    [F_PACKAGES] = ENV_FIELD_PACKAGES(RECORD),
    [F_INDEX] = ENV_FIELD_INDEX(RECORD),
    [F_ENVIRONMENT] = {.name = "environment",
                       .doc = "The Python that they are installed for.",
                       .type = FIELD_STR,
                       .flags = FIELD_UNREADABLE,
                       .offset = offsetof(RECORD, environment)},
    [F_EXTRA] = ENV_FIELD_EXTRA(RECORD),
    [F_LOCK] = ENV_FIELD_LOCK(RECORD),
    FIELD_END,
};

static int ask(const struct spec *spec, struct inputs *inputs) {
    const char *path = spec_packages(spec)->python.requirements;
    int rc = path == NULL ? 0 : requirements_ask(inputs, path, FIELD ".requirements");
    return rc < 0 ? rc : project_ask(spec, inputs);
}

static int add_wishes(const struct desire *in, struct python_want *want, struct arena *arena,
                      struct diags *diags) {
    const struct python_section *python = &spec_packages(in->spec)->python;
    const struct reclist *extensions = &spec_jupyter(in->spec)->extensions;
    const struct jupyter_extension *extension = extensions->items;
    struct env_wish wish = {
        .field = FIELD, .requirements = python->requirements, .python = python->version};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < extensions->len; i++)
        rc = strlist_add(arena, &wish.packages, extension[i].name);
    for (size_t i = 0; rc == 0 && i < python->packages.len; i++)
        rc = strlist_add(arena, &wish.packages, python->packages.items[i]);
    if (spec_has(in->spec, &section_jupyter))
        wish.always = cstr_eq(spec_jupyter(in->spec)->interface, "lab") ? "jupyterlab" : "notebook";
    return rc < 0 ? rc : env_want(in, &wish, arena, diags, want);
}

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)in;
    RECORD *r = node->desired;
    const struct python_want *want = ctx;
    r->index_url = want->index_url;
    r->lock = want->project == NULL ? NULL : want->project->sha256;
    node->extra = want;
    node->unknown = 1u << F_ENVIRONMENT;
    if (!env_is_known(want, NULL, NULL))
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
        rc = add_wishes(in, want, out->arena, diags);
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
    if (env_is_known(want, python->python, python->machine))
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
    return python == NULL ? -ERRC_NOMEM : env_read_wanted(node, python, facts, ret);
}

static int find_by_hand(const struct host_node *node, const struct facts *facts,
                        struct strlist *ret) {
    const RECORD *recorded = node->recorded;
    struct strmap wanted = {0};
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
    struct strmap wanted = {0};
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
