/* packages.python.project: what the pyproject.toml and the uv.lock of a project ask for. Pure. */
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
    const struct strlist *hashes; /* of a lock; NULL: none */
    uint64_t places;              /* bit i: it is needed in places[i] */
};

enum { PROJECT_PLACES_MAX = 64 }; /* bits of project_need.places */

struct python_project {
    bool locked, hashed; /* every version is known; and every file's hash */
    const char *sha256;  /* of the lock, else of pyproject.toml */
    struct project_need *needs;
    size_t len;
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
/* Pythons that Jupyter runs on and the project allows, the one to take first: "3.12 3.13 …". */
const char *project_pythons(const char *requires_python, struct arena *arena);

/* The place of a Python ("3.12.4") on a machine; SIZE_MAX where markers were not looked at. */
size_t project_place(const struct python_project *p, const char *python, const char *machine);
/* Adds what is needed there to a record's packages; SIZE_MAX: what is needed everywhere. */
int project_packages(const struct python_project *p, size_t place, struct arena *arena,
                     struct strmap *packages);
/* Is this, is all needed in every place? */
bool project_is_needed_everywhere(const struct python_project *p, const struct project_need *need);
bool project_is_uniform(const struct python_project *p);
