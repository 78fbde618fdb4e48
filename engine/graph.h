/* Dependency order. Stable: what may come in any order keeps the order it came in. */
#pragma once

#include "providers/provider.h"

/* Edges of n items: item i comes after each of edges[i].items. */
struct edges {
    size_t *items;
    size_t len, cap;
};
int edges_add(struct arena *arena, struct edges *edges, size_t to);

/* Fills ret_order[n]. On a cycle returns -ERRC_INVALID, and ret_order[0 .. *ret_cycle_len) is the
 * cycle. */
int graph_order(const struct edges *edges, size_t n, size_t *ret_order, size_t *ret_cycle_len,
                struct err *err);

/* Reorders nodes so that parents and deps come first. A dep that no node has is an internal error;
 * a cycle is named whole ("a → b → a"). */
int graph_sort_nodes(struct nodes *nodes, struct err *err);
