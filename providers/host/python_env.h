/* What a Python environment on a host holds: read, compared, changed. The main environment and
 * those of extra kernels are alike. */
#pragma once

#include "providers/host/internal.h"
#include "providers/host/python_project.h"
#include "providers/host/requirements.h"

/* What a node wants of its environment and no plan compares (node->extra). */
struct python_want {
    const char *env;                      /* its folder on the host */
    const char *index_url;                /* or NULL */
    struct strmap others;                 /* packages besides those of the project */
    const struct python_project *project; /* that, or what files of requirements say; or NULL */
    bool exact;                           /* what was installed by hand goes */
};

/* Rows of the kinds that have an environment: the same fields in each one's record. */
#define ENV_FIELD_PACKAGES(record)                                                                 \
    {                                                                                              \
        .name = "packages", .doc = "Packages and the versions asked for.", .type = FIELD_MAP,      \
        .offset = offsetof(record, packages)                                                       \
    }
#define ENV_FIELD_INDEX(record)                                                                    \
    {                                                                                              \
        .name = "index_url", .doc = "Package index.", .type = FIELD_STR,                           \
        .flags = FIELD_UNREADABLE, .offset = offsetof(record, index_url)                           \
    }
#define ENV_FIELD_EXTRA(record)                                                                    \
    {                                                                                              \
        .name = "extra", .doc = "Installed by hand, which `exact` removes.", .type = FIELD_LIST,   \
        .flags = FIELD_SET, .offset = offsetof(record, extra)                                      \
    }
/* So that a plan that was written down is not good for other hashes. */
#define ENV_FIELD_LOCK(record)                                                                     \
    {                                                                                              \
        .name = "lock", .doc = "Hash of the project's lock, or of the files of requirements.",     \
        .type = FIELD_STR, .flags = FIELD_COMPUTED | FIELD_UNSTORED,                               \
        .offset = offsetof(record, lock)                                                           \
    }

/* "Scikit_Learn[x] ==1.5.*" into the map: its name → its specifier; "2.2.3" for ==2.2.3, "any" for
 * none. 0 or -ERRC_NOMEM. */
int env_add_requirement(struct arena *arena, struct strmap *map, struct str text);
int env_add(struct arena *arena, struct strmap *map, const struct requirement *q);

/* What a part of the spec asks for in an environment. */
struct env_wish {
    const char *field; /* that part, "packages.python": `requirements` and `packages` in it */
    const char *requirements; /* path of a file, or NULL */
    struct strlist packages;
    const char *python; /* "3.12", or NULL */
    const char *always; /* a package that is wanted in any case, or NULL */
};
/* Fills want->others, and want->project where there is a file of requirements that says more than
 * these can; mistakes go to `diags`. 0 or -ERRC_NOMEM. */
int env_want(const struct desire *in, const struct env_wish *wish, struct arena *arena,
             struct diags *diags, struct python_want *want);
/* What is wanted in the environment of that Python on that machine; without these what is wanted
 * whatever they are. 0 or -ERRC_NOMEM. */
int env_packages(const struct python_want *want, const char *python, const char *machine,
                 struct arena *arena, struct strmap *ret);
/* The same of what a node wants, for the Python that there is by the facts of the node `python`. */
int env_read_wanted(const struct host_node *node, const char *python, const struct facts *facts,
                    struct strmap *ret);
/* Is what is wanted known with that Python on that machine (either may be NULL)? */
bool env_is_known(const struct python_want *want, const char *python, const char *machine);
/* Is it a Python of that wish ("3.12" stands for every 3.12.x, NULL for all)? */
bool env_is_version(const char *python, const char *wish);

/* Facts: `python`, `machine`; `folder`, where there may be a part of one; and of the packages
 * `dist`, and `asked` for those that somebody asked for by name. */
void env_probe_python(const char *env, struct buf *script);
void env_probe_packages(const char *env, struct buf *script);
/* Is it there? What a removal or a making that was cut left is, when nobody wants it. */
enum presence env_presence(const struct host_node *node, const struct facts *facts);
/* Of the packages in `from` those that are there; as asked for when the version fits. */
int env_read_packages(const struct host_node *node, const struct facts *facts,
                      const struct strmap *from, struct strmap *to);
/* "scipy 1.11.4: installed by hand, not in the spec: kept", or NULL for an empty list. */
const char *env_remark(const struct strlist *by_hand, struct arena *arena);
/* Is what was installed by hand to go? */
bool env_is_exact(const struct host_node *node);
/* What somebody asked for by name, and neither list did: "scipy 1.11.4". */
int env_read_by_hand(const struct host_node *node, const struct facts *facts,
                     const struct strmap *desired, const struct strmap *recorded,
                     struct strlist *ret);
/* Shell: from here on it is about that environment. */
void env_use(const char *env, struct buf *script);
/* Shell: it is the login user's, so that %pip works in a notebook. */
void env_own(const struct host_node *node, struct buf *script);
/* Shell that installs all that is wanted, and removes what `before` has and `after` has not, and
 * `extra`. Any of the three may be NULL: not known, nothing to remove. 0 or -ERRC_NOMEM. */
int env_change(const struct python_want *want, const struct strmap *before,
               const struct strlist *extra, const struct strmap *after, struct arena *arena,
               struct buf *script);
