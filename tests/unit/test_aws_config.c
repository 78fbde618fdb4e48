/* Where credentials, region and endpoints come from, and what is said when they do not. */
#include "providers/aws/config.h"
#include "providers/aws/ini.h"
#include "specs/fs.h"
#include "tests/unit/cm.h"

#include <sys/stat.h>
#include <unistd.h>

enum { VARIABLES_MAX = 16 };

struct world {
    char folder[64];
    struct {
        const char *name, *value;
    } variables[VARIABLES_MAX];
    size_t len;
};

static const char *get(void *ctx, const char *name) {
    const struct world *w = ctx;
    for (size_t i = 0; i < w->len; i++)
        if (strcmp(w->variables[i].name, name) == 0)
            return w->variables[i].value;
    return NULL;
}

static void set(struct world *w, const char *name, const char *value) {
    for (size_t i = 0; i < w->len; i++)
        if (strcmp(w->variables[i].name, name) == 0) {
            w->variables[i].value = value;
            return;
        }
    assert_true(w->len < VARIABLES_MAX);
    w->variables[w->len].name = name;
    w->variables[w->len++].value = value;
}

static void put(const struct world *w, const char *name, const char *text) {
    char path[128];
    struct err err;
    snprintf(path, sizeof path, "%s/.aws/%s", w->folder, name);
    assert_int_equal(fs_write(path, str_of(text), 0600, &err), 0);
}

