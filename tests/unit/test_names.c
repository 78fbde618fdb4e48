/* Finding by name, beside looking at all. */
#include "specs/err.h"
#include "specs/names.h"
#include "tests/unit/cm.h"

struct item {
    const char *name;
    int value;
};

enum { MANY = 500, STEPS = 20000 };

static size_t by_looking(const struct item *items, size_t len, const char *name) {
    for (size_t i = 0; i < len; i++)
        if (strcmp(items[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

static uint32_t next(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }

/* Appending, taking out, and asking, in any order: always what looking at all finds. */
static void test_any_order(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    struct item *items = arena_calloc(&arena, STEPS, sizeof *items);
    struct names names = {0};
    size_t len = 0;
    uint32_t seed = 7;
    assert_non_null(items);
    for (int step = 0; step < STEPS; step++) {
        const char *name = arena_printf(&arena, "server[%u]", (next(&seed) >> 8) % MANY);
        uint32_t what = (next(&seed) >> 8) % 4;
        assert_non_null(name);
        if (what == 0 && by_looking(items, len, name) == SIZE_MAX) {
            items[len++] = (struct item){.name = name, .value = step};
            assert_int_equal(names_add(&names, &arena, items, len, sizeof *items), 0);
        } else if (what == 1 && len > MANY / 2) {
            size_t at = (next(&seed) >> 8) % len--;
            memmove(&items[at], &items[at + 1], (len - at) * sizeof *items);
        }
        assert_int_equal(names_find(&names, items, len, sizeof *items, name),
                         by_looking(items, len, name));
    }
}

/* Of like names the first is found. */
static void test_twice(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    const struct item items[] = {{.name = "a"}, {.name = "b"}, {.name = "b"}};
    struct names names = {0};
    for (size_t len = 1; len <= 3; len++)
        assert_int_equal(names_add(&names, &arena, items, len, sizeof items[0]), 0);
    assert_int_equal(names_find(&names, items, 3, sizeof items[0], "b"), 1);
}

/* Lists that nobody told of, as tests make them. */
static void test_untold(void **state) {
    (void)state;
    const struct item items[] = {{.name = "a"}, {.name = NULL}, {.name = "b"}};
    const struct names names = {0};
    assert_int_equal(names_find(&names, items, 3, sizeof items[0], "b"), 2);
    assert_int_equal(names_find(&names, items, 3, sizeof items[0], "c"), SIZE_MAX);
    assert_int_equal(names_find(&names, items, 3, sizeof items[0], NULL), SIZE_MAX);
    assert_int_equal(names_find(&names, NULL, 0, sizeof items[0], "a"), SIZE_MAX);
}

static void test_no_memory(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {.max = 1};
    const struct item item = {.name = "a"};
    struct names names = {0};
    assert_int_equal(names_add(&names, &arena, &item, 1, sizeof item), -ERRC_NOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_twice),
        cmocka_unit_test(test_untold),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
