/* Sources of credentials that ask nobody for them, programs, containers and instances: what each
 * takes, what it says when it has none, and who comes first. Roles and SSO: test_aws_roles.c. */
#include "providers/aws/sources.h"
#include "tests/unit/aws_source.h"

#include <curl/curl.h>

static void test_order(void **state) {
    struct world *w = *state;
    put(w, "credentials",
        "[default]\n" KEYS("DEFAULT") "[work]\n" KEYS("WORK") "aws_session_token=t\n");
    put(w, "config", "[profile  only-config]\n" KEYS("CONFIG") "[profile work]\n" KEYS("OTHER"));
    expect_key(w, NULL, "DEFAULT", "profile default of ");
    expect_key(w, "work", "WORK", "/.aws/credentials");
    expect_key(w, "only-config", "CONFIG", "/.aws/config");
    set(w, "AWS_PROFILE", "work");
    expect_key(w, NULL, "WORK", "profile work of ");
    set(w, "AWS_ACCESS_KEY_ID", "ENV");
    set(w, "AWS_SECRET_ACCESS_KEY", "s");
    expect_key(w, NULL, "ENV", "the environment"); /* stronger than AWS_PROFILE, as in the SDKs */
    expect_key(w, "work", "WORK", "profile work"); /* the spec's profile is stronger than both */
    struct loaded l;
    struct err err;
    assert_int_equal(load(w, "work", &l, &err), 0);
    assert_string_equal(l.who.session_token.ptr, "t");
    assert_false(aws_credentials_renewable(&l.who));
    unload(&l);
    set(w, "AWS_ACCESS_KEY_ID", "");
    expect_error(w, NULL, ERRC_AUTH, "AWS_SECRET_ACCESS_KEY but not AWS_ACCESS_KEY_ID");
}

static void test_missing(void **state) {
    struct world *w = *state;
    expect_error(w, NULL, ERRC_AUTH,
                 "the environment is empty and profile default has no keys in ");
    expect_error(w, "work", ERRC_AUTH, "there is no profile work (named by the spec)");
    set(w, "AWS_PROFILE", "gone");
    expect_error(w, NULL, ERRC_AUTH, "there is no profile gone (named by AWS_PROFILE)");
    set(w, "AWS_PROFILE", "");
    put(w, "config", "[profile work]\nregion = us-east-1\n");
    expect_error(w, "work", ERRC_AUTH, "no AWS credentials: profile work has no keys in ");
    put(w, "credentials", "[work]\naws_access_key_id=A\n");
    expect_error(w, "work", ERRC_AUTH, "has aws_access_key_id but not aws_secret_access_key");
    put(w, "config", "[profile work]\nlogin_session = x\n");
    put(w, "credentials", "");
    expect_error(w, "work", ERRC_UNSUPPORTED, "login_session");
    char path[128];
    snprintf(path, sizeof path, "%s/.aws", w->folder); /* a folder is no file */
    set(w, "AWS_CONFIG_FILE", path);
    expect_error(w, NULL, ERRC_IO, path);
}

/* What `berth doctor` shows. */
static void test_trail(void **state) {
    struct world *w = *state;
    struct aws_config config;
    struct aws_credentials who = {0};
    struct arena arena = {0};
    struct aws_trail trail = {.arena = &arena};
    struct err err = {0};
    const struct aws_config_in in = {.env = get, .env_ctx = w};
    put(w, "credentials", "[default]\n" KEYS("A"));
    assert_int_equal(aws_config_load(&in, &config, &err), 0);
    const struct aws_client_in client = {
        .config = &config, .now = world_now, .random = world_random};
    assert_int_equal(aws_credentials_find(&client, &trail, &who, &err), 0);
    assert_int_equal(trail.len, 3);
    assert_string_equal(trail.steps[0].source, "environment");
    assert_string_equal(trail.steps[0].found, "AWS_ACCESS_KEY_ID is not set");
    assert_string_equal(trail.steps[2].source, "profile default");
    assert_true(trail.steps[2].taken && !trail.steps[0].taken);
    aws_credentials_free(&who);
    aws_config_free(&config);
    arena_free(&arena);
}

/* ---- Programs */

