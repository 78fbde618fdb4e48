#include "providers/aws/credentials.h"

#include "providers/aws/sources.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- What the sources share */

time_t source_now(const struct chain *c) { return c->in->now(c->in->clock_ctx); }

int source_none(struct chain *c, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->found = arena_dup(&c->arena, text);
    return 1;
}

const char *source_setting(struct chain *c, const char *profile, const char *key) {
    struct str value;
    return aws_profile_get(c->config, profile, key, &value) ? arena_dup_str(&c->arena, value)
                                                            : NULL;
}

static bool has_keys(const struct aws_config *config, const char *profile) {
    struct str ignored;
    return aws_profile_get(config, profile, "aws_access_key_id", &ignored) ||
           aws_profile_get(config, profile, "aws_secret_access_key", &ignored);
}

static bool read_digits(const char **at, size_t digits, int *ret) {
    int value = 0;
    for (size_t i = 0; i < digits; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        value = value * 10 + (**at - '0');
    }
    *ret = value;
    return true;
}

static bool read_mark(const char **at, char mark) {
    bool there = **at == mark;
    *at += there;
    return there;
}

bool source_parse_time(const char *text, time_t *ret) {
    struct tm tm = {0};
    int hours = 0, minutes = 0;
    const char *at = text;
    if (!read_digits(&at, 4, &tm.tm_year) || !read_mark(&at, '-') ||
        !read_digits(&at, 2, &tm.tm_mon) || !read_mark(&at, '-') ||
        !read_digits(&at, 2, &tm.tm_mday) || (!read_mark(&at, 'T') && !read_mark(&at, ' ')) ||
        !read_digits(&at, 2, &tm.tm_hour) || !read_mark(&at, ':') ||
        !read_digits(&at, 2, &tm.tm_min) || !read_mark(&at, ':') ||
        !read_digits(&at, 2, &tm.tm_sec) || tm.tm_mon < 1 || tm.tm_mon > 12)
        return false;
    if (read_mark(&at, '.'))
        at += strspn(at, "0123456789");
    int sign = *at == '-' ? -1 : 1;
    if (*at == '+' || *at == '-') {
        at++;
        if (!read_digits(&at, 2, &hours) || (read_mark(&at, ':'), !read_digits(&at, 2, &minutes)))
            return false;
    } else if (strcmp(at, "UTC") == 0) {
        at += 3;
    } else if (*at != '\0' && !read_mark(&at, 'Z')) {
        return false;
    }
    if (*at != '\0')
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ret = timegm(&tm) - (time_t)sign * (hours * 3600 + minutes * 60);
    return true;
}

void source_json_free(cJSON *json) {
    /* Depth is cJSON's own limit on parsing. */
    for (cJSON *item = json == NULL ? NULL : json->child; item != NULL; item = item->next) {
        if (item->valuestring != NULL)
            OPENSSL_cleanse(item->valuestring, strlen(item->valuestring));
        for (cJSON *inner = item->child; inner != NULL; inner = inner->next)
            if (inner->valuestring != NULL)
                OPENSSL_cleanse(inner->valuestring, strlen(inner->valuestring));
    }
    cJSON_Delete(json);
}

int source_take_json(struct chain *c, const cJSON *json, const char *token,
                     struct aws_credentials *ret, struct err *err) {
    const char *access =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "AccessKeyId"));
    const char *secret =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "SecretAccessKey"));
    const char *session = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, token));
    const char *until = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "Expiration"));
    time_t expires = 0;
    if (access == NULL || access[0] == '\0' || secret == NULL || secret[0] == '\0')
        return err_set(err, ERRC_AUTH, "the answer has no %s",
                       access == NULL || access[0] == '\0' ? "AccessKeyId" : "SecretAccessKey");
    if (until != NULL && !source_parse_time(until, &expires))
        return err_set(err, ERRC_AUTH, "its Expiration is no time: %.40s", until);
    if (expires != 0 && expires <= source_now(c))
        return err_set(err, ERRC_AUTH, "they expired at %.40s", until);
    if (aws_credentials_set(ret, str_of(access), str_of(secret), str_of(session)) < 0)
        return err_no_memory(err);
    ret->expires = expires;
    return 0;
}

/* ---- Keys that stand somewhere */

static int half_keys(const char *where, const char *there, const char *missing, struct err *err) {
    err_set(err, ERRC_AUTH, "%s has %s but not %s", where, there, missing);
    err_hint(err, "an access key has two halves; set both or neither");
    return -ERRC_AUTH;
}

