#include "providers/host/python_project.h"

#include "providers/host/internal.h"
#include "providers/host/pyproject.h"
#include "providers/host/uv_lock.h"
#include "specs/sections/sections.h"
#include "specs/toml.h"

#include <stdio.h>
#include <string.h>

#define FIELD_PATH "packages.python.project"

struct reading {
    const struct desire *in;
    const struct python_section *python;
    struct arena *arena;
    struct diags *diags;
    struct python_project *project;
    cJSON *pyproject, *lock;
    struct strlist patches; /* that markers tell apart */
};

/* ---- The two files */

/* PATH may name the folder or its pyproject.toml. */
static const char *file_path(const struct python_section *python, const char *file,
                             struct arena *arena) {
    static const char own[] = "pyproject.toml";
    struct str folder = str_of(python->project);
    if (str_eqc(folder, own))
        return arena_dup(arena, file);
    if (str_ends(folder, STR("/pyproject.toml")))
        folder.len -= strlen(own);
    while (folder.len > 1 && folder.ptr[folder.len - 1] == '/')
        folder.len--;
    return arena_printf(arena, "%.*s%s%s", STR_FMT(folder), str_eqc(folder, "/") ? "" : "/", file);
}

int project_ask(const struct spec *spec, struct inputs *inputs) {
    const struct python_section *python = &spec_packages(spec)->python;
    if (python->project == NULL)
        return 0;
    const char *pyproject = file_path(python, "pyproject.toml", inputs->arena);
    const char *lock = file_path(python, "uv.lock", inputs->arena);
    if (pyproject == NULL || lock == NULL)
        return -ERRC_NOMEM;
    int rc = inputs_ask(inputs, INPUT_FILE, pyproject, FIELD_PATH, true);
    return rc < 0 ? rc : inputs_ask(inputs, INPUT_FILE, lock, FIELD_PATH, false);
}

/* *ret is NULL when it is not there. */
static int find_input(const struct reading *r, const char *file, const struct input **ret) {
    const char *path = file_path(r->python, file, r->arena);
    if (path == NULL)
        return -ERRC_NOMEM;
    const struct input *input = inputs_get(r->in->inputs, INPUT_FILE, path);
    *ret = input == NULL || !input->found ? NULL : input;
    return 0;
}

static struct mark mark_of(const struct reading *r) { return spec_mark(r->in->spec, FIELD_PATH); }

/* *ret stays NULL when there is no such file, or a mistake was told. */
static int load(struct reading *r, const struct input *input, cJSON **ret) {
    struct err err = {0};
    int rc = input == NULL ? 0 : toml_parse(secret_reveal(&input->content), ret, &err);
    if (rc < 0 && rc != -ERRC_NOMEM)
        diag_add(r->diags, mark_of(r), NULL, "%s: %s", input->name, err.msg);
    return rc == -ERRC_NOMEM ? rc : 0;
}

static const cJSON *member(const cJSON *table, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(table, key);
}

/* ---- Where it may be installed */

/* False when no Python will do, which is told. */
static bool find_places(struct reading *r, const char *requires) {
    const char *wish = r->python->version;
    if (wish != NULL && !project_allows(requires, wish, r->arena)) {
        diag_add(r->diags, spec_mark(r->in->spec, "packages.python.version"),
                 "take another version here, or change requires-python",
                 "the project asks for Python %s", requires);
        return false;
    }
    const char *list = wish == NULL ? project_pythons(requires, r->arena) : wish;
    project_add_places(r->project, r->in, list, &r->patches, r->arena);
    if (r->project->places_len == 0)
        diag_add(r->diags, mark_of(r), "Jupyter Server runs on Python 3.10 to 3.14",
                 "the project asks for Python %s", requires == NULL ? "" : requires);
    return r->project->places_len > 0;
}

/* ---- With a lock */

static int add_indexes(struct reading *r, const struct lock_package *package) {
    static const char pypi[] = "https://pypi.org/simple";
    const char *index = lock_index(package);
    if (index == NULL || strncmp(index, pypi, strlen(pypi)) == 0 ||
        cstr_eq(index, r->python->index_url) || strlist_has(&r->project->indexes, index))
        return 0;
    return strlist_add(r->arena, &r->project->indexes, index);
}

