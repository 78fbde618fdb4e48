/* Credentials of a container: ECS, EKS Pod Identity, and what speaks like them.
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html */
#include "providers/aws/sources.h"
#include "specs/fs.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define RELATIVE_HOST "http://169.254.170.2"

enum { TIMEOUT_MS = 2000, TRIES = 3, AUTHORIZATION_MAX = 16 * 1024 };

/* ECS, EKS, EKS over IPv6. */
static const char *const hosts[] = {"localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"};

static bool is_loopback(const char *host) {
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

bool source_container_allows(const char *url) {
    char host[INET6_ADDRSTRLEN + 1] = "";
    if (strncasecmp(url, "https://", 8) == 0)
        return true;
    if (strncasecmp(url, "http://", 7) != 0)
        return false;
    const char *at = url + 7;
    bool bracket = *at == '[';
    size_t len = bracket ? strcspn(++at, "]") : strcspn(at, ":/?#");
    /* Behind an "@" another host would follow. */
    if (len == 0 || len >= sizeof host || memchr(at, '@', strcspn(at, "/?#")) != NULL)
        return false;
    memcpy(host, at, len);
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        if (strcasecmp(host, hosts[i]) == 0)
            return true;
    return is_loopback(host);
}

/* "authorization: …", from the file, which may be rotated, else the variable. */
static int authorization(struct chain *c, struct buf *line, struct err *err) {
    const char *file = aws_config_env(c->config, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = aws_config_env(c->config, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    if (file == NULL && token == NULL)
        return 0;
    buf_adds(line, "authorization: ");
    size_t start = line->len;
    if (file == NULL)
        buf_adds(line, token);
    else if (fs_read(file, line, err) < 0)
        return err_wrap(err, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    while (line->len > start && strchr(" \r\n\t", line->ptr[line->len - 1]) != NULL)
        line->ptr[--line->len] = '\0';
    if (line->failed)
        return err_no_memory(err);
    if (strpbrk(line->ptr + start, "\r\n") != NULL)
        return err_set(err, ERRC_AUTH, "the container's authorization token has several lines");
    return 0;
}

static int ask(struct chain *c, const char *url, const char *header, struct aws_credentials *ret,
               struct err *err) {
    struct http h = {.method = "GET",
                     .url = url,
                     .headers = {"accept: application/json", header},
                     .timeout_ms = TIMEOUT_MS,
                     .direct = true,
                     .ca_bundle = c->config->ca_bundle,
                     .cancel = c->in->cancel};
    int rc = -ERRC_NET;
    for (int i = 0; i < TRIES && rc < 0 && rc != -ERRC_CANCELLED; i++) {
        buf_wipe(&h.answer);
        rc = http_send(&h, err);
        if (rc == 0 && h.status >= 500)
            rc = err_set(err, ERRC_NET, "%s answers HTTP %ld", url, h.status);
    }
    if (rc == 0 && h.status != 200) {
        err_set(err, ERRC_AUTH, "%s answers HTTP %ld", url, h.status);
        rc = -ERRC_AUTH;
    }
    if (rc == 0) {
        cJSON *json = cJSON_ParseWithLength(h.answer.ptr, h.answer.len);
        rc = json == NULL ? err_set(err, ERRC_AUTH, "the answer of %s is not JSON", url)
                          : source_take_json(c, json, "Token", ret, err);
        source_json_free(json);
    }
    buf_wipe(&h.answer);
    return rc;
}

int source_container(struct chain *c, struct aws_credentials *ret, struct err *err) {
    const char *relative = aws_config_env(c->config, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = aws_config_env(c->config, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (relative == NULL && full == NULL)
        return source_none(c, "AWS_CONTAINER_CREDENTIALS_FULL_URI (or _RELATIVE_URI) is not set");
    const char *url =
        relative != NULL ? arena_printf(&c->arena, RELATIVE_HOST "%s", relative) : full;
    _cleanup_secret_buf_ struct buf line = BUF_INIT(AUTHORIZATION_MAX);
    if (url == NULL)
        return err_no_memory(err);
    if (!source_container_allows(url)) {
        err_set(err, ERRC_AUTH, "credentials are not asked for over http at %.200s", url);
        err_hint(err, "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or an address of this "
                      "machine");
        return -ERRC_AUTH;
    }
    int rc = authorization(c, &line, err);
    if (rc == 0)
        rc = ask(c, url, line.len == 0 ? NULL : line.ptr, ret, err);
    if (rc < 0)
        return err_wrap(err, "the container's credentials");
    snprintf(ret->source, sizeof ret->source, "the container (%.200s)", url);
    return 0;
}
