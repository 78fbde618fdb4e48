/* Groups like things of like nodes, so that a thousand servers are one entry: `server[0..999]`. */
#pragma once

#include "cmd/cmd.h"
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
    bool each;           /* nothing is joined (struct look's each) */
    struct group *items; /* in the order of their first members */
    size_t len, cap;
};

/* Join the group of equal tag, body and address but for the first index, or begin one. Texts are
 * copied. 0 or -ERRC_NOMEM. */
int groups_add(struct groups *groups, const char *address, int tag, struct str body);
/* The same; which one it is goes to *ret_at. */
int groups_add_at(struct groups *groups, const char *address, int tag, struct str body,
                  size_t *ret_at);
/* "server[0..2,5].python"; where there are many holes only the first: "server[0,2,4,..]". */
void group_address(const struct group *group, struct buf *out);
/* The same with how many they are: "server[0..999] ×1000". */
void group_label(const struct group *group, const struct look *look, struct buf *out);
void groups_free(struct groups *groups);
