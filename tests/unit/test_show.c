/* Errors and small texts. The plan's text has golden files: test_show_plan.c. */
#include "cmd/show_error.h"
#include "cmd/show_group.h"
#include "cmd/text.h"
#include "providers/aws/my_ip.h"
#include "tests/unit/cm.h"

static const struct look plain = {.width = 40}, utf8 = {.width = 40, .utf8 = true};

static void test_error(void **state) {
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    struct err err = {0};
    err_set(&err, ERRC_AWS, "RunInstances: no \033[31mcapacity\nin this zone");
    err_hint(&err, "another\a zone");
    snprintf(err.aws_code, sizeof err.aws_code, "InsufficientInstanceCapacity");
    snprintf(err.aws_request_id, sizeof err.aws_request_id, "abc-1");
    err.aws_http_status = 500;
    show_error(&err, &plain, &out);
    assert_string_equal(buf_cstr(&out),
                        "error: RunInstances: no ?[31mcapacity\n    in this zone\n"
                        "  AWS: InsufficientInstanceCapacity, HTTP 500 (request id abc-1)\n"
                        "  try: another? zone\n");
    buf_reset(&out);
    err = (struct err){.code = ERRC_NOMEM};
    show_error_at("server[0]", &err, &(struct look){.width = 80, .color = true}, &out);
    assert_string_equal(buf_cstr(&out), "\033[31merror:\033[0m server[0]: out of memory\n");
}

static const char *wrapped(const struct look *look, const char *text, size_t col, size_t indent,
                           struct buf *out) {
    buf_reset(out);
    text_wrap(look, str_of(text), col, indent, out);
    return buf_cstr(out);
}

static void test_clean(void **state) {
    (void)state;
    static const struct {
        const char *text, *clean;
    } cases[] = {
        {"a\tb \xc3\xa4 \xf0\x9f\x98\x80", "a\tb \xc3\xa4 \xf0\x9f\x98\x80"},
        {"\033[2J\r\n\x7f", "?[2J???"},
        {"\xc2\x9b\x31m", "?1m"}, /* ESC [ in one */
        {"\x9b\x31m \xff \xc3", "?1m ? ?"},
        {"\xe2\x80\xaetxt.exe \xe2\x81\xa6x", "?txt.exe ?x"}, /* from right to left */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
        text_add_clean(str_of(cases[i].text), &out);
        assert_string_equal(buf_cstr(&out), cases[i].clean);
    }
}

static void test_wrap(void **state) {
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    assert_string_equal(wrapped(&plain, "short", 4, 4, &out), "short");
    assert_string_equal(wrapped(&plain, "aaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbb cc", 4, 4, &out),
                        "aaaaaaaaaaaaaaaaaaaa\n    bbbbbbbbbbbbbbbbbbbb cc");
    assert_string_equal(wrapped(&plain, "0123456789012345678901234567890123456789x", 4, 4, &out),
                        "012345678901234567890123456789012345\n    6789x");
    assert_string_equal(wrapped(&utf8, "gr\u00f6\u00dfer \u2192 b", 0, 2, &out),
                        "gr\u00f6\u00dfer \u2192 b");
    assert_string_equal(wrapped(&plain, "gr\u00f6\u00dfer \u2192 b", 0, 2, &out), "gr??er -> b");
    assert_string_equal(wrapped(&plain,
                                "a\rb\x1b[2Jc\xc2\x85"
                                "d",
                                0, 2, &out),
                        "a?b?[2Jc?d");
}

static void test_diff(void **state) {
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    text_diff(&plain, STR("a\nb\nc\nd\ne\nf\ng\n"), STR("a\nb\nc\nd\ne\nF\ng\nh\n"), 2, &out);
    assert_string_equal(buf_cstr(&out), "  ...\n    d\n    e\n  - f\n  + F\n    g\n  + h\n");
    buf_reset(&out);
    text_diff(&plain, STR(""), STR("x"), 0, &out);
    assert_string_equal(buf_cstr(&out), "+ x\n");
    buf_reset(&out);
    _cleanup_buf_ struct buf large = BUF_INIT(BUF_SMALL);
    for (int i = 0; i < 401; i++)
        buf_addf(&large, "%d\n", i);
    text_diff(&plain, buf_str(&large), STR("x"), 0, &out);
    assert_string_equal(buf_cstr(&out), "(differs; 1494 bytes, then 1)\n");
}

