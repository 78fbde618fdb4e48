/* AWS Signature Version 4, in its stages, so that each can be tested: canonical request, string to
 * sign, signature. The clock is an input. Signed with OpenSSL's HMAC: libcurl 7.88's own signer
 * emits its date twice when one is given, so that clock skew could not be corrected.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html */
#pragma once

#include "specs/buf.h"
#include "specs/err.h"
#include "specs/str.h"

#include <time.h>

struct sign_header {
    const char *name; /* lower case, in sorted order */
    struct str value; /* trimmed here, and inner runs of spaces count as one */
};

struct sign_input {
    const char *method, *path; /* path: absolute, already URI-encoded */
    struct str query;          /* canonical (sorted, encoded), without "?" */
    const struct sign_header *headers;
    size_t headers_len;
    struct str body;
    const char *region, *service;
    struct str access_key, secret_key;
    time_t when;
};

enum { SIGN_DATE_SIZE = 17 };

/* Appends what an absolute path is signed as: "." and ".." resolved, slashes merged, everything but
 * unreserved characters and what is already %XX encoded. */
void sign_add_path(struct str path, struct buf *out);
/* Appends a query string's canonical form: encoded alike, sorted by name and then by value, "="
 * behind names without a value. -ERRC_LIMIT past SIGN_PARAMETERS_MAX parameters. */
int sign_add_query(struct str query, struct buf *out);

enum { SIGN_PARAMETERS_MAX = 64 };

/* "20150830T123600Z" */
void sign_date(time_t when, char ret[SIGN_DATE_SIZE]);
void sign_canonical_request(const struct sign_input *in, struct buf *out);
void sign_string_to_sign(const struct sign_input *in, struct str canonical, struct buf *out);
/* Lower-case hex. */
int sign_signature(const struct sign_input *in, struct str string_to_sign, struct buf *out);
/* The value of the Authorization header: all stages. 0 or -ERRC_INTERNAL / -ERRC_NOMEM. */
int sign_authorization(const struct sign_input *in, struct buf *out, struct err *err);
