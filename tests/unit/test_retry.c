/* The SDKs' standard mode as rules, and what AWS's refusals are read as. */
#include "providers/aws/client.h"
#include "providers/aws/retry.h"
#include "tests/unit/cm.h"

static void test_cost(void **state) {
    (void)state;
    static const struct {
        struct retry_try t;
        int want;
    } cases[] = {
        {{.number = 1, .max_attempts = 3, .status = 503, .code = ""}, 5},
        {{.number = 1, .max_attempts = 3, .status = 500, .code = "InternalError"}, 5},
        {{.number = 3, .max_attempts = 3, .status = 503, .code = ""}, 0},
        {{.number = 1, .max_attempts = 1, .status = 503, .code = ""}, 0},
        {{.number = 1, .max_attempts = 3, .status = 400, .code = "InvalidParameterValue"}, 0},
        {{.number = 1, .max_attempts = 3, .status = 400, .code = "Throttling"}, 5},
        {{.number = 1, .max_attempts = 3, .status = 429, .code = ""}, 5},
        {{.number = 1, .max_attempts = 3, .status = 400, .code = "RequestTimeout"}, 5},
        {{.number = 1, .max_attempts = 3, .code = ""}, 5}, /* the connection broke off */
        {{.number = 1, .max_attempts = 3, .timed_out = true, .code = ""}, 10},
        {{.number = 1, .max_attempts = 3, .permanent = true, .code = ""}, 0},
        /* What must not happen twice: only when it certainly did not happen. */
        {{.number = 1, .max_attempts = 3, .once = true, .code = ""}, 0},
        {{.number = 1, .max_attempts = 3, .once = true, .timed_out = true, .code = ""}, 0},
        {{.number = 1, .max_attempts = 3, .once = true, .status = 500, .code = ""}, 0},
        {{.number = 1, .max_attempts = 3, .once = true, .unsent = true, .code = ""}, 5},
        {{.number = 1,
          .max_attempts = 3,
          .once = true,
          .status = 503,
          .code = "RequestLimitExceeded"},
         5},
        {{.number = 1, .max_attempts = 3, .status = 500, .code = "InsufficientInstanceCapacity"},
         0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (retry_cost(&cases[i].t) != cases[i].want)
            fail_msg("case %zu: %d, not %d", i, retry_cost(&cases[i].t), cases[i].want);
}

static void test_quota(void **state) {
    (void)state;
    int quota = RETRY_QUOTA_MAX, spent = 0;
    while (retry_spend(&quota, 5))
        spent++;
    assert_int_equal(spent, 100);
    assert_int_equal(quota, 0);
    retry_give_back(&quota, 0);
    assert_int_equal(quota, 1);
    assert_false(retry_spend(&quota, 5));
    assert_int_equal(quota, 1); /* nothing is taken */
    retry_give_back(&quota, 10);
    assert_int_equal(quota, 11);
    quota = RETRY_QUOTA_MAX;
    retry_give_back(&quota, 10);
    assert_int_equal(quota, RETRY_QUOTA_MAX);
}

static void test_pause(void **state) {
    (void)state;
    static const double most[] = {1, 2, 4, 8, 16, 20, 20, 20};
    for (int i = 0; i < 8; i++) {
        assert_true(retry_pause_s(i + 1, 0) == 0);
        assert_true(retry_pause_s(i + 1, UINT32_MAX) == most[i]);
        assert_true(retry_pause_s(i + 1, UINT32_MAX / 2) < most[i] / 2 + 0.001);
    }
    assert_true(retry_pause_s(100000, UINT32_MAX) == 20);
}

static void test_ec2_error(void **state) {
    (void)state;
    struct err err = {0};
    aws_read_error("RunInstances", 400,
                   STR("<?xml version=\"1.0\"?><Response><Errors><Error><Code>VcpuLimitExceeded"
                       "</Code><Message>Too many &lt;vCPUs&gt;</Message></Error></Errors>"
                       "<RequestID>req-1</RequestID></Response>"),
                   &err);
    assert_int_equal(err.code, ERRC_AWS);
    assert_string_equal(err.msg, "RunInstances: Too many <vCPUs>");
    assert_string_equal(err.aws_code, "VcpuLimitExceeded");
    assert_string_equal(err.aws_request_id, "req-1");
    assert_int_equal(err.aws_http_status, 400);
    assert_non_null(strstr(err.hint, "vCPU quota"));
}

static void test_ssm_error(void **state) {
    (void)state;
    struct err err = {0};
    aws_read_error("GetParameters", 400,
                   STR("{\"__type\":\"com.amazon#AccessDeniedException\",\"Message\":\"no\"}"),
                   &err);
    assert_string_equal(err.aws_code, "AccessDeniedException");
    assert_string_equal(err.msg, "GetParameters: no");
    assert_non_null(strstr(err.hint, "permission"));
}

/* EC2's word for a session that has ended is the same as for a clock that is off. */
static void test_expired(void **state) {
    (void)state;
    struct err err = {0};
    aws_read_error("DescribeInstances", 400,
                   STR("<Response><Errors><Error><Code>RequestExpired</Code><Message>Request has "
                       "expired.</Message></Error></Errors><RequestID>r</RequestID></Response>"),
                   &err);
    assert_non_null(strstr(err.hint, "log in again"));
    assert_non_null(strstr(err.hint, "clock"));
    assert_true(aws_blames_credentials(&err));
    aws_read_error("DescribeInstances", 400,
                   STR("<Response><Errors><Error><Code>InvalidParameterValue</Code><Message>m"
                       "</Message></Error></Errors><RequestID>r</RequestID></Response>"),
                   &err);
    assert_false(aws_blames_credentials(&err));
}

/* Whatever stands in front of AWS may answer in its own words. */
static void test_not_aws(void **state) {
    (void)state;
    static const char *const bodies[] = {"",
                                         "<html>504 Gateway Timeout</html>",
                                         "plain text",
                                         "<Response><Errors/></Response>",
                                         "<unclosed",
                                         "{\"message\":\"no type\"}",
                                         "{",
                                         "{\"__type\":7}",
                                         "<!DOCTYPE x [<!ENTITY a \"b\">]><Response/>"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct err err = {0};
        aws_read_error("DescribeInstances", 504, str_of(bodies[i]), &err);
        assert_int_equal(err.code, ERRC_NET);
        assert_string_equal(err.msg, "DescribeInstances: the answer was HTTP 504 and not AWS's");
        assert_string_equal(err.aws_code, "");
    }
}

/* Codes and messages are cut to what an error holds, never past it. */
static void test_long_error(void **state) {
    (void)state;
    struct err err = {0};
    _cleanup_buf_ struct buf body = BUF_INIT(BUF_SMALL);
    buf_adds(&body, "<Response><Errors><Error><Code>");
    buf_addn(&body, 'C', 5000);
    buf_adds(&body, "</Code><Message>");
    buf_addn(&body, 'M', 5000);
    buf_adds(&body, "</Message></Error></Errors><RequestID>");
    buf_addn(&body, 'R', 5000);
    buf_adds(&body, "</RequestID></Response>");
    aws_read_error("X", 400, buf_str(&body), &err);
    assert_int_equal(strlen(err.aws_code), sizeof err.aws_code - 1);
    assert_true(strlen(err.msg) > 500);
}

/* Nobody waits until AWS says that it is too much; then all do, the less the better it goes. */
static void test_rate(void **state) {
    (void)state;
    struct retry_rate r = {0};
    for (int i = 0; i < 100; i++)
        assert_true(retry_rate_reserve(&r, 5) == 5);
    retry_rate_recover(&r);
    retry_rate_cut(&r, 10); /* 8 a second */
    assert_true(retry_rate_reserve(&r, 10) == 10.125);
    assert_true(retry_rate_reserve(&r, 10) == 10.25);
    assert_true(retry_rate_reserve(&r, 20) == 20); /* nobody asked meanwhile */
    retry_rate_cut(&r, 10.5);                      /* of the calls that were under way then */
    assert_true(r.per_s == 8);
    for (double at = 30; at < 40; at += 1) {
        retry_rate_cut(&r, at);
        assert_true(retry_rate_reserve(&r, at) >= at + 1 / r.per_s);
    }
    assert_true(r.per_s == 0.5); /* never stands still */
    int good = 0;
    for (; r.per_s > 0 && good < 1000; good++)
        retry_rate_recover(&r);
    assert_int_equal(good, 40);
    assert_true(retry_rate_reserve(&r, 50) == 50);
}

static void test_words(void **state) {
    (void)state;
    assert_true(retry_is_throttle(&(struct retry_try){.status = 429, .code = ""}));
    assert_true(
        retry_is_throttle(&(struct retry_try){.status = 503, .code = "RequestLimitExceeded"}));
    assert_false(retry_is_throttle(&(struct retry_try){.status = 503, .code = "Unavailable"}));
    assert_true(retry_is_expiry("ExpiredToken"));
    assert_false(retry_is_expiry("AuthFailure"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate),      cmocka_unit_test(test_words),
        cmocka_unit_test(test_cost),      cmocka_unit_test(test_quota),
        cmocka_unit_test(test_pause),     cmocka_unit_test(test_ec2_error),
        cmocka_unit_test(test_ssm_error), cmocka_unit_test(test_expired),
        cmocka_unit_test(test_not_aws),   cmocka_unit_test(test_long_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
