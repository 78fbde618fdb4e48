/* server[N].kernels[NAME]: a kernel of Jupyter besides the main one, in an environment of its own.
 * Jupyter finds it by its kernel.json when it is used: nothing restarts. */
#include "providers/host/python_env.h"
#include "specs/sections/check.h"
#include "specs/sections/sections.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#define RECORD struct host_kernel_record
#define REGISTERED HOST_ENV "/share/jupyter/kernels/"

enum { F_VERSION, F_PACKAGES, F_INDEX, F_SPEC, F_EXTRA, F_PYTHON, F_LOCK };

static const struct field fields[] = {
    [F_VERSION] = {.name = "version",
                   .doc = "Python version asked for.",
                   .type = FIELD_STR,
                   .offset = offsetof(RECORD, version)},
    [F_PACKAGES] = ENV_FIELD_PACKAGES(RECORD),
    [F_INDEX] = ENV_FIELD_INDEX(RECORD),
    [F_SPEC] = {.name = "spec",
                .doc = "Its kernel.json.",
                .type = FIELD_STR,
                .flags = FIELD_MULTILINE,
                .offset = offsetof(RECORD, spec)},
    [F_EXTRA] = ENV_FIELD_EXTRA(RECORD),
    [F_PYTHON] = {.name = "python",
                  .doc = "The interpreter's version.",
                  .type = FIELD_STR,
                  .flags = FIELD_COMPUTED,
                  .offset = offsetof(RECORD, python)},
    [F_LOCK] = ENV_FIELD_LOCK(RECORD),
    FIELD_END,
};

/* "server[0].kernels[py310]" → "py310". False for what no spec can name: addresses in a state may
 * have been edited, and this one becomes a path. */
static bool find_name(const struct host_node *node, struct str *ret) {
    const char *bracket = strrchr(node->address, '[');
    const char *name = bracket == NULL ? "" : bracket + 1;
    *ret = (struct str){name, strcspn(name, "]")};
    return check_kernel_name(*ret) == NULL;
}

/* https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs */
static const char *kernel_json(const struct kernel_item *item, const char *env,
                               struct arena *arena) {
    char python[256];
    snprintf(python, sizeof python, "%s/bin/python", env);
    const char *arguments[] = {python, "-m", "ipykernel_launcher", "-f", "{connection_file}"};
    const char *shown = item->display_name == NULL ? item->name : item->display_name;
    cJSON *root = cJSON_CreateObject();
    cJSON *argv = cJSON_CreateStringArray(arguments, sizeof arguments / sizeof arguments[0]);
    bool good = cJSON_AddItemToObject(root, "argv", argv);
    if (!good)
        cJSON_Delete(argv);
    cJSON *metadata = good && cJSON_AddStringToObject(root, "display_name", shown) != NULL &&
                              cJSON_AddStringToObject(root, "language", "python") != NULL
                          ? cJSON_AddObjectToObject(root, "metadata")
                          : NULL;
    char *text = cJSON_AddTrueToObject(metadata, "debugger") == NULL ? NULL : cJSON_Print(root);
    const char *out = text == NULL ? NULL : arena_printf(arena, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(root);
    return out;
}

struct filling {
    const struct kernel_item *item;
    const struct python_want *want;
    const char *spec;
};

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)in;
    const struct filling *f = ctx;
    RECORD *r = node->desired;
    r->version = f->item->python;
    r->index_url = f->want->index_url;
    r->spec = f->spec;
    r->lock = f->want->project == NULL ? NULL : f->want->project->sha256;
    node->extra = f->want;
    if (!env_is_known(f->want, NULL, NULL))
        node->unknown |= 1u << F_PACKAGES;
    return env_packages(f->want, NULL, NULL, arena, &r->packages);
}

