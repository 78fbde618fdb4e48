#include "providers/host/uv_lock.h"

#include <stdlib.h>
#include <string.h>

enum { PACKAGES_MAX = 10000, FORMAT = 1 };

static const char registry[] = "registry ";

/* ---- Reading */

static const char *text_of(const cJSON *table, const char *key) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(table, key));
}

/* { registry = "https://…" } → "registry https://…" */
static const char *source_of(struct arena *arena, const cJSON *package) {
    const cJSON *source = cJSON_GetObjectItemCaseSensitive(package, "source");
    const cJSON *first = cJSON_IsObject(source) ? source->child : NULL;
    const char *value = cJSON_GetStringValue(first);
    return first == NULL || value == NULL ? NULL
                                          : arena_printf(arena, "%s %s", first->string, value);
}

const char *lock_index(const struct lock_package *package) {
    size_t len = strlen(registry);
    return package->source != NULL && strncmp(package->source, registry, len) == 0
               ? package->source + len
               : NULL;
}

static int read_need(struct arena *arena, struct uv_lock *lock, const cJSON *from,
                     struct lock_need *to, struct err *err) {
    const char *name = text_of(from, "name"), *marker = text_of(from, "marker");
    const cJSON *extra;
    if (name == NULL)
        return err_set(err, ERRC_INVALID, "a dependency has no name");
    to->name = arena_dup(arena, name);
    to->version = arena_dup(arena, text_of(from, "version"));
    to->source = source_of(arena, from);
    to->marker = arena_dup(arena, marker == NULL ? "" : marker);
    if (to->name == NULL || to->marker == NULL ||
        marker_patches(arena, str_of(to->marker), &lock->patches) < 0)
        return err_no_memory(err);
    cJSON_ArrayForEach(extra, cJSON_GetObjectItemCaseSensitive(from, "extra")) {
        const char *text = cJSON_GetStringValue(extra);
        if (text != NULL && strlist_add(arena, &to->extras, text) < 0)
            return err_no_memory(err);
    }
    return 0;
}

static int read_needs(struct arena *arena, struct uv_lock *lock, const cJSON *array,
                      const char *name, struct lock_needs *to, struct err *err) {
    const cJSON *item;
    size_t len = (size_t)cJSON_GetArraySize(array);
    *to = (struct lock_needs){.name = arena_dup(arena, name),
                              .items = arena_calloc(arena, len + 1, sizeof *to->items),
                              .number = lock->needs_len++};
    if (to->name == NULL || to->items == NULL)
        return err_no_memory(err);
    cJSON_ArrayForEach(item, array) {
        int rc = read_need(arena, lock, item, &to->items[to->len], err);
        if (rc < 0)
            return rc;
        to->len++;
    }
    return 0;
}

/* [package.optional-dependencies] and [package.dev-dependencies] */
static int read_named(struct arena *arena, struct uv_lock *lock, const cJSON *table,
                      struct lock_needs **ret, size_t *ret_len, struct err *err) {
    const cJSON *item;
    size_t len = (size_t)cJSON_GetArraySize(table);
    *ret = arena_calloc(arena, len + 1, sizeof **ret);
    if (*ret == NULL)
        return err_no_memory(err);
    cJSON_ArrayForEach(item, table) {
        if (item->string == NULL) /* no table */
            continue;
        int rc = read_needs(arena, lock, item, item->string, &(*ret)[*ret_len], err);
        if (rc < 0)
            return rc;
        (*ret_len)++;
    }
    return 0;
}

/* Wheels of other systems are left out: they are many. */
static bool is_for_linux(const char *file) {
    static const char *const others[] = {"-win32.", "-win_",     "-macosx_",  "-musllinux_",
                                         "-ios_",   "-android_", "-pyodide_", "-emscripten_"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strstr(file, others[i]) != NULL)
            return false;
    return true;
}

static int add_hash(struct arena *arena, const cJSON *file, struct strlist *hashes) {
    const char *hash = text_of(file, "hash"), *url = text_of(file, "url");
    if (hash == NULL || (url != NULL && !is_for_linux(url)))
        return 0;
    /* It goes into a shell script: nothing but what a hash is. */
    size_t n = strspn(hash, "abcdefghijklmnopqrstuvwxyz0123456789");
    if (hash[n] != ':' || hash[n + 1 + strspn(hash + n + 1, "0123456789abcdef")] != '\0')
        return 0;
    return strlist_add(arena, hashes, hash);
}

static int read_hashes(struct arena *arena, const cJSON *package, struct strlist *hashes) {
    const cJSON *wheel;
    int rc = add_hash(arena, cJSON_GetObjectItemCaseSensitive(package, "sdist"), hashes);
    cJSON_ArrayForEach(wheel, cJSON_GetObjectItemCaseSensitive(package, "wheels")) {
        if (rc == 0)
            rc = add_hash(arena, wheel, hashes);
    }
    return rc;
}

static bool is_version(const char *text) {
    return text[0] != '\0' &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789.+!_-")] == '\0';
}

