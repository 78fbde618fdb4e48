#include "providers/aws/sign.h"

#include "specs/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { HMAC_SIZE = 32 };

void sign_date(time_t when, char ret[SIGN_DATE_SIZE]) {
    struct tm tm = {0};
    gmtime_r(&when, &tm);
    if (strftime(ret, SIGN_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm) == 0)
        ret[0] = '\0';
}

static void signed_headers(const struct sign_input *in, struct buf *out) {
    for (size_t i = 0; i < in->headers_len; i++)
        buf_addf(out, "%s%s", i == 0 ? "" : ";", in->headers[i].name);
}

static void add_header_value(struct str value, struct buf *out) {
    value = str_trim(value);
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] != ' ' || value.ptr[i - 1] != ' ')
            buf_addc(out, value.ptr[i]);
}

void sign_canonical_request(const struct sign_input *in, struct buf *out) {
    char hash[SHA256_HEX_SIZE];
    sha256_hex(in->body, hash);
    buf_addf(out, "%s\n%s\n", in->method, in->path);
    buf_addstr(out, in->query);
    buf_addc(out, '\n');
    for (size_t i = 0; i < in->headers_len; i++) {
        buf_addf(out, "%s:", in->headers[i].name);
        add_header_value(in->headers[i].value, out);
        buf_addc(out, '\n');
    }
    buf_addc(out, '\n');
    signed_headers(in, out);
    buf_addf(out, "\n%s", hash);
}

static void scope(const struct sign_input *in, struct buf *out) {
    char date[SIGN_DATE_SIZE];
    sign_date(in->when, date);
    buf_addf(out, "%.8s/%s/%s/aws4_request", date, in->region, in->service);
}

void sign_string_to_sign(const struct sign_input *in, struct str canonical, struct buf *out) {
    char date[SIGN_DATE_SIZE];
    char hash[SHA256_HEX_SIZE];
    sign_date(in->when, date);
    sha256_hex(canonical, hash);
    buf_addf(out, "AWS4-HMAC-SHA256\n%s\n", date);
    scope(in, out);
    buf_addf(out, "\n%s", hash);
}

static bool hmac(const void *key, size_t key_len, struct str text, unsigned char *ret) {
    unsigned len = HMAC_SIZE;
    return HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text.ptr, text.len, ret,
                &len) != NULL;
}

int sign_signature(const struct sign_input *in, struct str string_to_sign, struct buf *out) {
    char date[SIGN_DATE_SIZE];
    sign_date(in->when, date);
    _cleanup_secret_buf_ struct buf seed = BUF_INIT(BUF_SMALL);
    buf_adds(&seed, "AWS4");
    buf_addstr(&seed, in->secret_key);
    unsigned char a[HMAC_SIZE], b[HMAC_SIZE];
    bool good = !seed.failed && hmac(seed.ptr, seed.len, (struct str){date, 8}, a) &&
                hmac(a, sizeof a, str_of(in->region), b) &&
                hmac(b, sizeof b, str_of(in->service), a) &&
                hmac(a, sizeof a, STR("aws4_request"), b) && hmac(b, sizeof b, string_to_sign, a);
    if (good)
        buf_add_hex(out, a, sizeof a);
    OPENSSL_cleanse(a, sizeof a);
    OPENSSL_cleanse(b, sizeof b);
    return good ? 0 : -ERRC_INTERNAL;
}

int sign_authorization(const struct sign_input *in, struct buf *out, struct err *err) {
    _cleanup_buf_ struct buf canonical = BUF_INIT(BUF_MEDIUM);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf signature = BUF_INIT(BUF_SMALL);
    sign_canonical_request(in, &canonical);
    sign_string_to_sign(in, buf_str(&canonical), &text);
    if (canonical.failed || text.failed || sign_signature(in, buf_str(&text), &signature) < 0)
        return err_set(err, ERRC_INTERNAL, "cannot sign the request");
    buf_addf(out, "AWS4-HMAC-SHA256 Credential=%.*s/", STR_FMT(in->access_key));
    scope(in, out);
    buf_adds(out, ", SignedHeaders=");
    signed_headers(in, out);
    buf_addf(out, ", Signature=%s", buf_cstr(&signature));
    return out->failed ? err_no_memory(err) : 0;
}
