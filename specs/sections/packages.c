#include "specs/sections/check.h"
#include "specs/sections/sections.h"

#include <string.h>

static const struct field python_fields[] = {
    {.name = "version",
     .doc = "Python version; without it the distribution's, where that is new enough.",
     .type = FIELD_STR,
     .offset = offsetof(struct python_section, version),
     .check = check_python_version,
     .pattern = "^3\\.[0-9]{1,2}$"},
    {.name = "requirements",
     .doc = "A requirements.txt, relative to the spec.",
     .type = FIELD_STR,
     .offset = offsetof(struct python_section, requirements),
     .check = check_nonempty},
    {.name = "project",
     .doc = "A folder with pyproject.toml and uv.lock, relative to the spec: what that project "
            "needs, in the locked versions. The project itself is not installed.",
     .type = FIELD_STR,
     .offset = offsetof(struct python_section, project),
     .check = check_nonempty},
    {.name = "extras",
     .doc = "Optional dependencies of the project that are installed too.",
     .type = FIELD_LIST,
     .flags = FIELD_SET,
     .offset = offsetof(struct python_section, extras),
     .max = 100,
     .check = check_extra,
     .pattern = "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"},
    {.name = "groups",
     .doc = "Dependency groups of the project that are installed too, such as dev.",
     .type = FIELD_LIST,
     .flags = FIELD_SET,
     .offset = offsetof(struct python_section, groups),
     .max = 100,
     .check = check_extra,
     .pattern = "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"},
    {.name = "packages",
     .doc = "Requirements, such as pandas or \"scikit-learn==1.5.*\".",
     .type = FIELD_LIST,
     .flags = FIELD_SET,
     .offset = offsetof(struct python_section, packages),
     .max = 500,
     .check = check_requirement},
    {.name = "index_url",
     .doc = "A package index of yours.",
     .type = FIELD_STR,
     .offset = offsetof(struct python_section, index_url),
     .check = check_http_url,
     .pattern = "^https?://[^/@]+(/.*)?$"},
    {.name = "exact",
     .doc =
         "true: packages that somebody installed by hand are removed; each is shown in the plan.",
     .type = FIELD_BOOL,
     .offset = offsetof(struct python_section, exact),
     .def = "false"},
    FIELD_END,
};

static const struct field packages_fields[] = {
    {.name = "system",
     .doc = "Packages of the distribution.",
     .type = FIELD_LIST,
     .flags = FIELD_SET,
     .offset = offsetof(struct packages_section, system),
     .max = 500,
     .check = check_system_package,
     .pattern = "^[A-Za-z0-9][A-Za-z0-9+._-]*$"},
    {.name = "python",
     .doc = "A Python environment of its own, and what is in it.",
     .type = FIELD_GROUP,
     .offset = offsetof(struct packages_section, python),
     .sub = python_fields},
    FIELD_END,
};

static void check_project(const struct python_section *python, struct tree *tree,
                          struct diags *diags) {
    static const char *const of_project[] = {"python.extras", "python.groups"};
    for (size_t i = 0; i < sizeof of_project / sizeof of_project[0]; i++) {
        const struct tree *written = tree_get(tree, of_project[i]);
        if (written != NULL && python->project == NULL)
            diag_add(diags, written->mark, "write `project` too",
                     "`%s` is of a project, and there is none", strchr(of_project[i], '.') + 1);
    }
}

static void check_packages(const struct spec *spec, const void *record, struct tree *tree,
                           struct diags *diags) {
    (void)spec;
    const struct packages_section *packages = record;
    if (tree != NULL)
        check_project(&packages->python, tree, diags);
    /* It would stand in plans and in the state. */
    struct str url = str_of(packages->python.index_url);
    struct str scheme, empty, authority;
    if (url.len == 0 || !str_split(&url, '/', &scheme) || !str_split(&url, '/', &empty) ||
        !str_split(&url, '/', &authority) || memchr(authority.ptr, '@', authority.len) == NULL)
        return;
    diag_add_hidden(diags, tree_get(tree, "python.index_url")->mark,
                    "leave user and password out for now",
                    "a login in `index_url` is not supported yet");
}

const struct section section_packages = {
    .name = "packages",
    .doc = "What is installed.",
    .fields = packages_fields,
    .size = sizeof(struct packages_section),
    .check = check_packages,
};

const struct packages_section *spec_packages(const struct spec *spec) {
    return spec_record(spec, &section_packages);
}

bool spec_has_python(const struct spec *spec) {
    return tree_get(spec->root, "packages.python") != NULL;
}
