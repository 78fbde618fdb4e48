/* Arenas: aligned, zeroed, capped. */
#include "specs/arena.h"
#include "tests/unit/cm.h"

#include <stdalign.h>

static void test_alloc(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    for (size_t size = 1; size < 5000; size += 37) {
        unsigned char *p = arena_alloc(&a, size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xaa, size);
    }
    assert_non_null(arena_alloc(&a, 1024 * 1024)); /* larger than a block */
}

static void test_limits(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {.max = 1000};
    assert_null(arena_alloc(&a, 2000));
    assert_non_null(arena_alloc(&a, 500));
    assert_null(arena_alloc(&a, 600));
    assert_null(arena_calloc(&a, SIZE_MAX / 2, 4));
    assert_null(arena_alloc(&a, SIZE_MAX));
}

static void test_texts(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    assert_null(arena_dup(&a, NULL));
    assert_string_equal(arena_dup(&a, "abc"), "abc");
    assert_string_equal(arena_dup_str(&a, (struct str){"abcdef", 3}), "abc");
    assert_string_equal(arena_printf(&a, "%s[%d]", "server", 7), "server[7]");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_alloc), cmocka_unit_test(test_limits),
                                       cmocka_unit_test(test_texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
