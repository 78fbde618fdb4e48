/* The two collections that field values need: a list of strings and a map of strings. Both live in
 * an arena; the strings too. */
#pragma once

#include "specs/arena.h"
#include "specs/str.h"

#include <stdbool.h>
#include <stddef.h>

struct strlist {
    const char **items;
    size_t len;
    size_t cap;
};

struct strpair {
    const char *key;
    const char *value;
};

struct strmap {
    struct strpair *items;
    size_t len;
    size_t cap;
    bool unsorted; /* in order of their keys, items are found by halving: maps may be long */
};

/* Append; `item` is copied into the arena. 0 or -ERRC_NOMEM. */
int strlist_add(struct arena *a, struct strlist *l, const char *item);
int strlist_addf(struct arena *a, struct strlist *l, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool strlist_has(const struct strlist *l, const char *item);
void strlist_sort(struct strlist *l);
bool strlist_equal(const struct strlist *a, const struct strlist *b); /* order matters */
bool strlist_equal_set(const struct strlist *a,
                       const struct strlist *b); /* order and repeats do not */

/* Set, replacing an earlier value of the key; both are copied. 0 or -ERRC_NOMEM. */
int strmap_set(struct arena *a, struct strmap *m, const char *key, const char *value);
/* Sets all of `from`; keys and values are copied. 0 or -ERRC_NOMEM. */
int strmap_copy(struct arena *a, struct strmap *m, const struct strmap *from);
const char *strmap_get(const struct strmap *m, const char *key);   /* NULL when absent */
void strmap_sort(struct strmap *m);                                /* by key */
bool strmap_equal(const struct strmap *a, const struct strmap *b); /* as sets of pairs */
