#include "specs/buf.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_free(struct buf *b) {
    free(b->ptr);
    *b = BUF_INIT(b->max);
}

void buf_wipe(struct buf *b) {
    if (b->ptr != NULL)
        OPENSSL_cleanse(b->ptr, b->cap); /* a memset before a free may be optimised away */
    buf_free(b);
}

void buf_reset(struct buf *b) {
    b->len = 0;
    b->failed = false;
    if (b->ptr != NULL)
        b->ptr[0] = '\0';
}

/* Room for `more` bytes and the NUL. */
static bool reserve(struct buf *b, size_t more) {
    if (b->failed)
        return false;
    if (more > b->max - b->len) {
        b->failed = true;
        return false;
    }
    size_t want = b->len + more + 1;
    if (want <= b->cap)
        return true;
    size_t cap = b->cap == 0 ? 64 : b->cap;
    while (cap < want)
        cap *= 2;
    char *grown = realloc(b->ptr, cap);
    if (grown == NULL) {
        b->failed = true;
        return false;
    }
    b->ptr = grown;
    b->cap = cap;
    return true;
}

void buf_add(struct buf *b, const void *ptr, size_t len) {
    if (!reserve(b, len))
        return;
    if (len > 0)
        memcpy(b->ptr + b->len, ptr, len);
    b->len += len;
    b->ptr[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *cstr) { buf_addstr(b, str_of(cstr)); }

void buf_addstr(struct buf *b, struct str s) { buf_add(b, s.ptr, s.len); }

void buf_addc(struct buf *b, char c) { buf_add(b, &c, 1); }

void buf_addn(struct buf *b, char c, size_t n) {
    if (!reserve(b, n))
        return;
    memset(b->ptr + b->len, c, n);
    b->len += n;
    b->ptr[b->len] = '\0';
}

void buf_addf(struct buf *b, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0 || !reserve(b, (size_t)len)) {
        b->failed = true;
        return;
    }
    va_start(args, fmt);
    vsnprintf(b->ptr + b->len, (size_t)len + 1, fmt, args);
    va_end(args);
    b->len += (size_t)len;
}

void buf_add_hex(struct buf *b, const void *ptr, size_t len) {
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = ptr;
    for (size_t i = 0; i < len; i++) {
        buf_addc(b, digits[bytes[i] >> 4]);
        buf_addc(b, digits[bytes[i] & 15]);
    }
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void buf_add_base64(struct buf *b, const void *ptr, size_t len) {
    const unsigned char *bytes = ptr;
    for (size_t i = 0; i < len; i += 3) {
        unsigned group = (unsigned)bytes[i] << 16;
        if (i + 1 < len)
            group |= (unsigned)bytes[i + 1] << 8;
        if (i + 2 < len)
            group |= bytes[i + 2];
        char out[4] = {base64_digits[group >> 18], base64_digits[(group >> 12) & 63],
                       i + 1 < len ? base64_digits[(group >> 6) & 63] : '=',
                       i + 2 < len ? base64_digits[group & 63] : '='};
        buf_add(b, out, sizeof out);
    }
}

static int base64_value(char c) {
    const char *at = c == '\0' ? NULL : strchr(base64_digits, c);
    return at == NULL ? -1 : (int)(at - base64_digits);
}

bool buf_add_base64_decoded(struct buf *b, struct str text) {
    unsigned group = 0;
    int digits = 0;
    int pads = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
            continue;
        int value = 0;
        if (c == '=') {
            pads++;
        } else if (pads > 0 || (value = base64_value(c)) < 0) {
            return false;
        }
        group = group << 6 | (unsigned)value;
        if (++digits == 4) {
            if (pads > 2)
                return false;
            unsigned char out[3] = {(unsigned char)(group >> 16), (unsigned char)(group >> 8),
                                    (unsigned char)group};
            buf_add(b, out, (size_t)(3 - pads));
            group = 0;
            digits = 0;
        }
    }
    return digits == 0 && !b->failed;
}

void buf_add_quoted(struct buf *b, struct str text) {
    buf_addc(b, '\'');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\'')
            buf_adds(b, "'\\''");
        else
            buf_addc(b, text.ptr[i]);
    }
    buf_addc(b, '\'');
}

struct str buf_str(const struct buf *b) {
    return (struct str){buf_cstr(b), b->len};
}

const char *buf_cstr(const struct buf *b) { return b->ptr == NULL ? "" : b->ptr; }
