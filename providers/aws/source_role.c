/* Roles: keys for a while from the security token service, for other keys or for a token of
 * somebody whom the account trusts.
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html
 * https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html */
#include "providers/aws/query.h"
#include "providers/aws/sources.h"
#include "specs/fs.h"

#include <stdio.h>
#include <string.h>

enum { TOKEN_MAX = 20000, CODE_SIZE = 16 };

/* <…Result><Credentials>. */
static int take_answer(struct chain *c, const struct aws_call *call, const char *path,
                       struct aws_credentials *ret, struct err *err) {
    const struct xml *xml = xml_get(call->xml, path);
    const char *access = xml_text(xml, "AccessKeyId");
    const char *secret = xml_text(xml, "SecretAccessKey");
    const char *token = xml_text(xml, "SessionToken");
    const char *until = xml_text(xml, "Expiration");
    time_t expires = 0;
    (void)c;
    if (access == NULL || secret == NULL || token == NULL || until == NULL ||
        !source_parse_time(until, &expires))
        return err_set(err, ERRC_AUTH, "%s: the answer has no credentials", call->action);
    if (aws_credentials_set(ret, str_of(access), str_of(secret), str_of(token)) < 0)
        return err_no_memory(err);
    ret->expires = expires;
    return 0;
}

/* Asks STS, signed by `by`, or unsigned when NULL. `q` is consumed. */
static int ask_sts(struct chain *c, const struct aws_credentials *by, const char *action,
                   struct query *q, struct aws_credentials *ret, struct err *err) {
    struct aws_client_in in = *c->in;
    struct aws_client *client = NULL;
    _cleanup_arena_ struct arena arena = {0};
    char path[96];
    struct aws_call call = {.service = AWS_STS,
                            .action = action,
                            .body = buf_str(&q->body),
                            .is_unsigned = by == NULL,
                            .arena = &arena};
    in.credentials = by;
    snprintf(path, sizeof path, "%sResult/Credentials", action);
    int rc = q->body.failed ? err_set(err, ERRC_LIMIT, "%s: the request is too large", action)
                            : aws_client_open(&in, &client, err);
    if (rc == 0) {
        rc = aws_call(client, &call, err);
        if (rc == 0)
            rc = take_answer(c, &call, path, ret, err);
        buf_wipe(&call.answer);
    }
    aws_client_close(client);
    query_free(q);
    return rc;
}

static const char *session_name(struct chain *c, const char *given) {
    return given != NULL ? given : arena_printf(&c->arena, "berth-%lld", (long long)source_now(c));
}

/* ---- For other keys */

static int from_environment(struct chain *c, struct aws_credentials *ret, struct err *err) {
    return source_environment(c, ret, err);
}

static const struct {
    const char *name; /* of credential_source */
    int (*get)(struct chain *c, struct aws_credentials *ret, struct err *err);
} named_sources[] = {
    {"Environment", from_environment},
    {"Ec2InstanceMetadata", source_imds},
    {"EcsContainer", source_container},
};

static int by_named_source(struct chain *c, const char *profile, const char *name,
                           struct aws_credentials *ret, struct err *err) {
    for (size_t i = 0; i < sizeof named_sources / sizeof named_sources[0]; i++) {
        if (strcmp(named_sources[i].name, name) != 0)
            continue;
        int rc = named_sources[i].get(c, ret, err);
        if (rc != 1)
            return rc;
        err_set(err, ERRC_AUTH, "profile %s wants credential_source %s, which has none: %s",
                profile, name, c->found == NULL ? "" : c->found);
        err_hint(err, "run it where that source is, or write a source_profile");
        return -ERRC_AUTH;
    }
    err_set(err, ERRC_AUTH, "profile %s: there is no credential_source %.60s", profile, name);
    err_hint(err, "write Environment, Ec2InstanceMetadata or EcsContainer");
    return -ERRC_AUTH;
}

static int by_profile(struct chain *c, const char *profile, const char *name,
                      struct aws_credentials *ret, struct err *err) {
    if (!aws_profile_exists(c->config, name)) {
        err_set(err, ERRC_AUTH, "profile %s: its source_profile %s does not exist", profile, name);
        err_hint(err, "look at the name in %s", c->config->config_file.path);
        return -ERRC_AUTH;
    }
    int rc = source_profile(c, name, ret, err);
    if (rc != 1)
        return rc;
    err_set(err, ERRC_AUTH, "profile %s: its source_profile %s has %s", profile, name,
            c->found == NULL ? "no keys" : c->found);
    err_hint(err, "give that profile keys, or name another");
    return -ERRC_AUTH;
}

/* Who asks for the role. */
static int find_asker(struct chain *c, const char *profile, struct aws_credentials *ret,
                      struct err *err) {
    const char *source = source_setting(c, profile, "credential_source");
    const char *other = source_setting(c, profile, "source_profile");
    if ((source == NULL) == (other == NULL)) {
        err_set(err, ERRC_AUTH, "profile %s has role_arn and %s", profile,
                source == NULL ? "neither source_profile nor credential_source"
                               : "both source_profile and credential_source");
        err_hint(err, "a role is asked for with the keys of one of them: write one");
        return -ERRC_AUTH;
    }
    return source != NULL ? by_named_source(c, profile, source, ret, err)
                          : by_profile(c, profile, other, ret, err);
}

