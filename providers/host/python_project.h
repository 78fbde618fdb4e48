/* What is to be installed where: of packages.python.project, its pyproject.toml and uv.lock; or of
 * a file of requirements. Pure. */
#pragma once

#include "providers/host/pep508.h"
#include "providers/provider.h"

struct project_place { /* where markers may say something else */
    const char *minor; /* "3.12" */
    int64_t patch;     /* from here up to the next place's */
    const char *machine;
};

struct project_need {
    const char *key;              /* name, with extras */
    const char *value;            /* "2.2.3": that version; else a specifier or "any" */
    const struct strlist *hashes; /* NULL: none */
    uint64_t places;              /* bit i: it is needed in places[i] */
};

enum { PROJECT_PLACES_MAX = 64 }; /* bits of project_need.places */

struct python_project {
    const char *name;    /* of the file that says so, for people */
    bool locked, hashed; /* every version is known; and every file's hash */
    bool closed;         /* and all that these need is among them */
    const char *sha256;  /* of the lock, else of pyproject.toml; of all files of requirements */
    struct project_need *needs;
    size_t len;
    struct project_need *limits; /* constraints: not asked for, but so if installed; no extras */
    size_t limits_len;
    struct project_place places[PROJECT_PLACES_MAX];
    size_t places_len;
    struct strlist indexes; /* besides the default one */
};

int project_ask(const struct spec *spec, struct inputs *inputs);
/* The project of the spec, in `arena`; NULL when it has none, or when a mistake went to `diags`. 0
 * or -ERRC_NOMEM. */
int project_read(const struct desire *in, struct arena *arena, struct diags *diags,
                 const struct python_project **ret);
/* `requires-python` of the project, in `arena`; NULL without. 0 or -ERRC_NOMEM. */
int project_requires(const struct desire *in, struct arena *arena, const char **ret);
/* The same of a file of requirements, and of those that it names, which was asked for by
 * requirements_ask: for the Python `wish` ("3.12"; NULL: what there is). What is needed whatever
 * the Python, without hashes, goes to `plain` as by env_add_requirement. NULL: no more than that.
 * python_requirements.c. */
int project_read_requirements(const struct desire *in, const char *path, const char *wish,
                              struct strmap *plain, struct arena *arena, struct diags *diags,
                              const struct python_project **ret);
/* Pythons that Jupyter runs on and the project allows, the one to take first: "3.12 3.13 …". */
const char *project_pythons(const char *requires_python, struct arena *arena);

/* Does `requires-python` allow a "3.12"? */
bool project_allows(const char *requires_python, const char *minor, struct arena *arena);
/* Adds those of Pythons ("3.12 3.13"), on machines that a server of the spec may be, and of the
 * patch levels that markers name. */
void project_add_places(struct python_project *p, const struct desire *in, const char *list,
                        const struct strlist *patches, struct arena *arena);
struct marker_env project_env(const struct python_project *p, size_t place, struct arena *arena);
/* Where a marker holds, as project_need.places. 0 or -ERRC_INVALID. */
int project_where(const struct python_project *p, struct str marker, struct arena *arena,
                  uint64_t *ret);

/* The place of a Python ("3.12.4") on a machine; SIZE_MAX where markers were not looked at. */
size_t project_place(const struct python_project *p, const char *python, const char *machine);
/* Adds what is needed there to a record's packages; SIZE_MAX: what is needed everywhere. */
int project_packages(const struct python_project *p, size_t place, struct arena *arena,
                     struct strmap *packages);
/* Is this, is all needed in every place? */
bool project_is_needed_everywhere(const struct python_project *p, const struct project_need *need);
bool project_is_uniform(const struct python_project *p);