static int make_want(const struct desire *in, const struct kernel_item *item, const char *field,
                     struct arena *arena, struct diags *diags, struct python_want *want) {
    const struct python_section *python = &spec_packages(in->spec)->python;
    want->env = arena_printf(arena, HOST_KERNELS "/%s", item->name);
    want->index_url = python->index_url;
    want->exact = python->exact;
    const struct env_wish wish = {.field = field,
                                  .requirements = item->requirements,
                                  .packages = item->packages,
                                  .python = item->python,
                                  .always = "ipykernel"};
    return want->env == NULL ? -ERRC_NOMEM : env_want(in, &wish, arena, diags, want);
}

static void check_twice(const struct desire *in, const struct kernel_item *items, size_t i,
                        const char *field, struct diags *diags) {
    for (size_t k = 0; k < i; k++)
        if (strcmp(items[i].name, items[k].name) == 0)
            diag_add(diags, spec_mark(in->spec, field), "give each a name of its own",
                     "the kernel `%s` is written twice", items[i].name);
}

static int ask(const struct spec *spec, struct inputs *inputs) {
    const struct reclist *kernels = &spec_jupyter(spec)->kernels;
    const struct kernel_item *items = kernels->items;
    for (size_t i = 0; i < kernels->len; i++) {
        char field[64];
        snprintf(field, sizeof field, "jupyter.kernels[%zu].requirements", i);
        int rc = items[i].requirements == NULL
                     ? 0
                     : requirements_ask(inputs, items[i].requirements, field);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    static const char *const deps[] = {"python.packages", NULL};
    const struct reclist *kernels = &spec_jupyter(in->spec)->kernels;
    const struct kernel_item *items = kernels->items;
    for (size_t i = 0; i < kernels->len; i++) {
        char field[64];
        struct python_want *want = ARENA_NEW(out->arena, struct python_want);
        const char *what = arena_printf(out->arena, "kernels[%s]", items[i].name);
        if (want == NULL || what == NULL)
            return -ERRC_NOMEM;
        snprintf(field, sizeof field, "jupyter.kernels[%zu].name", i);
        check_twice(in, items, i, field, diags);
        snprintf(field, sizeof field, "jupyter.kernels[%zu]", i);
        int rc = make_want(in, &items[i], field, out->arena, diags, want);
        struct filling filling = {&items[i], want,
                                  rc < 0 ? NULL : kernel_json(&items[i], want->env, out->arena)};
        if (rc == 0 && filling.spec == NULL)
            rc = -ERRC_NOMEM;
        if (rc == 0 && diags->errors == 0)
            rc = host_desire_each(in, out, &host_kernel_kind, what, deps, fill, &filling);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Its own Python decides, which is seen or was just made, on the server's machine. */
static int resolve(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown) {
    RECORD *r = record;
    const struct python_want *want = node->extra;
    if (env_is_known(want, NULL, NULL))
        return 0;
    const char *address = arena_printf(arena, "%s.python", node->parent);
    const struct host_python_record *main =
        address == NULL ? NULL : lookup->record(lookup->ctx, address, NULL);
    const RECORD *now = lookup->record(lookup->ctx, node->address, NULL);
    const char *python = r->python != NULL ? r->python : now == NULL ? NULL : now->python;
    if (address == NULL)
        return -ERRC_NOMEM;
    if (python == NULL || main == NULL || !env_is_version(python, r->version) ||
        !env_is_known(want, python, main->machine))
        return 0;
    *unknown &= ~(UINT64_C(1) << F_PACKAGES);
    return env_packages(want, python, main->machine, arena, &r->packages);
}

static int probe(const struct host_node *node, struct buf *script) {
    struct str name;
    if (!find_name(node, &name))
        return 0; /* there is none */
    const char *env = arena_printf(node->arena, HOST_KERNELS "/%.*s", STR_FMT(name));
    if (env == NULL)
        return -ERRC_NOMEM;
    env_probe_python(env, script);
    env_probe_packages(env, script);
    buf_addf(script, "fact64 spec " REGISTERED "%.*s/kernel.json\n", STR_FMT(name));
    return 0;
}

static int find_by_hand(const struct host_node *node, const struct facts *facts,
                        struct strlist *ret) {
    const RECORD *recorded = node->recorded;
    struct strmap wanted = {0};
    int rc = env_read_wanted(node, node->address, facts, &wanted);
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
    const RECORD *desired = node->desired, *recorded = node->recorded;
    const char *python = facts_get(facts, node->address, "python");
    _cleanup_buf_ struct buf spec = BUF_INIT(BUF_MEDIUM);
    struct strmap wanted = {0};
    *ret = env_presence(node, facts);
    if (python == NULL)
        return 0;
    r->python = r->version = arena_dup(node->arena, python);
    if (desired != NULL && env_is_version(python, desired->version))
        r->version = desired->version;
    else if (recorded != NULL && env_is_version(python, recorded->version))
        r->version = recorded->version;
    if (recorded != NULL)
        r->index_url = recorded->index_url;
    if (facts_get_base64(facts, node->address, "spec", &spec))
        r->spec = arena_dup_str(node->arena, buf_str(&spec));
    int rc =
        recorded == NULL ? 0 : env_read_packages(node, facts, &recorded->packages, &r->packages);
    if (rc == 0)
        rc = env_read_wanted(node, node->address, facts, &wanted);
    if (rc == 0)
        rc = env_read_packages(node, facts, &wanted, &r->packages);
    if (rc == 0 && desired != NULL && env_is_exact(node))
        rc = find_by_hand(node, facts, &r->extra);
    strmap_sort(&r->packages);
    return r->python == NULL ? -ERRC_NOMEM : rc;
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const RECORD *before = s->change->live == NULL ? NULL : s->change->live->record;
    const RECORD *after = s->after;
    struct str name;
    if (!find_name(s->node, &name))
        return err_set(err, ERRC_INVALID, "%s is the address of no kernel", s->node->address);
    const char *env = arena_printf(s->node->arena, HOST_KERNELS "/%.*s", STR_FMT(name));
    if (env == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    if (after == NULL) {
        buf_addf(script, "rm -rf " REGISTERED "%.*s\nremove_environment %s\n", STR_FMT(name), env);
        return 0;
    }
    env_use(env, script);
    buf_adds(script, "need_uv ");
    shell_quote(script, after->index_url == NULL ? "" : after->index_url);
    buf_addc(script, '\n');
    if (before == NULL || !env_is_version(before->python, after->version)) {
        const char *pythons = project_pythons(NULL, s->node->arena);
        buf_addf(script, "make_environment '%s' '%s'\n",
                 after->version == NULL ? "" : after->version, pythons == NULL ? "" : pythons);
        before = NULL;
    }
    bool known = (s->change->after_unknown >> F_PACKAGES & 1) == 0;
    int rc = env_change(s->node->extra, before == NULL ? NULL : &before->packages,
                        before == NULL ? NULL : &before->extra, known ? &after->packages : NULL,
                        s->node->arena, script);
    buf_addf(script, "mkdir -p %s/kernelspec\n", env);
    const char *file = arena_printf(s->node->arena, "%s/kernelspec/kernel.json", env);
    if (rc < 0 || file == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    shell_write_file(script, file, str_of(after->spec), "root", "644");
    buf_addf(script, "link_kernel %s\n", env);
    env_own(s->node, script);
    return 0;
}

static int take_value(struct host_step *s, const char *key, const char *value) {
    RECORD *r = s->record;
    if (r == NULL || strcmp(key, "python") != 0)
        return 0;
    r->python = arena_dup(s->node->arena, value);
    return r->python == NULL ? -ERRC_NOMEM : 0;
}

const struct kind host_kernel_kind = {
    .name = "server.kernel",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .ask = ask,
    .desire = desire,
    .resolve = resolve,
    .batch = host_batch,
};

const struct host_kind host_kernel_host = {
    .kind = &host_kernel_kind,
    .probe = probe,
    .read = read,
    .remark = remark,
    .step = step,
    .value = take_value,
};
