/* String views: strict numbers, splitting, and the nearest name. */
#include "specs/str.h"
#include "tests/unit/cm.h"

static void test_i64(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } rows[] = {
        {"0", true, 0},
        {"-7", true, -7},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"-9223372036854775808", true, INT64_MIN},
        {"-9223372036854775809", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1x", false, 0},
        {"0x10", false, 0},
        {"99999999999999999999999999", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t value = 0;
        assert_int_equal(str_to_i64(str_of(rows[i].text), INT64_MIN, INT64_MAX, &value),
                         rows[i].good);
        if (rows[i].good)
            assert_true(value == rows[i].value);
    }
    int64_t kept = 42;
    assert_false(str_to_i64(STR("11"), 1, 10, &kept));
    assert_false(str_to_i64(STR("0"), 1, 10, &kept));
    assert_true(kept == 42); /* failure leaves the output alone */
}

static void test_split(void **state) {
    (void)state;
    struct str rest = STR("a,,b,");
    struct str head;
    static const char *const parts[] = {"a", "", "b", ""};
    for (size_t i = 0; i < 4; i++) {
        if (!str_split(&rest, ',', &head))
            assert_int_equal(i, 3); /* a trailing separator may end the list */
        else
            assert_true(str_eqc(head, parts[i]));
    }
    struct str gone = {NULL, 0};
    assert_false(str_split(&gone, ',', &head));
}

static void test_views(void **state) {
    (void)state;
    assert_true(str_eqc(str_trim(STR(" \t a b\r\n")), "a b"));
    assert_int_equal(str_trim(STR("  ")).len, 0);
    assert_true(str_starts(STR("abc"), STR("ab")));
    assert_false(str_starts(STR("a"), STR("ab")));
    assert_true(str_ends(STR("abc"), STR("bc")));
    assert_false(str_ends(STR("c"), STR("bc")));
    assert_true(cstr_eq(NULL, NULL));
    assert_false(cstr_eq(NULL, ""));
    assert_int_equal(str_of(NULL).len, 0);
}

static void test_code_point(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } cases[] = {{"", 0},
                 {"ab", 1},
                 {"\xc3\xa4x", 2},
                 {"\xe2\x82\xac", 3},
                 {"\xf0\x9f\x98\x80", 4},
                 {"\xc3", 0},              /* cut */
                 {"\xc3(", 0},             /* goes on with something else */
                 {"\x80", 0},              /* begins in the middle */
                 {"\xff", 0},              /* of no code point */
                 {"\xc0\xaf", 0},          /* longer than need be */
                 {"\xe0\x80\xaf", 0},      /* likewise */
                 {"\xed\xa0\x80", 0},      /* half of a pair of UTF-16 */
                 {"\xf4\x90\x80\x80", 0}}; /* behind the last */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(str_code_point(str_of(cases[i].text)), cases[i].len);
    assert_int_equal(str_code_point((struct str){"\0", 1}), 1);
}

static void test_nearest(void **state) {
    (void)state;
    static const char *const names[] = {"image", "type", "count", "ssh", NULL};
    assert_string_equal(str_nearest(STR("imgae"), names), "image");
    assert_string_equal(str_nearest(STR("typ"), names), "type");
    assert_string_equal(str_nearest(STR("counts"), names), "count");
    assert_string_equal(str_nearest(STR("ima"), names), "image"); /* only begun */
    assert_null(str_nearest(STR("zebra"), names));
    assert_null(str_nearest(STR("sxy"), names)); /* short names: one edit only */
    assert_int_equal(str_distance(STR("kitten"), STR("sitting"), 10), 3);
    assert_int_equal(str_distance(STR("kitten"), STR("sitting"), 2), 2);
    assert_int_equal(str_distance(STR(""), STR("abc"), 10), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_i64), cmocka_unit_test(test_split), cmocka_unit_test(test_views),
        cmocka_unit_test(test_code_point), cmocka_unit_test(test_nearest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
