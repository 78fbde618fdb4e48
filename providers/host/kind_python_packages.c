/* server[N].python.packages: what is in the environment. */
#include "providers/host/internal.h"
#include "specs/sections/check.h"
#include "specs/sections/sections.h"

#include <ctype.h>
#include <string.h>

#define RECORD struct host_python_packages_record

enum { F_PACKAGES, F_INDEX, F_ENVIRONMENT, F_EXTRA };

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
    FIELD_END,
};

static int ask(const struct spec *spec, struct inputs *inputs) {
    const char *path = spec_packages(spec)->python.requirements;
    return path == NULL
               ? 0
               : inputs_ask(inputs, INPUT_FILE, path, "packages.python.requirements", true);
}

/* "Scikit_Learn[x] ==1.5.*" → "scikit-learn" and "==1.5.*" (PEP 503 names). Extras stay with the
 * name, since they are part of what is asked for. */
static int add_requirement(struct arena *arena, struct strmap *map, struct str text) {
    char name[256];
    size_t n = 0, i = 0;
    text = str_trim(text);
    bool extras = false;
    for (; i < text.len && n + 1 < sizeof name; i++) {
        char c = text.ptr[i];
        extras |= c == '[';
        if (!extras && !isalnum((unsigned char)c) && strchr("._-", c) == NULL)
            break;
        if (c == ' ')
            continue;
        if (!extras && strchr("._", c) != NULL)
            c = '-';
        if (!extras && c == '-' && n > 0 && name[n - 1] == '-')
            continue;
        name[n++] = extras ? c : (char)tolower((unsigned char)c);
        if (c == ']') {
            i++;
            break;
        }
    }
    name[n] = '\0';
    struct str rest = str_trim((struct str){text.ptr + i, text.len - i});
    const char *specifier = rest.len == 0 ? "any" : arena_dup_str(arena, rest);
    return specifier == NULL ? -ERRC_NOMEM : strmap_set(arena, map, name, specifier);
}

static int add_requirements_file(const struct desire *in, struct strmap *map, struct arena *arena,
                                 struct diags *diags) {
    const char *path = spec_packages(in->spec)->python.requirements;
    const struct input *file = path == NULL ? NULL : inputs_get(in->inputs, INPUT_FILE, path);
    struct str rest = file == NULL ? (struct str){NULL, 0} : secret_reveal(&file->content);
    struct str line;
    for (size_t number = 1; str_split(&rest, '\n', &line); number++) {
        const char *comment = line.len == 0 ? NULL : memchr(line.ptr, '#', line.len);
        if (comment != NULL)
            line.len = (size_t)(comment - line.ptr);
        line = str_trim(line);
        if (line.len == 0)
            continue;
        const char *problem = check_requirement(line);
        if (problem != NULL)
            diag_add(diags, spec_mark(in->spec, "packages.python.requirements"),
                     "expected a package with its versions, such as pandas==2.2.*",
                     "line %zu of %s is not a plain requirement: %.*s", number, path,
                     STR_FMT(line));
        else if (add_requirement(arena, map, line) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    RECORD *r = node->desired;
    const struct python_section *python = &spec_packages(in->spec)->python;
    int rc = add_requirements_file(in, &r->packages, arena, ctx);
    for (size_t i = 0; rc == 0 && i < python->packages.len; i++)
        rc = add_requirement(arena, &r->packages, str_of(python->packages.items[i]));
    if (rc == 0 && spec_has(in->spec, &section_jupyter)) {
        const char *interface = spec_jupyter(in->spec)->interface;
        const char *name = cstr_eq(interface, "lab") ? "jupyterlab" : "notebook";
        if (strmap_get(&r->packages, name) == NULL)
            rc = strmap_set(arena, &r->packages, name, "any");
    }
    strmap_sort(&r->packages);
    r->index_url = python->index_url;
    node->extra = python; /* as long as the spec */
    node->unknown = 1u << F_ENVIRONMENT;
    return rc;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    static const char *const deps[] = {"python", NULL};
    if (!spec_has_python(in->spec) && !spec_has(in->spec, &section_jupyter))
        return 0;
    return host_desire_each(in, out, &host_python_packages_kind, "python.packages", deps, fill,
                            diags);
}

static int resolve(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown) {
    const char *address = arena_printf(arena, "%s.python", node->parent);
    const struct host_python_record *python =
        address == NULL ? NULL : lookup->record(lookup->ctx, address, NULL);
    if (python == NULL || python->python == NULL)
        return 0;
    RECORD *r = record;
    r->environment = arena_dup(arena, python->python);
    *unknown &= ~(UINT64_C(1) << F_ENVIRONMENT);
    return r->environment == NULL ? -ERRC_NOMEM : 0;
}

/* No program is started for it: the names of the folders say name and version. */
static int probe(const struct host_node *node, struct buf *script) {
    (void)node;
    /* An install that was cut by a reboot may have left halves: nothing counts as installed.
     * REQUESTED marks what somebody asked for by name (PEP 627); uv marks all, so what berth
     * brought is told from the rest by the list that is kept of it. */
    buf_adds(script, "[ -e " HOST_ENV_BUSY " ] || { own=; [ ! -e " HOST_ENV_OWN " ] || "
                     "own=\" $(tr '\\n' ' ' <" HOST_ENV_OWN ") \"; for d in " HOST_ENV
                     "/lib/python3*/site-packages/*.dist-info; do n=${d##*/}; "
                     "n=${n%.dist-info}; fact dist \"$n\"; "
                     "[ -z \"$own\" ] || [ ! -e \"$d/REQUESTED\" ] || case \"$own\" in "
                     "*\" ${n%%-*} \"*) ;; *) fact asked \"$n\";; esac; done; }\n");
    return 0;
}

/* PEP 503: case, and runs of "-", "_" and ".", do not tell names apart. */
static bool is_name(struct str text, const char *canonical, size_t len) {
    size_t k = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i] == '_' || text.ptr[i] == '.' ? '-' : text.ptr[i];
        if (c == '-' && k > 0 && canonical[k - 1] == '-')
            continue;
        if (k == len || (char)tolower((unsigned char)c) != canonical[k])
            return false;
        k++;
    }
    return k == len;
}

