/* One try of a call, over libcurl. */
#include "providers/aws/client_internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { CONNECT_TIMEOUT_MS = 10000, CALL_TIMEOUT_MS = 60000 };

static size_t on_body(char *data, size_t size, size_t n, void *ctx) {
    struct attempt *a = ctx;
    buf_add(&a->body, data, size * n);
    return a->body.failed ? 0 : size * n;
}

static void keep_header(struct str line, const char *name, char *ret, size_t size) {
    size_t len = strlen(name);
    if (line.len <= len || strncasecmp(line.ptr, name, len) != 0)
        return;
    struct str value = str_trim((struct str){line.ptr + len, line.len - len});
    snprintf(ret, size, "%.*s", STR_FMT(value));
}

/* NOLINTNEXTLINE(readability-non-const-parameter): libcurl's type of callback */
static size_t on_header(char *data, size_t size, size_t n, void *ctx) {
    struct attempt *a = ctx;
    struct str line = {data, size * n};
    keep_header(line, "date:", a->date, sizeof a->date);
    keep_header(line, "x-amzn-requestid:", a->request_id, sizeof a->request_id);
    return size * n;
}

bool attempt_is_cancelled(const struct attempt *a) {
    const struct aws_client *c = a->client;
    return (c->in.cancel != NULL && atomic_load(c->in.cancel) > 1) ||
           (a->call->stop != NULL && atomic_load(a->call->stop) != 0);
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    const struct attempt *x = ctx;
    (void)a, (void)b, (void)c, (void)d;
    return attempt_is_cancelled(x);
}

/* The lines of the signed request for libcurl, which takes copies; "Expect:" keeps it from asking
 * for a 100-continue, which costs a round trip. */
static int list_headers(struct attempt *a, const struct request *request) {
    struct curl_slist *grown = curl_slist_append(NULL, "expect:");
    for (size_t i = 0; grown != NULL && i < request->headers_len; i++) {
        a->headers = grown;
        grown = curl_slist_append(a->headers, request->headers[i].ptr);
    }
    if (grown == NULL)
        return -ERRC_NOMEM;
    a->headers = grown;
    return 0;
}

static void set_options(struct attempt *a) {
    const struct aws_config *config = a->client->in.config;
    CURL *e = a->easy;
    curl_easy_setopt(e, CURLOPT_URL, a->url);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)a->call->body.len);
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, a->call->body.ptr);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, a->headers);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "berth/" BERTH_VERSION);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, a);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, a);
    curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(e, CURLOPT_XFERINFODATA, a);
    curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)CALL_TIMEOUT_MS);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_PRIVATE, a);
    /* libcurl sends a request again by itself when a kept connection turns out to be dead, and
     * cannot know whether it was carried out. */
    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, a->call->once ? 1L : 0L);
    if (a->call->stop != NULL) /* nor for a name that is still looked up */
        curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    if (config->ca_bundle != NULL)
        curl_easy_setopt(e, CURLOPT_CAINFO, config->ca_bundle);
    if (strncmp(a->url, "http://127.", 11) == 0 || strncmp(a->url, "http://localhost", 16) == 0)
        curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
}

int attempt_start(struct attempt *a, CURLM *multi, struct err *err) {
    struct aws_client *c = a->client;
    struct request request = {0};
    a->easy = curl_easy_init();
    buf_reset(&a->body);
    a->date[0] = a->request_id[0] = '\0';
    a->skew_s = atomic_load(&c->skew_s);
    time_t when = c->in.now(c->in.clock_ctx) + (time_t)a->skew_s;
    int rc = session_sign(c, a->call, when, &request, &a->generation, err);
    if (rc == 0 && (a->easy == NULL || list_headers(a, &request) < 0))
        rc = err_no_memory(err);
    snprintf(a->url, sizeof a->url, "%s", request.url);
    request_free(&request);
    if (rc < 0)
        return rc;
    set_options(a);
    if (curl_multi_add_handle(multi, a->easy) != CURLM_OK)
        return err_no_memory(err);
    if (a->call->stop == NULL)
        atomic_fetch_add(&c->calls, 1);
    a->number++;
    a->running = true;
    return 0;
}

void attempt_end(struct attempt *a, CURLM *multi) {
    if (a->easy != NULL && multi != NULL && a->running)
        curl_multi_remove_handle(multi, a->easy);
    curl_easy_cleanup(a->easy);
    curl_slist_free_all(a->headers);
    a->easy = NULL;
    a->headers = NULL;
    a->running = false;
}

void attempt_describe(const struct attempt *a, struct err *err) {
    const struct aws_config *config = a->client->in.config;
    if (a->code == CURLE_ABORTED_BY_CALLBACK) {
        err_set(err, ERRC_CANCELLED, "%s: interrupted", a->call->action);
        return;
    }
    if (a->code == CURLE_WRITE_ERROR) {
        err_set(err, ERRC_LIMIT, "%s: the answer of %s is longer than %d MiB", a->call->action,
                a->url, XML_BYTES_MAX / 1024 / 1024);
        return;
    }
    err_set(err, a->code == CURLE_OPERATION_TIMEDOUT ? ERRC_TIMEOUT : ERRC_NET,
            "%s: cannot reach %s: %s, after %d %s", a->call->action, a->url,
            curl_easy_strerror(a->code), a->number, a->number == 1 ? "try" : "tries");
    if (a->code == CURLE_PEER_FAILED_VERIFICATION || a->code == CURLE_SSL_CACERT_BADFILE)
        err_hint(err,
                 "its certificate is not signed by an authority of %s; AWS_CA_BUNDLE names "
                 "another file",
                 config->ca_bundle != NULL ? config->ca_bundle : "this machine");
    else
        err_hint(err, "check the network%s",
                 config->endpoints[a->call->service] != NULL ? ", and the endpoint that is set"
                                                             : "");
}