static bool is_name(const char *text) {
    return text[0] != '\0' && text[0] != '-' &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

static int read_package(struct arena *arena, struct uv_lock *lock, const cJSON *from,
                        struct lock_package *to, struct err *err) {
    const char *name = text_of(from, "name"), *version = text_of(from, "version");
    if (name == NULL || !is_name(name))
        return err_set(err, ERRC_INVALID, "a package has no name");
    if (version != NULL && !is_version(version))
        return err_set(err, ERRC_INVALID, "%s has no version that is one", name);
    to->name = arena_dup(arena, name);
    to->version = arena_dup(arena, version);
    to->source = source_of(arena, from);
    if (to->name == NULL || read_hashes(arena, from, &to->hashes) < 0)
        return err_no_memory(err);
    int rc = read_needs(arena, lock, cJSON_GetObjectItemCaseSensitive(from, "dependencies"), "",
                        &to->needs, err);
    if (rc == 0)
        rc =
            read_named(arena, lock, cJSON_GetObjectItemCaseSensitive(from, "optional-dependencies"),
                       &to->extras, &to->extras_len, err);
    return rc < 0
               ? rc
               : read_named(arena, lock, cJSON_GetObjectItemCaseSensitive(from, "dev-dependencies"),
                            &to->groups, &to->groups_len, err);
}

static int compare_packages(const void *a, const void *b) {
    return strcmp(((const struct lock_package *)a)->name, ((const struct lock_package *)b)->name);
}

static bool is_root(const struct lock_package *p, const char *project) {
    return strcmp(p->name, project) == 0 &&
           (cstr_eq(p->source, "virtual .") || cstr_eq(p->source, "editable .") ||
            cstr_eq(p->source, "directory ."));
}

static int read_packages(struct arena *arena, const cJSON *toml, const char *project,
                         struct uv_lock *lock, struct err *err) {
    const cJSON *packages = cJSON_GetObjectItemCaseSensitive(toml, "package"), *item;
    size_t len = cJSON_IsArray(packages) ? (size_t)cJSON_GetArraySize(packages) : 0;
    const cJSON *metadata = NULL;
    if (len > PACKAGES_MAX)
        return err_set(err, ERRC_LIMIT, "more than %d packages", PACKAGES_MAX);
    lock->packages = arena_calloc(arena, len + 1, sizeof *lock->packages);
    if (lock->packages == NULL)
        return err_no_memory(err);
    for (item = len == 0 ? NULL : packages->child; item != NULL; item = item->next) {
        struct lock_package *p = &lock->packages[lock->len];
        int rc = read_package(arena, lock, item, p, err);
        if (rc < 0)
            return rc;
        lock->len++;
        if (is_root(p, project))
            metadata = cJSON_GetObjectItemCaseSensitive(item, "metadata");
    }
    lock->requires_dist = cJSON_GetObjectItemCaseSensitive(metadata, "requires-dist");
    qsort(lock->packages, lock->len, sizeof *lock->packages, compare_packages);
    for (size_t i = 0; i < lock->len; i++)
        if (is_root(&lock->packages[i], project))
            lock->root = &lock->packages[i];
    return 0;
}

int uv_lock_read(struct arena *arena, const cJSON *toml, const char *project, struct uv_lock *ret,
                 struct err *err) {
    struct uv_lock lock = {0};
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(toml, "version");
    if (!cJSON_IsNumber(version))
        return err_set(err, ERRC_INVALID, "it does not say of which format it is");
    if (version->valuedouble != FORMAT)
        return err_set(err, ERRC_UNSUPPORTED, "it is of format %.0f, and this berth knows %d",
                       version->valuedouble, FORMAT);
    int rc = read_packages(arena, toml, project, &lock, err);
    if (rc == 0 && lock.root == NULL)
        rc = err_set(err, ERRC_INVALID, "the project %s is not in it", project);
    if (rc == 0)
        *ret = lock;
    return rc;
}

/* ---- Selecting */

struct selection {
    struct arena *arena;
    const struct uv_lock *lock;
    struct marker_env env;
    bool *packages;                  /* that are reached */
    bool *seen;                      /* sets of needs, by their numbers */
    const struct lock_needs **to_do; /* each at most once */
    size_t to_do_len;
    struct err *err;
};

static void reach(struct selection *s, const struct lock_needs *needs) {
    if (s->seen[needs->number])
        return;
    s->seen[needs->number] = true;
    s->to_do[s->to_do_len++] = needs;
}

static const struct lock_needs *find_needs(const struct lock_needs *list, size_t len,
                                           const char *name) {
    for (size_t i = 0; i < len; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

static void reach_package(struct selection *s, size_t i, const struct strlist *extras) {
    const struct lock_package *p = &s->lock->packages[i];
    s->packages[i] = true;
    reach(s, &p->needs);
    /* An extra that a package does not have is a warning of uv's, no error. */
    for (size_t e = 0; e < extras->len; e++) {
        const struct lock_needs *needs = find_needs(p->extras, p->extras_len, extras->items[e]);
        if (needs != NULL)
            reach(s, needs);
    }
}

/* The first package of that name. */
static size_t find_package(const struct uv_lock *lock, const char *name) {
    size_t low = 0, high = lock->len;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(lock->packages[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int follow(struct selection *s, const struct lock_need *need) {
    int holds = marker_holds(str_of(need->marker), &s->env);
    if (holds < 0)
        return err_set(s->err, ERRC_INVALID, "%s has a marker that is none: %.200s", need->name,
                       need->marker);
    if (holds == 0)
        return 0;
    bool found = false;
    for (size_t i = find_package(s->lock, need->name);
         i < s->lock->len && strcmp(s->lock->packages[i].name, need->name) == 0; i++) {
        const struct lock_package *p = &s->lock->packages[i];
        if ((need->version != NULL && !cstr_eq(need->version, p->version)) ||
            (need->source != NULL && !cstr_eq(need->source, p->source)))
            continue;
        found = true;
        reach_package(s, i, &need->extras);
    }
    return found ? 0
                 : err_set(s->err, ERRC_INVALID, "the package %s is asked for and not in it",
                           need->name);
}

/* Where extras exclude each other, uv asks for them so: "extra-5-tools-cpu" is true of the extra
 * `cpu` of `tools`. */
static int activate(struct selection *s, struct strlist *active, const char *what,
                    const char *name) {
    const char *root = s->lock->root->name;
    return strlist_addf(s->arena, active, "%s-%zu-%s-%s", what, strlen(root), root, name) < 0
               ? err_no_memory(s->err)
               : 0;
}

static int begin(struct selection *s, const struct strlist *extras, const struct strlist *groups,
                 struct strlist *active) {
    const struct lock_package *root = s->lock->root;
    const char *words[] = {"extra", "group"};
    const struct strlist *lists[] = {extras, groups}, none = {0};
    reach_package(s, (size_t)(root - s->lock->packages), &none);
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < lists[k]->len; i++) {
            const char *name = package_name(s->arena, str_of(lists[k]->items[i]));
            if (name == NULL)
                return err_no_memory(s->err);
            const struct lock_needs *needs = k == 0
                                                 ? find_needs(root->extras, root->extras_len, name)
                                                 : find_needs(root->groups, root->groups_len, name);
            if (needs == NULL)
                return err_set(s->err, ERRC_NOTFOUND, "there is no %s `%s`", words[k],
                               lists[k]->items[i]);
            reach(s, needs);
            if (activate(s, active, words[k], name) < 0)
                return -ERRC_NOMEM;
        }
    s->env.extras = active;
    return strlist_addf(s->arena, active, "project-%zu-%s", strlen(root->name), root->name) < 0
               ? err_no_memory(s->err)
               : 0;
}

/* What was reached must be of an index, and one of each. */
static int check(const struct selection *s) {
    const struct lock_package *last = NULL;
    for (size_t i = 0; i < s->lock->len; i++) {
        const struct lock_package *p = &s->lock->packages[i];
        if (p == s->lock->root)
            s->packages[i] = false;
        if (!s->packages[i])
            continue;
        const char *index = lock_index(p);
        if (index == NULL || p->version == NULL ||
            (strncmp(index, "https://", 8) != 0 && strncmp(index, "http://", 7) != 0))
            return err_set(s->err, ERRC_UNSUPPORTED, "%s comes from %s", p->name,
                           p->source == NULL ? "nowhere" : p->source);
        if (last != NULL && strcmp(last->name, p->name) == 0)
            return err_set(s->err, ERRC_CONFLICT, "%s is asked for as %s and as %s", p->name,
                           last->version, p->version);
        last = p;
    }
    return 0;
}

int uv_lock_select(struct arena *arena, const struct uv_lock *lock, const struct strlist *extras,
                   const struct strlist *groups, const struct marker_env *env, bool **ret,
                   struct err *err) {
    struct strlist active = {0};
    struct selection s = {.arena = arena,
                          .lock = lock,
                          .env = *env,
                          .packages = arena_calloc(arena, lock->len + 1, sizeof *s.packages),
                          .seen = arena_calloc(arena, lock->needs_len + 1, sizeof *s.seen),
                          .to_do = arena_calloc(arena, lock->needs_len + 1, sizeof *s.to_do),
                          .err = err};
    if (s.packages == NULL || s.seen == NULL || s.to_do == NULL)
        return err_no_memory(err);
    int rc = begin(&s, extras, groups, &active);
    while (rc == 0 && s.to_do_len > 0) {
        const struct lock_needs *needs = s.to_do[--s.to_do_len];
        for (size_t i = 0; rc == 0 && i < needs->len; i++)
            rc = follow(&s, &needs->items[i]);
    }
    if (rc == 0)
        rc = check(&s);
    if (rc == 0)
        *ret = s.packages;
    return rc;
}
