/* Who asks: Signature Version 4, made again from what arrived. */
#include "providers/aws/sign.h"
#include "providers/sandbox/api.h"
#include "providers/sandbox/http.h"
#include "providers/sandbox/internal.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static bool find_part(struct str text, const char *name, struct str *ret) {
    struct str part;
    while (str_split(&text, ',', &part)) {
        part = str_trim(part);
        struct str value = part;
        struct str key;
        if (str_split(&value, '=', &key) && str_eqc(key, name) && value.ptr != NULL) {
            *ret = value;
            return true;
        }
    }
    return false;
}

/* "20150830T123600Z" */
static time_t parse_date(struct str text) {
    struct tm tm = {0};
    const struct {
        size_t at, len;
        int *to;
    } parts[] = {{0, 4, &tm.tm_year}, {4, 2, &tm.tm_mon},  {6, 2, &tm.tm_mday},
                 {9, 2, &tm.tm_hour}, {11, 2, &tm.tm_min}, {13, 2, &tm.tm_sec}};
    if (text.len != SIGN_DATE_SIZE - 1 || text.ptr[8] != 'T')
        return 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        int64_t number;
        if (!str_to_i64((struct str){text.ptr + parts[i].at, parts[i].len}, 0, 9999, &number))
            return 0;
        *parts[i].to = (int)number;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return timegm(&tm);
}

enum { SIGNED_MAX = 32, CLOCK_SLACK_S = 900 };

static int refuse(struct api_error *e, int status, const char *code, const char *message) {
    api_fail(e, code, "%s", message);
    e->status = status;
    return -1;
}

int api_authenticate(struct sandbox *s, const struct http_request *r, char service[16],
                     struct api_error *e) {
    static const char scheme[] = "AWS4-HMAC-SHA256 ";
    struct str header = http_header(r, "authorization");
    struct str credential, names, signature, part;
    struct str parts[5];
    if (!str_starts(header, STR("AWS4-HMAC-SHA256 ")))
        return refuse(e, 401, "AuthFailure", "the request is not signed");
    header.ptr += strlen(scheme);
    header.len -= strlen(scheme);
    if (!find_part(header, "Credential", &credential) ||
        !find_part(header, "SignedHeaders", &names) || !find_part(header, "Signature", &signature))
        return api_fail(e, "IncompleteSignature", "the Authorization header is not complete");
    for (size_t i = 0; i < 5; i++)
        if (!str_split(&credential, '/', &parts[i]))
            return api_fail(e, "IncompleteSignature", "the credential has not five parts");
    snprintf(service, 16, "%.*s", STR_FMT(parts[3])); /* a refusal is the service's, too */
    if (!str_eqc(parts[0], text_of(s->world, "access_key")))
        return refuse(e, 401, "AuthFailure",
                      "AWS was not able to validate the provided access credentials");
    char region[64];
    struct sign_header headers[SIGNED_MAX];
    char copies[SIGNED_MAX][64];
    size_t n = 0;
    snprintf(region, sizeof region, "%.*s", STR_FMT(parts[2]));
    while (str_split(&names, ';', &part) && n < SIGNED_MAX) {
        snprintf(copies[n], sizeof copies[n], "%.*s", STR_FMT(part));
        headers[n].name = copies[n];
        headers[n].value = http_header(r, copies[n]);
        n++;
    }
    time_t when = parse_date(http_header(r, "x-amz-date"));
    time_t now = time(NULL) + atomic_load(&s->skew_s);
    if (when < now - CLOCK_SLACK_S || when > now + CLOCK_SLACK_S)
        return api_fail(e, "RequestExpired", "the request's date is not this time's");
    const struct sign_input in = {.method = r->method,
                                  .path = "/",
                                  .query = {"", 0},
                                  .headers = headers,
                                  .headers_len = n,
                                  .body = r->body,
                                  .region = region,
                                  .service = service,
                                  .access_key = parts[0],
                                  .secret_key = str_of(text_of(s->world, "secret_key")),
                                  .when = when};
    _cleanup_buf_ struct buf canonical = BUF_INIT(BUF_LARGE);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf wanted = BUF_INIT(BUF_SMALL);
    sign_canonical_request(&in, &canonical);
    sign_string_to_sign(&in, buf_str(&canonical), &text);
    if (sign_signature(&in, buf_str(&text), &wanted) < 0 || wanted.len != signature.len ||
        CRYPTO_memcmp(wanted.ptr, signature.ptr, wanted.len) != 0)
        return refuse(e, 403, "SignatureDoesNotMatch",
                      "the request signature we calculated does not match the one provided");
    return 0;
}
