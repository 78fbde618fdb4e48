/* TOML 1.0 to a tree of cJSON values (https://toml.io/en/v1.0.0): tables become objects, dates and
 * infinite numbers their text. Line breaks in inline tables are taken too, as TOML 1.1 does. */
#pragma once

#include "specs/err.h"
#include "specs/str.h"

#include <cjson/cJSON.h>

/* How deep values may be nested, and how many members a table may have. */
enum { TOML_DEPTH_MAX = 48, TOML_KEYS_MAX = 1024 };

/* The caller deletes *ret with cJSON_Delete. -ERRC_INVALID says "line N: what is wrong",
 * -ERRC_LIMIT what there is too much of. */
int toml_parse(struct str text, cJSON **ret, struct err *err);
