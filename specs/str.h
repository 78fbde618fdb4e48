/* String views, and the strict parsing that the whole program uses instead of atoi and friends. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A view: not owned, not NUL-terminated. */
struct str {
    const char *ptr;
    size_t len;
};

#define STR(lit) ((struct str){(lit), sizeof(lit) - 1})
#define STR_FMT(s) (int)(s).len, (s).ptr /* for "%.*s" */

struct str str_of(const char *cstr); /* NULL gives the empty view */
bool str_eq(struct str a, struct str b);
bool str_eqc(struct str a, const char *b);
bool cstr_eq(const char *a, const char *b); /* NULL equals only NULL */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_trim(struct str s); /* ASCII white space off both ends */

/* Cut at the first `sep`: returns what is before it and leaves the rest in *s (empty, ptr at the
 * end, when there was none). Returns false when *s was already exhausted (ptr NULL). */
bool str_split(struct str *s, char sep, struct str *ret_head);

/* Whole view is a decimal integer in [min, max], optional leading '-', no '+', no spaces. */
bool str_to_i64(struct str s, int64_t min, int64_t max, int64_t *ret);
/* Bytes of the UTF-8 code point that it begins with (RFC 3629, 4); 0 when it begins with none. */
size_t str_code_point(struct str s);

/* Levenshtein distance, capped: returns cap when it is at least cap. Views over 64 bytes give cap.
 */
size_t str_distance(struct str a, struct str b, size_t cap);

/* The candidate nearest to `s` (distance ≤ 2, or 1 for names under 4 letters), or NULL.
 * `candidates` ends with NULL. One that `s` (3 letters or more) only begins comes first. */
const char *str_nearest(struct str s, const char *const *candidates);
