#include "engine/graph.h"

#include "engine/index.h"

#include <stdlib.h>

int edges_add(struct arena *arena, struct edges *edges, size_t to) {
    size_t *items = arena_grow(arena, edges->items, edges->len, sizeof *items, &edges->cap);
    if (items == NULL)
        return -ERRC_NOMEM;
    edges->items = items;
    edges->items[edges->len++] = to;
    return 0;
}

enum { WHITE, GREY, BLACK };

struct frame {
    size_t node, next;
};

/* Depth first, without recursion: the depth is the user's to choose. */
static int visit(const struct edges *edges, size_t start, char *color, struct frame *stack,
                 size_t *order, size_t *done, size_t *cycle_len) {
    size_t depth = 0;
    stack[depth++] = (struct frame){start, 0};
    color[start] = GREY;
    while (depth > 0) {
        struct frame *top = &stack[depth - 1];
        if (top->next == edges[top->node].len) {
            color[top->node] = BLACK;
            order[(*done)++] = top->node;
            depth--;
            continue;
        }
        size_t to = edges[top->node].items[top->next++];
        if (color[to] == GREY) {
            size_t first = 0;
            while (stack[first].node != to)
                first++;
            *cycle_len = depth - first;
            for (size_t i = first; i < depth; i++)
                order[i - first] = stack[i].node;
            return -ERRC_INVALID;
        }
        if (color[to] == WHITE) {
            color[to] = GREY;
            stack[depth++] = (struct frame){to, 0};
        }
    }
    return 0;
}

int graph_order(const struct edges *edges, size_t n, size_t *ret_order, size_t *ret_cycle_len,
                struct err *err) {
    char *color = calloc(n + 1, 1);
    struct frame *stack = calloc(n + 1, sizeof *stack);
    size_t done = 0;
    if (color == NULL || stack == NULL) {
        free(color);
        free(stack);
        return err_no_memory(err);
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (color[i] == WHITE && visit(edges, i, color, stack, ret_order, &done, ret_cycle_len) < 0)
            rc = err_set(err, ERRC_INVALID, "a cycle of dependencies");
    free(color);
    free(stack);
    return rc;
}

static int node_edges(const struct nodes *nodes, const struct index *index, struct edges *edges,
                      struct err *err) {
    for (size_t i = 0; i < nodes->len; i++) {
        const struct node *node = &nodes->items[i];
        for (size_t d = 0; d <= node->deps.len; d++) {
            const char *dep = d < node->deps.len ? node->deps.items[d] : node->parent;
            if (dep == NULL)
                continue;
            size_t to = index_get(index, dep);
            if (to == SIZE_MAX)
                return err_set(err, ERRC_INTERNAL, "%s depends on %s, which does not exist",
                               node->address, dep);
            if (edges_add(nodes->arena, &edges[i], to) < 0)
                return err_no_memory(err);
        }
    }
    return 0;
}

static int report_cycle(const struct nodes *nodes, const size_t *cycle, size_t len,
                        struct err *err) {
    _cleanup_buf_ struct buf path = BUF_INIT(BUF_SMALL);
    for (size_t i = 0; i < len; i++)
        buf_addf(&path, "%s → ", nodes->items[cycle[i]].address);
    buf_adds(&path, nodes->items[cycle[0]].address);
    return err_set(err, ERRC_INVALID, "dependencies go round in a circle: %s", buf_cstr(&path));
}

int graph_sort_nodes(struct nodes *nodes, struct err *err) {
    size_t n = nodes->len;
    struct index *index = index_new(n);
    struct edges *edges = arena_calloc(nodes->arena, n + 1, sizeof *edges);
    size_t *order = arena_calloc(nodes->arena, n + 1, sizeof *order);
    struct node *sorted = arena_calloc(nodes->arena, n + 1, sizeof *sorted);
    if (index == NULL || edges == NULL || order == NULL || sorted == NULL) {
        index_free(index);
        return err_no_memory(err);
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (index_get(index, nodes->items[i].address) != SIZE_MAX)
            rc = err_set(err, ERRC_INTERNAL, "there are two of %s", nodes->items[i].address);
        index_put(index, nodes->items[i].address, i);
    }
    if (rc == 0)
        rc = node_edges(nodes, index, edges, err);
    index_free(index);
    if (rc < 0)
        return rc;
    size_t cycle_len = 0;
    rc = graph_order(edges, n, order, &cycle_len, err);
    if (rc < 0)
        return cycle_len > 0 ? report_cycle(nodes, order, cycle_len, err) : rc;
    for (size_t i = 0; i < n; i++)
        sorted[i] = nodes->items[order[i]];
    nodes->items = sorted;
    nodes->cap = n + 1;
    nodes->names = (struct names){0};
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = names_add(&nodes->names, nodes->arena, sorted, i + 1, sizeof *sorted);
    return rc < 0 ? err_no_memory(err) : 0;
}
