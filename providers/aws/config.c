#include "providers/aws/config.h"

#include "providers/aws/ini.h"
#include "providers/aws/sources.h"
#include "providers/provider.h"
#include "specs/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FILE_BYTES_MAX = 1024 * 1024, ATTEMPTS_DEFAULT = 3, ATTEMPTS_MAX = 20, NAME_MAX_ = 256 };

/* How the configuration calls the services.
 * https://docs.aws.amazon.com/sdkref/latest/guide/ss-endpoints-table.html */
static const struct service_name {
    const char *id, *variable;
} services[] = {
    [AWS_EC2] = {"ec2", "AWS_ENDPOINT_URL_EC2"},
    [AWS_SSM] = {"ssm", "AWS_ENDPOINT_URL_SSM"},
    [AWS_STS] = {"sts", "AWS_ENDPOINT_URL_STS"},
    [AWS_PRICING] = {"pricing", "AWS_ENDPOINT_URL_PRICING"},
};
_Static_assert(sizeof services / sizeof services[0] == AWS_SERVICE_COUNT, "one row a service");
static const struct service_name sso = {"sso", "AWS_ENDPOINT_URL_SSO"};
static const struct service_name oidc = {"sso_oidc", "AWS_ENDPOINT_URL_SSO_OIDC"};