int source_environment(struct chain *c, struct aws_credentials *ret, struct err *err) {
    const char *access = aws_config_env(c->config, "AWS_ACCESS_KEY_ID");
    const char *secret = aws_config_env(c->config, "AWS_SECRET_ACCESS_KEY");
    if (access == NULL && secret == NULL)
        return source_none(c, "AWS_ACCESS_KEY_ID is not set");
    if (secret == NULL)
        return half_keys("the environment", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", err);
    if (access == NULL)
        return half_keys("the environment", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", err);
    if (aws_credentials_set(ret, str_of(access), str_of(secret),
                            str_of(aws_config_env(c->config, "AWS_SESSION_TOKEN"))) < 0)
        return err_no_memory(err);
    snprintf(ret->source, sizeof ret->source, "the environment");
    return 0;
}

static int keys_in(struct chain *c, const struct aws_shared *file, const char *profile,
                   struct aws_credentials *ret, struct err *err) {
    struct str access, secret, token = {NULL, 0};
    char where[sizeof ret->source];
    bool has_access = aws_profile_get_in(c->config, file, profile, "aws_access_key_id", &access);
    bool has_secret =
        aws_profile_get_in(c->config, file, profile, "aws_secret_access_key", &secret);
    if (!has_access && !has_secret)
        return 1;
    int len = snprintf(where, sizeof where, "profile %s of %s", profile, file->path);
    if (len < 0 || (size_t)len >= sizeof where)
        snprintf(where, sizeof where, "profile %.200s", profile);
    if (!has_access)
        return half_keys(where, "aws_secret_access_key", "aws_access_key_id", err);
    if (!has_secret)
        return half_keys(where, "aws_access_key_id", "aws_secret_access_key", err);
    aws_profile_get_in(c->config, file, profile, "aws_session_token", &token);
    if (aws_credentials_set(ret, access, secret, token) < 0)
        return err_no_memory(err);
    memcpy(ret->source, where, sizeof where);
    return 0;
}

static int keys_in_credentials(struct chain *c, const char *profile, struct aws_credentials *ret,
                               struct err *err) {
    return keys_in(c, &c->config->credentials_file, profile, ret, err);
}

static int keys_in_config(struct chain *c, const char *profile, struct aws_credentials *ret,
                          struct err *err) {
    return keys_in(c, &c->config->config_file, profile, ret, err);
}

/* What `aws login` leaves behind; its tokens are bound to a key that only the CLI has. */
static int refuse_login(struct chain *c, const char *profile, struct aws_credentials *ret,
                        struct err *err) {
    (void)ret;
    if (source_setting(c, profile, "login_session") == NULL)
        return 1;
    err_set(err, ERRC_UNSUPPORTED, "profile %s uses login_session, which berth cannot", profile);
    err_hint(err,
             "let the AWS CLI do it: credential_process = aws configure export-credentials "
             "--profile %s, in a profile of its own",
             profile);
    return -ERRC_UNSUPPORTED;
}

/* ---- A profile */

static const struct {
    const char *setting; /* the one that it goes by */
    int (*get)(struct chain *c, const char *profile, struct aws_credentials *ret, struct err *err);
} profile_sources[] = {
    {"role_arn", source_role},
    {"web_identity_token_file", source_profile_web_identity},
    {"sso_session", source_sso},
    {"aws_access_key_id", keys_in_credentials},
    {"login_session", refuse_login},
    {"credential_process", source_process},
    {"aws_access_key_id", keys_in_config},
};

static int loop_found(const struct chain *c, const char *profile, struct err *err) {
    char way[512] = "";
    size_t len = 0;
    for (size_t i = 0; i < c->visited_len && len < sizeof way; i++)
        len += (size_t)snprintf(way + len, sizeof way - len, "%s -> ", c->visited[i]);
    err_set(err, ERRC_AUTH, "the profiles lead in a circle by source_profile: %s%s", way, profile);
    err_hint(err, "one of them must have keys of its own");
    return -ERRC_AUTH;
}

int source_profile(struct chain *c, const char *profile, struct aws_credentials *ret,
                   struct err *err) {
    bool keys = has_keys(c->config, profile);
    bool again = false;
    for (size_t i = 0; i < c->visited_len; i++)
        again |= strcmp(c->visited[i], profile) == 0;
    /* A role may name its own profile as the source of the keys that stand in it. */
    bool own = again && keys && strcmp(c->visited[c->visited_len - 1], profile) == 0;
    if ((again && !own) || c->visited_len == CHAIN_DEPTH_MAX)
        return loop_found(c, profile, err);
    c->visited[c->visited_len++] = profile;
    /* Of a profile that another one's role starts from, the keys count. */
    bool skip_role = c->visited_len > 1 && keys;
    int rc = 1;
    for (size_t i = 0; rc == 1 && i < sizeof profile_sources / sizeof profile_sources[0]; i++)
        if (profile_sources[i].get != source_role || !skip_role)
            rc = profile_sources[i].get(c, profile, ret, err);
    c->visited_len--;
    if (rc == 1)
        source_none(c, "no keys in %s or %s", c->config->credentials_file.path,
                    c->config->config_file.path);
    return rc;
}

static int chosen_profile(struct chain *c, struct aws_credentials *ret, struct err *err) {
    int rc = source_profile(c, c->config->profile, ret, err);
    if (rc == 1 && c->config->profile_from == NULL &&
        !aws_profile_exists(c->config, c->config->profile))
        source_none(c, "not in %s or %s", c->config->credentials_file.path,
                    c->config->config_file.path);
    return rc;
}

/* ---- The chain */

static const struct source {
    const char *name; /* NULL: the profile's */
    int (*get)(struct chain *c, struct aws_credentials *ret, struct err *err);
} sources[] = {
    {"environment", source_environment},
    {"web identity", source_web_identity},
    {NULL, chosen_profile},
    {"container", source_container},
    {"instance", source_imds},
};
enum { SOURCES_LEN = sizeof sources / sizeof sources[0] };
_Static_assert(SOURCES_LEN <=
                   sizeof((struct aws_trail){0}.steps) / sizeof((struct aws_trail){0}.steps[0]),
               "a trail has a step for each source");

static void add_step(struct aws_trail *trail, const struct chain *c, const struct source *source,
                     const char *found, int rc) {
    if (trail == NULL)
        return;
    const char *name = source->name != NULL
                           ? arena_dup(trail->arena, source->name)
                           : arena_printf(trail->arena, "profile %s", c->config->profile);
    const char *text = arena_dup(trail->arena, found == NULL ? "" : found);
    if (name != NULL && text != NULL)
        trail->steps[trail->len++] = (struct aws_trail_step){name, text, rc == 0, rc < 0};
}

static int nothing_found(const struct chain *c, struct err *err) {
    const struct aws_config *f = c->config;
    err_set(err, ERRC_AUTH, "no AWS credentials: %s%s has no keys in %s or %s%s",
            f->profile_wins ? "profile " : "the environment is empty and profile ", f->profile,
            f->credentials_file.path, f->config_file.path,
            f->profile_wins ? "" : ", and this is no container and no EC2 instance with a role");
    err_hint(err, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure` or "
                  "`aws configure sso`; `provider: sandbox` needs no account");
    return -ERRC_AUTH;
}

static int look(struct chain *c, struct aws_trail *trail, struct aws_credentials *ret,
                struct err *err) {
    int rc = 1;
    for (size_t i = 0; rc == 1 && i < SOURCES_LEN; i++) {
        /* The spec says who is to act: nobody else will do. */
        if (c->config->profile_wins && sources[i].name != NULL)
            continue;
        c->found = NULL;
        rc = sources[i].get(c, ret, err);
        add_step(trail, c, &sources[i], rc == 0 ? ret->source : rc < 0 ? err->msg : c->found, rc);
    }
    return rc == 1 ? nothing_found(c, err) : rc;
}

int aws_credentials_find(const struct aws_client_in *in, struct aws_trail *trail,
                         struct aws_credentials *ret, struct err *err) {
    struct chain c = {.in = in, .config = in->config};
    struct aws_credentials found = {0};
    if (in->config->given != NULL) {
        if (aws_credentials_copy(ret, in->config->given) < 0)
            return err_no_memory(err);
        add_step(trail, &c, &(struct source){.name = "sandbox"}, "keys of its own", 0);
        return 0;
    }
    int rc = look(&c, trail, &found, err);
    if (rc == 0) {
        aws_credentials_free(ret);
        *ret = found;
    } else {
        aws_credentials_free(&found);
    }
    arena_free(&c.arena);
    return rc;
}

bool aws_credentials_renewable(const struct aws_credentials *c) { return c->expires != 0; }
