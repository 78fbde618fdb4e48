/* Files of requirements as what is to be installed where. */
#include "providers/host/python_env.h"
#include "specs/sections/sections.h"

#include <string.h>

struct sorting {
    const struct requirements *from;
    struct python_project *to;
    struct strmap *plain;
    struct arena *arena;
    struct diags *diags;
};

static bool has_markers(const struct requirement_lines *list) {
    for (size_t i = 0; i < list->len; i++)
        if (list->items[i].q.marker.len > 0)
            return true;
    return false;
}

static int add_patches(const struct requirement_lines *list, struct arena *arena,
                       struct strlist *patches) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < list->len; i++)
        rc = marker_patches(arena, list->items[i].q.marker, patches);
    return rc;
}

/* Without markers it is the same everywhere, and there are no places. */
static int find_places(const struct sorting *s, const struct desire *in, const char *wish) {
    struct strlist patches = {0};
    const struct requirement_lines *wanted = &s->from->wanted, *limits = &s->from->limits;
    if (!has_markers(wanted) && !has_markers(limits))
        return 0;
    int rc = add_patches(wanted, s->arena, &patches);
    if (rc == 0)
        rc = add_patches(limits, s->arena, &patches);
    const char *list = wish != NULL ? wish : project_pythons(NULL, s->arena);
    if (rc == 0)
        project_add_places(s->to, in, list, &patches, s->arena);
    return rc;
}

/* False where it is needed nowhere. */
static int make_need(const struct sorting *s, const struct requirement_line *line,
                     struct project_need *ret, bool *ret_used) {
    struct project_need need = {.key = arena_printf(s->arena, "%s%s", line->q.name, line->q.extras),
                                .value = specifier_shown(line->q.specifier),
                                .hashes = &line->hashes};
    /* Markers were looked at when they were read. */
    if (project_where(s->to, line->q.marker, s->arena, &need.places) < 0 || need.key == NULL)
        return -ERRC_NOMEM;
    *ret_used = need.places != 0 || s->to->places_len == 0;
    *ret = need;
    return 0;
}

static int take_wanted(const struct sorting *s) {
    const struct requirement_lines *list = &s->from->wanted;
    s->to->needs = arena_calloc(s->arena, list->len + 1, sizeof *s->to->needs);
    if (s->to->needs == NULL)
        return -ERRC_NOMEM;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < list->len; i++) {
        const struct requirement_line *line = &list->items[i];
        bool used = false;
        if (!s->from->hashed && line->q.marker.len == 0)
            rc = env_add(s->arena, s->plain, &line->q);
        else
            rc = make_need(s, line, &s->to->needs[s->to->len], &used);
        s->to->len += used;
    }
    return rc;
}

/* Hashes say what is installed; whether that may be is known here. */
static void check_limit(const struct sorting *s, const struct requirement_line *line,
                        const struct project_need *limit) {
    for (size_t i = 0; s->from->hashed && i < s->to->len; i++) {
        const struct project_need *need = &s->to->needs[i];
        size_t len = strcspn(need->key, "[");
        bool meet = (need->places & limit->places) != 0 || s->to->places_len == 0;
        if (meet && str_eqc((struct str){need->key, len}, limit->key) &&
            specifier_is_version(need->value) && !specifier_allows(limit->value, need->value)) {
            diag_add_in(s->diags, line->file, line->mark, false, "change one of them",
                        "%s %s is to be installed, and may not be by this constraint", need->key,
                        need->value);
            return;
        }
    }
}

static int take_limits(const struct sorting *s) {
    const struct requirement_lines *list = &s->from->limits;
    s->to->limits = arena_calloc(s->arena, list->len + 1, sizeof *s->to->limits);
    if (s->to->limits == NULL)
        return -ERRC_NOMEM;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < list->len; i++) {
        struct project_need *limit = &s->to->limits[s->to->limits_len];
        bool used = false;
        if (list->items[i].q.specifier[0] != '\0')
            rc = make_need(s, &list->items[i], limit, &used);
        if (rc == 0 && used)
            check_limit(s, &list->items[i], limit);
        s->to->limits_len += used;
    }
    return rc;
}

int project_read_requirements(const struct desire *in, const char *path, const char *wish,
                              struct strmap *plain, struct arena *arena, struct diags *diags,
                              const struct python_project **ret) {
    struct requirements *from = ARENA_NEW(arena, struct requirements);
    struct python_project *to = ARENA_NEW(arena, struct python_project);
    size_t errors = diags->errors;
    if (from == NULL || to == NULL)
        return -ERRC_NOMEM;
    int rc = requirements_read(in->inputs, path, spec_packages(in->spec)->python.index_url, arena,
                               diags, from);
    if (rc < 0 || diags->errors > errors)
        return rc;
    const struct sorting s = {from, to, plain, arena, diags};
    to->name = path;
    to->sha256 = from->sha256;
    to->locked = to->hashed = from->hashed;
    to->indexes = from->indexes;
    rc = find_places(&s, in, wish);
    if (rc == 0)
        rc = take_wanted(&s);
    if (rc == 0)
        rc = take_limits(&s);
    if (rc == 0 && (to->len > 0 || to->limits_len > 0))
        *ret = to;
    return rc;
}
