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

/* ---- Changing it */

void env_use(const char *env, struct buf *script) { buf_addf(script, "env=%s\n", env); }

void env_own(const struct host_node *node, struct buf *script) {
    buf_adds(script, "own_environment ");
    shell_quote(script, node->connection->endpoint.user);
    buf_addc(script, '\n');
}

/* Which place of the project's markers this is: its number in $n. */
static void add_choice(const struct python_project *p, struct buf *script) {
    buf_adds(script, "set -- $(\"$env/bin/python\" -c 'import platform, sys; "
                     "print(\"%d.%d\" % sys.version_info[:2], sys.version_info[2], "
                     "platform.machine())')\nn=\n");
    /* Behind each other by their patch levels: the last one that holds is it. */
    for (int64_t patch = 0, next; patch != INT64_MAX; patch = next) {
        next = INT64_MAX;
        for (size_t i = 0; i < p->places_len; i++) {
            const struct project_place *place = &p->places[i];
            if (place->patch == patch)
                buf_addf(script, "[ \"$1 $3\" != '%s %s' ] || [ \"$2\" -lt %lld ] || n=%zu\n",
                         place->minor, place->machine, (long long)patch, i);
            else if (place->patch > patch && place->patch < next)
                next = place->patch;
        }
    }
    buf_adds(script, "[ -n \"$n\" ] || { echo \"what is to be installed is not for Python $1 on "
                     "$3\"; exit 1; }\n");
}

/* Shell behind this runs only where the need is one. */
static void begin_if(const struct project_need *need, size_t places, struct buf *script) {
    buf_adds(script, "case $n in ");
    for (size_t i = 0, k = 0; i < places; i++)
        if (need->places >> i & 1)
            buf_addf(script, "%s%zu", k++ == 0 ? "" : "|", i);
    buf_adds(script, ") ");
}

/* NAME==VERSION as one word of the shell. */
static void add_word(struct buf *script, const char *name, const char *shown) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    specifier_add(&text, name, shown);
    shell_quote(script, buf_cstr(&text));
}

/* The locked ones into a file, with their hashes; and without into one of constraints. */
static void add_lock_file(const struct python_project *p, struct buf *script) {
    for (size_t i = 0; i < p->len; i++) {
        const struct project_need *need = &p->needs[i];
        bool some = !project_is_needed_everywhere(p, need);
        if (some)
            begin_if(need, p->places_len, script);
        buf_adds(script, "locked ");
        add_word(script, need->key, need->value);
        for (size_t k = 0; p->hashed && k < need->hashes->len; k++)
            buf_addf(script, " --hash=%s", need->hashes->items[k]);
        buf_adds(script, some ? ";; esac\n" : "\n");
    }
}

static void add_limits(const struct python_project *p, struct buf *script) {
    for (size_t i = 0; i < p->limits_len; i++) {
        const struct project_need *limit = &p->limits[i];
        bool some = !project_is_needed_everywhere(p, limit);
        if (some)
            begin_if(limit, p->places_len, script);
        buf_adds(script, "limit ");
        add_word(script, limit->key, limit->value);
        buf_adds(script, some ? ";; esac\n" : "\n");
    }
}

static void add_index(const struct python_want *want, struct buf *script) {
    if (want->index_url == NULL)
        return;
    buf_adds(script, " --index-url ");
    shell_quote(script, want->index_url);
}

static void add_argument(struct buf *script, const char *name, const char *value) {
    buf_adds(script, "set -- \"$@\" ");
    add_word(script, name, value);
}

static void add_locked_options(const struct python_want *want, struct buf *script) {
    const struct python_project *p = want->project;
    buf_addf(script, "%s%s -r \"$work/locked\"", p->closed ? " --no-deps" : "",
             p->hashed ? " --require-hashes" : "");
    add_index(want, script);
    for (size_t i = 0; i < p->indexes.len; i++) {
        buf_adds(script, " --extra-index-url ");
        shell_quote(script, p->indexes.items[i]);
    }
    buf_addc(script, '\n');
}

