/* pyproject.toml without a lock: the requirements as they stand there
 * (https://packaging.python.org/en/latest/specifications/pyproject-toml/). */
#pragma once

#include "providers/host/pep508.h"
#include "specs/err.h"

#include <cjson/cJSON.h>

/* Those of the project, of these extras and of these groups, one text each, appended to `ret`.
 * `project`: its canonical name. Texts live in `arena`. -ERRC_INVALID: what is no requirement,
 * groups that include themselves; -ERRC_NOTFOUND: no such extra or group; -ERRC_UNSUPPORTED: a
 * package from elsewhere than an index; -ERRC_LIMIT, -ERRC_NOMEM. */
int pyproject_requirements(struct arena *arena, const cJSON *pyproject, const char *project,
                           const struct strlist *extras, const struct strlist *groups,
                           struct strlist *ret, struct err *err);
