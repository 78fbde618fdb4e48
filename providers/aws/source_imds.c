/* Credentials and region of the EC2 instance that this runs on, by IMDSv2: a token first, by which
 * the rest is asked.
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-imds-credentials.html */
#include "providers/aws/sources.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { URL_SIZE = 512, NAME_SIZE_ = 256, TIMEOUT_MAX_S = 60, TRIES_MAX = 10 };

struct imds {
    const struct aws_config *config;
    atomic_int *cancel;
    char base[256];
    struct buf token; /* a header line */
    long timeout_ms;
    int64_t tries;
    char problem[256]; /* why there is nothing */
};

static const char *setting(const struct aws_config *config, const char *variable, const char *key,
                           char *ret, size_t size) {
    const char *value = aws_config_env(config, variable);
    struct str found;
    if (value != NULL)
        return value;
    if (config->profile == NULL || !aws_profile_get(config, config->profile, key, &found) ||
        found.len >= size)
        return NULL;
    snprintf(ret, size, "%.*s", STR_FMT(found));
    return ret;
}

static void choose_base(struct imds *m) {
    char text[256];
    const char *given = setting(m->config, "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                "ec2_metadata_service_endpoint", text, sizeof text);
    if (given != NULL) {
        snprintf(m->base, sizeof m->base, "%s", given);
        size_t len = strlen(m->base);
        while (len > 0 && m->base[len - 1] == '/')
            m->base[--len] = '\0';
        return;
    }
    const char *mode = setting(m->config, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
                               "ec2_metadata_service_endpoint_mode", text, sizeof text);
    bool six = mode != NULL && strcasecmp(mode, "ipv6") == 0;
    snprintf(m->base, sizeof m->base, "%s",
             six ? "http://[fd00:ec2::254]" : "http://169.254.169.254");
}

static int64_t number(const struct aws_config *config, const char *variable, const char *key,
                      int64_t max) {
    char text[32];
    const char *value = setting(config, variable, key, text, sizeof text);
    int64_t n = 1;
    if (value != NULL && !str_to_i64(str_of(value), 1, max, &n))
        n = 1;
    return n;
}

/* The answer's body in `ret`; 1 when there is none, and why in m->problem. */
static int ask(struct imds *m, const char *method, const char *path, const char *header,
               struct buf *ret, struct err *err) {
    char url[URL_SIZE];
    snprintf(url, sizeof url, "%s/latest/%s", m->base, path);
    struct http h = {.method = method,
                     .url = url,
                     .headers = {header},
                     .timeout_ms = m->timeout_ms,
                     .direct = true,
                     .cancel = m->cancel};
    struct err why = {0};
    int rc = -ERRC_NET;
    for (int64_t i = 0; i < m->tries && rc < 0 && rc != -ERRC_CANCELLED; i++) {
        buf_wipe(&h.answer);
        rc = http_send(&h, &why);
        if (rc == 0 && h.status >= 500)
            rc = err_set(&why, ERRC_NET, "%s answers HTTP %ld", url, h.status);
    }
    if (rc == -ERRC_CANCELLED) {
        *err = why;
    } else if (rc < 0) {
        snprintf(m->problem, sizeof m->problem, "no instance metadata: %.200s", why.msg);
        rc = 1;
    } else if (h.status != 200 || h.answer.len == 0) {
        snprintf(m->problem, sizeof m->problem, "%.200s answers HTTP %ld", url, h.status);
        rc = 1;
    } else {
        buf_addstr(ret, buf_str(&h.answer));
    }
    buf_wipe(&h.answer);
    return rc;
}

/* Sets up, and gets the token that everything else is asked with. */
static int open_imds(const struct aws_config *config, atomic_int *cancel, struct imds *m,
                     struct err *err) {
    *m = (struct imds){.config = config, .cancel = cancel, .token = BUF_INIT(BUF_SMALL)};
    if (aws_config_env_true(config, "AWS_EC2_METADATA_DISABLED")) {
        snprintf(m->problem, sizeof m->problem, "AWS_EC2_METADATA_DISABLED is true");
        return 1;
    }
    choose_base(m);
    m->timeout_ms = 1000L * (long)number(config, "AWS_METADATA_SERVICE_TIMEOUT",
                                         "metadata_service_timeout", TIMEOUT_MAX_S);
    m->tries = number(config, "AWS_METADATA_SERVICE_NUM_ATTEMPTS", "metadata_service_num_attempts",
                      TRIES_MAX);
    buf_adds(&m->token, "x-aws-ec2-metadata-token: ");
    int rc =
        ask(m, "PUT", "api/token", "x-aws-ec2-metadata-token-ttl-seconds: 21600", &m->token, err);
    /* It goes into a header. */
    if (rc == 0 && strpbrk(buf_cstr(&m->token), "\r\n") != NULL) {
        snprintf(m->problem, sizeof m->problem, "%.200s gives no token", m->base);
        rc = 1;
    }
    return rc;
}

static int get(struct imds *m, const char *path, struct buf *ret, struct err *err) {
    return ask(m, "GET", path, m->token.ptr, ret, err);
}

/* The role's name; of several lines the first. */
static int find_role(struct imds *m, char ret[NAME_SIZE_], struct err *err) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    int rc = get(m, "meta-data/iam/security-credentials/", &text, err);
    if (rc != 0) {
        if (rc == 1 && strstr(m->problem, "HTTP 404") != NULL)
            snprintf(m->problem, sizeof m->problem, "this instance has no role");
        return rc;
    }
    struct str line, rest = buf_str(&text);
    str_split(&rest, '\n', &line);
    line = str_trim(line);
    snprintf(ret, NAME_SIZE_, "%.*s", STR_FMT(line));
    if (line.len == 0 || line.len >= NAME_SIZE_ || strpbrk(ret, "/?# ") != NULL) {
        snprintf(m->problem, sizeof m->problem, "%.200s names no role", m->base);
        return 1;
    }
    return 0;
}

int source_imds(struct chain *c, struct aws_credentials *ret, struct err *err) {
    struct imds m;
    char role[NAME_SIZE_] = "", path[NAME_SIZE_ + 64];
    _cleanup_secret_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    int rc = open_imds(c->config, c->in->cancel, &m, err);
    if (rc == 0)
        rc = find_role(&m, role, err);
    snprintf(path, sizeof path, "meta-data/iam/security-credentials/%s", role);
    if (rc == 0)
        rc = get(&m, path, &text, err);
    buf_wipe(&m.token);
    if (rc == 1)
        return source_none(c, "%s", m.problem);
    if (rc < 0)
        return rc;
    cJSON *json = cJSON_ParseWithLength(text.ptr, text.len);
    const char *code = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "Code"));
    if (json == NULL)
        rc = err_set(err, ERRC_AUTH, "the answer is not JSON");
    else if (code != NULL && strcmp(code, "Success") != 0)
        rc = err_set(err, ERRC_AUTH, "AWS gives none: %.80s", code);
    else
        rc = source_take_json(c, json, "Token", ret, err);
    source_json_free(json);
    if (rc < 0)
        return err_wrap(err, "the credentials of this instance's role %s", role);
    snprintf(ret->source, sizeof ret->source, "role %.200s of this instance", role);
    return 0;
}

const char *source_imds_region(const struct aws_config *config, struct arena *arena) {
    struct imds m;
    struct err ignored = {0};
    const char *region = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    if (open_imds(config, NULL, &m, &ignored) == 0 &&
        get(&m, "meta-data/placement/region", &text, &ignored) == 0)
        region = arena_dup_str(arena, str_trim(buf_str(&text)));
    buf_wipe(&m.token);
    return region;
}
