#include "providers/aws/config.h"

#include "specs/fs.h"

#include <stdio.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1024 * 1024 };

/* "[profile  x]" → "profile x": inner white space counts once. */
static bool same_section(struct str line, const char *section) {
    line = str_trim((struct str){line.ptr + 1, line.len - 1});
    const char *end = memchr(line.ptr, ']', line.len);
    if (end == NULL)
        return false;
    line.len = (size_t)(end - line.ptr);
    struct str want = str_of(section);
    struct str a, b;
    line = str_trim(line);
    for (;;) {
        while (line.len > 0 && line.ptr != NULL && (*line.ptr == ' ' || *line.ptr == '\t')) {
            line.ptr++;
            line.len--;
        }
        bool more_a = str_split(&line, ' ', &a);
        bool more_b = str_split(&want, ' ', &b);
        if (!more_a || !more_b)
            return more_a == more_b;
        if (!str_eq(a, b))
            return false;
    }
}

bool ini_get(struct str text, const char *section, const char *parent, const char *key,
             struct str *ret) {
    struct str line;
    bool inside = false, in_parent = parent == NULL, found = false;
    while (str_split(&text, '\n', &line)) {
        struct str trimmed = str_trim(line);
        if (trimmed.len == 0 || *trimmed.ptr == '#' || *trimmed.ptr == ';')
            continue;
        if (*line.ptr == '[') {
            inside = same_section(trimmed, section);
            in_parent = parent == NULL;
            continue;
        }
        bool indented = *line.ptr == ' ' || *line.ptr == '\t';
        struct str value = trimmed;
        struct str name;
        if (!inside || !str_split(&value, '=', &name) || value.ptr == NULL)
            continue;
        name = str_trim(name);
        value = str_trim(value);
        if (parent != NULL && !indented) {
            in_parent = str_eqc(name, parent);
            continue;
        }
        if (parent == NULL && indented)
            continue;
        if (in_parent && str_eqc(name, key)) {
            const char *comment = value.len > 1 ? strstr(value.ptr, " #") : NULL;
            if (comment != NULL && comment < value.ptr + value.len)
                value = str_trim((struct str){value.ptr, (size_t)(comment - value.ptr)});
            *ret = value;
            found = true;
        }
    }
    return found;
}

struct loader {
    const struct aws_config_in *in;
    struct aws_config *config;
    struct buf config_text, credentials_text;
    char config_path[1024], credentials_path[1024];
    const char *profile;
    bool profile_asked;
    char section[256]; /* in the config file: "profile NAME" or "default" */
};

