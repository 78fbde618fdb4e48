/* IAM Identity Center: the token that `aws sso login` left in ~/.aws/sso/cache is exchanged for a
 * role's keys; a session's token that runs out is renewed, as the CLI does, while that is allowed.
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-sso-credentials.html
 * https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html
 * https://docs.aws.amazon.com/singlesignon/latest/OIDCAPIReference/API_CreateToken.html */
#include "providers/aws/query.h"
#include "providers/aws/sources.h"
#include "specs/fs.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum { TIMEOUT_MS = 30000, TOKEN_MARGIN_S = 15 * 60, SHA1_SIZE = 20, REGION_MAX = 31 };

/* What the profile says, with its sso-session. */
struct sso {
    const char *profile;
    const char *session; /* NULL: the older form, all in the profile */
    const char *start_url, *region, *account, *role;
    const char *cache_path;
};

/* ---- The configuration */

static const char *session_setting(struct chain *c, const struct sso *s, const char *key) {
    struct str value;
    if (s->session == NULL)
        return source_setting(c, s->profile, key);
    return aws_section_get(c->config, "sso-session", s->session, key, &value)
               ? arena_dup_str(&c->arena, value)
               : NULL;
}

static const char *cache_path(struct chain *c, const char *name) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    _cleanup_buf_ struct buf hex = BUF_INIT(BUF_SMALL);
    if (EVP_Digest(name, strlen(name), digest, &len, EVP_sha1(), NULL) != 1 || len != SHA1_SIZE)
        return NULL;
    buf_add_hex(&hex, digest, len);
    const char *file = arena_printf(&c->arena, "~/.aws/sso/cache/%s.json", buf_cstr(&hex));
    return file == NULL ? NULL : aws_config_path(c->config, &c->arena, str_of(file));
}

static bool is_region(const char *text) {
    return strlen(text) <= REGION_MAX &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

/* 1: the profile has nothing to do with SSO. */
static int read_settings(struct chain *c, const char *profile, struct sso *s, struct err *err) {
    *s = (struct sso){.profile = profile,
                      .session = source_setting(c, profile, "sso_session"),
                      .account = source_setting(c, profile, "sso_account_id"),
                      .role = source_setting(c, profile, "sso_role_name")};
    s->start_url = session_setting(c, s, "sso_start_url");
    s->region = session_setting(c, s, "sso_region");
    if (s->account == NULL && s->role == NULL && s->session == NULL && s->start_url == NULL)
        return 1;
    const struct {
        const char *name, *value;
    } needed[] = {{"sso_account_id", s->account},
                  {"sso_role_name", s->role},
                  {"sso_start_url", s->start_url},
                  {"sso_region", s->region}};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (needed[i].value != NULL)
            continue;
        bool of_session = i >= 2 && s->session != NULL;
        err_set(err, ERRC_AUTH, "profile %s logs in by SSO, and %s%s has no %s", profile,
                of_session ? "sso-session " : "it", of_session ? s->session : "", needed[i].name);
        err_hint(err, "run `aws configure sso --profile %s`", profile);
        return -ERRC_AUTH;
    }
    if (!is_region(s->region))
        return err_set(err, ERRC_AUTH, "profile %s: its sso_region is not an AWS region: %.60s",
                       profile, s->region);
    s->cache_path = cache_path(c, s->session != NULL ? s->session : s->start_url);
    return s->cache_path == NULL ? err_no_memory(err) : 0;
}

/* ---- The token */

static int log_in(const struct sso *s, const char *why, struct err *err) {
    err_set(err, ERRC_AUTH, "profile %s logs in by SSO, and %s", s->profile, why);
    err_hint(err, "run `aws sso login --profile %s`", s->profile);
    return -ERRC_AUTH;
}

static const char *text_of(const cJSON *json, const char *name) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
}

static const char *endpoint(struct chain *c, const char *given, const char *host,
                            const struct sso *s, const char *path) {
    const char *domain = strncmp(s->region, "cn-", 3) == 0 ? "amazonaws.com.cn" : "amazonaws.com";
    if (given == NULL)
        return arena_printf(&c->arena, "https://%s.%s.%s%s", host, s->region, domain, path);
    size_t len = strlen(given);
    while (len > 0 && given[len - 1] == '/')
        len--;
    return arena_printf(&c->arena, "%.*s%s", (int)len, given, path);
}