const char *aws_config_env(const struct aws_config *config, const char *name) {
    const char *value = config->env == NULL ? NULL : config->env(config->env_ctx, name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

bool aws_config_env_true(const struct aws_config *config, const char *name) {
    const char *value = aws_config_env(config, name);
    return value != NULL && strcasecmp(value, "true") == 0;
}

/* ---- The files */

const char *aws_config_path(const struct aws_config *config, struct arena *arena,
                            struct str written) {
    const char *home = aws_config_env(config, "HOME");
    if (str_starts(written, STR("~/")) && home != NULL)
        return arena_printf(arena, "%s%.*s", home, (int)written.len - 1, written.ptr + 1);
    return arena_dup_str(arena, written);
}

static int read_shared(struct aws_config *c, const char *variable, const char *name,
                       struct aws_shared *file, struct err *err) {
    const char *given = aws_config_env(c, variable);
    const char *home = aws_config_env(c, "HOME");
    struct err why;
    const char *path = given != NULL
                           ? aws_config_path(c, &c->arena, str_of(given))
                           : arena_printf(&c->arena, "%s/.aws/%s", home == NULL ? "" : home, name);
    if (path == NULL || strlen(path) >= sizeof file->path)
        return err_set(err, ERRC_LIMIT, "%s: path too long", variable);
    snprintf(file->path, sizeof file->path, "%s", path);
    int rc = fs_read(file->path, &file->text, &why);
    if (rc == 0 || rc == -ERRC_NOTFOUND)
        return 0;
    *err = why;
    return rc;
}

/* Config writes [profile NAME], but [default]; [profile default] is allowed and wins. */
static void section_of(const struct aws_config *c, const struct aws_shared *file,
                       const char *profile, char ret[NAME_MAX_]) {
    bool prefixed = file == &c->config_file;
    snprintf(ret, NAME_MAX_, "%s%s", prefixed ? "profile " : "", profile);
    if (prefixed && strcmp(profile, "default") == 0 && !ini_has_section(buf_str(&file->text), ret))
        snprintf(ret, NAME_MAX_, "default");
}

bool aws_profile_get_in(const struct aws_config *c, const struct aws_shared *file,
                        const char *profile, const char *key, struct str *ret) {
    char section[NAME_MAX_];
    struct str value;
    section_of(c, file, profile, section);
    if (!ini_get(buf_str(&file->text), section, NULL, key, &value) || value.len == 0)
        return false;
    *ret = value;
    return true;
}

bool aws_profile_get(const struct aws_config *c, const char *profile, const char *key,
                     struct str *ret) {
    return aws_profile_get_in(c, &c->credentials_file, profile, key, ret) ||
           aws_profile_get_in(c, &c->config_file, profile, key, ret);
}

bool aws_profile_exists(const struct aws_config *c, const char *profile) {
    const struct aws_shared *const files[] = {&c->config_file, &c->credentials_file};
    char section[NAME_MAX_];
    for (size_t i = 0; i < 2; i++) {
        section_of(c, files[i], profile, section);
        if (ini_has_section(buf_str(&files[i]->text), section))
            return true;
    }
    return false;
}

bool aws_section_get(const struct aws_config *c, const char *kind, const char *name,
                     const char *key, struct str *ret) {
    char section[NAME_MAX_];
    snprintf(section, sizeof section, "%s %s", kind, name);
    return ini_get(buf_str(&c->config_file.text), section, NULL, key, ret) && ret->len > 0;
}

/* A setting of the profile that is used, in the arena. */
static const char *setting(struct aws_config *c, const char *key) {
    struct str value;
    return aws_profile_get(c, c->profile, key, &value) ? arena_dup_str(&c->arena, value) : NULL;
}

/* A name that somebody wrote and that leads nowhere is a mistake; that there is no "default" is
 * not. */
static int choose_profile(const struct aws_config_in *in, struct aws_config *c, struct err *err) {
    const char *variable = aws_config_env(c, "AWS_PROFILE");
    if (variable == NULL)
        variable = aws_config_env(c, "AWS_DEFAULT_PROFILE");
    const char *name = in->profile != NULL ? in->profile : variable != NULL ? variable : "default";
    c->profile_wins = in->profile != NULL;
    c->profile_from = in->profile == NULL        ? (variable == NULL ? NULL : "AWS_PROFILE")
                      : in->profile_from != NULL ? in->profile_from
                                                 : "the spec";
    if (strlen(name) > NAME_MAX_ - 16)
        return err_set(err, ERRC_LIMIT, "the profile's name is too long");
    c->profile = arena_dup(&c->arena, name);
    if (c->profile == NULL)
        return err_no_memory(err);
    bool keys = aws_config_env(c, "AWS_ACCESS_KEY_ID") != NULL && !c->profile_wins;
    if (c->profile_from == NULL || keys || aws_profile_exists(c, name))
        return 0;
    err_set(err, ERRC_AUTH, "no AWS credentials: there is no profile %s (named by %s) in %s or %s",
            name, c->profile_from, c->config_file.path, c->credentials_file.path);
    err_hint(err, "look at the name; `aws configure list-profiles` shows those that there are");
    return -ERRC_AUTH;
}

/* ---- Region, endpoints, the rest */

static int find_region(const struct aws_config_in *in, struct aws_config *c, struct err *err) {
    static const char *const variables[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
    const char *region = in->region;
    c->region_from = in->region_from != NULL ? in->region_from : "the spec";
    for (size_t i = 0; region == NULL && i < 2; i++) {
        region = aws_config_env(c, variables[i]);
        c->region_from = variables[i];
    }
    if (region == NULL) {
        region = setting(c, "region");
        c->region_from = arena_printf(&c->arena, "profile %s", c->profile);
    }
    if (region == NULL && c->given == NULL) {
        region = source_imds_region(c, &c->arena);
        c->region_from = "this instance's metadata";
    }
    if (region == NULL) {
        err_set(err, ERRC_INVALID, "no AWS region is set");
        err_hint(err, "write `region: us-east-1` (or another) into the spec, or set AWS_REGION");
        return -ERRC_INVALID;
    }
    /* It becomes part of a host name. */
    if (strlen(region) > 31 || region[strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-")] != 0)
        return err_set(err, ERRC_INVALID, "not an AWS region: %.60s", region);
    c->region = arena_dup(&c->arena, region);
    return c->region == NULL || c->region_from == NULL ? err_no_memory(err) : 0;
}

static const char *services_endpoint(struct aws_config *c, const char *service) {
    struct str found;
    char section[NAME_MAX_];
    const char *named = setting(c, "services");
    if (named == NULL || strlen(named) > NAME_MAX_ - 16)
        return NULL;
    snprintf(section, sizeof section, "services %s", named);
    return ini_get(buf_str(&c->config_file.text), section, service, "endpoint_url", &found)
               ? arena_dup_str(&c->arena, found)
               : NULL;
}

static const char *find_endpoint(const struct aws_config_in *in, struct aws_config *c,
                                 const struct service_name *service, const char **ret_from) {
    const char *from = "the sandbox";
    const char *value = in->endpoint;
    if (value == NULL && aws_config_env_true(c, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))
        return NULL;
    if (value == NULL)
        value = aws_config_env(c, from = service->variable);
    if (value == NULL)
        value = aws_config_env(c, from = "AWS_ENDPOINT_URL");
    if (value == NULL) {
        value = services_endpoint(c, service->id);
        from = "the profile's services";
    }
    if (value == NULL) {
        value = setting(c, "endpoint_url");
        from = "the profile's endpoint_url";
    }
    *ret_from = value == NULL ? NULL : from;
    return arena_dup(&c->arena, value);
}

/* Regions whose calls went to sts.amazonaws.com before every region had an STS of its own; by
 * "legacy" they still do.
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-sts-regionalized-endpoints.html */
static bool is_sts_global(struct aws_config *c) {
    static const char *const regions[] = {
        "ap-northeast-1", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ca-central-1",
        "eu-central-1",   "eu-north-1", "eu-west-1",      "eu-west-2",      "eu-west-3",
        "sa-east-1",      "us-east-1",  "us-east-2",      "us-west-1",      "us-west-2",
    };
    const char *mode = aws_config_env(c, "AWS_STS_REGIONAL_ENDPOINTS");
    if (mode == NULL)
        mode = setting(c, "sts_regional_endpoints");
    bool legacy = mode != NULL && strcasecmp(mode, "legacy") == 0;
    for (size_t i = 0; legacy && i < sizeof regions / sizeof regions[0]; i++)
        if (strcmp(c->region, regions[i]) == 0)
            return true;
    return false;
}

static const char *variable_or_setting(struct aws_config *c, const char *variable,
                                       const char *key) {
    const char *value = aws_config_env(c, variable);
    return value != NULL ? value : setting(c, key);
}

/* The modes of the SDKs are all taken; berth has one, which does what each asks at the least. */
static int check_retry_mode(struct aws_config *c, struct err *err) {
    static const char *const modes[] = {"standard", "adaptive", "legacy"};
    const char *mode = variable_or_setting(c, "AWS_RETRY_MODE", "retry_mode");
    for (size_t i = 0; mode != NULL && i < sizeof modes / sizeof modes[0]; i++)
        if (strcasecmp(mode, modes[i]) == 0)
            return 0;
    if (mode == NULL)
        return 0;
    err_set(err, ERRC_INVALID, "AWS_RETRY_MODE is no mode of retrying: %.40s", mode);
    err_hint(err, "write standard, adaptive or legacy, or leave it out");
    return -ERRC_INVALID;
}

static int find_rest(const struct aws_config_in *in, struct aws_config *c, struct err *err) {
    const char *ignored;
    for (size_t i = 0; i < AWS_SERVICE_COUNT; i++)
        c->endpoints[i] = find_endpoint(in, c, &services[i], &c->endpoints_from[i]);
    c->endpoint_sso = find_endpoint(in, c, &sso, &ignored);
    c->endpoint_oidc = find_endpoint(in, c, &oidc, &ignored);
    c->sts_global = is_sts_global(c);
    c->ca_bundle = arena_dup(&c->arena, variable_or_setting(c, "AWS_CA_BUNDLE", "ca_bundle"));
    const char *text = variable_or_setting(c, "AWS_MAX_ATTEMPTS", "max_attempts");
    int64_t attempts = ATTEMPTS_DEFAULT;
    if (text != NULL && !str_to_i64(str_of(text), 1, ATTEMPTS_MAX, &attempts))
        return err_set(err, ERRC_INVALID, "AWS_MAX_ATTEMPTS is not a number from 1 to %d: %.40s",
                       ATTEMPTS_MAX, text);
    c->max_attempts = (int)attempts;
    return check_retry_mode(c, err);
}

/* The sandbox is no matter of anybody's files. */
static int take_given(const struct aws_config_in *in, struct aws_config *c, struct err *err) {
    c->profile = "default";
    c->given = calloc(1, sizeof *c->given);
    if (c->given == NULL || aws_credentials_set(c->given, str_of(in->access_key),
                                                str_of(in->secret_key), (struct str){0}) < 0)
        return err_no_memory(err);
    snprintf(c->given->source, sizeof c->given->source, "the sandbox");
    return 0;
}

static int read_files(const struct aws_config_in *in, struct aws_config *c, struct err *err) {
    int rc = read_shared(c, "AWS_CONFIG_FILE", "config", &c->config_file, err);
    if (rc == 0)
        rc =
            read_shared(c, "AWS_SHARED_CREDENTIALS_FILE", "credentials", &c->credentials_file, err);
    return rc < 0 ? rc : choose_profile(in, c, err);
}

int aws_config_load(const struct aws_config_in *in, struct aws_config *ret, struct err *err) {
    struct aws_config config = {.env = in->env,
                                .env_ctx = in->env_ctx,
                                .config_file.text = BUF_INIT(FILE_BYTES_MAX),
                                .credentials_file.text = BUF_INIT(FILE_BYTES_MAX)};
    int rc = in->access_key != NULL ? take_given(in, &config, err) : read_files(in, &config, err);
    if (rc == 0)
        rc = find_region(in, &config, err);
    if (rc == 0)
        rc = find_rest(in, &config, err);
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
                                     .region_from = run->region_from,
                                     .profile_from = run->profile_from,
                                     .endpoint = run->endpoint,
                                     .access_key = run->access_key,
                                     .secret_key = run->secret_key};
    return aws_config_load(&in, ret, err);
}

void aws_config_free(struct aws_config *config) {
    buf_wipe(&config->config_file.text);
    buf_wipe(&config->credentials_file.text);
    if (config->given != NULL)
        aws_credentials_free(config->given);
    free(config->given);
    config->given = NULL;
    arena_free(&config->arena);
}
