#include "providers/host/python_env.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* ---- What is wanted */

int env_add(struct arena *arena, struct strmap *map, const struct requirement *q) {
    const char *name = arena_printf(arena, "%s%s", q->name, q->extras);
    const char *before = name == NULL ? NULL : strmap_get(map, name);
    const char *shown = specifier_shown(q->specifier);
    /* Named twice: both hold, and whoever installs says it when both cannot. */
    const char *value = before == NULL ? shown : specifier_join(arena, before, shown);
    return name == NULL || value == NULL ? -ERRC_NOMEM : strmap_set(arena, map, name, value);
}

int env_add_requirement(struct arena *arena, struct strmap *map, struct str text) {
    struct requirement q;
    int rc = requirement_parse(arena, text, &q);
    if (rc == -ERRC_INVALID) /* which was checked before */
        return 0;
    return rc < 0 ? rc : env_add(arena, map, &q);
}

/* A package that the file has too, wherever it may be installed, is wanted once; false, and told,
 * when they cannot both be met. */
static bool is_other(const struct desire *in, const struct env_wish *wish,
                     const struct python_project *p, const struct strpair *other,
                     struct diags *diags) {
    bool everywhere = false;
    for (size_t i = 0; p != NULL && p->locked && i < p->len; i++) {
        const struct project_need *need = &p->needs[i];
        if (strcmp(need->key, other->key) != 0)
            continue;
        if (specifier_allows(other->value, need->value)) {
            everywhere |= project_is_needed_everywhere(p, need);
            continue;
        }
        char field[96];
        snprintf(field, sizeof field, "%s.packages", wish->field);
        diag_add(diags, spec_mark(in->spec, field),
                 p->closed ? "leave it out, or change it in the project: uv lock"
                           : "leave it out, or change it in the file",
                 "%s %s is asked for, and %s has %s", other->key, other->value, p->name,
                 need->value);
        return false;
    }
    return !everywhere;
}

int env_want(const struct desire *in, const struct env_wish *wish, struct arena *arena,
             struct diags *diags, struct python_want *want) {
    struct strmap all = {0};
    int rc = wish->requirements == NULL
                 ? 0
                 : project_read_requirements(in, wish->requirements, wish->python, &all, arena,
                                             diags, &want->project);
    for (size_t i = 0; rc == 0 && i < wish->packages.len; i++)
        rc = env_add_requirement(arena, &all, str_of(wish->packages.items[i]));
    if (rc == 0 && wish->always != NULL && strmap_get(&all, wish->always) == NULL)
        rc = strmap_set(arena, &all, wish->always, "any");
    for (size_t i = 0; rc == 0 && i < all.len; i++)
        if (is_other(in, wish, want->project, &all.items[i], diags))
            rc = strmap_set(arena, &want->others, all.items[i].key, all.items[i].value);
    return rc;
}

int env_packages(const struct python_want *want, const char *python, const char *machine,
                 struct arena *arena, struct strmap *ret) {
    struct strmap packages = {0};
    size_t place = want->project == NULL || python == NULL || machine == NULL
                       ? SIZE_MAX
                       : project_place(want->project, python, machine);
    int rc = strmap_copy(arena, &packages, &want->others);
    if (rc == 0 && want->project != NULL)
        rc = project_packages(want->project, place, arena, &packages);
    strmap_sort(&packages);
    if (rc == 0)
        *ret = packages;
    return rc;
}

int env_read_wanted(const struct host_node *node, const char *python, const struct facts *facts,
                    struct strmap *ret) {
    struct strmap wanted = {0};
    int rc = node->desired == NULL
                 ? 0
                 : env_packages(node->extra, facts_get(facts, python, "python"),
                                facts_get(facts, python, "machine"), node->arena, &wanted);
    if (rc == 0)
        *ret = wanted;
    return rc;
}

bool env_is_known(const struct python_want *want, const char *python, const char *machine) {
    return want->project == NULL || project_is_uniform(want->project) ||
           (python != NULL && machine != NULL &&
            project_place(want->project, python, machine) != SIZE_MAX);
}

bool env_is_version(const char *python, const char *wish) {
    if (wish == NULL)
        return true;
    size_t len = strlen(wish);
    return strncmp(python, wish, len) == 0 && (python[len] == '.' || python[len] == '\0');
}

