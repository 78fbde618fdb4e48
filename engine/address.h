/* How people name nodes: "server[0].python", "server[0..2]", "server" for all of them; what lives
 * in a node or stands below it is named with it ("server[0]" names "server[0].python" too). Pure.
 */
#pragma once

#include "specs/list.h"

#include <stdbool.h>

/* Is `address` named by `pattern`? `below`: also where it stands below what is named. */
bool address_matches(const char *pattern, const char *address, bool below);
/* By any of them; an empty list names everything. */
bool address_matches_any(const struct strlist *patterns, const char *address, bool below);
/* The one of the `len` addresses that looks most like what was meant, or NULL. */
const char *address_nearest(const char *pattern, const char *const *addresses, size_t len,
                            struct arena *arena);
