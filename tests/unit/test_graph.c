/* Order by dependency: correct, stable, and a cycle is named whole. */
#include "engine/graph.h"
#include "engine/index.h"
#include "tests/scenario/sim.h"
#include "tests/unit/cm.h"

static void want(struct nodes *nodes, const char *address, const char *parent, const char *dep) {
    sim_want(nodes, &sim_part_kind, address, parent, (const char *const[]){dep, NULL}, NULL);
}

static void assert_order(const struct nodes *nodes, const char *const *addresses) {
    for (size_t i = 0; i < nodes->len; i++)
        assert_string_equal(nodes->items[i].address, addresses[i]);
}

static void test_index(void **state) {
    (void)state;
    struct index *index = index_new(3);
    assert_non_null(index);
    assert_true(index_get(index, "a") == SIZE_MAX);
    index_put(index, "a", 1);
    index_put(index, "b", 2);
    index_put(index, "a", 3);
    assert_int_equal(index_get(index, "a"), 3);
    assert_int_equal(index_get(index, "b"), 2);
    assert_true(index_get(index, "") == SIZE_MAX);
    index_free(index);
    index_free(NULL);
}

static void test_independent_nodes_keep_their_order(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    struct nodes nodes = {.arena = &arena};
    struct err err = {0};
    want(&nodes, "c", NULL, NULL);
    want(&nodes, "a", NULL, NULL);
    want(&nodes, "b", NULL, NULL);
    assert_int_equal(graph_sort_nodes(&nodes, &err), 0);
    assert_order(&nodes, (const char *const[]){"c", "a", "b"});
}

static void test_deps_and_parents_come_first(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    struct nodes nodes = {.arena = &arena};
    struct err err = {0};
    want(&nodes, "box.b", "box", "box.a");
    want(&nodes, "box.a", "box", NULL);
    want(&nodes, "box", NULL, "group");
    want(&nodes, "group", NULL, NULL);
    assert_int_equal(graph_sort_nodes(&nodes, &err), 0);
    assert_order(&nodes, (const char *const[]){"group", "box", "box.a", "box.b"});
    /* Sorting what is sorted changes nothing, and appending still works. */
    want(&nodes, "last", NULL, "box.b");
    assert_int_equal(graph_sort_nodes(&nodes, &err), 0);
    assert_order(&nodes, (const char *const[]){"group", "box", "box.a", "box.b", "last"});
}

static void test_cycle_is_named_whole(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    struct nodes nodes = {.arena = &arena};
    struct err err = {0};
    want(&nodes, "before", NULL, "a");
    want(&nodes, "a", NULL, "b");
    want(&nodes, "b", NULL, "c");
    want(&nodes, "c", NULL, "a");
    assert_int_equal(graph_sort_nodes(&nodes, &err), -ERRC_INVALID);
    assert_non_null(strstr(err.msg, "a → b → c → a"));
    assert_null(strstr(err.msg, "before"));
}

static void test_self_cycle(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    struct nodes nodes = {.arena = &arena};
    struct err err = {0};
    want(&nodes, "a", NULL, "a");
    assert_int_equal(graph_sort_nodes(&nodes, &err), -ERRC_INVALID);
    assert_non_null(strstr(err.msg, "a → a"));
}

static void test_unknown_dep_and_twins_are_internal_errors(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    struct nodes nodes = {.arena = &arena};
    struct err err = {0};
    want(&nodes, "a", NULL, "nobody");
    assert_int_equal(graph_sort_nodes(&nodes, &err), -ERRC_INTERNAL);
    assert_non_null(strstr(err.msg, "nobody"));
    struct nodes twins = {.arena = &arena};
    want(&twins, "a", NULL, NULL);
    want(&twins, "a", NULL, NULL);
    assert_int_equal(graph_sort_nodes(&twins, &err), -ERRC_INTERNAL);
}

/* The depth is the user's to choose: no recursion. */
static void test_long_chain(void **state) {
    (void)state;
    enum { N = 200000 };
    _cleanup_arena_ struct arena arena = {0};
    struct edges *edges = arena_calloc(&arena, N, sizeof *edges);
    size_t *order = arena_calloc(&arena, N, sizeof *order);
    size_t cycle_len = 0;
    struct err err = {0};
    assert_non_null(edges);
    assert_non_null(order);
    for (size_t i = 0; i + 1 < N; i++)
        assert_int_equal(edges_add(&arena, &edges[i], i + 1), 0);
    assert_int_equal(graph_order(edges, N, order, &cycle_len, &err), 0);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(order[i], N - 1 - i);
    assert_int_equal(edges_add(&arena, &edges[N - 1], 0), 0);
    assert_int_equal(graph_order(edges, N, order, &cycle_len, &err), -ERRC_INVALID);
    assert_int_equal(cycle_len, N);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_independent_nodes_keep_their_order),
        cmocka_unit_test(test_deps_and_parents_come_first),
        cmocka_unit_test(test_cycle_is_named_whole),
        cmocka_unit_test(test_self_cycle),
        cmocka_unit_test(test_unknown_dep_and_twins_are_internal_errors),
        cmocka_unit_test(test_long_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
