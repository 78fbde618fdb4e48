/* Errors as values: codes, context, hints. */
#include "specs/err.h"
#include "tests/unit/cm.h"

static void test_err(void **state) {
    (void)state;
    struct err err = {0};
    assert_int_equal(err_set(&err, ERRC_NET, "no route to %s", "host"), -ERRC_NET);
    err_hint(&err, "check the %s", "cable");
    assert_int_equal(err_wrap(&err, "probe"), -ERRC_NET);
    assert_string_equal(err.msg, "probe: no route to host");
    assert_string_equal(err.hint, "check the cable");
    assert_int_equal(err_set_errno(&err, ERRC_IO, 2, "open %s", "x"), -ERRC_IO);
    assert_string_equal(err.msg, "open x: No such file or directory");
    assert_string_equal(err.hint, ""); /* an older hint does not stay */
    assert_int_equal(err_set(NULL, ERRC_IO, "nobody listens"), -ERRC_IO);
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    err_set(&err, ERRC_IO, "%s", text);
    err_wrap(&err, "%s", text); /* truncates, never overflows */
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
}

static void test_texts(void **state) {
    (void)state;
    assert_string_equal(err_code_text(-ERRC_STALE), "plan is stale");
    for (int code = ERRC_NONE; code < ERRC_CODE_COUNT; code++) {
        assert_true(strlen(err_code_text(code)) > 0);
        assert_string_equal(err_code_text(-code), err_code_text(code));
    }
    assert_string_equal(err_code_text(12345), err_code_text(ERRC_INTERNAL));
    assert_string_equal(err_code_text(-12345), err_code_text(ERRC_INTERNAL));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_err), cmocka_unit_test(test_texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
