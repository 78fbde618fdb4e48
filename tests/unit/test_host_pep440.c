/* Versions against specifiers; the expectations were taken from PEP 440 itself. */
#include "providers/host/internal.h"
#include "tests/unit/cm.h"

static void test_matches(void **state) {
    (void)state;
    static const struct {
        const char *version, *specifier;
        bool expected;
    } rows[] = {
        {"1.5.2", "any", true},
        {"1.5.2", "==1.5.*", true},
        {"1.50", "==1.5.*", false},
        {"1.5", "==1.5.0", true},
        {"1.5.0", "==1.5", true},
        {"1.5.1", "==1.5", false},
        {"1.5.1", "!=1.5.*", false},
        {"1.6", "!=1.5.*", true},
        {"2.0", ">=1.5,<3", true},
        {"3.0", ">=1.5,<3", false},
        {"1.10", ">1.9", true},
        {"1.9", "<1.10", true},
        {"2.2", "~=2.2", true},
        {"2.9", "~=2.2", true},
        {"3.0", "~=2.2", false},
        {"1.4.9", "~=1.4.5", true},
        {"1.5.0", "~=1.4.5", false},
        {"1.0rc1", ">=1.0", false},
        {"1.0rc1", "<1.0", false},
        {"1.0.post1", ">1.0", false},
        {"1.0.post1", ">=1.0", true},
        {"1.0.post2", ">1.0.post1", true},
        {"1.0.dev3", "<1.0a1", true},
        {"1.0a2", ">1.0a1", true},
        {"1.0a1.dev2", "<1.0a1", true},
        {"1.0b1", ">1.0a9", true},
        {"1!1.0", ">2.0", true},
        {"2.0+local.1", "==2.0", true},
        {"1.0-1", "==1.0.post1", true},
        {"v1.0", "==1.0", true},
        {"1.0", "===1.0", true},
        {"1.0.0", "===1.0", false},
        {"1.0", "== 1.0 , >= 0.9", true},
        {"1.0", "=>1.0", false},
        {"1.0", "nonsense", false},
        {"2.1+cpu", "==2.1+cu118", false},
        {"2.1+cpu", "!=2.1+cu118", true},
        {"2.1", "==2.1+cpu", false},
        {"2.1+Ubuntu-1", "==2.1.0+ubuntu.1", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (pep440_matches(rows[i].version, rows[i].specifier) != rows[i].expected)
            fail_msg("%s %s: expected %d", rows[i].version, rows[i].specifier, rows[i].expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_matches)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
