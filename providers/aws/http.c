/* Plain HTTP for the sources of credentials. */
#include "providers/aws/sources.h"

#include <curl/curl.h>

static size_t take(char *bytes, size_t one, size_t len, void *ctx) {
    struct buf *out = ctx;
    buf_add(out, bytes, one * len);
    return out->failed ? 0 : one * len;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    const struct http *h = ctx;
    (void)a, (void)b, (void)c, (void)d;
    return h->cancel != NULL && atomic_load(h->cancel) > 1;
}

static struct curl_slist *list_headers(const struct http *h) {
    struct curl_slist *list = curl_slist_append(NULL, "expect:");
    for (size_t i = 0; list != NULL && i < sizeof h->headers / sizeof h->headers[0]; i++) {
        if (h->headers[i] == NULL)
            continue;
        struct curl_slist *grown = curl_slist_append(list, h->headers[i]);
        if (grown == NULL)
            curl_slist_free_all(list);
        list = grown;
    }
    return list;
}

static void set_options(CURL *e, struct http *h, struct curl_slist *headers) {
    curl_easy_setopt(e, CURLOPT_URL, h->url);
    if (h->body.len > 0) {
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)h->body.len);
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, h->body.ptr);
    }
    curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, h->method);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "berth/" BERTH_VERSION);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, &h->answer);
    curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(e, CURLOPT_XFERINFODATA, h);
    curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, h->timeout_ms);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    if (h->direct)
        curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
    if (h->ca_bundle != NULL)
        curl_easy_setopt(e, CURLOPT_CAINFO, h->ca_bundle);
}

int http_send(struct http *h, struct err *err) {
    CURL *easy = curl_easy_init();
    struct curl_slist *headers = easy == NULL ? NULL : list_headers(h);
    h->answer = BUF_INIT(ANSWER_MAX);
    h->status = 0;
    if (headers == NULL) {
        curl_easy_cleanup(easy);
        return err_no_memory(err);
    }
    set_options(easy, h, headers);
    CURLcode code = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &h->status);
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    if (code == CURLE_OK)
        return 0;
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return err_set(err, ERRC_CANCELLED, "interrupted");
    return err_set(err, code == CURLE_OPERATION_TIMEDOUT ? ERRC_TIMEOUT : ERRC_NET,
                   "cannot reach %s: %s", h->url, curl_easy_strerror(code));
}
