#include "providers/aws/my_ip.h"

#include "specs/buf.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

static const char url[] = "https://checkip.amazonaws.com";

int my_ip_to_cidr(const char *text, char *ret, size_t size, struct err *err) {
    struct str s = str_trim(str_of(text));
    const char *slash = s.len == 0 ? NULL : memchr(s.ptr, '/', s.len);
    struct str address = {s.ptr, slash == NULL ? s.len : (size_t)(slash - s.ptr)};
    char copy[INET6_ADDRSTRLEN] = "";
    unsigned char bytes[16];
    if (address.len > 0 && address.len < sizeof copy)
        memcpy(copy, address.ptr, address.len);
    bool v4 = inet_pton(AF_INET, copy, bytes) == 1;
    if (!v4 && inet_pton(AF_INET6, copy, bytes) != 1)
        return err_set(err, ERRC_INVALID, "`%.*s` is no address", s.len > 64 ? 64 : (int)s.len,
                       s.len == 0 ? "" : s.ptr);
    int64_t bits = v4 ? 32 : 128;
    struct str rest =
        slash == NULL ? (struct str){0} : (struct str){slash + 1, s.len - address.len - 1};
    if (slash != NULL && !str_to_i64(rest, 0, bits, &bits))
        return err_set(err, ERRC_INVALID, "`%.*s` is no CIDR block", STR_FMT(s));
    snprintf(ret, size, "%s/%d", copy, (int)bits);
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
        return err_set(err, ERRC_NOMEM, "out of memory");
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