static int setup(void **state) {
    struct world *w = calloc(1, sizeof *w);
    char path[128];
    struct err err;
    if (w == NULL)
        return -1;
    snprintf(w->folder, sizeof w->folder, "/tmp/berth-test-XXXXXX");
    if (mkdtemp(w->folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/.aws", w->folder);
    if (fs_mkdirs(path, 0700, &err) < 0)
        return -1;
    set(w, "HOME", w->folder);
    set(w, "AWS_REGION", "eu-west-1");
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    static const char *const names[] = {"/.aws/config", "/.aws/credentials", "/.aws", "/other", ""};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s%s", w->folder, names[i]);
        if (remove(path) < 0)
            continue;
    }
    free(w);
    return 0;
}

static int load(struct world *w, const char *profile, struct aws_config *ret, struct err *err) {
    const struct aws_config_in in = {.env = get, .env_ctx = w, .profile = profile};
    *err = (struct err){0};
    *ret = (struct aws_config){0};
    return aws_config_load(&in, ret, err);
}

static void expect_key(struct world *w, const char *profile, const char *access,
                       const char *source) {
    struct aws_config config;
    struct err err;
    if (load(w, profile, &config, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(config.access_key.ptr, access);
    if (strstr(config.source, source) == NULL)
        fail_msg("%s is not of %s", config.source, source);
    aws_config_free(&config);
}

static void expect_error(struct world *w, const char *profile, int code, const char *text) {
    struct aws_config config;
    struct err err;
    assert_int_equal(load(w, profile, &config, &err), -code);
    if (strstr(err.msg, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, text);
    assert_null(config.access_key.ptr);
}

static void test_order(void **state) {
    struct world *w = *state;
    put(w, "credentials",
        "[default]\naws_access_key_id = DEFAULT\naws_secret_access_key=s\n"
        "[work]\naws_access_key_id=WORK\naws_secret_access_key=s\naws_session_token=t\n");
    put(w, "config", "[profile  only-config]\naws_access_key_id=CONFIG\naws_secret_access_key=s\n");
    expect_key(w, NULL, "DEFAULT", "profile default of ");
    expect_key(w, "work", "WORK", "/.aws/credentials");
    expect_key(w, "only-config", "CONFIG", "/.aws/config");
    set(w, "AWS_PROFILE", "work");
    expect_key(w, NULL, "WORK", "profile work of ");
    set(w, "AWS_ACCESS_KEY_ID", "ENV");
    set(w, "AWS_SECRET_ACCESS_KEY", "s");
    expect_key(w, NULL, "ENV", "the environment"); /* stronger than AWS_PROFILE, as in the SDKs */
    expect_key(w, "work", "WORK", "profile work"); /* the spec's profile is stronger than both */
    struct aws_config config;
    struct err err;
    assert_int_equal(load(w, "work", &config, &err), 0);
    assert_string_equal(config.session_token.ptr, "t");
    aws_config_free(&config);
    set(w, "AWS_ACCESS_KEY_ID", "");
    expect_error(w, NULL, ERRC_AUTH, "AWS_SECRET_ACCESS_KEY but not AWS_ACCESS_KEY_ID");
}

static void test_missing(void **state) {
    struct world *w = *state;
    expect_error(w, NULL, ERRC_AUTH,
                 "the environment is empty and profile default has no keys in ");
    expect_error(w, "work", ERRC_AUTH, "no AWS credentials: profile work has no keys in ");
    put(w, "credentials", "[work]\naws_access_key_id=A\n");
    expect_error(w, "work", ERRC_AUTH, "has aws_access_key_id but not aws_secret_access_key");
    set(w, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/x");
    expect_error(w, NULL, ERRC_UNSUPPORTED, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    char path[128];
    snprintf(path, sizeof path, "%s/.aws", w->folder); /* a folder is no file */
    set(w, "AWS_CONFIG_FILE", path);
    expect_error(w, NULL, ERRC_IO, path);
}

static void test_not_yet(void **state) {
    struct world *w = *state;
    static const char *const keys[] = {"role_arn", "sso_session", "sso_start_url",
                                       "web_identity_token_file", "credential_process"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char text[160];
        snprintf(text, sizeof text, "[profile p]\n%s = something\n", keys[i]);
        put(w, "config", text);
        expect_error(w, "p", ERRC_UNSUPPORTED, keys[i]);
    }
    /* A role is assumed with the keys, not replaced by them; a program comes after them. */
    put(w, "credentials", "[p]\naws_access_key_id=A\naws_secret_access_key=s\n");
    expect_key(w, "p", "A", "credentials");
    put(w, "config", "[profile p]\nrole_arn = arn:aws:iam::1:role/x\n");
    expect_error(w, "p", ERRC_UNSUPPORTED, "role_arn");
}

static void test_region(void **state) {
    struct world *w = *state;
    struct aws_config config;
    struct err err;
    set(w, "AWS_ACCESS_KEY_ID", "A");
    set(w, "AWS_SECRET_ACCESS_KEY", "s");
    put(w, "config", "[default]\nregion = ap-south-1\n");
    assert_int_equal(load(w, NULL, &config, &err), 0);
    assert_string_equal(config.region, "eu-west-1");
    aws_config_free(&config);
    set(w, "AWS_REGION", "");
    set(w, "AWS_DEFAULT_REGION", "us-east-2");
    assert_int_equal(load(w, NULL, &config, &err), 0);
    assert_string_equal(config.region, "us-east-2");
    aws_config_free(&config);
    set(w, "AWS_DEFAULT_REGION", "");
    assert_int_equal(load(w, NULL, &config, &err), 0);
    assert_string_equal(config.region, "ap-south-1");
    aws_config_free(&config);
    put(w, "config", "");
    expect_error(w, NULL, ERRC_INVALID, "no AWS region is set");
    set(w, "AWS_REGION", "x.evil.example/");
    expect_error(w, NULL, ERRC_INVALID, "not an AWS region");
}

static void expect_endpoint(struct world *w, const char *ec2, const char *ssm) {
    struct aws_config config;
    struct err err;
    if (load(w, NULL, &config, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(cstr_eq(config.endpoints[AWS_EC2], ec2));
    assert_true(cstr_eq(config.endpoints[AWS_SSM], ssm));
    aws_config_free(&config);
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
    struct aws_config config;
    struct err err;
    set(w, "AWS_ACCESS_KEY_ID", "A");
    set(w, "AWS_SECRET_ACCESS_KEY", "s");
    set(w, "AWS_CA_BUNDLE", "/ca.pem");
    assert_int_equal(load(w, NULL, &config, &err), 0);
    assert_int_equal(config.max_attempts, 3);
    assert_string_equal(config.ca_bundle, "/ca.pem");
    aws_config_free(&config);
    set(w, "AWS_MAX_ATTEMPTS", "5");
    assert_int_equal(load(w, NULL, &config, &err), 0);
    assert_int_equal(config.max_attempts, 5);
    aws_config_free(&config);
    set(w, "AWS_MAX_ATTEMPTS", "many");
    expect_error(w, NULL, ERRC_INVALID, "AWS_MAX_ATTEMPTS");
    /* The sandbox asks nobody's files. */
    put(w, "config", "[default]\nrole_arn = x\n");
    set(w, "AWS_MAX_ATTEMPTS", "");
    const struct aws_config_in in = {.env = get,
                                     .env_ctx = w,
                                     .endpoint = "http://127.0.0.1:1",
                                     .access_key = "SANDBOX",
                                     .secret_key = "s",
                                     .region = "sandbox-1"};
    assert_int_equal(aws_config_load(&in, &config, &err), 0);
    assert_string_equal(config.endpoints[AWS_SSM], "http://127.0.0.1:1");
    assert_string_equal(config.region, "sandbox-1");
    aws_config_free(&config);
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
    struct aws_config config;
    assert_int_equal(load(w, NULL, &config, &err), 0);
    assert_string_equal(config.access_key.ptr, "A");
    assert_string_equal(config.secret_key.ptr, "s;t");
    aws_config_free(&config);
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
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_yet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_region, setup, teardown),
        cmocka_unit_test_setup_teardown(test_endpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_elsewhere, setup, teardown),
        cmocka_unit_test(test_ini),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
