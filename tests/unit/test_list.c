/* Lists and maps of strings. */
#include "specs/list.h"
#include "tests/unit/cm.h"

static void test_list(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    struct strlist x = {0}, y = {0};
    for (int i = 99; i >= 0; i--)
        assert_int_equal(strlist_addf(&a, &x, "%02d", i), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(strlist_addf(&a, &y, "%02d", i), 0);
    assert_false(strlist_equal(&x, &y));
    assert_true(strlist_equal_set(&x, &y));
    assert_int_equal(strlist_add(&a, &y, "07"), 0);
    assert_true(strlist_equal_set(&x, &y)); /* repeats do not count */
    assert_int_equal(strlist_add(&a, &y, "more"), 0);
    assert_false(strlist_equal_set(&x, &y));
    assert_false(strlist_equal_set(&y, &x));
    strlist_sort(&x);
    assert_string_equal(x.items[0], "00");
    assert_true(strlist_has(&x, "42"));
    assert_false(strlist_has(&x, "more"));
}

static void test_map(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    struct strmap x = {0}, y = {0};
    assert_int_equal(strmap_set(&a, &x, "b", "1"), 0);
    assert_int_equal(strmap_set(&a, &x, "a", "2"), 0);
    assert_int_equal(strmap_set(&a, &x, "b", "3"), 0);
    assert_int_equal(x.len, 2);
    assert_string_equal(strmap_get(&x, "b"), "3");
    assert_null(strmap_get(&x, "c"));
    assert_int_equal(strmap_set(&a, &y, "a", "2"), 0);
    assert_false(strmap_equal(&x, &y));
    assert_int_equal(strmap_set(&a, &y, "b", "3"), 0);
    assert_true(strmap_equal(&x, &y));
    strmap_sort(&x);
    assert_string_equal(x.items[0].key, "a");
    /* In order and not: each is found. */
    assert_int_equal(strmap_set(&a, &x, "d", "4"), 0);
    assert_int_equal(strmap_set(&a, &x, "c", "5"), 0);
    assert_int_equal(strmap_set(&a, &x, "d", "6"), 0);
    assert_int_equal(x.len, 4);
    assert_string_equal(strmap_get(&x, "a"), "2");
    assert_string_equal(strmap_get(&x, "c"), "5");
    assert_string_equal(strmap_get(&x, "d"), "6");
    assert_null(strmap_get(&x, ""));
    assert_null(strmap_get(&x, "e"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_list), cmocka_unit_test(test_map)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