static const char *env(const struct loader *l, const char *name) {
    const char *value = l->in->env(l->in->env_ctx, name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

static int read_shared(struct loader *l, const char *variable, const char *name, char *path,
                       size_t size, struct buf *out, struct err *err) {
    const char *given = env(l, variable);
    const char *home = env(l, "HOME");
    if (given != NULL)
        snprintf(path, size, "%s", given);
    else
        snprintf(path, size, "%s/.aws/%s", home == NULL ? "" : home, name);
    struct err ignored;
    int rc = fs_read(path, out, &ignored);
    if (rc < 0 && rc != -ERRC_NOTFOUND) {
        *err = ignored;
        return rc;
    }
    return 0;
}

static const char *profile_value(struct loader *l, const char *key) {
    struct str value;
    if (!ini_get(buf_str(&l->config_text), l->section, NULL, key, &value))
        return NULL;
    return arena_dup_str(&l->config->arena, value);
}

static int set_keys(struct aws_config *c, struct str access, struct str secret, struct str token,
                    const char *source) {
    if (secret_set(&c->access_key, access) < 0 || secret_set(&c->secret_key, secret) < 0 ||
        secret_set(&c->session_token, token) < 0)
        return -ERRC_NOMEM;
    c->source = source;
    return source == NULL ? -ERRC_NOMEM : 0;
}

/* Static keys of the profile in one file; 1 when there are none. */
static int profile_keys(struct loader *l, const struct buf *text, const char *section,
                        const char *path) {
    struct str access, secret, token = {NULL, 0};
    if (!ini_get(buf_str(text), section, NULL, "aws_access_key_id", &access) ||
        !ini_get(buf_str(text), section, NULL, "aws_secret_access_key", &secret))
        return 1;
    ini_get(buf_str(text), section, NULL, "aws_session_token", &token);
    return set_keys(l->config, access, secret, token,
                    arena_printf(&l->config->arena, "profile %s of %s", l->profile, path));
}

/* Kinds of profile that need a call or a program first. */
static const char *unsupported_key(struct loader *l) {
    static const char *const keys[] = {
        "role_arn", "sso_session", "sso_start_url", "credential_process", "web_identity_token_file",
        NULL};
    for (size_t i = 0; keys[i] != NULL; i++)
        if (profile_value(l, keys[i]) != NULL)
            return keys[i];
    return NULL;
}

static int load_credentials(struct loader *l, struct err *err) {
    const char *access = env(l, "AWS_ACCESS_KEY_ID");
    const char *secret = env(l, "AWS_SECRET_ACCESS_KEY");
    if (l->in->access_key != NULL)
        return set_keys(l->config, str_of(l->in->access_key), str_of(l->in->secret_key),
                        (struct str){NULL, 0}, "the sandbox");
    if (access != NULL && secret != NULL && l->in->profile == NULL)
        return set_keys(l->config, str_of(access), str_of(secret),
                        str_of(env(l, "AWS_SESSION_TOKEN")), "the environment");
    int rc = profile_keys(l, &l->credentials_text, l->profile, l->credentials_path);
    if (rc == 1)
        rc = profile_keys(l, &l->config_text, l->section, l->config_path);
    if (rc <= 0)
        return rc;
    const char *other = unsupported_key(l);
    if (other != NULL) {
        err_set(err, ERRC_UNSUPPORTED, "profile %s uses %s, which is not supported yet", l->profile,
                other);
        err_hint(err,
                 "export keys into the environment: eval \"$(aws configure export-credentials "
                 "--profile %s --format env)\"",
                 l->profile);
        return -ERRC_UNSUPPORTED;
    }
    err_set(err, ERRC_AUTH, "no AWS credentials: %s%s has no keys in %s or %s",
            l->profile_asked ? "profile " : "the environment is empty and profile ", l->profile,
            l->credentials_path, l->config_path);
    err_hint(err, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`; "
                  "`provider: sandbox` needs no account");
    return -ERRC_AUTH;
}

static const char *endpoint(struct loader *l, const char *service, const char *variable) {
    const char *value = l->in->endpoint;
    if (value == NULL && env(l, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") == NULL) {
        value = env(l, variable);
        if (value == NULL)
            value = env(l, "AWS_ENDPOINT_URL");
        const char *services = value == NULL ? profile_value(l, "services") : NULL;
        if (services != NULL) {
            char section[256];
            struct str found;
            snprintf(section, sizeof section, "services %s", services);
            if (ini_get(buf_str(&l->config_text), section, service, "endpoint_url", &found))
                value = arena_dup_str(&l->config->arena, found);
        }
        if (value == NULL)
            value = profile_value(l, "endpoint_url");
    }
    return arena_dup(&l->config->arena, value);
}

static int load(struct loader *l, struct err *err) {
    struct aws_config *c = l->config;
    l->profile = l->in->profile != NULL ? l->in->profile : env(l, "AWS_PROFILE");
    l->profile_asked = l->profile != NULL;
    if (l->profile == NULL)
        l->profile = "default";
    snprintf(l->section, sizeof l->section, "%s%s",
             strcmp(l->profile, "default") == 0 ? "" : "profile ", l->profile);
    int rc = read_shared(l, "AWS_CONFIG_FILE", "config", l->config_path, sizeof l->config_path,
                         &l->config_text, err);
    if (rc == 0)
        rc = read_shared(l, "AWS_SHARED_CREDENTIALS_FILE", "credentials", l->credentials_path,
                         sizeof l->credentials_path, &l->credentials_text, err);
    if (rc == 0)
        rc = load_credentials(l, err);
    if (rc < 0)
        return rc == -ERRC_NOMEM ? err_set(err, ERRC_NOMEM, "out of memory") : rc;
    const char *region = l->in->region;
    if (region == NULL)
        region = env(l, "AWS_REGION");
    if (region == NULL)
        region = env(l, "AWS_DEFAULT_REGION");
    if (region == NULL)
        region = profile_value(l, "region");
    if (region == NULL) {
        err_set(err, ERRC_INVALID, "no AWS region is set");
        err_hint(err, "write `region: us-east-1` (or another) into the spec, or set AWS_REGION");
        return -ERRC_INVALID;
    }
    c->region = arena_dup(&c->arena, region);
    c->endpoint_ec2 = endpoint(l, "ec2", "AWS_ENDPOINT_URL_EC2");
    c->endpoint_ssm = endpoint(l, "ssm", "AWS_ENDPOINT_URL_SSM");
    int64_t attempts = 3;
    const char *attempts_text = env(l, "AWS_MAX_ATTEMPTS");
    if (attempts_text != NULL && !str_to_i64(str_of(attempts_text), 1, 20, &attempts))
        return err_set(err, ERRC_INVALID, "AWS_MAX_ATTEMPTS is not a number from 1 to 20");
    c->max_attempts = (int)attempts;
    return 0;
}

int aws_config_load(const struct aws_config_in *in, struct aws_config *ret, struct err *err) {
    struct aws_config config = {0};
    struct loader l = {.in = in,
                       .config = &config,
                       .config_text = BUF_INIT(FILE_BYTES_MAX),
                       .credentials_text = BUF_INIT(FILE_BYTES_MAX)};
    int rc = load(&l, err);
    if (l.credentials_text.ptr != NULL)
        memset(l.credentials_text.ptr, 0, l.credentials_text.len);
    buf_free(&l.config_text);
    buf_free(&l.credentials_text);
    if (rc < 0) {
        aws_config_free(&config);
        return rc;
    }
    *ret = config;
    return 0;
}

void aws_config_free(struct aws_config *config) {
    secret_free(&config->access_key);
    secret_free(&config->secret_key);
    secret_free(&config->session_token);
    arena_free(&config->arena);
}
