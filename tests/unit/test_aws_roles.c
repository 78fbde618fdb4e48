/* Credentials that others are exchanged for: roles, with and without a code, web identities, SSO.
 */
#include "tests/unit/aws_source.h"

#include <curl/curl.h>
#include <openssl/evp.h>

#define STS(action, id)                                                                            \
    "<" action "Response><" action "Result><Credentials><AccessKeyId>" id "</AccessKeyId>"         \
    "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>" UNTIL         \
    "</Expiration></Credentials></" action "Result></" action "Response>"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_role, setup, teardown),
        cmocka_unit_test_setup_teardown(test_role_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mfa, setup, teardown),
        cmocka_unit_test_setup_teardown(test_web_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sso, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sso_renewal, setup, teardown),
    };
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return 1;
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return rc;
}