/* Of a lock, without a look at what else these ask for: that is in it. Of a file with hashes that
 * is to be so, and what is there now, and is to go, must not hide that it is not. */
static void add_locked(const struct python_want *want, bool removes, struct buf *script) {
    const struct python_project *p = want->project;
    /* Each version is in one of them, and which one its hash tells. */
    if (p->indexes.len > 0)
        buf_adds(script, "export UV_INDEX_STRATEGY=unsafe-best-match\n");
    add_lock_file(p, script);
    if (removes && p->hashed && !p->closed) {
        buf_adds(script, "pip_rehearse");
        add_locked_options(want, script);
    }
    buf_adds(script, "pip_install");
    add_locked_options(want, script);
    buf_adds(script, "unset UV_INDEX_STRATEGY\n");
}

/* Exactly what is locked; then the others, which may move none of it. */
static int add_install(const struct python_want *want, bool removes, struct buf *script) {
    const struct python_project *p = want->project;
    bool locked = p != NULL && p->locked && p->len > 0;
    bool limited = locked || (p != NULL && p->limits_len > 0);
    if (p != NULL && !project_is_uniform(p))
        add_choice(p, script);
    if (limited)
        buf_adds(script, ": >\"$work/locked\"; : >\"$work/constraints\"\n");
    if (limited)
        add_limits(p, script);
    if (locked)
        add_locked(want, removes, script);
    if (want->others.len == 0 && (p == NULL || p->locked || p->len == 0))
        return script->failed ? -ERRC_NOMEM : 0; /* an environment may be all that is wanted */
    buf_adds(script, "set --\n");
    for (size_t i = 0; i < want->others.len; i++) {
        add_argument(script, want->others.items[i].key, want->others.items[i].value);
        buf_addc(script, '\n');
    }
    for (size_t i = 0; p != NULL && !p->locked && i < p->len; i++) {
        bool some = !project_is_needed_everywhere(p, &p->needs[i]);
        if (some)
            begin_if(&p->needs[i], p->places_len, script);
        add_argument(script, p->needs[i].key, p->needs[i].value);
        buf_adds(script, some ? ";; esac\n" : "\n");
    }
    buf_adds(script, "[ $# = 0 ] || pip_install");
    if (limited)
        buf_adds(script, " -c \"$work/constraints\"");
    add_index(want, script);
    buf_adds(script, " \"$@\"\n");
    return script->failed ? -ERRC_NOMEM : 0;
}

/* Its name ends with one of `ends`: extras, a version. */
static void add_removal(struct buf *script, bool *any, const char *text, const char *ends,
                        struct arena *arena) {
    const char *bare = arena_dup_str(arena, (struct str){text, strcspn(text, ends)});
    if (bare == NULL)
        script->failed = true;
    else {
        buf_adds(script, *any ? " " : "pip_uninstall ");
        shell_quote(script, bare);
    }
    *any = true;
}

int env_change(const struct python_want *want, const struct strmap *before,
               const struct strlist *extra, const struct strmap *after, struct arena *arena,
               struct buf *script) {
    struct strlist gone = {0}; /* keys of `before` */
    int rc = 0;
    for (size_t i = 0; rc == 0 && before != NULL && after != NULL && i < before->len; i++)
        if (strmap_get(after, before->items[i].key) == NULL)
            rc = strlist_add(arena, &gone, before->items[i].key);
    bool removes = gone.len > 0 || (extra != NULL && extra->len > 0), any = false;
    /* A wish that cannot be met fails before anything is taken away. */
    if (rc == 0)
        rc = add_install(want, removes, script);
    for (size_t i = 0; i < gone.len; i++)
        add_removal(script, &any, gone.items[i], "[", arena);
    for (size_t i = 0; extra != NULL && i < extra->len; i++)
        add_removal(script, &any, extra->items[i], " ", arena);
    if (!removes || rc < 0)
        return script->failed ? -ERRC_NOMEM : rc;
    /* What others need of what went comes back. */
    buf_adds(script, "\nagain=; force=\n");
    return add_install(want, false, script);
}
