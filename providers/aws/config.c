#include "providers/aws/config.h"

#include "providers/aws/ini.h"
#include "providers/provider.h"
#include "specs/buf.h"
#include "specs/fs.h"

#include <stdio.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1024 * 1024, ATTEMPTS_DEFAULT = 3, ATTEMPTS_MAX = 20 };

/* One shared file. */
struct shared {
    struct buf text;
    char path[1024];
    char section[256]; /* of the profile: "profile NAME" in config, "NAME" in credentials */
};

/* How the configuration calls the services. */
static const struct {
    const char *id, *variable;
} services[] = {
    [AWS_EC2] = {"ec2", "AWS_ENDPOINT_URL_EC2"},
    [AWS_SSM] = {"ssm", "AWS_ENDPOINT_URL_SSM"},
    [AWS_STS] = {"sts", "AWS_ENDPOINT_URL_STS"},
    [AWS_PRICING] = {"pricing", "AWS_ENDPOINT_URL_PRICING"},
};
_Static_assert(sizeof services / sizeof services[0] == AWS_SERVICE_COUNT, "one row a service");

struct loader {
    const struct aws_config_in *in;
    struct aws_config *config;
    struct shared config_file, credentials_file;
    const char *profile;
    bool profile_asked;
};

static const char *env(const struct loader *l, const char *name) {
    const char *value = l->in->env(l->in->env_ctx, name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

/* ---- The files */

static int read_shared(struct loader *l, const char *variable, const char *name,
                       struct shared *file, struct err *err) {
    const char *given = env(l, variable);
    const char *home = env(l, "HOME");
    struct err why;
    int len = given == NULL ? snprintf(file->path, sizeof file->path, "%s/.aws/%s",
                                       home == NULL ? "" : home, name)
              : strncmp(given, "~/", 2) == 0 && home != NULL
                  ? snprintf(file->path, sizeof file->path, "%s%s", home, given + 1)
                  : snprintf(file->path, sizeof file->path, "%s", given);
    if (len < 0 || (size_t)len >= sizeof file->path)
        return err_set(err, ERRC_LIMIT, "%s: path too long", variable);
    int rc = fs_read(file->path, &file->text, &why);
    if (rc == 0 || rc == -ERRC_NOTFOUND)
        return 0;
    *err = why;
    return rc;
}

/* Config writes [profile NAME], but [default]; [profile default] is allowed and wins. */
static void choose_section(struct loader *l) {
    struct shared *file = &l->config_file;
    snprintf(l->credentials_file.section, sizeof file->section, "%s", l->profile);
    snprintf(file->section, sizeof file->section, "profile %s", l->profile);
    if (strcmp(l->profile, "default") == 0 && !ini_has_section(buf_str(&file->text), file->section))
        snprintf(file->section, sizeof file->section, "default");
}

static bool shared_value(const struct shared *file, const char *key, struct str *ret) {
    return ini_get(buf_str(&file->text), file->section, NULL, key, ret) && ret->len > 0;
}

/* A setting of the profile, whichever file it stands in. */
static const char *profile_value(struct loader *l, const char *key) {
    struct str value;
    if (!shared_value(&l->config_file, key, &value) &&
        !shared_value(&l->credentials_file, key, &value))
        return NULL;
    return arena_dup_str(&l->config->arena, value);
}

/* ---- Credentials */

static int set_keys(struct aws_config *c, struct str access, struct str secret, struct str token,
                    const char *source, struct err *err) {
    if (source == NULL || secret_set(&c->access_key, access) < 0 ||
        secret_set(&c->secret_key, secret) < 0 || secret_set(&c->session_token, token) < 0)
        return err_set(err, ERRC_NOMEM, "out of memory");
    c->source = source;
    return 0;
}

static int half_keys(const char *where, const char *there, const char *missing, struct err *err) {
    err_set(err, ERRC_AUTH, "%s has %s but not %s", where, there, missing);
    err_hint(err, "an access key has two halves; set both or neither");
    return -ERRC_AUTH;
}

/* Static keys of the profile in one file; 1 when there are none. */
static int profile_keys(struct loader *l, const struct shared *file, struct err *err) {
    struct str access, secret, token = {NULL, 0};
    bool has_access = shared_value(file, "aws_access_key_id", &access);
    bool has_secret = shared_value(file, "aws_secret_access_key", &secret);
    if (!has_access && !has_secret)
        return 1;
    const char *source =
        arena_printf(&l->config->arena, "profile %s of %s", l->profile, file->path);
    if (source != NULL && !has_access)
        return half_keys(source, "aws_secret_access_key", "aws_access_key_id", err);
    if (source != NULL && !has_secret)
        return half_keys(source, "aws_access_key_id", "aws_secret_access_key", err);
    shared_value(file, "aws_session_token", &token);
    return set_keys(l->config, access, secret, token, source, err);
}

static int not_yet(const struct loader *l, const char *key, struct err *err) {
    err_set(err, ERRC_UNSUPPORTED, "profile %s uses %s, which is not supported yet", l->profile,
            key);
    err_hint(err,
             "put keys into the environment: eval \"$(aws configure export-credentials --profile "
             "%s --format env)\"",
             l->profile);
    return -ERRC_UNSUPPORTED;
}

/* Sources that need a call or a program first. Those of the first list come before a profile's own
 * keys in the SDKs' order: to take the keys instead would be to act as somebody else. */
static const char *const before_keys[] = {"role_arn", "web_identity_token_file", "sso_session",
                                          "sso_start_url", NULL};
static const char *const after_keys[] = {"credential_process", "login_session", NULL};
static const char *const environment_only[] = {"AWS_WEB_IDENTITY_TOKEN_FILE",
                                               "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                               "AWS_CONTAINER_CREDENTIALS_FULL_URI", NULL};

static const char *first_set(struct loader *l, const char *const *keys) {
    for (; *keys != NULL; keys++)
        if (profile_value(l, *keys) != NULL)
            return *keys;
    return NULL;
}

static int load_profile(struct loader *l, struct err *err) {
    const char *other = first_set(l, before_keys);
    if (other != NULL)
        return not_yet(l, other, err);
    int rc = profile_keys(l, &l->credentials_file, err);
    if (rc != 1)
        return rc;
    other = first_set(l, after_keys);
    return other != NULL ? not_yet(l, other, err) : profile_keys(l, &l->config_file, err);
}

static int nothing_found(const struct loader *l, struct err *err) {
    for (size_t i = 0; environment_only[i] != NULL; i++)
        if (env(l, environment_only[i]) != NULL) {
            err_set(err, ERRC_UNSUPPORTED, "credentials by %s are not supported yet",
                    environment_only[i]);
            err_hint(err, "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN");
            return -ERRC_UNSUPPORTED;
        }
    err_set(err, ERRC_AUTH, "no AWS credentials: %s%s has no keys in %s or %s",
            l->profile_asked ? "profile " : "the environment is empty and profile ", l->profile,
            l->credentials_file.path, l->config_file.path);
    err_hint(err, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`; "
                  "`provider: sandbox` needs no account");
    return -ERRC_AUTH;
}

static int load_credentials(struct loader *l, struct err *err) {
    const char *access = env(l, "AWS_ACCESS_KEY_ID");
    const char *secret = env(l, "AWS_SECRET_ACCESS_KEY");
    if (l->in->profile == NULL && (access != NULL || secret != NULL)) {
        if (secret == NULL)
            return half_keys("the environment", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", err);
        if (access == NULL)
            return half_keys("the environment", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", err);
        return set_keys(l->config, str_of(access), str_of(secret),
                        str_of(env(l, "AWS_SESSION_TOKEN")), "the environment", err);
    }
    int rc = load_profile(l, err);
    return rc == 1 ? nothing_found(l, err) : rc;
}

/* ---- Region, endpoints, the rest */

static int load_region(struct loader *l, struct err *err) {
    static const char *const variables[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
    const char *region = l->in->region;
    for (size_t i = 0; region == NULL && i < 2; i++)
        region = env(l, variables[i]);
    if (region == NULL)
        region = profile_value(l, "region");
    if (region == NULL) {
        err_set(err, ERRC_INVALID, "no AWS region is set");
        err_hint(err, "write `region: us-east-1` (or another) into the spec, or set AWS_REGION");
        return -ERRC_INVALID;
    }
    /* It becomes part of a host name. */
    if (strlen(region) > 31 || region[strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-")] != 0)
        return err_set(err, ERRC_INVALID, "not an AWS region: %.60s", region);
    l->config->region = arena_dup(&l->config->arena, region);
    return l->config->region == NULL ? err_set(err, ERRC_NOMEM, "out of memory") : 0;
}

static const char *find_endpoint(struct loader *l, const char *service, const char *variable) {
    const char *ignore = env(l, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    struct str found;
    if (l->in->endpoint != NULL)
        return l->in->endpoint;
    if (ignore != NULL && strcasecmp(ignore, "true") == 0)
        return NULL;
    const char *value = env(l, variable);
    if (value == NULL)
        value = env(l, "AWS_ENDPOINT_URL");
    const char *named = value == NULL ? profile_value(l, "services") : NULL;
    if (named != NULL) {
        char section[256];
        snprintf(section, sizeof section, "services %s", named);
        if (ini_get(buf_str(&l->config_file.text), section, service, "endpoint_url", &found))
            value = arena_dup_str(&l->config->arena, found);
    }
    return value != NULL ? value : profile_value(l, "endpoint_url");
}

static int load_rest(struct loader *l, struct err *err) {
    struct aws_config *c = l->config;
    const char *ca = env(l, "AWS_CA_BUNDLE");
    const char *attempts_text = env(l, "AWS_MAX_ATTEMPTS");
    int64_t attempts = ATTEMPTS_DEFAULT;
    for (size_t i = 0; i < AWS_SERVICE_COUNT; i++)
        c->endpoints[i] =
            arena_dup(&c->arena, find_endpoint(l, services[i].id, services[i].variable));
    c->ca_bundle = arena_dup(&c->arena, ca != NULL ? ca : profile_value(l, "ca_bundle"));
    if (attempts_text == NULL)
        attempts_text = profile_value(l, "max_attempts");
    if (attempts_text != NULL && !str_to_i64(str_of(attempts_text), 1, ATTEMPTS_MAX, &attempts))
        return err_set(err, ERRC_INVALID, "AWS_MAX_ATTEMPTS is not a number from 1 to %d: %.40s",
                       ATTEMPTS_MAX, attempts_text);
    c->max_attempts = (int)attempts;
    return 0;
}

static int load(struct loader *l, struct err *err) {
    l->profile = l->in->profile != NULL ? l->in->profile : env(l, "AWS_PROFILE");
    l->profile_asked = l->profile != NULL;
    if (l->profile == NULL)
        l->profile = "default";
    int rc = 0;
    if (l->in->access_key != NULL) { /* the sandbox is no matter of anybody's files */
        rc = set_keys(l->config, str_of(l->in->access_key), str_of(l->in->secret_key),
                      (struct str){NULL, 0}, "the sandbox", err);
    } else {
        rc = read_shared(l, "AWS_CONFIG_FILE", "config", &l->config_file, err);
        if (rc == 0)
            rc = read_shared(l, "AWS_SHARED_CREDENTIALS_FILE", "credentials", &l->credentials_file,
                             err);
        choose_section(l);
        if (rc == 0)
            rc = load_credentials(l, err);
    }
    if (rc == 0)
        rc = load_region(l, err);
    return rc < 0 ? rc : load_rest(l, err);
}

int aws_config_load(const struct aws_config_in *in, struct aws_config *ret, struct err *err) {
    struct aws_config config = {0};
    struct loader l = {.in = in,
                       .config = &config,
                       .config_file.text = BUF_INIT(FILE_BYTES_MAX),
                       .credentials_file.text = BUF_INIT(FILE_BYTES_MAX)};
    int rc = load(&l, err);
    buf_wipe(&l.config_file.text);
    buf_wipe(&l.credentials_file.text);
    if (rc < 0) {
        aws_config_free(&config);
        return rc;
    }
    *ret = config;
    return 0;
}

int aws_config_load_run(const struct run *run, struct aws_config *ret, struct err *err) {
    const struct aws_config_in in = {.env = run->env,
                                     .env_ctx = run->env_ctx,
                                     .profile = run->profile,
                                     .region = run->region,
                                     .endpoint = run->endpoint,
                                     .access_key = run->access_key,
                                     .secret_key = run->secret_key};
    return aws_config_load(&in, ret, err);
}

void aws_config_free(struct aws_config *config) {
    secret_free(&config->access_key);
    secret_free(&config->secret_key);
    secret_free(&config->session_token);
    arena_free(&config->arena);
}
