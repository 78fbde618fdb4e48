/* YAML into marked trees: places, limits, paths. Refusals are golden in tests/scenario/diag. */
#include "specs/tree.h"
#include "tests/unit/cm.h"

static struct tree *parse(struct arena *a, struct diags *d, struct str source) {
    *d = (struct diags){.arena = a, .file = "t", .source = source};
    return tree_parse(a, d);
}

static void test_marks(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    struct diags d;
    struct tree *t = parse(&a, &d, STR("a: 1\nb:\n  - x\n  - {c: \"1\"}\nn: ~\ne:\n"));
    assert_non_null(t);
    assert_int_equal(t->len, 4);
    struct tree *c = tree_get(t, "b[1].c");
    assert_non_null(c);
    assert_true(c->quoted);
    assert_int_equal(c->mark.line, 4);
    assert_int_equal(c->mark.col, 9);
    assert_int_equal(c->mark.len, 3);
    assert_int_equal(c->key.col, 6);
    assert_int_equal(tree_get(t, "n")->type, TREE_NULL);
    assert_int_equal(tree_get(t, "e")->type, TREE_NULL);
    assert_int_equal(tree_get(t, "b")->key.line, 2);
    assert_null(tree_get(t, "b[2]"));
    assert_null(tree_get(t, "a.b"));
    assert_null(tree_get(t, "b[x]"));
    assert_null(tree_get(NULL, "a"));
}

static void test_limits(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    struct diags d;
    char *big = malloc(TREE_BYTES_MAX + 1);
    assert_non_null(big);
    memset(big, 'x', TREE_BYTES_MAX + 1);
    assert_null(parse(&a, &d, (struct str){big, TREE_BYTES_MAX + 1}));
    assert_int_equal(d.errors, 1);
    for (size_t i = 0; i + 1 < TREE_BYTES_MAX; i += 2)
        memcpy(big + i, "-\n", 2);
    assert_null(parse(&a, &d, (struct str){big, TREE_BYTES_MAX}));
    assert_string_equal(d.items[0].msg, "too many values");
    free(big);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_marks), cmocka_unit_test(test_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
