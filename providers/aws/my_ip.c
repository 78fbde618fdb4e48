#include "providers/aws/my_ip.h"

#include "specs/buf.h"
#include "specs/cidr.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

static const char url[] = "https://checkip.amazonaws.com";

int my_ip_to_cidr(const char *text, char *ret, size_t size, struct err *err) {
    struct str s = str_trim(str_of(text));
    struct cidr cidr;
    char block[CIDR_TEXT_SIZE];
    bool slash = s.len > 0 && memchr(s.ptr, '/', s.len) != NULL;
    if (slash ? cidr_parse(s, &cidr) != NULL : !cidr_parse_address(s, &cidr))
        return err_set(err, ERRC_INVALID, "`%.*s` is no %s", s.len > 64 ? 64 : (int)s.len,
                       s.len == 0 ? "" : s.ptr, slash ? "CIDR block" : "address");
    cidr_print(&cidr, block);
    snprintf(ret, size, "%s", block);
    return 0;
}

static size_t take(char *bytes, size_t one, size_t len, void *ctx) {
    struct buf *out = ctx;
    (void)one;
    buf_add(out, bytes, len);
    return out->failed ? 0 : len;
}

int my_ip_ask(char *ret, size_t size, struct err *err) {
    _cleanup_buf_ struct buf answer = BUF_INIT(256);
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return err_no_memory(err);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 5000L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "berth/" BERTH_VERSION);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_cleanup(curl);
    int rc = code != CURLE_OK ? err_set(err, ERRC_NET, "ask %s: %s", url, curl_easy_strerror(code))
                              : my_ip_to_cidr(buf_cstr(&answer), ret, size, err);
    if (rc < 0) {
        err_wrap(err, "`my-ip` cannot be found out");
        err_hint(err, "set BERTH_MY_IP=203.0.113.7 (your public address), or write a CIDR block "
                      "in place of my-ip");
    }
    return rc;
}