static void tell(struct reading *r, const struct err *err) {
    const char *help =
        err->code == ERRC_UNSUPPORTED
            ? "only packages of an index can be installed; `files` brings a folder of yours"
        : err->code == ERRC_CONFLICT ? "do not ask for extras or groups that exclude each other"
        : err->code == ERRC_NOTFOUND ? "see pyproject.toml; uv lock after a change there"
                                     : "make it anew: uv lock";
    diag_add(r->diags, mark_of(r), help, "uv.lock: %s", err->msg);
}

static int take_selected(struct reading *r, const struct uv_lock *lock, const uint64_t *places) {
    struct python_project *p = r->project;
    p->needs = arena_calloc(r->arena, lock->len + 1, sizeof *p->needs);
    if (p->needs == NULL)
        return -ERRC_NOMEM;
    p->hashed = true;
    for (size_t i = 0; i < lock->len; i++) {
        const struct lock_package *package = &lock->packages[i];
        if (places[i] == 0)
            continue;
        p->needs[p->len++] = (struct project_need){.key = package->name,
                                                   .value = package->version,
                                                   .hashes = &package->hashes,
                                                   .places = places[i]};
        p->hashed &= package->hashes.len > 0;
        if (add_indexes(r, package) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static int select_locked(struct reading *r, const struct uv_lock *lock) {
    struct err err = {0};
    uint64_t *places = arena_calloc(r->arena, lock->len + 1, sizeof *places);
    if (places == NULL)
        return -ERRC_NOMEM;
    for (size_t k = 0; k < r->project->places_len; k++) {
        const struct marker_env env = project_env(r->project, k, r->arena);
        bool *selected = NULL;
        int rc = uv_lock_select(r->arena, lock, &r->python->extras, &r->python->groups, &env,
                                &selected, &err);
        if (rc == -ERRC_NOMEM)
            return rc;
        if (rc < 0) {
            tell(r, &err);
            return 0;
        }
        for (size_t i = 0; i < lock->len; i++)
            places[i] |= (uint64_t)selected[i] << k;
    }
    return take_selected(r, lock, places);
}

static int read_locked(struct reading *r, const char *name, const char *requires) {
    struct uv_lock *lock = ARENA_NEW(r->arena, struct uv_lock);
    struct err err = {0};
    if (lock == NULL)
        return -ERRC_NOMEM;
    int rc = uv_lock_read(r->arena, r->lock, name, lock, &err);
    if (rc == -ERRC_NOMEM)
        return rc;
    if (rc < 0) {
        tell(r, &err);
        return 0;
    }
    const char *differs = lock_is_older(r->arena, lock->requires_dist, r->pyproject);
    if (differs != NULL)
        diag_warn(r->diags, mark_of(r), "uv lock",
                  "uv.lock is older than pyproject.toml: %s differs", differs);
    r->project->locked = r->project->closed = true;
    r->patches = lock->patches;
    return find_places(r, requires) ? select_locked(r, lock) : 0;
}

/* ---- Without one: requirements as they stand in pyproject.toml */

/* Markers may tell patch levels apart. */
static int find_patches(struct reading *r, const struct strlist *texts) {
    for (size_t i = 0; i < texts->len; i++) {
        struct requirement q;
        if (requirement_parse(r->arena, str_of(texts->items[i]), &q) < 0 ||
            marker_patches(r->arena, q.marker, &r->patches) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

/* Where each requirement's marker holds. */
static int take_texts(struct reading *r, const struct strlist *texts) {
    struct python_project *p = r->project;
    p->needs = arena_calloc(r->arena, texts->len + 1, sizeof *p->needs);
    if (p->needs == NULL)
        return -ERRC_NOMEM;
    for (size_t i = 0; i < texts->len; i++) {
        struct project_need need = {0};
        struct requirement q;
        if (requirement_parse(r->arena, str_of(texts->items[i]), &q) < 0)
            return -ERRC_NOMEM;
        if (project_where(p, q.marker, r->arena, &need.places) < 0) {
            diag_add(r->diags, mark_of(r), NULL, "pyproject.toml: `%s` has no good marker",
                     texts->items[i]);
            return 0;
        }
        need.key = arena_printf(r->arena, "%s%s", q.name, q.extras);
        need.value = q.specifier[0] == '\0' ? "any" : q.specifier;
        if (need.key == NULL)
            return -ERRC_NOMEM;
        if (need.places != 0)
            p->needs[p->len++] = need;
    }
    return 0;
}

static int read_unlocked(struct reading *r, const char *name, const char *requires) {
    struct strlist texts = {0};
    struct err err = {0};
    diag_warn(r->diags, mark_of(r), "uv lock, beside it, pins them",
              "there is no uv.lock: versions are whatever is newest when they are installed");
    int rc = pyproject_requirements(r->arena, r->pyproject, name, &r->python->extras,
                                    &r->python->groups, &texts, &err);
    if (rc < 0 && rc != -ERRC_NOMEM) {
        diag_add(r->diags, mark_of(r), err.hint[0] == '\0' ? NULL : err.hint, "pyproject.toml: %s",
                 err.msg);
        return 0;
    }
    if (rc == 0)
        rc = find_patches(r, &texts);
    return rc < 0 || !find_places(r, requires) ? rc : take_texts(r, &texts);
}

/* ---- Both */

static int read_both(struct reading *r) {
    const cJSON *project = member(r->pyproject, "project");
    const char *name = cJSON_GetStringValue(member(project, "name"));
    if (name == NULL) {
        diag_add(r->diags, mark_of(r), "berth installs what one project needs",
                 "pyproject.toml has no [project] with a name");
        return 0;
    }
    const char *canonical = package_name(r->arena, str_of(name));
    const char *text = cJSON_GetStringValue(member(project, "requires-python"));
    const char *requires = arena_dup(r->arena, text);
    if (canonical == NULL || (text != NULL && requires == NULL))
        return -ERRC_NOMEM;
    return r->lock == NULL ? read_unlocked(r, canonical, requires)
                           : read_locked(r, canonical, requires);
}

static struct reading begin(const struct desire *in, struct arena *arena, struct diags *diags) {
    return (struct reading){
        .in = in, .python = &spec_packages(in->spec)->python, .arena = arena, .diags = diags};
}

int project_read(const struct desire *in, struct arena *arena, struct diags *diags,
                 const struct python_project **ret) {
    struct reading r = begin(in, arena, diags);
    size_t errors = diags->errors;
    *ret = NULL;
    if (r.python->project != NULL && r.python->requirements != NULL)
        diag_add(diags, spec_mark(in->spec, "packages.python.requirements"),
                 "take one of them; `packages` may name more",
                 "`requirements` and `project` both say what is needed");
    const struct input *pyproject = NULL, *lock = NULL;
    int rc = r.python->project == NULL ? 0 : find_input(&r, "pyproject.toml", &pyproject);
    if (rc < 0 || pyproject == NULL)
        return rc;
    rc = find_input(&r, "uv.lock", &lock);
    r.project = ARENA_NEW(arena, struct python_project);
    if (rc < 0 || r.project == NULL)
        return -ERRC_NOMEM;
    r.project->name = lock == NULL ? "pyproject.toml" : "uv.lock";
    r.project->sha256 = lock == NULL ? pyproject->sha256 : lock->sha256;
    rc = load(&r, pyproject, &r.pyproject);
    if (rc == 0)
        rc = load(&r, lock, &r.lock);
    if (rc == 0 && diags->errors == errors)
        rc = read_both(&r);
    cJSON_Delete(r.pyproject);
    cJSON_Delete(r.lock);
    if (rc == 0 && diags->errors == errors)
        *ret = r.project;
    return rc;
}

/* A mistake in it is told where all of it is read. */
int project_requires(const struct desire *in, struct arena *arena, const char **ret) {
    struct diags unheard = {.arena = arena};
    struct reading r = begin(in, arena, &unheard);
    const struct input *input = NULL;
    cJSON *pyproject = NULL;
    int rc = r.python->project == NULL ? 0 : find_input(&r, "pyproject.toml", &input);
    if (rc == 0)
        rc = load(&r, input, &pyproject);
    const char *text =
        cJSON_GetStringValue(member(member(pyproject, "project"), "requires-python"));
    const char *specifier = arena_dup(arena, text);
    if (text != NULL && specifier == NULL)
        rc = -ERRC_NOMEM;
    cJSON_Delete(pyproject);
    if (rc == 0)
        *ret = specifier;
    return rc;
}
