/* Groups like things of like nodes, so that a thousand servers are one entry: `server[0..999]`. */
#pragma once

#include "specs/arena.h"
#include "specs/buf.h"

struct group {
    struct str prefix, suffix; /* around the index: "server[" and "].python" */
    bool indexed;              /* the address has an index */
    int tag;
    struct str body;
    uint64_t hash;
    int64_t *indexes; /* ascending as they came */
    size_t len, cap;
};

struct groups {
    struct arena arena;
    struct group *items; /* in the order of their first members */
    size_t len, cap;
};

/* Join the group of equal tag, body and address but for the first index, or begin one. Texts are
 * copied. 0 or -ERRC_NOMEM. */
int groups_add(struct groups *groups, const char *address, int tag, struct str body);
/* "server[0..2,5].python" */
void group_address(const struct group *group, struct buf *out);
void groups_free(struct groups *groups);
