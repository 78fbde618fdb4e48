/* Each source of credentials: what it takes, what it says when it has none, and who comes first. */
#include "providers/aws/sources.h"
#include "tests/unit/aws_world.h"
#include "tests/unit/loopback.h"

#include <curl/curl.h>
#include <openssl/evp.h>

#define KEYS(id) "aws_access_key_id = " id "\naws_secret_access_key = s\n"
#define UNTIL "2015-08-30T13:36:00Z"
#define STS(action, id)                                                                            \
    "<" action "Response><" action "Result><Credentials><AccessKeyId>" id "</AccessKeyId>"         \
    "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>" UNTIL         \
    "</Expiration></Credentials></" action "Result></" action "Response>"

#define SERVE(s, ...)                                                                              \
    do {                                                                                           \
        const struct answer answers_[] = {__VA_ARGS__};                                            \
        start(s, answers_, sizeof answers_ / sizeof answers_[0], 0);                               \
    } while (0)

static struct server *server(void) {
    struct server *s = calloc(1, sizeof *s);
    assert_non_null(s);
    return s;
}

static void expect_asked(const struct server *s, size_t i, const char *text) {
    if (i >= s->taken || strstr(s->requests[i], text) == NULL)
        fail_msg("request %zu of %zu does not say %s: %s", i, s->taken, text, s->requests[i]);
}

