/* Sizes and durations with their units: "30 GiB", "60 min". */
#pragma once

#include "specs/buf.h"
#include "specs/str.h"

#include <stdbool.h>
#include <stdint.h>

/* GiB from "30 GiB" or "1 TiB"; seconds from "90 s", "60 min", "12 h", "7 d". White space between
 * number and unit is optional. False when it is neither. */
bool unit_parse_size(struct str text, int64_t *ret_gib);
bool unit_parse_duration(struct str text, int64_t *ret_s);
/* In the largest unit that is exact. */
void unit_print_size(int64_t gib, struct buf *out);
void unit_print_duration(int64_t seconds, struct buf *out);
