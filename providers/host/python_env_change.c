/* Shell that makes an environment hold what is wanted. */
#include "providers/host/python_env.h"

#include <string.h>

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