static void expect_hint(struct world *w, const char *profile, const char *text) {
    struct loaded l;
    struct err err;
    assert_true(load(w, profile, &l, &err) < 0);
    if (strstr(err.hint, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.hint, text);
}

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

/* ---- Roles */

static void test_role(void **state) {
    struct world *w = *state;
    struct server *s = server();
    struct loaded l;
    struct err err;
    SERVE(s, {200, NULL, STS("AssumeRole", "ROLE")});
    set(w, "AWS_ENDPOINT_URL_STS", s->url);
    put(w, "credentials", "[base]\n" KEYS("BASE"));
    put(w, "config",
        "[profile admin]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = base\n"
        "external_id = a b\nrole_session_name = me\nduration_seconds = 900\n");
    assert_int_equal(load(w, "admin", &l, &err), 0);
    assert_string_equal(l.who.access_key.ptr, "ROLE");
    assert_string_equal(l.who.session_token.ptr, "t");
    assert_int_equal(l.who.expires, world_now(NULL) + 3600);
    assert_non_null(strstr(l.who.source, "role arn:aws:iam::1:role/x of profile admin, by profile "
                                         "base of "));
    unload(&l);
    expect_asked(s, 0, "Credential=BASE/");
    expect_asked(s, 0, "/sts/aws4_request");
    expect_asked(s, 0,
                 "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole"
                 "%2Fx&RoleSessionName=me&ExternalId=a+b&DurationSeconds=900");
    set(w, "AWS_ACCESS_KEY_ID", "ENV");
    set(w, "AWS_SECRET_ACCESS_KEY", "s");
    put(w, "config",
        "[profile admin]\nrole_arn = r\ncredential_source = Environment\n"
        "[profile chain]\nrole_arn = r2\nsource_profile = admin\n"
        "[profile own]\nrole_arn = r\nsource_profile = own\n" KEYS("OWN"));
    expect_key(w, "admin", "ROLE", "by the environment");
    expect_asked(s, 1, "Credential=ENV/");
    expect_asked(s, 1, "RoleSessionName=berth-1440938160");
    expect_key(w, "chain", "ROLE", "role r2 of profile chain, by role r of profile admin");
    expect_asked(s, 3, "Credential=ROLE/");
    expect_asked(s, 3, "x-amz-security-token: t");
    expect_key(w, "own", "ROLE", "by profile own of ");
    expect_asked(s, 4, "Credential=OWN/");
    stop(s);
    free(s);
}

static void test_role_wrong(void **state) {
    struct world *w = *state;
    struct server *s = server();
    put(w, "config",
        "[profile a]\nrole_arn = r\nsource_profile = b\n"
        "[profile b]\nrole_arn = r\nsource_profile = c\n"
        "[profile c]\nrole_arn = r\nsource_profile = a\n"
        "[profile self]\nrole_arn = r\nsource_profile = self\n"
        "[profile none]\nrole_arn = r\n"
        "[profile both]\nrole_arn = r\nsource_profile = a\ncredential_source = Environment\n"
        "[profile lost]\nrole_arn = r\nsource_profile = nowhere\n"
        "[profile empty]\nregion = x\n[profile dry]\nrole_arn = r\nsource_profile = empty\n"
        "[profile env]\nrole_arn = r\ncredential_source = Environment\n"
        "[profile odd]\nrole_arn = r\ncredential_source = Vault\n"
        "[profile mfa]\nrole_arn = r\nsource_profile = keys\nmfa_serial = arn:mfa\n"
        "[profile long]\nrole_arn = r\nsource_profile = keys\nduration_seconds = 1h\n"
        "[profile keys]\n" KEYS("K") "[profile refused]\nrole_arn = r\nsource_profile = keys\n");
    expect_error(w, "a", ERRC_AUTH, "in a circle by source_profile: a -> b -> c -> a");
    expect_error(w, "self", ERRC_AUTH, "in a circle by source_profile: self -> self");
    expect_error(w, "none", ERRC_AUTH, "neither source_profile nor credential_source");
    expect_error(w, "both", ERRC_AUTH, "both source_profile and credential_source");
    expect_error(w, "lost", ERRC_AUTH, "its source_profile nowhere does not exist");
    expect_error(w, "dry", ERRC_AUTH, "its source_profile empty has no keys in ");
    expect_error(w, "env", ERRC_AUTH, "which has none: AWS_ACCESS_KEY_ID is not set");
    expect_error(w, "odd", ERRC_AUTH, "there is no credential_source Vault");
    expect_error(w, "mfa", ERRC_AUTH, "wants an MFA code, and there is no terminal");
    expect_error(w, "long", ERRC_AUTH, "duration_seconds is no number");
    SERVE(s, {403, NULL,
              "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not you"
              "</Message></Error><RequestId>req-1</RequestId></ErrorResponse>"});
    set(w, "AWS_ENDPOINT_URL_STS", s->url);
    expect_error(w, "refused", ERRC_AWS, "profile refused cannot take the role r: AssumeRole: not");
    stop(s);
    free(s);
}

static int type_code(void *ctx, const char *question, struct secret *ret, struct err *err) {
    if (strcmp(question, "MFA code for arn:mfa: ") != 0)
        return err_set(err, ERRC_INTERNAL, "%s", question);
    return secret_set(ret, str_of(ctx));
}

static int find_with_code(struct world *w, const char *code, struct aws_credentials *who,
                          struct err *err) {
    struct aws_config config;
    const struct aws_config_in in = {.env = get, .env_ctx = w, .profile = "mfa"};
    *err = (struct err){0};
    assert_int_equal(aws_config_load(&in, &config, err), 0);
    const struct aws_client_in client = {.config = &config,
                                         .now = world_now,
                                         .random = world_random,
                                         .ask = type_code,
                                         .ask_ctx = (void *)code};
    int rc = aws_credentials_find(&client, NULL, who, err);
    aws_config_free(&config);
    return rc;
}

static void test_mfa(void **state) {
    struct world *w = *state;
    struct server *s = server();
    struct aws_credentials who = {0};
    struct err err;
    SERVE(s, {200, NULL, STS("AssumeRole", "ROLE")});
    set(w, "AWS_ENDPOINT_URL_STS", s->url);
    put(w, "config",
        "[profile mfa]\nrole_arn = r\nsource_profile = keys\nmfa_serial = arn:mfa\n"
        "[profile keys]\n" KEYS("K"));
    assert_int_equal(find_with_code(w, "12ab", &who, &err), -ERRC_AUTH);
    assert_non_null(strstr(err.msg, "digits only"));
    assert_null(strstr(err.msg, "12ab"));
    assert_int_equal(s->taken, 0);
    assert_int_equal(find_with_code(w, "123456", &who, &err), 0);
    expect_asked(s, 0, "&SerialNumber=arn%3Amfa&TokenCode=123456");
    aws_credentials_free(&who);
    stop(s);
    free(s);
}

static void test_web_identity(void **state) {
    struct world *w = *state;
    struct server *s = server();
    SERVE(s, {200, NULL, STS("AssumeRoleWithWebIdentity", "WEB")});
    set(w, "AWS_ENDPOINT_URL_STS", s->url);
    set(w, "AWS_WEB_IDENTITY_TOKEN_FILE", "~/.aws/token");
    expect_error(w, NULL, ERRC_AUTH, "no role to take by it");
    set(w, "AWS_ROLE_ARN", "r");
    expect_error(w, NULL, ERRC_AUTH, "the web identity token cannot be read");
    put(w, "token", "\n");
    expect_error(w, NULL, ERRC_AUTH, "is empty");
    put(w, "token", "ey.x.y\n");
    expect_key(w, NULL, "WEB", "role r by the web identity of the environment");
    expect_asked(s, 0,
                 "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=r&"
                 "RoleSessionName=berth-1440938160&WebIdentityToken=ey.x.y");
    assert_null(header_of(s->requests[0], "authorization:"));
    set(w, "AWS_WEB_IDENTITY_TOKEN_FILE", "");
    put(w, "config",
        "[profile web]\nrole_arn = p\nweb_identity_token_file = ~/.aws/token\n"
        "role_session_name = n\n");
    expect_key(w, "web", "WEB", "role p by the web identity of profile web");
    expect_asked(s, 1, "RoleArn=p&RoleSessionName=n&");
    stop(s);
    free(s);
}

/* ---- SSO */

#define SSO_KEYS                                                                                   \
    "{\"roleCredentials\":{\"accessKeyId\":\"SSO\",\"secretAccessKey\":\"s\",\"sessionToken\":"    \
    "\"t\",\"expiration\":1440941760000}}"
/* SHA-1 of "corp". */
#define CORP "sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json"

static void put_token(const struct world *w, const char *name, const char *text) {
    unsigned char digest[20];
    char path[256], hex[41];
    struct err err;
    unsigned len = 0;
    assert_int_equal(EVP_Digest(name, strlen(name), digest, &len, EVP_sha1(), NULL), 1);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    snprintf(path, sizeof path, "%s/.aws/sso/cache", w->folder);
    assert_int_equal(fs_mkdirs(path, 0700, &err), 0);
    snprintf(path, sizeof path, "%s/.aws/sso/cache/%s.json", w->folder, hex);
    assert_int_equal(fs_write(path, str_of(text), 0600, &err), 0);
}

static void test_sso(void **state) {
    struct world *w = *state;
    struct server *s = server();
    SERVE(s, {200, NULL, SSO_KEYS}, {200, NULL, SSO_KEYS},
          {401, NULL, "{\"message\":\"Session token not found or invalid\"}"},
          {403, NULL, "{\"message\":\"No access\"}"}, {200, NULL, "<html/>"});
    set(w, "AWS_ENDPOINT_URL_SSO", s->url);
    put(w, "config",
        "[sso-session corp]\nsso_start_url = https://corp.example/start\nsso_region = eu-west-1\n"
        "[profile new]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = a+b\n"
        "[profile old]\nsso_start_url = https://x.example/start\nsso_region = us-east-1\n"
        "sso_account_id = 1\nsso_role_name = r\n"
        "[profile half]\nsso_session = corp\nsso_role_name = r\n"
        "[profile lost]\nsso_session = nowhere\nsso_account_id = 1\nsso_role_name = r\n");
    expect_error(w, "half", ERRC_AUTH, "it has no sso_account_id");
    expect_error(w, "lost", ERRC_AUTH, "sso-session nowhere has no sso_start_url");
    expect_error(w, "new", ERRC_AUTH, "nobody has logged in yet");
    expect_hint(w, "new", "aws sso login --profile new");
    put_token(w, "corp", "{\"accessToken\":\"TOKEN\",\"expiresAt\":\"2015-08-30T12:00:00Z\"}");
    expect_error(w, "new", ERRC_AUTH, "the login has run out");
    put_token(w, "corp", "{\"accessToken\":\"TOKEN\"}");
    expect_error(w, "new", ERRC_AUTH, "damaged");
    assert_int_equal(s->taken, 0);
    put_token(w, "corp", "{\"accessToken\":\"TOKEN\",\"expiresAt\":\"" UNTIL "\"}");
    expect_key(w, "new", "SSO", "role a+b in account 1, by the SSO login of profile new");
    expect_asked(s, 0, "GET /federation/credentials?role_name=a%2Bb&account_id=1 ");
    expect_asked(s, 0, "x-amz-sso_bearer_token: TOKEN");
    put_token(w, "https://x.example/start",
              "{\"accessToken\":\"OLD\",\"expiresAt\":\"2015-08-30T13:36:00UTC\"}");
    expect_key(w, "old", "SSO", "by the SSO login of profile old");
    expect_asked(s, 1, "x-amz-sso_bearer_token: OLD");
    expect_error(w, "new", ERRC_AUTH, "AWS no longer takes its login");
    expect_error(w, "new", ERRC_AUTH, "may not have the role a+b in account 1: No access");
    expect_error(w, "new", ERRC_AUTH, "SSO answers HTTP 200: no credentials");
    stop(s);
    free(s);
}

static void test_sso_renewal(void **state) {
    struct world *w = *state;
    struct server *s = server();
    SERVE(s, {200, NULL, "{\"accessToken\":\"NEW\",\"expiresIn\":3600,\"refreshToken\":\"R2\"}"},
          {200, NULL, SSO_KEYS}, {400, NULL, "{\"error\":\"invalid_grant\"}"});
    set(w, "AWS_ENDPOINT_URL_SSO", s->url);
    set(w, "AWS_ENDPOINT_URL_SSO_OIDC", s->url);
    put(w, "config",
        "[sso-session corp]\nsso_start_url = https://corp.example/start\nsso_region = eu-west-1\n"
        "[profile new]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n");
    static const char stale[] =
        "{\"accessToken\":\"OLD\",\"expiresAt\":\"2015-08-30T12:00:00Z\",\"clientId\":\"C\","
        "\"clientSecret\":\"CS\",\"refreshToken\":\"R1\",\"kept\":1,"
        "\"registrationExpiresAt\":\"2015-09-30T12:00:00Z\"}";
    put_token(w, "corp", stale);
    expect_key(w, "new", "SSO", "SSO login");
    expect_asked(s, 0, "POST /token ");
    expect_asked(s, 0, "\"refreshToken\":\"R1\"");
    expect_asked(s, 0, "\"grantType\":\"refresh_token\"");
    expect_asked(s, 1, "x-amz-sso_bearer_token: NEW");
    char pattern[160];
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    struct err err;
    snprintf(pattern, sizeof pattern, "%s/.aws/" CORP, w->folder);
    assert_int_equal(fs_read(pattern, &text, &err), 0);
    assert_non_null(strstr(text.ptr, "\"R2\""));
    assert_non_null(strstr(text.ptr, "\"NEW\""));
    assert_non_null(strstr(text.ptr, "\"kept\""));
    put_token(w, "corp", stale);
    expect_error(w, "new", ERRC_AUTH, "the login has run out");
    assert_int_equal(s->taken, 3);
    stop(s);
    free(s);
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
        cmocka_unit_test_setup_teardown(test_role, setup, teardown),
        cmocka_unit_test_setup_teardown(test_role_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mfa, setup, teardown),
        cmocka_unit_test_setup_teardown(test_web_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sso, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sso_renewal, setup, teardown),
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
