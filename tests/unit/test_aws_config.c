/* Where credentials, region and endpoints come from, and what is said when they do not. */
#include "providers/aws/ini.h"
#include "tests/unit/aws_world.h"

static void test_region(void **state) {
    struct world *w = *state;
    struct loaded l;
    struct err err;
    set(w, "AWS_ACCESS_KEY_ID", "A");
    set(w, "AWS_SECRET_ACCESS_KEY", "s");
    put(w, "config", "[default]\nregion = ap-south-1\n");
    assert_int_equal(load(w, NULL, &l, &err), 0);
    assert_string_equal(l.config.region, "eu-west-1");
    unload(&l);
    set(w, "AWS_REGION", "");
    set(w, "AWS_DEFAULT_REGION", "us-east-2");
    assert_int_equal(load(w, NULL, &l, &err), 0);
    assert_string_equal(l.config.region, "us-east-2");
    unload(&l);
    set(w, "AWS_DEFAULT_REGION", "");
    assert_int_equal(load(w, NULL, &l, &err), 0);
    assert_string_equal(l.config.region, "ap-south-1");
    unload(&l);
    put(w, "config", "");
    expect_error(w, NULL, ERRC_INVALID, "no AWS region is set");
    set(w, "AWS_REGION", "x.evil.example/");
    expect_error(w, NULL, ERRC_INVALID, "not an AWS region");
}

static void expect_endpoint(struct world *w, const char *ec2, const char *ssm) {
    struct loaded l;
    struct err err;
    if (load(w, NULL, &l, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(cstr_eq(l.config.endpoints[AWS_EC2], ec2));
    assert_true(cstr_eq(l.config.endpoints[AWS_SSM], ssm));
    unload(&l);
}

static void test_endpoint(void **state) {
    struct world *w = *state;
    set(w, "AWS_ACCESS_KEY_ID", "A");
    set(w, "AWS_SECRET_ACCESS_KEY", "s");
    expect_endpoint(w, NULL, NULL);
    put(w, "config",
        "[default]\nendpoint_url = http://profile\nservices = mine\n"
        "[services mine]\ns3 =\n  endpoint_url = http://s3\nec2 = \n  endpoint_url = http://ec2\n");
    expect_endpoint(w, "http://ec2", "http://profile");
    set(w, "AWS_ENDPOINT_URL", "http://all");
    expect_endpoint(w, "http://all", "http://all");
    set(w, "AWS_ENDPOINT_URL_EC2", "http://one");
    expect_endpoint(w, "http://one", "http://all");
    set(w, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false");
    expect_endpoint(w, "http://one", "http://all");
    set(w, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True");
    expect_endpoint(w, NULL, NULL);
}

static void test_rest(void **state) {
    struct world *w = *state;
    struct loaded l;
    struct err err;
    set(w, "AWS_ACCESS_KEY_ID", "A");
    set(w, "AWS_SECRET_ACCESS_KEY", "s");
    set(w, "AWS_CA_BUNDLE", "/ca.pem");
    assert_int_equal(load(w, NULL, &l, &err), 0);
    assert_int_equal(l.config.max_attempts, 3);
    assert_string_equal(l.config.ca_bundle, "/ca.pem");
    unload(&l);
    set(w, "AWS_MAX_ATTEMPTS", "5");
    assert_int_equal(load(w, NULL, &l, &err), 0);
    assert_int_equal(l.config.max_attempts, 5);
    unload(&l);
    set(w, "AWS_MAX_ATTEMPTS", "many");
    expect_error(w, NULL, ERRC_INVALID, "AWS_MAX_ATTEMPTS");
    set(w, "AWS_MAX_ATTEMPTS", "");
    set(w, "AWS_RETRY_MODE", "Adaptive");
    expect_key(w, NULL, "A", "environment");
    set(w, "AWS_RETRY_MODE", "often");
    expect_error(w, NULL, ERRC_INVALID, "AWS_RETRY_MODE");
    set(w, "AWS_RETRY_MODE", "");
    put(w, "config", "[default]\nsts_regional_endpoints = legacy\n");
    assert_int_equal(load(w, NULL, &l, &err), 0);
    assert_true(l.config.sts_global);
    unload(&l);
    set(w, "AWS_REGION", "eu-south-1"); /* younger than the global endpoint's list */
    assert_int_equal(load(w, NULL, &l, &err), 0);
    assert_false(l.config.sts_global);
    unload(&l);
    /* The sandbox asks nobody's files. */
    put(w, "config", "[default]\nrole_arn = x\n");
    set(w, "AWS_MAX_ATTEMPTS", "");
    l = (struct loaded){0};
    const struct aws_config_in in = {.env = get,
                                     .env_ctx = w,
                                     .endpoint = "http://127.0.0.1:1",
                                     .access_key = "SANDBOX",
                                     .secret_key = "s",
                                     .region = "sandbox-1"};
    assert_int_equal(aws_config_load(&in, &l.config, &err), 0);
    assert_string_equal(l.config.endpoints[AWS_SSM], "http://127.0.0.1:1");
    assert_string_equal(l.config.given->access_key.ptr, "SANDBOX");
    assert_string_equal(l.config.region, "sandbox-1");
    unload(&l);
}

static void test_files_elsewhere(void **state) {
    struct world *w = *state;
    char path[128];
    struct err err;
    snprintf(path, sizeof path, "%s/other", w->folder);
    assert_int_equal(fs_write(path,
                              STR("# mine\r\n[default]\r\naws_access_key_id = A # old\r\n"
                                  "aws_secret_access_key = s;t\r\n"),
                              0600, &err),
                     0);
    set(w, "AWS_SHARED_CREDENTIALS_FILE", "~/other");
    struct loaded l;
    assert_int_equal(load(w, NULL, &l, &err), 0);
    assert_string_equal(l.who.access_key.ptr, "A");
    assert_string_equal(l.who.secret_key.ptr, "s;t");
    unload(&l);
}

static void test_ini(void **state) {
    (void)state;
    struct str text = STR("x = before any section\n"
                          "[ profile \"a b\" ]\nk = 1\nk = 2\nnested =\n  k = 3\n  other = 4\n"
                          "no equals\nempty =\n[profile c]\nk = 5\n[broken\nk = 6\n");
    struct str value;
    assert_true(ini_get(text, "profile 'a b'", NULL, "k", &value));
    assert_true(str_eqc(value, "2")); /* the last counts */
    assert_true(ini_get(text, "profile  \"a b\"", "nested", "k", &value));
    assert_true(str_eqc(value, "3"));
    assert_false(ini_get(text, "profile \"a b\"", NULL, "other", &value));
    assert_false(ini_get(text, "profile \"a b\"", "other", "k", &value));
    assert_true(ini_get(text, "profile \"a b\"", NULL, "empty", &value));
    assert_int_equal(value.len, 0);
    assert_true(ini_get(text, "profile c", NULL, "k", &value));
    assert_true(str_eqc(value, "5"));
    assert_false(ini_get(text, "profile", NULL, "k", &value));
    assert_false(ini_get(text, "", NULL, "x", &value));
    assert_true(ini_has_section(text, "profile c"));
    assert_false(ini_has_section(text, "broken"));
    assert_false(ini_get((struct str){NULL, 0}, "a", NULL, "b", &value));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_region, setup, teardown),
        cmocka_unit_test_setup_teardown(test_endpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_elsewhere, setup, teardown),
        cmocka_unit_test(test_ini),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
