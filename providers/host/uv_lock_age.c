/* Is a lock older than the pyproject.toml beside it? It remembers what that said. */
#include "providers/host/internal.h"
#include "providers/host/uv_lock.h"

#include <string.h>

struct asked {                /* one requirement, as either file has it */
    const char *name, *extra; /* extra: of the project, that asks for it; "" for none */
    const char *specifier;    /* NULL: from elsewhere than an index, where none counts */
    struct strlist extras;    /* of the package */
};

struct askeds {
    struct arena *arena;
    struct asked *items;
    size_t len, cap;
};

static const cJSON *member(const cJSON *table, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(table, key);
}

static struct asked *add(struct askeds *list) {
    struct asked *items =
        arena_grow(list->arena, list->items, list->len, sizeof *items, &list->cap);
    if (items == NULL)
        return NULL;
    list->items = items;
    return &list->items[list->len++];
}

/* "extra == 'ml'" within a marker → "ml" */
static const char *extra_of(struct arena *arena, const char *marker) {
    static const char word[] = "extra == '";
    const char *at = marker == NULL ? NULL : strstr(marker, word);
    if (at == NULL)
        return "";
    at += strlen(word);
    return package_name(arena, (struct str){at, strcspn(at, "'")});
}

static void add_locked(struct askeds *list, const cJSON *item) {
    static const char *const elsewhere[] = {"git",       "url",      "path",
                                            "directory", "editable", "virtual"};
    const char *name = cJSON_GetStringValue(member(item, "name"));
    const char *specifier = cJSON_GetStringValue(member(item, "specifier"));
    const cJSON *extra;
    struct asked *a = name == NULL ? NULL : add(list);
    if (a == NULL)
        return;
    a->name = package_name(list->arena, str_of(name));
    a->extra = extra_of(list->arena, cJSON_GetStringValue(member(item, "marker")));
    a->specifier = specifier == NULL ? "" : arena_dup(list->arena, specifier);
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
        if (member(item, elsewhere[i]) != NULL)
            a->specifier = NULL;
    cJSON_ArrayForEach(extra, member(item, "extras")) {
        const char *text = cJSON_GetStringValue(extra);
        if (text != NULL)
            (void)strlist_add(list->arena, &a->extras, text);
    }
}

static void add_written(struct askeds *list, const cJSON *array, const char *extra) {
    const cJSON *item;
    cJSON_ArrayForEach(item, array) {
        const char *text = cJSON_GetStringValue(item);
        struct requirement q;
        if (text == NULL || requirement_parse(list->arena, str_of(text), &q) < 0)
            continue;
        struct asked *a = add(list);
        if (a == NULL)
            return;
        a->name = q.name;
        a->extra = extra == NULL ? "" : package_name(list->arena, str_of(extra));
        a->specifier = q.url != NULL ? NULL : q.specifier;
        size_t len = strlen(q.extras);
        struct str rest = {q.extras + 1, len < 2 ? 0 : len - 2}, one;
        while (rest.len > 0 && str_split(&rest, ',', &one)) {
            const char *name = package_name(list->arena, one);
            if (name != NULL)
                (void)strlist_add(list->arena, &a->extras, name);
        }
    }
}

/* ">=1.0" and ">=1.0.0" say the same. */
static bool same_clause(struct str a, struct str b) {
    static const char operators[] = "=<>!~";
    char version[64], clause[72] = "==";
    size_t n = 0;
    while (n < a.len && n < b.len && a.ptr[n] == b.ptr[n] && strchr(operators, a.ptr[n]) != NULL)
        n++;
    if (str_eq(a, b))
        return true;
    struct str left = str_trim((struct str){a.ptr + n, a.len - n});
    struct str right = str_trim((struct str){b.ptr + n, b.len - n});
    if (n == 0 || left.len == 0 || right.len == 0 || left.len >= sizeof version ||
        right.len >= sizeof version || strchr(operators, *left.ptr) != NULL ||
        strchr(operators, *right.ptr) != NULL || memchr(left.ptr, '*', left.len) != NULL ||
        memchr(right.ptr, '*', right.len) != NULL)
        return str_eq(left, right);
    memcpy(version, left.ptr, left.len);
    version[left.len] = '\0';
    memcpy(clause + 2, right.ptr, right.len);
    clause[right.len + 2] = '\0';
    return pep440_matches(version, clause);
}

static bool has_clauses(const char *all, const char *of) {
    struct str rest = str_of(of), clause;
    while (rest.len > 0 && str_split(&rest, ',', &clause)) {
        struct str others = str_of(all), other;
        bool found = false;
        while (!found && others.len > 0 && str_split(&others, ',', &other))
            found = same_clause(str_trim(clause), str_trim(other));
        if (!found)
            return false;
    }
    return true;
}

static bool is_same(const struct asked *a, const struct asked *b) {
    if (!cstr_eq(a->name, b->name) || !cstr_eq(a->extra, b->extra) ||
        !strlist_equal_set(&a->extras, &b->extras))
        return false;
    return a->specifier == NULL || b->specifier == NULL ||
           (has_clauses(a->specifier, b->specifier) && has_clauses(b->specifier, a->specifier));
}

/* The first that the other list does not have. */
static const char *find_missing(const struct askeds *list, const struct askeds *other) {
    for (size_t i = 0; i < list->len; i++) {
        bool found = false;
        for (size_t k = 0; k < other->len && !found; k++)
            found = is_same(&list->items[i], &other->items[k]);
        if (!found)
            return list->items[i].name;
    }
    return NULL;
}

const char *lock_is_older(struct arena *arena, const cJSON *requires_dist, const cJSON *pyproject) {
    enum { MANY = 2000 };
    struct askeds locked = {.arena = arena}, written = {.arena = arena};
    const cJSON *project = member(pyproject, "project"), *item;
    cJSON_ArrayForEach(item, member(project, "dynamic")) {
        if (cstr_eq(cJSON_GetStringValue(item), "dependencies") ||
            cstr_eq(cJSON_GetStringValue(item), "optional-dependencies"))
            return NULL; /* not said there */
    }
    cJSON_ArrayForEach(item, requires_dist) { add_locked(&locked, item); }
    add_written(&written, member(project, "dependencies"), NULL);
    cJSON_ArrayForEach(item, member(project, "optional-dependencies")) {
        add_written(&written, item, item->string);
    }
    if (locked.len > MANY || written.len > MANY)
        return NULL;
    const char *missing = find_missing(&written, &locked);
    return missing != NULL ? missing : find_missing(&locked, &written);
}
