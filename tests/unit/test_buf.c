/* Buffers: the cap is sticky, encodings are exact. */
#include "specs/buf.h"
#include "tests/unit/cm.h"

static void test_cap(void **state) {
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(8);
    buf_adds(&b, "12345678");
    assert_false(b.failed);
    buf_addc(&b, '9');
    assert_true(b.failed);
    assert_true(b.len <= 8);
    buf_reset(&b);
    assert_false(b.failed);
    buf_addf(&b, "%d-%s", 12, "ab");
    assert_string_equal(buf_cstr(&b), "12-ab");
    buf_addf(&b, "%s", "too long for it");
    assert_true(b.failed);
}

static void test_reuse(void **state) {
    (void)state;
    struct buf b = BUF_INIT(BUF_SMALL);
    assert_string_equal(buf_cstr(&b), "");
    buf_addn(&b, 'x', 1000);
    assert_int_equal(strlen(buf_cstr(&b)), 1000);
    buf_free(&b);
    buf_free(&b);
}

static void test_wipe(void **state) {
    (void)state;
    struct buf b = BUF_INIT(8);
    buf_wipe(&b);
    buf_adds(&b, "123456789");
    assert_true(b.failed);
    buf_wipe(&b);
    assert_null(b.ptr);
    buf_adds(&b, "12345678");
    assert_string_equal(buf_cstr(&b), "12345678");
    buf_wipe(&b);
}

static void test_encodings(void **state) {
    (void)state;
    /* RFC 4648, section 10. */
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
        _cleanup_buf_ struct buf back = BUF_INIT(BUF_SMALL);
        buf_add_base64(&text, rows[i][0], strlen(rows[i][0]));
        assert_string_equal(buf_cstr(&text), rows[i][1]);
        assert_true(buf_add_base64_decoded(&back, buf_str(&text)));
        assert_string_equal(buf_cstr(&back), rows[i][0]);
    }
    _cleanup_buf_ struct buf b = BUF_INIT(BUF_SMALL);
    assert_false(buf_add_base64_decoded(&b, STR("Zm9v!")));
    buf_reset(&b);
    buf_add_hex(&b, "\x00\xff\x1a", 3);
    assert_string_equal(buf_cstr(&b), "00ff1a");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cap), cmocka_unit_test(test_reuse),
                                       cmocka_unit_test(test_wipe),
                                       cmocka_unit_test(test_encodings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