static int ask_code(struct chain *c, const char *profile, const char *serial, struct secret *ret,
                    struct err *err) {
    char question[320];
    if (c->in->ask == NULL) {
        err_set(err, ERRC_AUTH, "profile %s wants an MFA code, and there is no terminal", profile);
        err_hint(err, "run it at a terminal, or put a session into the environment: aws sts "
                      "get-session-token");
        return -ERRC_AUTH;
    }
    snprintf(question, sizeof question, "MFA code for %.256s: ", serial);
    int rc = c->in->ask(c->in->ask_ctx, question, ret, err);
    if (rc < 0)
        return err_wrap(err, "profile %s wants an MFA code", profile);
    struct str code = secret_reveal(ret);
    for (size_t i = 0; i < code.len; i++)
        if (code.ptr[i] < '0' || code.ptr[i] > '9' || code.len > CODE_SIZE)
            return err_set(err, ERRC_AUTH, "an MFA code has digits only");
    return code.len > 0 ? 0 : err_set(err, ERRC_AUTH, "no MFA code was given");
}

static int add_settings(struct chain *c, const char *profile, struct query *q, struct err *err) {
    const char *duration = source_setting(c, profile, "duration_seconds");
    const char *serial = source_setting(c, profile, "mfa_serial");
    int64_t seconds;
    _cleanup_secret_ struct secret code = {0};
    query_add(q, "ExternalId", source_setting(c, profile, "external_id"));
    if (duration != NULL && !str_to_i64(str_of(duration), 900, 43200, &seconds)) {
        err_set(err, ERRC_AUTH,
                "profile %s: duration_seconds is no number from 900 to 43200: %.40s", profile,
                duration);
        return -ERRC_AUTH;
    }
    query_add(q, "DurationSeconds", duration);
    if (serial == NULL)
        return 0;
    int rc = ask_code(c, profile, serial, &code, err);
    query_add(q, "SerialNumber", serial);
    query_add(q, "TokenCode", code.ptr);
    return rc;
}

int source_role(struct chain *c, const char *profile, struct aws_credentials *ret,
                struct err *err) {
    const char *role = source_setting(c, profile, "role_arn");
    const char *token = source_setting(c, profile, "web_identity_token_file");
    _cleanup_credentials_ struct aws_credentials asker = {0};
    struct query q;
    if (role == NULL || token != NULL)
        return 1;
    int rc = find_asker(c, profile, &asker, err);
    if (rc < 0)
        return rc;
    query_init_sts(&q, "AssumeRole");
    query_add(&q, "RoleArn", role);
    query_add(&q, "RoleSessionName",
              session_name(c, source_setting(c, profile, "role_session_name")));
    rc = add_settings(c, profile, &q, err);
    if (rc < 0) {
        query_free(&q);
        return rc;
    }
    rc = ask_sts(c, &asker, "AssumeRole", &q, ret, err);
    if (rc < 0)
        return err_wrap(err, "profile %s cannot take the role %s", profile, role);
    snprintf(ret->source, sizeof ret->source, "role %.120s of profile %.60s, by %.160s", role,
             profile, asker.source);
    return 0;
}

/* ---- For a token of somebody else's */

static int by_token(struct chain *c, const char *who, const char *file, const char *role,
                    const char *session, struct aws_credentials *ret, struct err *err) {
    _cleanup_secret_buf_ struct buf token = BUF_INIT(TOKEN_MAX);
    struct query q;
    const char *path = aws_config_path(c->config, &c->arena, str_of(file));
    if (role == NULL) {
        err_set(err, ERRC_AUTH, "%s has a web identity token and no role to take by it", who);
        err_hint(err, "set AWS_ROLE_ARN, or role_arn in the profile");
        return -ERRC_AUTH;
    }
    int rc = path == NULL ? err_no_memory(err) : fs_read(path, &token, err);
    if (rc == 0 && str_trim(buf_str(&token)).len == 0)
        rc = err_set(err, ERRC_AUTH, "%s is empty", path);
    if (rc < 0) {
        err->code = ERRC_AUTH;
        return err_wrap(err, "%s: the web identity token cannot be read", who);
    }
    while (token.len > 0 && strchr(" \r\n\t", token.ptr[token.len - 1]) != NULL)
        token.ptr[--token.len] = '\0';
    query_init_sts(&q, "AssumeRoleWithWebIdentity");
    query_add(&q, "RoleArn", role);
    query_add(&q, "RoleSessionName", session_name(c, session));
    query_add(&q, "WebIdentityToken", buf_cstr(&token));
    rc = ask_sts(c, NULL, "AssumeRoleWithWebIdentity", &q, ret, err);
    if (rc < 0)
        return err_wrap(err, "%s cannot take the role %s", who, role);
    snprintf(ret->source, sizeof ret->source, "role %.160s by the web identity of %.160s", role,
             who);
    return 0;
}

int source_web_identity(struct chain *c, struct aws_credentials *ret, struct err *err) {
    const char *file = aws_config_env(c->config, "AWS_WEB_IDENTITY_TOKEN_FILE");
    if (file == NULL)
        return source_none(c, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
    return by_token(c, "the environment", file, aws_config_env(c->config, "AWS_ROLE_ARN"),
                    aws_config_env(c->config, "AWS_ROLE_SESSION_NAME"), ret, err);
}

int source_profile_web_identity(struct chain *c, const char *profile, struct aws_credentials *ret,
                                struct err *err) {
    const char *file = source_setting(c, profile, "web_identity_token_file");
    const char *who = arena_printf(&c->arena, "profile %s", profile);
    if (file == NULL)
        return 1;
    if (who == NULL)
        return err_no_memory(err);
    return by_token(c, who, file, source_setting(c, profile, "role_arn"),
                    source_setting(c, profile, "role_session_name"), ret, err);
}
