#include "providers/host/pyproject.h"

#include <string.h>

enum { NESTED_MAX = 16 };

/* The two tables of lists by name. */
enum table { EXTRAS, GROUPS };
static const struct {
    const char *what, *header;
} tables[] = {[EXTRAS] = {"extra", "[project.optional-dependencies]"},
              [GROUPS] = {"group", "[dependency-groups]"}};

struct collecting {
    struct arena *arena;
    const cJSON *lists[2];
    const char *project;
    struct strlist seen[2]; /* lists that are in it already: each is taken once */
    struct strlist texts;
    struct err *err;
};

static const cJSON *member(const cJSON *table, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(table, key);
}

static int no_memory(const struct collecting *c) { return err_no_memory(c->err); }

static int add_texts(struct collecting *c, const cJSON *array, int depth);

/* The list of that name, which may be written in another way. */
static int add_list(struct collecting *c, enum table which, const char *name, int depth) {
    const char *wish = package_name(c->arena, str_of(name));
    const cJSON *item;
    if (wish == NULL)
        return no_memory(c);
    if (strlist_has(&c->seen[which], wish))
        return 0;
    cJSON_ArrayForEach(item, c->lists[which]) {
        if (item->string == NULL) /* no table */
            continue;
        const char *written = package_name(c->arena, str_of(item->string));
        if (written == NULL)
            return no_memory(c);
        if (strcmp(written, wish) != 0)
            continue;
        int rc = add_texts(c, item, depth + 1);
        return rc == 0 && strlist_add(c->arena, &c->seen[which], wish) < 0 ? no_memory(c) : rc;
    }
    err_set(c->err, ERRC_NOTFOUND, "there is no %s `%s`", tables[which].what, name);
    err_hint(c->err, "see %s", tables[which].header);
    return -ERRC_NOTFOUND;
}

/* "tools[a,b]" within tools itself: its own extras. */
static int add_own(struct collecting *c, const char *extras, int depth) {
    size_t len = strlen(extras);
    struct str rest = {extras + 1, len < 2 ? 0 : len - 2}, extra;
    while (rest.len > 0 && str_split(&rest, ',', &extra)) {
        const char *name = arena_dup_str(c->arena, extra);
        int rc = name == NULL ? no_memory(c) : add_list(c, EXTRAS, name, depth);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int add_text(struct collecting *c, const char *text, int depth) {
    struct requirement q;
    int rc = requirement_parse(c->arena, str_of(text), &q);
    if (rc == -ERRC_NOMEM)
        return no_memory(c);
    if (rc < 0) {
        err_set(c->err, ERRC_INVALID, "`%s` is no requirement", text);
        err_hint(c->err, "expected a requirement such as pandas>=2");
        return rc;
    }
    if (q.url != NULL) {
        err_set(c->err, ERRC_UNSUPPORTED, "%s comes from %s", q.name, q.url);
        err_hint(c->err, "only packages of an index can be installed");
        return -ERRC_UNSUPPORTED;
    }
    if (strcmp(q.name, c->project) == 0)
        return add_own(c, q.extras, depth);
    if (c->texts.len == REQUIREMENTS_MAX)
        return err_set(c->err, ERRC_LIMIT, "more than %d requirements", REQUIREMENTS_MAX);
    return strlist_add(c->arena, &c->texts, text) < 0 ? no_memory(c) : 0;
}

static int add_texts(struct collecting *c, const cJSON *array, int depth) {
    const cJSON *item;
    if (depth > NESTED_MAX)
        return err_set(c->err, ERRC_INVALID, "groups or extras include each other");
    cJSON_ArrayForEach(item, array) {
        const char *text = cJSON_GetStringValue(item);
        const char *group = cJSON_GetStringValue(member(item, "include-group"));
        int rc = text != NULL    ? add_text(c, text, depth)
                 : group != NULL ? add_list(c, GROUPS, group, depth)
                                 : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

int pyproject_requirements(struct arena *arena, const cJSON *pyproject, const char *project,
                           const struct strlist *extras, const struct strlist *groups,
                           struct strlist *ret, struct err *err) {
    const cJSON *table = member(pyproject, "project");
    const struct strlist *const wishes[] = {[EXTRAS] = extras, [GROUPS] = groups};
    struct collecting c = {.arena = arena,
                           .lists = {[EXTRAS] = member(table, "optional-dependencies"),
                                     [GROUPS] = member(pyproject, "dependency-groups")},
                           .project = project,
                           .texts = *ret,
                           .err = err};
    int rc = add_texts(&c, member(table, "dependencies"), 0);
    for (int which = EXTRAS; which <= GROUPS; which++)
        for (size_t i = 0; rc == 0 && i < wishes[which]->len; i++)
            rc = add_list(&c, (enum table)which, wishes[which]->items[i], 0);
    if (rc == 0)
        *ret = c.texts;
    return rc;
}
