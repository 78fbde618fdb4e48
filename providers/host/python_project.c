#include "providers/host/python_project.h"

#include "providers/host/internal.h"
#include "providers/host/uv_lock.h"
#include "specs/sections/sections.h"
#include "specs/toml.h"

#include <stdio.h>
#include <string.h>

#define FIELD_PATH "packages.python.project"

enum { PLACES_MAX = 64, GROUPS_DEEP = 16, ANY_PATCH = 99 };

/* Those that Jupyter Server runs on, the one to take first. */
static const char *const pythons[] = {"3.12", "3.13", "3.11", "3.14", "3.10"};
enum { ARM = 1 };
static const char *const machines[] = {"x86_64", [ARM] = "aarch64"};

struct reading {
    const struct desire *in;
    const struct python_section *python;
    struct arena *arena;
    struct diags *diags;
    struct python_project *project;
    cJSON *pyproject, *lock;
    struct strlist texts;   /* of requirements, where there is no lock */
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

static const struct input *find_input(const struct reading *r, const char *file) {
    const char *path = file_path(r->python, file, r->arena);
    const struct input *input = path == NULL ? NULL : inputs_get(r->in->inputs, INPUT_FILE, path);
    return input == NULL || !input->found ? NULL : input;
}

static struct mark mark_of(const struct reading *r) { return spec_mark(r->in->spec, FIELD_PATH); }

/* NULL when it is not there, or a mistake was told. */
static cJSON *load(struct reading *r, const char *file) {
    const struct input *input = find_input(r, file);
    cJSON *toml = NULL;
    struct err err = {0};
    if (input != NULL && toml_parse(secret_reveal(&input->content), &toml, &err) < 0)
        diag_add(r->diags, mark_of(r), NULL, "%s: %s", input->name, err.msg);
    return toml;
}

static const cJSON *member(const cJSON *table, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(table, key);
}

/* ---- Where it may be installed */

static bool allows(const char *requires, const char *minor, int patch, struct arena *arena) {
    const char *version = arena_printf(arena, "%s.%d", minor, patch);
    return requires == NULL || (version != NULL && pep440_matches(version, requires));
}

const char *project_pythons(const char *requires_python, struct arena *arena) {
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    static const int patches[] = {0, ANY_PATCH};
    for (size_t k = 0; k < 2 && out.len == 0; k++)
        for (size_t i = 0; i < sizeof pythons / sizeof pythons[0]; i++)
            if (allows(requires_python, pythons[i], patches[k], arena))
                buf_addf(&out, "%s%s", out.len == 0 ? "" : " ", pythons[i]);
    return arena_dup_str(arena, buf_str(&out));
}

static void add_place(struct python_project *p, const char *minor, int64_t patch,
                      const char *machine) {
    for (size_t i = 0; i < p->places_len; i++)
        if (strcmp(p->places[i].minor, minor) == 0 && p->places[i].patch == patch &&
            strcmp(p->places[i].machine, machine) == 0)
            return;
    if (p->places_len < PLACES_MAX)
        p->places[p->places_len++] = (struct project_place){minor, patch, machine};
}

/* Of each patch level that a marker names, and of the first, which "3.11" means: itself, and what
 * is after it. */
static void add_places(struct reading *r, const char *minor) {
    const char *type = spec_server(r->in->spec)->type; /* NULL: a server that is there */
    for (size_t m = 0; m < sizeof machines / sizeof machines[0]; m++) {
        if (type != NULL && instance_type_is_arm(type) != (m == ARM))
            continue;
        add_place(r->project, minor, 0, machines[m]);
        add_place(r->project, minor, 1, machines[m]);
        for (size_t i = 0; i < r->patches.len; i++) {
            struct str patch = str_of(r->patches.items[i]);
            size_t len = strlen(minor);
            int64_t number;
            if (!str_starts(patch, str_of(minor)) || patch.ptr[len] != '.' ||
                !str_to_i64((struct str){patch.ptr + len + 1, patch.len - len - 1}, 0, 10000,
                            &number))
                continue;
            add_place(r->project, minor, number, machines[m]);
            add_place(r->project, minor, number + 1, machines[m]);
        }
    }
}

/* False when no Python will do, which is told. */
static bool find_places(struct reading *r, const char *requires) {
    const char *wish = r->python->version;
    if (wish != NULL && !allows(requires, wish, 0, r->arena) &&
        !allows(requires, wish, ANY_PATCH, r->arena)) {
        diag_add(r->diags, spec_mark(r->in->spec, "packages.python.version"),
                 "take another version here, or change requires-python",
                 "the project asks for Python %s", requires);
        return false;
    }
    const char *list = wish == NULL ? project_pythons(requires, r->arena) : wish;
    struct str rest = str_of(list == NULL ? "" : list), minor;
    while (rest.len > 0 && str_split(&rest, ' ', &minor)) {
        const char *text = arena_dup_str(r->arena, minor);
        if (text != NULL)
            add_places(r, text);
    }
    if (r->project->places_len == 0)
        diag_add(r->diags, mark_of(r), "Jupyter Server runs on Python 3.10 to 3.14",
                 "the project asks for Python %s", requires == NULL ? "" : requires);
    return r->project->places_len > 0;
}

static struct marker_env env_of(const struct reading *r, size_t place) {
    const struct project_place *p = &r->project->places[place];
    const char *python = arena_printf(r->arena, "%s.%lld", p->minor, (long long)p->patch);
    return (struct marker_env){.python = python == NULL ? "3" : python, .machine = p->machine};
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
        const struct marker_env env = env_of(r, k);
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
    r->project->locked = true;
    r->patches = lock->patches;
    return find_places(r, requires) ? select_locked(r, lock) : 0;
}

/* ---- Without one: requirements as they stand in pyproject.toml */

static int add_texts(struct reading *r, const char *project, const cJSON *array, int depth);

static int add_extra(struct reading *r, const char *project, const char *extra, int depth) {
    const cJSON *item;
    cJSON_ArrayForEach(item, member(member(r->pyproject, "project"), "optional-dependencies")) {
        const char *name =
            item->string == NULL ? NULL : package_name(r->arena, str_of(item->string));
        const char *wish = package_name(r->arena, str_of(extra));
        if (cstr_eq(name, wish))
            return add_texts(r, project, item, depth + 1);
    }
    diag_add(r->diags, mark_of(r), "see [project.optional-dependencies]",
             "pyproject.toml: there is no extra `%s`", extra);
    return 0;
}

static int add_group(struct reading *r, const char *project, const char *group, int depth) {
    const cJSON *item;
    cJSON_ArrayForEach(item, member(r->pyproject, "dependency-groups")) {
        const char *name =
            item->string == NULL ? NULL : package_name(r->arena, str_of(item->string));
        const char *wish = package_name(r->arena, str_of(group));
        if (cstr_eq(name, wish))
            return add_texts(r, project, item, depth + 1);
    }
    diag_add(r->diags, mark_of(r), "see [dependency-groups]",
             "pyproject.toml: there is no group `%s`", group);
    return 0;
}

/* "tools[a,b]" within tools itself: its own extras. */
static int add_own(struct reading *r, const char *project, const char *extras, int depth) {
    struct str rest = str_of(extras), extra;
    if (rest.len < 2)
        return 0;
    rest = (struct str){rest.ptr + 1, rest.len - 2};
    while (str_split(&rest, ',', &extra)) {
        const char *name = arena_dup_str(r->arena, extra);
        int rc = name == NULL ? -ERRC_NOMEM : add_extra(r, project, name, depth);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int add_text(struct reading *r, const char *project, const char *text, int depth) {
    struct requirement q;
    int rc = requirement_parse(r->arena, str_of(text), &q);
    if (rc == -ERRC_NOMEM)
        return rc;
    if (rc == 0 && q.url != NULL)
        diag_add(r->diags, mark_of(r), "only packages of an index can be installed",
                 "pyproject.toml: %s comes from %s", q.name, q.url);
    else if (rc < 0)
        diag_add(r->diags, mark_of(r), "expected a requirement such as pandas>=2",
                 "pyproject.toml: `%s` is no requirement", text);
    else if (strcmp(q.name, project) == 0)
        return add_own(r, project, q.extras, depth);
    else if (marker_patches(r->arena, q.marker, &r->patches) < 0 ||
             strlist_add(r->arena, &r->texts, text) < 0)
        return -ERRC_NOMEM;
    return 0;
}

static int add_texts(struct reading *r, const char *project, const cJSON *array, int depth) {
    const cJSON *item;
    if (depth > GROUPS_DEEP) {
        diag_add(r->diags, mark_of(r), NULL, "pyproject.toml: groups or extras include each other");
        return 0;
    }
    cJSON_ArrayForEach(item, array) {
        const char *text = cJSON_GetStringValue(item);
        const char *group = cJSON_GetStringValue(member(item, "include-group"));
        int rc = text != NULL    ? add_text(r, project, text, depth)
                 : group != NULL ? add_group(r, project, group, depth)
                                 : 0;
        if (rc < 0 || r->diags->errors > 0)
            return rc;
    }
    return 0;
}

/* Where each requirement's marker holds. */
static int take_texts(struct reading *r) {
    struct python_project *p = r->project;
    p->needs = arena_calloc(r->arena, r->texts.len + 1, sizeof *p->needs);
    if (p->needs == NULL)
        return -ERRC_NOMEM;
    for (size_t i = 0; i < r->texts.len; i++) {
        struct project_need need = {0};
        struct requirement q;
        if (requirement_parse(r->arena, str_of(r->texts.items[i]), &q) < 0)
            return -ERRC_NOMEM;
        for (size_t k = 0; k < p->places_len; k++) {
            const struct marker_env env = env_of(r, k);
            int holds = marker_holds(q.marker, &env);
            if (holds < 0) {
                diag_add(r->diags, mark_of(r), NULL, "pyproject.toml: `%s` has no good marker",
                         r->texts.items[i]);
                return 0;
            }
            need.places |= (uint64_t)holds << k;
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
    const cJSON *project = member(r->pyproject, "project");
    diag_warn(r->diags, mark_of(r), "uv lock, beside it, pins them",
              "there is no uv.lock: versions are whatever is newest when they are installed");
    int rc = add_texts(r, name, member(project, "dependencies"), 0);
    for (size_t i = 0; rc == 0 && i < r->python->extras.len; i++)
        rc = add_extra(r, name, r->python->extras.items[i], 0);
    for (size_t i = 0; rc == 0 && i < r->python->groups.len; i++)
        rc = add_group(r, name, r->python->groups.items[i], 0);
    if (rc < 0 || r->diags->errors > 0 || !find_places(r, requires))
        return rc;
    return take_texts(r);
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
    const char *requires =
        arena_dup(r->arena, cJSON_GetStringValue(member(project, "requires-python")));
    if (canonical == NULL)
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
    if (r.python->project == NULL || find_input(&r, "pyproject.toml") == NULL)
        return 0;
    r.project = ARENA_NEW(arena, struct python_project);
    if (r.project == NULL)
        return -ERRC_NOMEM;
    r.pyproject = load(&r, "pyproject.toml");
    r.lock = load(&r, "uv.lock");
    r.project->sha256 = find_input(&r, r.lock == NULL ? "pyproject.toml" : "uv.lock")->sha256;
    int rc = r.pyproject == NULL || diags->errors > errors ? 0 : read_both(&r);
    cJSON_Delete(r.pyproject);
    cJSON_Delete(r.lock);
    if (rc == 0 && diags->errors == errors)
        *ret = r.project;
    return rc;
}

/* A mistake in it is told where all of it is read. */
const char *project_requires(const struct desire *in, struct arena *arena) {
    struct diags unheard = {.arena = arena};
    struct reading r = begin(in, arena, &unheard);
    if (r.python->project == NULL)
        return NULL;
    cJSON *pyproject = load(&r, "pyproject.toml");
    const char *requires = arena_dup(
        arena, cJSON_GetStringValue(member(member(pyproject, "project"), "requires-python")));
    cJSON_Delete(pyproject);
    return requires;
}

/* ---- Using it */

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
    return p->places_len == PLACES_MAX ? UINT64_MAX : (UINT64_C(1) << p->places_len) - 1;
}

bool project_is_needed_everywhere(const struct python_project *p, const struct project_need *need) {
    return need->places == all_places(p);
}

bool project_is_uniform(const struct python_project *p) {
    for (size_t i = 0; i < p->len; i++)
        if (!project_is_needed_everywhere(p, &p->needs[i]))
            return false;
    return true;
}

int project_packages(const struct python_project *p, size_t place, struct arena *arena,
                     struct strmap *packages) {
    for (size_t i = 0; i < p->len; i++) {
        const struct project_need *need = &p->needs[i];
        bool here = place == SIZE_MAX ? need->places == all_places(p) : need->places >> place & 1;
        const char *before = p->locked ? NULL : strmap_get(packages, need->key);
        const char *value = need->value;
        if (before != NULL && strcmp(before, "any") != 0) /* both hold */
            value =
                strcmp(value, "any") == 0 ? before : arena_printf(arena, "%s,%s", before, value);
        if (here && (value == NULL || strmap_set(arena, packages, need->key, value) < 0))
            return -ERRC_NOMEM;
    }
    return 0;
}
