/* Blocks of addresses as people write them, and as EC2 does. */
#include "specs/cidr.h"
#include "tests/unit/cm.h"

#include <string.h>

static void test_print(void **state) {
    (void)state;
    static const struct {
        const char *given, *want;
        bool masked, world;
    } cases[] = {
        {"203.0.113.7/32", "203.0.113.7/32", false, false},
        {"203.0.113.7/24", "203.0.113.0/24", true, false},
        {"203.0.113.255/27", "203.0.113.224/27", true, false},
        {"203.0.113.7/0", "0.0.0.0/0", true, true},
        {"0.0.0.0/0", "0.0.0.0/0", false, true},
        {"10.0.0.0/8", "10.0.0.0/8", false, false},
        {"2001:DB8:0::/64", "2001:db8::/64", false, false},
        {"2001:db8::1/64", "2001:db8::/64", true, false},
        {"2001:db8::ffff/121", "2001:db8::ff80/121", true, false},
        {"2001:db8::1/128", "2001:db8::1/128", false, false},
        {"::1/0", "::/0", true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cidr cidr;
        char text[CIDR_TEXT_SIZE];
        assert_null(cidr_parse(str_of(cases[i].given), &cidr));
        assert_int_equal(cidr_mask(&cidr), cases[i].masked);
        assert_int_equal(cidr_is_world(&cidr), cases[i].world);
        cidr_print(&cidr, text);
        assert_string_equal(text, cases[i].want);
    }
}

static void test_bad(void **state) {
    (void)state;
    static const struct {
        const char *given, *word;
    } cases[] = {
        {"203.0.113.7", "/32"},        {"2001:db8::1", "/128"},
        {"203.0.113.7/33", "0 to 32"}, {"203.0.113.7/-1", "0 to 32"},
        {"203.0.113.7/", "0 to 32"},   {"::/129", "0 to 128"},
        {"sg-1", "such as"},           {"", "such as"},
        {"1.2.3/8", "such as"},        {"/8", "such as"},
        {"1.2.3.4 /8", "such as"},     {"1.2.3.4/8/8", "0 to 32"},
    };
    struct cidr untouched = {.bits = 7}, cidr = untouched;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *problem = cidr_parse(str_of(cases[i].given), &cidr);
        assert_non_null(problem);
        assert_non_null(strstr(problem, cases[i].word));
        assert_memory_equal(&cidr, &untouched, sizeof cidr);
    }
    assert_false(cidr_parse_address(STR("203.0.113.7/32"), &cidr));
    assert_true(cidr_parse_address(STR("::1"), &cidr));
    assert_int_equal(cidr.bits, 128);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
