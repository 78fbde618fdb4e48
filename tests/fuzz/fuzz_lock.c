/* Any bytes as TOML, and what is TOML as a lock and as a project; any bytes as a requirement and as
 * a marker: refused, or used. */
#include "providers/host/pyproject.h"
#include "providers/host/uv_lock.h"
#include "specs/toml.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct marker_env here = {.python = "3.12.4", .machine = "x86_64"};

static void use_lock(struct arena *arena, const cJSON *toml) {
    struct uv_lock lock = {0};
    struct err err = {0};
    struct strlist extras = {0}, groups = {0};
    bool *selected = NULL;
    if (uv_lock_read(arena, toml, "p", &lock, &err) < 0) {
        if (err.code == 0)
            abort();
        return;
    }
    if (lock.root->extras_len > 0 && strlist_add(arena, &extras, lock.root->extras[0].name) < 0)
        abort();
    if (lock.root->groups_len > 0 && strlist_add(arena, &groups, lock.root->groups[0].name) < 0)
        abort();
    if (uv_lock_select(arena, &lock, &extras, &groups, &here, &selected, &err) < 0) {
        if (err.code == 0)
            abort();
        return;
    }
    for (size_t i = 0; i < lock.len; i++)
        if (selected[i] &&
            (lock_index(&lock.packages[i]) == NULL || lock.packages[i].version == NULL))
            abort();
    (void)lock_is_older(arena, lock.requires_dist, toml);
}

/* With the first extra and the first group that it has. */
static void use_project(struct arena *arena, const cJSON *toml) {
    const cJSON *tables[] = {
        cJSON_GetObjectItem(cJSON_GetObjectItem(toml, "project"), "optional-dependencies"),
        cJSON_GetObjectItem(toml, "dependency-groups")};
    struct strlist lists[2] = {0}, texts = {0};
    struct err err = {0};
    for (size_t i = 0; i < 2; i++) {
        const cJSON *first = tables[i] == NULL ? NULL : tables[i]->child;
        if (first != NULL && first->string != NULL &&
            strlist_add(arena, &lists[i], first->string) < 0)
            abort();
    }
    int rc = pyproject_requirements(arena, toml, "p", &lists[0], &lists[1], &texts, &err);
    if (rc < 0 && (err.code == 0 || texts.len > 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_arena_ struct arena arena = {0};
    const struct str text = {(const char *)data, size};
    struct strlist patches = {0};
    struct requirement requirement;
    struct err err = {0};
    cJSON *toml = NULL;
    if (toml_parse(text, &toml, &err) == 0) {
        use_lock(&arena, toml);
        use_project(&arena, toml);
    } else if (err.code == 0) {
        abort();
    }
    cJSON_Delete(toml);
    if (requirement_parse(&arena, text, &requirement) == 0) {
        if (requirement.name[0] == '-') /* an option of an installer */
            abort();
        (void)marker_holds(requirement.marker, &here);
    }
    (void)marker_holds(text, &here);
    (void)marker_patches(&arena, text, &patches);
    return 0;
}
