/* Which images there are for which instance types. */
#include "providers/ec2/internal.h"
#include "tests/unit/cm.h"

static void test_arm(void **state) {
    (void)state;
    static const char *const arm[] = {"a1.medium",  "t4g.small",     "m7gd.large",   "c6gn.xlarge",
                                      "r8g.large",  "im4gn.4xlarge", "is4gen.large", "g5g.xlarge",
                                      "x2gd.large", "hpc7g.4xlarge", "i8g.large"};
    static const char *const x86[] = {"t3.small",           "t3a.small",   "m7i-flex.large",
                                      "g4dn.xlarge",        "g6.xlarge",   "gr6.4xlarge",
                                      "p4d.24xlarge",       "inf2.xlarge", "trn1.2xlarge",
                                      "u7i-12tb.224xlarge", "z1d.large"};
    for (size_t i = 0; i < sizeof arm / sizeof arm[0]; i++)
        if (!image_is_arm(arm[i]))
            fail_msg("%s", arm[i]);
    for (size_t i = 0; i < sizeof x86 / sizeof x86[0]; i++)
        if (image_is_arm(x86[i]))
            fail_msg("%s", x86[i]);
}

static void test_parameter(void **state) {
    (void)state;
    const struct image *debian = image_find("debian-12");
    const struct image *deep = image_find("deep-learning-ubuntu-24.04");
    assert_null(image_find("ami-0123456789abcdef0"));
    assert_non_null(strstr(image_parameter(debian, "t3.small"), "amd64"));
    assert_non_null(strstr(image_parameter(debian, "t4g.small"), "arm64"));
    assert_non_null(image_parameter(deep, "g6.xlarge"));
    assert_null(image_parameter(deep, "g5g.xlarge"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arm),
        cmocka_unit_test(test_parameter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