/* A form of the cached token that CreateToken would renew; NULL when it cannot be. */
static char *renewal_of(struct chain *c, const cJSON *token) {
    static const char *const names[] = {"clientId", "clientSecret", "refreshToken"};
    time_t until;
    const char *registered = text_of(token, "registrationExpiresAt");
    if (registered == NULL || !source_parse_time(registered, &until) || until <= source_now(c))
        return NULL;
    cJSON *ask = cJSON_CreateObject();
    bool whole = true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = text_of(token, names[i]);
        whole &= value != NULL && cJSON_AddStringToObject(ask, names[i], value) != NULL;
    }
    whole &= cJSON_AddStringToObject(ask, "grantType", "refresh_token") != NULL;
    char *text = whole ? cJSON_PrintUnformatted(ask) : NULL;
    source_json_free(ask);
    return text;
}

static bool set_text(cJSON *json, const char *name, const char *value) {
    cJSON_DeleteItemFromObjectCaseSensitive(json, name);
    return value != NULL && cJSON_AddStringToObject(json, name, value) != NULL;
}

/* The new token goes where the old one was, for everybody: the old one no longer counts. */
static bool keep(struct chain *c, const struct sso *s, cJSON *token, const cJSON *answer) {
    const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(answer, "expiresIn");
    const char *refresh = text_of(answer, "refreshToken");
    char when[32];
    struct tm tm;
    struct err ignored = {0};
    if (text_of(answer, "accessToken") == NULL || !cJSON_IsNumber(seconds) ||
        seconds->valuedouble < 1 || seconds->valuedouble > 1e9)
        return false;
    time_t until = source_now(c) + (time_t)seconds->valuedouble;
    if (gmtime_r(&until, &tm) == NULL ||
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        return false;
    if (!set_text(token, "accessToken", text_of(answer, "accessToken")) ||
        !set_text(token, "expiresAt", when) ||
        (refresh != NULL && !set_text(token, "refreshToken", refresh)))
        return false;
    char *text = cJSON_PrintUnformatted(token);
    if (text != NULL && fs_write(s->cache_path, str_of(text), 0600, &ignored) < 0)
        ignored.code = 0; /* it serves this run all the same */
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    cJSON_free(text);
    return true;
}

static bool renew(struct chain *c, const struct sso *s, cJSON *token) {
    char *body = s->session == NULL ? NULL : renewal_of(c, token);
    struct err ignored = {0};
    struct http h = {.method = "POST",
                     .url = endpoint(c, c->config->endpoint_oidc, "oidc", s, "/token"),
                     .headers = {"content-type: application/json"},
                     .body = str_of(body),
                     .timeout_ms = TIMEOUT_MS,
                     .ca_bundle = c->config->ca_bundle,
                     .cancel = c->in->cancel};
    bool renewed = false;
    if (body != NULL && h.url != NULL && http_send(&h, &ignored) == 0 && h.status == 200) {
        cJSON *answer = cJSON_ParseWithLength(h.answer.ptr, h.answer.len);
        renewed = answer != NULL && keep(c, s, token, answer);
        source_json_free(answer);
    }
    buf_wipe(&h.answer);
    if (body != NULL)
        explicit_bzero(body, strlen(body));
    cJSON_free(body);
    return renewed;
}

/* A token that is good now; delete it with source_json_free. */
static int find_token(struct chain *c, const struct sso *s, cJSON **ret, struct err *err) {
    _cleanup_secret_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    struct err why = {0};
    time_t expires = 0;
    int rc = fs_read(s->cache_path, &text, &why);
    if (rc == -ERRC_NOTFOUND)
        return log_in(s, "nobody has logged in yet", err);
    if (rc < 0) {
        *err = why;
        return rc;
    }
    cJSON *token = cJSON_ParseWithLength(text.ptr, text.len);
    const char *until = text_of(token, "expiresAt");
    if (text_of(token, "accessToken") == NULL || until == NULL ||
        !source_parse_time(until, &expires)) {
        source_json_free(token);
        return log_in(s, "what the login left is damaged", err);
    }
    time_t left = expires - source_now(c);
    if (left < TOKEN_MARGIN_S && !renew(c, s, token) && left <= 0) {
        source_json_free(token);
        return log_in(s, "the login has run out", err);
    }
    *ret = token;
    return 0;
}

/* ---- The role's keys */

static int take_answer(struct chain *c, const struct sso *s, const struct http *h,
                       struct aws_credentials *ret, struct err *err) {
    cJSON *json = cJSON_ParseWithLength(h->answer.ptr, h->answer.len);
    const cJSON *keys = cJSON_GetObjectItemCaseSensitive(json, "roleCredentials");
    const cJSON *until = cJSON_GetObjectItemCaseSensitive(keys, "expiration"); /* ms */
    const char *access = text_of(keys, "accessKeyId"), *secret = text_of(keys, "secretAccessKey");
    const char *token = text_of(keys, "sessionToken"), *message = text_of(json, "message");
    int rc = 0;
    (void)c;
    if (h->status == 401)
        rc = log_in(s, "AWS no longer takes its login", err);
    else if (h->status == 403 || h->status == 404)
        rc = err_set(err, ERRC_AUTH, "profile %s may not have the role %s in account %s: %.200s",
                     s->profile, s->role, s->account, message == NULL ? "refused" : message);
    else if (h->status != 200 || access == NULL || secret == NULL || token == NULL ||
             !cJSON_IsNumber(until))
        rc = err_set(err, ERRC_AUTH, "profile %s: SSO answers HTTP %ld: %.200s", s->profile,
                     h->status, message == NULL ? "no credentials" : message);
    else if (aws_credentials_set(ret, str_of(access), str_of(secret), str_of(token)) < 0)
        rc = err_no_memory(err);
    else
        ret->expires = (time_t)(until->valuedouble / 1000);
    source_json_free(json);
    return rc;
}

static int ask_keys(struct chain *c, const struct sso *s, const char *token,
                    struct aws_credentials *ret, struct err *err) {
    _cleanup_buf_ struct buf url = BUF_INIT(BUF_SMALL);
    _cleanup_secret_buf_ struct buf bearer = BUF_INIT(BUF_SMALL);
    const char *base =
        endpoint(c, c->config->endpoint_sso, "portal.sso", s, "/federation/credentials?role_name=");
    buf_adds(&url, base == NULL ? "" : base);
    query_encode(&url, s->role);
    buf_adds(&url, "&account_id=");
    query_encode(&url, s->account);
    buf_addf(&bearer, "x-amz-sso_bearer_token: %s", token);
    if (base == NULL || url.failed || bearer.failed)
        return err_no_memory(err);
    if (strpbrk(token, "\r\n") != NULL)
        return log_in(s, "what the login left is damaged", err);
    struct http h = {.method = "GET",
                     .url = buf_cstr(&url),
                     .headers = {buf_cstr(&bearer)},
                     .timeout_ms = TIMEOUT_MS,
                     .ca_bundle = c->config->ca_bundle,
                     .cancel = c->in->cancel};
    int rc = http_send(&h, err);
    rc = rc < 0 ? err_wrap(err, "profile %s: SSO", s->profile) : take_answer(c, s, &h, ret, err);
    buf_wipe(&h.answer);
    return rc;
}

int source_sso(struct chain *c, const char *profile, struct aws_credentials *ret, struct err *err) {
    struct sso s;
    cJSON *token = NULL;
    int rc = read_settings(c, profile, &s, err);
    if (rc == 0)
        rc = find_token(c, &s, &token, err);
    if (rc != 0)
        return rc;
    rc = ask_keys(c, &s, text_of(token, "accessToken"), ret, err);
    source_json_free(token);
    if (rc == 0)
        snprintf(ret->source, sizeof ret->source,
                 "role %.80s in account %.20s, by the SSO login "
                 "of profile %.120s",
                 s.role, s.account, profile);
    return rc;
}