static void test_groups(void **state) {
    (void)state;
    struct groups g = {0};
    static const char *const addresses[] = {"access",    "server[2].x", "server[0].x",
                                            "server[1]", "server[1].x", "server[7].x",
                                            "a[b]",      "access"};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
        assert_int_equal(groups_add(&g, addresses[i], 1, STR("body")), 0);
    assert_int_equal(groups_add(&g, "server[3].x", 2, STR("body")), 0);
    assert_int_equal(groups_add(&g, "server[4].x", 1, STR("other")), 0);
    static const char *const wanted[] = {"access", "server[0..2,7].x", "server[1]",  "a[b]",
                                         "access", "server[3].x",      "server[4].x"};
    assert_int_equal(g.len, sizeof wanted / sizeof wanted[0]);
    for (size_t i = 0; i < g.len; i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
        group_address(&g.items[i], &out);
        assert_string_equal(buf_cstr(&out), wanted[i]);
    }
    groups_free(&g);
}

static void test_group_holes(void **state) {
    (void)state;
    struct groups g = {0}, each = {.each = true};
    static const struct look signs = {.utf8 = true}, ascii = {0};
    for (int i = 0; i < 40; i += 2) {
        char address[24];
        snprintf(address, sizeof address, "server[%d].x", i);
        assert_int_equal(groups_add(&g, address, 0, STR("")), 0);
        assert_int_equal(groups_add(&each, address, 0, STR("")), 0);
    }
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    assert_int_equal(g.len, 1);
    group_label(&g.items[0], &signs, &out);
    buf_addc(&out, '\n');
    group_label(&g.items[0], &ascii, &out);
    assert_string_equal(buf_cstr(&out), "server[0,2,4,6,8,10,..].x \u00d720\n"
                                        "server[0,2,4,6,8,10,..].x x20");
    assert_int_equal(each.len, 20);
    groups_free(&g);
    groups_free(&each);
}

static void test_my_ip(void **state) {
    (void)state;
    char cidr[64] = "untouched";
    struct err err = {0};
    assert_int_equal(my_ip_to_cidr(" 203.0.113.7\n", cidr, sizeof cidr, &err), 0);
    assert_string_equal(cidr, "203.0.113.7/32");
    assert_int_equal(my_ip_to_cidr("2001:db8::1", cidr, sizeof cidr, &err), 0);
    assert_string_equal(cidr, "2001:db8::1/128");
    assert_int_equal(my_ip_to_cidr("10.0.0.0/8", cidr, sizeof cidr, &err), 0);
    assert_string_equal(cidr, "10.0.0.0/8");
    static const char *const bad[] = {"",           "<html>",   "1.2.3",          "1.2.3.4/33",
                                      "1.2.3.4/-1", "1.2.3.4/", "1.2.3.4 5.6.7.8"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(my_ip_to_cidr(bad[i], cidr, sizeof cidr, &err), -ERRC_INVALID);
    assert_string_equal(cidr, "10.0.0.0/8");
}

static void test_shell_word(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"plans/a-1_b.yaml", "plans/a-1_b.yaml"},
                                           {"my spec.yaml", "'my spec.yaml'"},
                                           {"it's", "'it'\\''s'"},
                                           {"$HOME", "'$HOME'"},
                                           {"", "''"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
        text_shell_word(str_of(cases[i][0]), &out);
        assert_string_equal(buf_cstr(&out), cases[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error),  cmocka_unit_test(test_clean),
        cmocka_unit_test(test_wrap),   cmocka_unit_test(test_diff),
        cmocka_unit_test(test_groups), cmocka_unit_test(test_group_holes),
        cmocka_unit_test(test_my_ip),  cmocka_unit_test(test_shell_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
