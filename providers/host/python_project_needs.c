/* What a project needs on the Python and the machine that there are. */
#include "providers/host/python_project.h"

#include <string.h>

size_t project_place(const struct python_project *p, const char *python, const char *machine) {
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < p->places_len; i++) {
        const struct project_place *place = &p->places[i];
        size_t len = strlen(place->minor);
        int64_t patch = 0;
        if (strcmp(place->machine, machine) != 0 || strncmp(python, place->minor, len) != 0 ||
            python[len] != '.')
            continue;
        const char *digits = python + len + 1;
        if (!str_to_i64((struct str){digits, strspn(digits, "0123456789")}, 0, 100000, &patch))
            continue;
        if (patch >= place->patch && (found == SIZE_MAX || place->patch > p->places[found].patch))
            found = i;
    }
    return found;
}

static uint64_t all_places(const struct python_project *p) {
    return p->places_len == PROJECT_PLACES_MAX ? UINT64_MAX : (UINT64_C(1) << p->places_len) - 1;
}

bool project_is_needed_everywhere(const struct python_project *p, const struct project_need *need) {
    return need->places == all_places(p);
}

bool project_is_uniform(const struct python_project *p) {
    for (size_t i = 0; i < p->len; i++)
        if (!project_is_needed_everywhere(p, &p->needs[i]))
            return false;
    for (size_t i = 0; i < p->limits_len; i++)
        if (!project_is_needed_everywhere(p, &p->limits[i]))
            return false;
    return true;
}

static bool is_here(const struct python_project *p, const struct project_need *need, size_t place) {
    return place == SIZE_MAX ? need->places == all_places(p) : need->places >> place & 1;
}

/* A constraint holds for what is named, whatever its extras. */
static int add_limit(const struct project_need *limit, struct arena *arena,
                     struct strmap *packages) {
    size_t len = strlen(limit->key);
    for (size_t i = 0; i < packages->len; i++) {
        struct strpair *p = &packages->items[i];
        if (strncmp(p->key, limit->key, len) != 0 || (p->key[len] != '\0' && p->key[len] != '['))
            continue;
        const char *value = specifier_both(arena, p->value, limit->value);
        if (value == NULL)
            return -ERRC_NOMEM;
        p->value = value;
    }
    return 0;
}

int project_packages(const struct python_project *p, size_t place, struct arena *arena,
                     struct strmap *packages) {
    for (size_t i = 0; i < p->len; i++) {
        const struct project_need *need = &p->needs[i];
        const char *before = p->locked ? NULL : strmap_get(packages, need->key);
        const char *value = need->value;
        if (before != NULL && strcmp(before, "any") != 0) /* both hold */
            value = specifier_join(arena, before, value);
        if (is_here(p, need, place) &&
            (value == NULL || strmap_set(arena, packages, need->key, value) < 0))
            return -ERRC_NOMEM;
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->limits_len; i++)
        if (is_here(p, &p->limits[i], place))
            rc = add_limit(&p->limits[i], arena, packages);
    return rc;
}
