#include "providers/aws/request.h"

#include "providers/aws/sign.h"

#include <stdio.h>
#include <string.h>

static const struct service {
    const char *name;   /* in the signature's scope */
    const char *prefix; /* of the host name, before the region */
    const char *content_type;
    const char *target; /* prefix of X-Amz-Target, or NULL */
    const char *region; /* the one that is asked whatever region is set, or NULL */
} services[] = {
    [AWS_EC2] = {"ec2", "ec2", "application/x-www-form-urlencoded; charset=utf-8", NULL, NULL},
    [AWS_SSM] = {"ssm", "ssm", "application/x-amz-json-1.1", "AmazonSSM.", NULL},
    [AWS_STS] = {"sts", "sts", "application/x-www-form-urlencoded; charset=utf-8", NULL, NULL},
    /* https://docs.aws.amazon.com/general/latest/gr/billing.html */
    [AWS_PRICING] = {"pricing", "api.pricing", "application/x-amz-json-1.1", "AWSPriceListService.",
                     "us-east-1"},
};
_Static_assert(sizeof services / sizeof services[0] == AWS_SERVICE_COUNT, "one row a service");

/* AWS's partitions have domains of their own.
 * https://docs.aws.amazon.com/general/latest/gr/rande.html */
static const char *domain_of(const char *region) {
    return strncmp(region, "cn-", 3) == 0 ? "amazonaws.com.cn" : "amazonaws.com";
}

/* What follows "http://" or "https://"; NULL when the URL has no such beginning. */
static const char *after_scheme(const char *url) {
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < 2; i++)
        if (strncasecmp(url, schemes[i], strlen(schemes[i])) == 0)
            return url + strlen(schemes[i]);
    return NULL;
}

static const char *region_of(const struct aws_config *config, enum aws_service service) {
    if (service == AWS_STS && config->sts_global)
        return "us-east-1";
    return services[service].region != NULL ? services[service].region : config->region;
}

int request_url(const struct aws_config *config, enum aws_service service,
                char ret[REQUEST_URL_SIZE], struct err *err) {
    const char *given = config->endpoints[service];
    const char *region = region_of(config, service);
    bool global = service == AWS_STS && config->sts_global;
    int len = given != NULL ? snprintf(ret, REQUEST_URL_SIZE, "%s", given)
              : global      ? snprintf(ret, REQUEST_URL_SIZE, "https://sts.amazonaws.com")
                            : snprintf(ret, REQUEST_URL_SIZE, "https://%s.%s.%s",
                                       services[service].prefix, region, domain_of(region));
    if (len < 0 || len + 2 > REQUEST_URL_SIZE)
        return err_set(err, ERRC_INVALID, "the endpoint's URL is too long");
    const char *host = after_scheme(ret);
    if (host == NULL || *host == '\0' || *host == '/' || strpbrk(host, "@?# \t") != NULL) {
        err_set(err, ERRC_INVALID, "the %s endpoint is not a URL: %s", services[service].name, ret);
        err_hint(err, "write it as https://HOST or http://HOST:PORT");
        return -ERRC_INVALID;
    }
    while (len > 0 && ret[len - 1] == '/')
        ret[--len] = '\0';
    return 0;
}

/* Host and path of a URL. A port that is the scheme's own is not part of the Host header. */
static void split_url(const char *url, struct str *host, struct str *path) {
    struct str rest = str_of(after_scheme(url));
    bool tls = strncasecmp(url, "https", 5) == 0;
    const char *slash = memchr(rest.ptr, '/', rest.len);
    *host = rest;
    *path = STR("/");
    if (slash != NULL) {
        host->len = (size_t)(slash - rest.ptr);
        *path = (struct str){slash, rest.len - host->len};
    }
    struct str port = tls ? STR(":443") : STR(":80");
    if (str_ends(*host, port))
        host->len -= port.len;
}

static void add_header(struct request *r, const char *name, struct str value) {
    struct buf *line = &r->headers[r->headers_len++];
    *line = BUF_INIT(BUF_SMALL);
    buf_addf(line, "%s: ", name);
    buf_addstr(line, value);
}

/* The headers that are signed, sorted by name. */
static size_t signed_headers(const struct aws_credentials *credentials,
                             const struct service *service, struct str host, const char *date,
                             const char *target, struct sign_header *ret) {
    struct str token = {NULL, 0};
    size_t n = 0;
    if (credentials != NULL)
        token = secret_reveal(&credentials->session_token);
    ret[n++] = (struct sign_header){"content-type", str_of(service->content_type)};
    ret[n++] = (struct sign_header){"host", host};
    ret[n++] = (struct sign_header){"x-amz-date", str_of(date)};
    if (token.len > 0)
        ret[n++] = (struct sign_header){"x-amz-security-token", token};
    if (target[0] != '\0')
        ret[n++] = (struct sign_header){"x-amz-target", str_of(target)};
    return n;
}

int request_make(const struct aws_config *config, const struct aws_credentials *credentials,
                 const struct aws_call *call, time_t when, struct request *ret, struct err *err) {
    const struct service *service = &services[call->service];
    char date[SIGN_DATE_SIZE], target[128] = "";
    struct str host, path;
    struct sign_header headers[REQUEST_HEADERS_MAX - 2];
    _cleanup_buf_ struct buf encoded = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf authorization = BUF_INIT(BUF_SMALL);
    *ret = (struct request){0};
    int rc = request_url(config, call->service, ret->url, err);
    if (rc < 0)
        return rc;
    split_url(ret->url, &host, &path);
    sign_add_path(path, &encoded);
    sign_date(when, date);
    if (service->target != NULL)
        snprintf(target, sizeof target, "%s%s", service->target, call->action);
    if (call->is_unsigned)
        credentials = NULL;
    size_t n = signed_headers(credentials, service, host, date, target, headers);
    if (credentials != NULL) {
        const struct sign_input in = {
            .method = "POST",
            .path = buf_cstr(&encoded),
            .query = {"", 0},
            .headers = headers,
            .headers_len = n,
            .body = call->body,
            .region = region_of(config, call->service),
            .service = service->name,
            .access_key = secret_reveal(&credentials->access_key),
            .secret_key = secret_reveal(&credentials->secret_key),
            .when = when,
        };
        rc = sign_authorization(&in, &authorization, err);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < n; i++)
        if (strcmp(headers[i].name, "host") != 0)
            add_header(ret, headers[i].name, headers[i].value);
    if (credentials != NULL)
        add_header(ret, "authorization", buf_str(&authorization));
    bool failed = encoded.failed;
    for (size_t i = 0; i < ret->headers_len; i++)
        failed |= ret->headers[i].failed;
    return failed ? err_no_memory(err) : 0;
}

bool request_is_query(enum aws_service service) { return services[service].target == NULL; }

void request_free(struct request *r) {
    for (size_t i = 0; i < r->headers_len; i++)
        buf_wipe(&r->headers[i]);
    r->headers_len = 0;
}