static void test_process(void **state) {
    struct world *w = *state;
    char path[128], text[512];
    struct err err;
    snprintf(path, sizeof path, "%s/give keys", w->folder);
    assert_int_equal(fs_write(path,
                              STR("#!/bin/sh\n"
                                  "test \"$1\" = 'a b' || { echo \"no $1 here\" >&2; exit 3; }\n"
                                  "cat \"$2\"\n"),
                              0700, &err),
                     0);
    snprintf(text, sizeof text, "[profile p]\ncredential_process = \"%s\" 'a b' %s/.aws/answer\n",
             path, w->folder);
    put(w, "config", text);
    put(w, "answer",
        "{\"Version\":1,\"AccessKeyId\":\"PROGRAM\",\"SecretAccessKey\":\"s\","
        "\"SessionToken\":\"t\",\"Expiration\":\"2015-08-30T15:36:00+02:00\"}");
    struct loaded l;
    if (load(w, "p", &l, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(l.who.access_key.ptr, "PROGRAM");
    assert_int_equal(l.who.expires, world_now(NULL) + 3600);
    unload(&l);
    put(w, "answer", "{\"Version\":2,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\"}");
    expect_error(w, "p", ERRC_AUTH, "is not of Version 1");
    put(w, "answer", "{\"Version\":1,\"AccessKeyId\":\"A\"}");
    expect_error(w, "p", ERRC_AUTH, "has no SecretAccessKey");
    put(w, "answer",
        "{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\","
        "\"Expiration\":\"2015-08-30T12:35:00Z\"}");
    expect_error(w, "p", ERRC_AUTH, "they expired at");
    put(w, "answer", "hello");
    expect_error(w, "p", ERRC_AUTH, "does not answer in JSON");
    snprintf(text, sizeof text, "[profile p]\ncredential_process = '%s' x\n", path);
    put(w, "config", text);
    expect_error(w, "p", ERRC_AUTH, "exit status 3: no x here");
    put(w, "config", "[profile p]\ncredential_process = /nowhere/at/all\n");
    expect_error(w, "p", ERRC_AUTH, "run /nowhere/at/all: No such file");
    put(w, "config", "[profile p]\ncredential_process = x 'y\n");
    expect_error(w, "p", ERRC_AUTH, "is no command line");
    /* A shell would make two commands of it; here it is a program's name. */
    put(w, "config", "[profile p]\ncredential_process = true;false\n");
    expect_error(w, "p", ERRC_AUTH, "run true;false: No such file");
}

static void test_split(void **state) {
    (void)state;
    static const struct {
        const char *command;
        const char *words[5];
    } rows[] = {
        {"a b", {"a", "b"}},
        {"  a\t'b c'  \"d e\" ", {"a", "b c", "d e"}},
        {"a'b'\"c\" ''", {"abc", ""}},
        {"a\\ b \"x\\\"y\\z\" '\\n'", {"a b", "x\"y\\z", "\\n"}},
        {"$HOME `x` $(y)", {"$HOME", "`x`", "$(y)"}},
        {"'a", {NULL}},
        {"a\\", {NULL}},
        {"  ", {NULL}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena arena = {0};
        char **words = source_split_command(&arena, str_of(rows[i].command));
        assert_int_equal(words == NULL, rows[i].words[0] == NULL);
        for (size_t j = 0; words != NULL && j < 5; j++) {
            assert_true(cstr_eq(words[j], rows[i].words[j]));
            if (words[j] == NULL)
                break;
        }
        arena_free(&arena);
    }
}

/* ---- Containers and instances */

#define INSTANCE_KEYS(id)                                                                          \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"s\",\"Token\":\"t\","  \
    "\"Expiration\":\"" UNTIL "\"}"

static void test_container(void **state) {
    struct world *w = *state;
    struct server *s = server();
    char url[128];
    SERVE(s, {200, NULL, INSTANCE_KEYS("BOX")}, {200, NULL, INSTANCE_KEYS("BOX")}, {500, NULL, ""},
          {200, NULL, INSTANCE_KEYS("BOX")}, {403, NULL, "{}"}, {200, NULL, "no"});
    snprintf(url, sizeof url, "%s/v1/keys", s->url);
    set(w, "AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
    set(w, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc");
    expect_key(w, NULL, "BOX", "the container (http://127.0.0.1:");
    expect_asked(s, 0, "GET /v1/keys ");
    expect_asked(s, 0, "authorization: Basic abc");
    put(w, "token", "from file\n");
    char path[128];
    snprintf(path, sizeof path, "%s/.aws/token", w->folder);
    set(w, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path); /* stronger: it may be rotated */
    expect_key(w, NULL, "BOX", "the container");
    expect_asked(s, 1, "authorization: from file\r\n");
    expect_key(w, NULL, "BOX", "the container"); /* after a 500 */
    assert_int_equal(s->taken, 4);
    expect_error(w, NULL, ERRC_AUTH, "answers HTTP 403");
    expect_error(w, NULL, ERRC_AUTH, "is not JSON");
    put(w, "token", "two\nlines");
    expect_error(w, NULL, ERRC_AUTH, "several lines");
    put(w, "config", "[profile box]\nrole_arn = r\ncredential_source = EcsContainer\n");
    expect_error(w, "box", ERRC_AUTH, "several lines");
    set(w, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/keys");
    expect_error(w, NULL, ERRC_AUTH, "not asked for over http at http://evil.example");
    stop(s);
    free(s);
}

static void test_container_hosts(void **state) {
    (void)state;
    static const char *const good[] = {
        "https://anything.example/x",
        "http://127.0.0.1:80/x",
        "http://127.9.9.9",
        "http://localhost:1/",
        "http://[::1]:8080/x",
        "http://169.254.170.2/x",
        "http://169.254.170.23/v1/creds",
        "http://[fd00:ec2::23]/v1/creds",
    };
    static const char *const bad[] = {
        "http://10.0.0.1/",         "http://127.0.0.1@evil.example/",
        "http://127.0.0.1.evil/",   "http://localhost.evil/",
        "ftp://127.0.0.1/",         "http://",
        "http://169.254.169.254/x", "http://0.0.0.0/",
        "http://127.1:x@evil/",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (!source_container_allows(good[i]))
            fail_msg("%s is allowed", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (source_container_allows(bad[i]))
            fail_msg("%s is not allowed", bad[i]);
}

static void test_instance(void **state) {
    struct world *w = *state;
    struct server *s = server();
    SERVE(s, {200, NULL, "TOKEN"}, {200, NULL, "my-role\n"}, {200, NULL, INSTANCE_KEYS("IMDS")},
          {200, NULL, "TOKEN"}, {404, NULL, "no"}, {200, NULL, "TOKEN"}, {200, NULL, "eu-north-1"},
          {403, NULL, ""});
    expect_error(w, NULL, ERRC_AUTH, "no EC2 instance with a role"); /* disabled */
    set(w, "AWS_EC2_METADATA_DISABLED", "false");
    set(w, "AWS_EC2_METADATA_SERVICE_ENDPOINT", s->url);
    expect_key(w, NULL, "IMDS", "role my-role of this instance");
    expect_asked(s, 0, "PUT /latest/api/token ");
    expect_asked(s, 0, "x-aws-ec2-metadata-token-ttl-seconds: 21600");
    expect_asked(s, 1, "GET /latest/meta-data/iam/security-credentials/ ");
    expect_asked(s, 1, "x-aws-ec2-metadata-token: TOKEN");
    expect_asked(s, 2, "GET /latest/meta-data/iam/security-credentials/my-role ");
    expect_error(w, NULL, ERRC_AUTH, "no EC2 instance with a role"); /* it has none */
    /* The region comes from there when nobody else says it. */
    struct loaded l;
    struct err err;
    set(w, "AWS_REGION", "");
    set(w, "AWS_ACCESS_KEY_ID", "A");
    set(w, "AWS_SECRET_ACCESS_KEY", "s");
    assert_int_equal(load(w, NULL, &l, &err), 0);
    assert_string_equal(l.config.region, "eu-north-1");
    assert_string_equal(l.config.region_from, "this instance's metadata");
    unload(&l);
    expect_asked(s, 6, "GET /latest/meta-data/placement/region ");
    stop(s);
    expect_error(w, NULL, ERRC_INVALID, "no AWS region is set"); /* nobody answers */
    free(s);
}

static void test_time(void **state) {
    (void)state;
    static const struct {
        const char *text;
        long long time; /* -1: none */
    } rows[] = {
        {"2015-08-30T12:36:00Z", 1440938160},
        {"2015-08-30T12:36:00.123Z", 1440938160},
        {"2015-08-30T14:36:00+02:00", 1440938160},
        {"2015-08-30T11:36:00-0100", 1440938160},
        {"2015-08-30T12:36:00UTC", 1440938160},
        {"2015-08-30T12:36:00", 1440938160},
        {"2015-08-30", -1},
        {"2015-13-30T12:36:00Z", -1},
        {"2015-08-30T12:36:00X", -1},
        {"", -1},
        {"2015-08-30T12:36:00+2", -1},
        {"2015-08-30T12:36:00Zx", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        time_t got = -1;
        assert_int_equal(source_parse_time(rows[i].text, &got), rows[i].time >= 0);
        assert_int_equal(got, rows[i].time);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_process, setup, teardown),
        cmocka_unit_test(test_split),
        cmocka_unit_test_setup_teardown(test_container, setup, teardown),
        cmocka_unit_test(test_container_hosts),
        cmocka_unit_test_setup_teardown(test_instance, setup, teardown),
        cmocka_unit_test(test_time),
    };
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return 1;
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return rc;
}
