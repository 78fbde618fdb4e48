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

static void test_grow(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {.max = 64 * 1024};
    const size_t most = 1000;
    size_t cap = 0, len = 0, moved = 0;
    size_t *items = NULL;
    while (len < most) {
        size_t *grown = arena_grow(&a, items, len, sizeof *grown, &cap);
        assert_non_null(grown);
        assert_true(len < cap);
        moved += grown != items;
        items = grown;
        assert_int_equal(items[len], 0);
        items[len] = len;
        len++;
    }
    for (size_t i = 0; i < len; i++)
        assert_int_equal(items[i], i);
    assert_int_equal(moved, 8); /* 8, 16, ... 1024 */
    for (len = cap; arena_alloc(&a, 1024) != NULL;) {
    }
    size_t before = cap;
    assert_null(arena_grow(&a, items, len, sizeof *items, &cap));
    assert_int_equal(cap, before);
    /* A list that is full without being of the arena. */
    size_t own[20] = {[19] = 7}, own_cap = 0;
    _cleanup_arena_ struct arena other = {0};
    size_t *copy = arena_grow(&other, own, 20, sizeof *copy, &own_cap);
    assert_true(copy != own && copy[19] == 7 && own_cap > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_alloc), cmocka_unit_test(test_limits),
                                       cmocka_unit_test(test_texts), cmocka_unit_test(test_grow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