/* Version of a package by its canonical name, or NULL. */
static const char *installed(const struct host_node *node, const struct facts *facts,
                             const char *name) {
    size_t len = strcspn(name, "[");
    for (size_t i = 0; i < facts->len; i++) {
        const struct fact *f = &facts->items[i];
        if (strcmp(f->key, "dist") != 0 || strcmp(f->node, node->address) != 0)
            continue;
        const char *dash = strchr(f->value, '-');
        if (dash != NULL && is_name((struct str){f->value, (size_t)(dash - f->value)}, name, len))
            return dash + 1;
    }
    return NULL;
}

/* Of the packages in `from` those that are there; as asked for when the version fits. */
static int read_packages(const struct host_node *node, const struct facts *facts,
                         const struct strmap *from, struct strmap *to) {
    for (size_t i = 0; i < from->len; i++) {
        const struct strpair *p = &from->items[i];
        const char *version = installed(node, facts, p->key);
        if (version == NULL)
            continue;
        const char *shown = pep440_matches(version, p->value) ? p->value : version;
        if (strmap_set(node->arena, to, p->key, shown) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static bool is_named(const struct strmap *packages, struct str name) {
    for (size_t i = 0; i < packages->len; i++)
        if (is_name(name, packages->items[i].key, strcspn(packages->items[i].key, "[")))
            return true;
    return false;
}

/* What somebody asked for by name, and neither the spec nor an earlier apply did: "scipy 1.11.4".
 */
static int read_by_hand(const struct host_node *node, const struct facts *facts,
                        struct strlist *ret) {
    static const char *const tools[] = {"pip", "setuptools", "wheel", "packaging", "uv", NULL};
    const RECORD *records[] = {node->desired, node->recorded};
    for (size_t i = 0; i < facts->len; i++) {
        const struct fact *f = &facts->items[i];
        const char *dash = strchr(f->value, '-');
        if (strcmp(f->key, "asked") != 0 || strcmp(f->node, node->address) != 0 || dash == NULL)
            continue;
        struct str name = {f->value, (size_t)(dash - f->value)};
        bool known = false;
        for (size_t k = 0; tools[k] != NULL; k++)
            known |= is_name(name, tools[k], strlen(tools[k]));
        for (size_t k = 0; k < 2; k++)
            known |= records[k] != NULL && is_named(&records[k]->packages, name);
        if (!known && strlist_addf(node->arena, ret, "%.*s %s", STR_FMT(name), dash + 1) < 0)
            return -ERRC_NOMEM;
    }
    strlist_sort(ret);
    return 0;
}

static bool is_exact(const struct host_node *node) {
    const struct python_section *python = node->extra;
    return python != NULL && python->exact;
}

static const char *remark(const struct host_node *node, const struct facts *facts) {
    struct strlist list = {0};
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    if (node->desired == NULL || is_exact(node) || read_by_hand(node, facts, &list) < 0 ||
        list.len == 0)
        return NULL;
    for (size_t i = 0; i < list.len; i++)
        buf_addf(&text, "%s%s", i == 0 ? "" : ", ", list.items[i]);
    buf_adds(&text, ": installed by hand, not in the spec: kept");
    return text.failed ? NULL : arena_dup_str(node->arena, buf_str(&text));
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)err;
    RECORD *r = record;
    const RECORD *desired = node->desired;
    const RECORD *recorded = node->recorded;
    int rc = 0;
    if (recorded != NULL) {
        r->index_url = recorded->index_url;
        r->environment = recorded->environment;
        /* What the spec no longer names is to go: it shows as a difference. */
        rc = read_packages(node, facts, &recorded->packages, &r->packages);
    }
    if (rc == 0 && desired != NULL)
        rc = read_packages(node, facts, &desired->packages, &r->packages);
    if (rc == 0 && desired != NULL && is_exact(node))
        rc = read_by_hand(node, facts, &r->extra);
    strmap_sort(&r->packages);
    /* A run that was cut off from its host has done it, perhaps. */
    bool all = desired != NULL && desired->packages.len > 0 &&
               strmap_equal(&desired->packages, &r->packages);
    *ret = recorded == NULL && !all ? LIVE_NONE : LIVE_OURS;
    return rc;
}

static int add_install(const RECORD *r, struct buf *script) {
    if (r->packages.len == 0) /* an environment may be all that is wanted */
        return 0;
    buf_adds(script, "pip_install");
    if (r->index_url != NULL) {
        buf_adds(script, " --index-url ");
        shell_quote(script, r->index_url);
    }
    for (size_t i = 0; i < r->packages.len; i++) {
        const struct strpair *p = &r->packages.items[i];
        _cleanup_buf_ struct buf requirement = BUF_INIT(BUF_SMALL);
        buf_addf(&requirement, "%s%s", p->key, strcmp(p->value, "any") == 0 ? "" : p->value);
        buf_addc(script, ' ');
        shell_quote(script, buf_cstr(&requirement));
    }
    buf_addc(script, '\n');
    return script->failed ? -ERRC_NOMEM : 0;
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const RECORD *before = s->change->live == NULL ? NULL : s->change->live->record;
    const RECORD *after = s->after;
    if (after == NULL)
        return 0;                        /* they go with their environment */
    buf_adds(script, "stale_jupyter\n"); /* before: this run may be cut */
    /* A wish that cannot be met fails before anything is taken away. */
    int rc = add_install(after, script);
    bool any = false;
    for (size_t i = 0; before != NULL && i < before->packages.len; i++) {
        const char *name = before->packages.items[i].key;
        if (strmap_get(&after->packages, name) != NULL)
            continue;
        const char *bare = /* without extras */
            arena_dup_str(s->node->arena, (struct str){name, strcspn(name, "[")});
        if (bare == NULL)
            return err_set(err, ERRC_NOMEM, "out of memory");
        buf_adds(script, any ? " " : "pip_uninstall ");
        any = true;
        shell_quote(script, bare);
    }
    for (size_t i = 0; before != NULL && i < before->extra.len; i++) {
        const char *name = before->extra.items[i];
        const char *bare = arena_dup_str(s->node->arena, (struct str){name, strcspn(name, " ")});
        if (bare == NULL)
            return err_set(err, ERRC_NOMEM, "out of memory");
        buf_adds(script, any ? " " : "pip_uninstall ");
        any = true;
        shell_quote(script, bare);
    }
    /* What others need of what went comes back. */
    if (any) {
        buf_addc(script, '\n');
        rc = add_install(after, script);
    }
    buf_addf(script, "own_environment %s\n", s->node->connection->endpoint.user);
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