/* ---- What is there */

void env_probe_python(const char *env, struct buf *script) {
    buf_addf(script,
             "e=%s\n[ ! -e $e ] || fact folder yes\n"
             "if [ -x $e/bin/python ] && [ -f $e/pyvenv.cfg ] && [ ! -e ${e%%/*}/.cut.${e##*/} ]; "
             "then\n"
             "while IFS='= ' read -r k v; do case $k in version|version_info) fact python "
             "\"${v#= }\";; esac; done <$e/pyvenv.cfg\nfact machine \"$(uname -m)\"\nfi\n",
             env);
}

enum presence env_presence(const struct host_node *node, const struct facts *facts) {
    if (facts_get(facts, node->address, "python") != NULL)
        return LIVE_OURS;
    bool left = node->desired == NULL && facts_get(facts, node->address, "folder") != NULL;
    return left ? LIVE_OURS : LIVE_NONE;
}

/* No program is started for it: the names of the folders say name and version. */
void env_probe_packages(const char *env, struct buf *script) {
    /* An install that was cut by a reboot may have left halves: nothing counts as installed.
     * REQUESTED marks what somebody asked for by name (PEP 627); uv marks all, so what berth
     * brought is told from the rest by the list that is kept of it. */
    buf_addf(script,
             "e=%s\n"
             "[ -e $e/" HOST_BUSY " ] || { own=; [ ! -e $e/" HOST_OWN " ] || "
             "own=\" $(tr '\\n' ' ' <$e/" HOST_OWN ") \"; for d in "
             "$e/lib/python3*/site-packages/*.dist-info; do n=${d##*/}; "
             "n=${n%%.dist-info}; fact dist \"$n\"; "
             "[ -z \"$own\" ] || [ ! -e \"$d/REQUESTED\" ] || case \"$own\" in "
             "*\" ${n%%%%-*} \"*) ;; *) fact asked \"$n\";; esac; done; }\n",
             env);
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

int env_read_packages(const struct host_node *node, const struct facts *facts,
                      const struct strmap *from, struct strmap *to) {
    for (size_t i = 0; i < from->len; i++) {
        const struct strpair *p = &from->items[i];
        const char *version = installed(node, facts, p->key);
        if (version == NULL)
            continue;
        const char *shown = specifier_allows(p->value, version) ? p->value : version;
        if (strmap_set(node->arena, to, p->key, shown) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static bool is_named(const struct strmap *packages, struct str name) {
    for (size_t i = 0; packages != NULL && i < packages->len; i++)
        if (is_name(name, packages->items[i].key, strcspn(packages->items[i].key, "[")))
            return true;
    return false;
}

int env_read_by_hand(const struct host_node *node, const struct facts *facts,
                     const struct strmap *desired, const struct strmap *recorded,
                     struct strlist *ret) {
    static const char *const tools[] = {"pip", "setuptools", "wheel", "packaging", "uv", NULL};
    for (size_t i = 0; i < facts->len; i++) {
        const struct fact *f = &facts->items[i];
        const char *dash = strchr(f->value, '-');
        if (strcmp(f->key, "asked") != 0 || strcmp(f->node, node->address) != 0 || dash == NULL)
            continue;
        struct str name = {f->value, (size_t)(dash - f->value)};
        bool known = is_named(desired, name) || is_named(recorded, name);
        for (size_t k = 0; tools[k] != NULL; k++)
            known |= is_name(name, tools[k], strlen(tools[k]));
        if (!known && strlist_addf(node->arena, ret, "%.*s %s", STR_FMT(name), dash + 1) < 0)
            return -ERRC_NOMEM;
    }
    strlist_sort(ret);
    return 0;
}

bool env_is_exact(const struct host_node *node) {
    const struct python_want *want = node->extra;
    return want != NULL && want->exact;
}

const char *env_remark(const struct strlist *by_hand, struct arena *arena) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    for (size_t i = 0; i < by_hand->len; i++)
        buf_addf(&text, "%s%s", i == 0 ? "" : ", ", by_hand->items[i]);
    buf_adds(&text, ": installed by hand, not in the spec: kept");
    return by_hand->len == 0 || text.failed ? NULL : arena_dup_str(arena, buf_str(&text));
}
