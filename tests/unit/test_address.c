/* How people name nodes. */
#include "engine/address.h"
#include "tests/unit/cm.h"

static void test_matches(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *address;
        int exact, below; /* with `below` false and true */
    } rows[] = {
        {"access", "access", 1, 1},
        {"server[0]", "server[0]", 1, 1},
        {"server[0]", "server[0].python", 0, 1},
        {"server[0]", "server[1]", 0, 0},
        {"server[1]", "server[10]", 0, 0},
        {"server", "server[0]", 1, 1},
        {"server", "server[7].jupyter.health", 0, 1},
        {"serv", "server[0]", 0, 0},
        {"server[0..2]", "server[2]", 1, 1},
        {"server[0..2]", "server[3]", 0, 0},
        {"server[0..2]", "server[1].tls", 0, 1},
        {"server[0..2].tls", "server[1].tls", 1, 1},
        {"server[0..2].tls", "server[1].tls2", 0, 0},
        {"server[0].jupyter", "server[0].jupyter", 1, 1},
        {"server[0].jupyter", "server[0].jupyter.health", 0, 1},
        {"server[2..0]", "server[1]", 0, 0},
        {"server[", "server[0]", 0, 0},
        {"server[]", "server[0]", 0, 0},
        {"server[..]", "server[0]", 0, 0},
        {"server[0..]", "server[0]", 0, 0},
        {"server[x]", "server[0]", 0, 0},
        {"server[0]x", "server[0]", 0, 0},
        {"server[99999999999999999999]", "server[0]", 0, 0},
        {"server[0]", "server", 0, 0},
        {"key_pair", "key_pairs", 0, 0},
        {"", "server[0]", 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool good = address_matches(rows[i].pattern, rows[i].address, false) == rows[i].exact &&
                    address_matches(rows[i].pattern, rows[i].address, true) == rows[i].below;
        if (!good)
            fail_msg("%s %s", rows[i].pattern, rows[i].address);
    }
}

static void test_any(void **state) {
    (void)state;
    const char *items[] = {"access", "server[1]"};
    const struct strlist list = {.items = items, .len = 2}, none = {0};
    assert_true(address_matches_any(&list, "server[1].tls", true));
    assert_false(address_matches_any(&list, "server[0]", true));
    assert_true(address_matches_any(&none, "server[0]", false));
    assert_true(address_matches_any(NULL, "server[0]", false));
}

static void test_nearest(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    static const char *const known[] = {"access", "key_pair", "server[0]", "server[1]"};
    assert_string_equal(address_nearest("acces", known, 4, &arena), "access");
    assert_string_equal(address_nearest("sever[0]", known, 4, &arena), "server[0]");
    assert_string_equal(address_nearest("server[7000]", known, 4, &arena), "server[1]");
    assert_null(address_nearest("volume[0]", known, 4, &arena));
    assert_null(address_nearest("x", known, 0, &arena));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_matches), cmocka_unit_test(test_any),
                                       cmocka_unit_test(test_nearest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
