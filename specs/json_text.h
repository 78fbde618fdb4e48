/* Canonical JSON text: sorted keys, no white space, one spelling for each value, so that equal
 * values are equal strings. */
#pragma once

#include "specs/arena.h"
#include "specs/tree.h"

#include <cjson/cJSON.h>

/* From a spec's tree, scalars by YAML 1.2's core schema (true, 1, 1.5, null; quoted is a string).
 * NULL when memory runs out. */
const char *json_text_of_tree(struct arena *arena, const struct tree *tree);
/* From a parsed JSON value. */
const char *json_text_of_json(struct arena *arena, const cJSON *json);
