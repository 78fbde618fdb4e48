/* uv.lock: what a project needs, for one Python on one sort of machine
 * (https://docs.astral.sh/uv/concepts/projects/layout/#the-lockfile). */
#pragma once

#include "providers/host/pep508.h"
#include "specs/err.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

struct lock_need { /* what a package, an extra or a group asks for */
    const char *name, *version,
        *source; /* the latter two NULL where one package only has the name */
    struct strlist extras;
    const char *marker; /* "" for always */
};

struct lock_needs {
    const char *name; /* of the extra or group; "" for the package itself */
    struct lock_need *items;
    size_t len;
    size_t number; /* among all of the lock */
};

struct lock_package {
    const char *name, *version, *source; /* "registry https://…", "git https://…", "editable ." */
    struct lock_needs needs;
    struct lock_needs *extras, *groups;
    size_t extras_len, groups_len;
    struct strlist hashes; /* "sha256:…" of its files that Linux takes */
};

struct uv_lock {
    struct lock_package *packages; /* by name */
    size_t len;
    size_t needs_len;                /* how many struct lock_needs there are */
    const struct lock_package *root; /* the project itself */
    struct strlist patches; /* "3.11.3": Python versions that markers tell apart by their patch */
    cJSON *requires_dist;   /* of the root: what pyproject.toml said when it was locked; or NULL */
};

/* A lock of the project of that canonical name. Texts live in `arena`; requires_dist in `toml`.
 * -ERRC_INVALID, -ERRC_UNSUPPORTED (of a later format), -ERRC_NOMEM. */
int uv_lock_read(struct arena *arena, const cJSON *toml, const char *project, struct uv_lock *ret,
                 struct err *err);

/* Packages of the index that the project needs: with those extras and groups of it, which must be
 * there, where `env` holds. `ret` has one bool a package. -ERRC_NOTFOUND: no such extra or group;
 * -ERRC_UNSUPPORTED: a package from elsewhere than an index; -ERRC_CONFLICT: two versions of one.
 */
int uv_lock_select(struct arena *arena, const struct uv_lock *lock, const struct strlist *extras,
                   const struct strlist *groups, const struct marker_env *env, bool **ret,
                   struct err *err);

/* The URL of the index that the package is from, or NULL. */
const char *lock_index(const struct lock_package *package);

/* The name of a requirement that a lock's requires_dist and pyproject.toml do not have alike; NULL
 * when there is none. Markers are not compared: uv writes them in its own way. */
const char *lock_is_older(struct arena *arena, const cJSON *requires_dist, const cJSON *pyproject);
