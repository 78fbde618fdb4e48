/* The probe's answer, the tar archive, quoting for the shell, and paths. */
#include "providers/host/internal.h"
#include "tests/unit/cm.h"

static void test_facts(void **state) {
    (void)state;
    struct facts facts = {0};
    struct err err = {0};
    assert_int_equal(facts_parse(STR("a\tk\tv\n\na\tk2\taGk=\nb\tk\tx\ty\n"), &facts, &err), 0);
    assert_int_equal(facts.len, 3);
    assert_string_equal(facts_get(&facts, "a", "k"), "v");
    assert_string_equal(facts_get(&facts, "b", "k"), "x\ty");
    assert_null(facts_get(&facts, "a", "none"));
    assert_null(facts_get(&facts, "c", "k"));
    assert_null(facts_get(&facts, "", "k"));
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    assert_true(facts_get_base64(&facts, "a", "k2", &out));
    assert_string_equal(buf_cstr(&out), "hi");
    buf_reset(&out);
    assert_false(facts_get_base64(&facts, "b", "k", &out));
    facts_free(&facts);
}

static void test_facts_first(void **state) {
    (void)state;
    struct facts facts = {0};
    struct err err = {0};
    assert_int_equal(facts_parse(STR("b\tk\t1\na\tk\t2\nb\tk\t3\nb\tj\t4\n"), &facts, &err), 0);
    assert_string_equal(facts_get(&facts, "b", "k"), "1");
    assert_string_equal(facts_get(&facts, "b", "j"), "4");
    assert_string_equal(facts_get(&facts, "a", "k"), "2");
    facts_free(&facts);
}

static void test_facts_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"x", "a\tb", "sudo: a password is required\n", "a\tb\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct facts facts = {0};
        struct err err = {0};
        assert_int_equal(facts_parse(str_of(bad[i]), &facts, &err), -ERRC_HOST);
        assert_int_equal(facts.len, 0);
    }
    struct facts facts = {0};
    struct err err = {0};
    assert_int_equal(facts_parse(STR("a\tb\tc\0d\n"), &facts, &err), -ERRC_HOST);
}

static void test_quote(void **state) {
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    shell_quote(&out, "it's $HOME `x` \"\\");
    assert_string_equal(buf_cstr(&out), "'it'\\''s $HOME `x` \"\\'");
}

static void test_remote_path(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    assert_string_equal(host_path(&arena, "admin", "~"), "/home/admin");
    assert_string_equal(host_path(&arena, "admin", "~/a/"), "/home/admin/a");
    assert_string_equal(host_path(&arena, "root", "~/a"), "/root/a");
    assert_string_equal(host_path(&arena, "admin", "/srv//"), "/srv");
    assert_string_equal(host_path(&arena, "admin", "/"), "/");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),         cmocka_unit_test(test_facts_first),
        cmocka_unit_test(test_facts_refused), cmocka_unit_test(test_quote),
        cmocka_unit_test(test_remote_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
