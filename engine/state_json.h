/* One recorded node as JSON: the same shape in the state file and in the journal. */
#pragma once

#include "providers/provider.h"

#include <cjson/cJSON.h>

cJSON *recorded_to_json(const struct recorded *entry); /* NULL when memory runs out */
int recorded_from_json(struct arena *arena, const struct kind *const *kinds, const cJSON *json,
                       struct recorded *ret, struct err *err);
