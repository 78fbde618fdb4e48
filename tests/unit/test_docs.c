/* docs/commands.md is what the verb table prints; BERTH_UPDATE=1 writes it anew. */
#include "cmd/verbs.h"
#include "specs/fs.h"
#include "tests/unit/cm.h"

static void test_commands(void **state) {
    (void)state;
    static const char path[] = TESTS_DIR "/../docs/commands.md";
    _cleanup_buf_ struct buf made = BUF_INIT(BUF_MEDIUM);
    _cleanup_buf_ struct buf kept = BUF_INIT(BUF_MEDIUM);
    struct err err = {0};
    help_markdown(verbs_table, &made);
    assert_false(made.failed);
    if (getenv("BERTH_UPDATE") != NULL)
        assert_int_equal(fs_write(path, buf_str(&made), 0644, &err), 0);
    assert_int_equal(fs_read(path, &kept, &err), 0);
    assert_string_equal(buf_cstr(&kept), buf_cstr(&made));
}

/* Help fits a terminal of 100 columns. */
static void test_width(void **state) {
    (void)state;
    for (const struct verb *const *v = verbs_table; *v != NULL; v++) {
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
        help_verb(*v, &text);
        struct str rest = buf_str(&text), line;
        while (str_split(&rest, '\n', &line))
            assert_true(line.len <= 100);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_commands),
                                       cmocka_unit_test(test_width)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
