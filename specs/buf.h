/* A growing byte buffer with a maximum. Failure is sticky: append freely, check once. */
#pragma once

#include "specs/str.h"

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *ptr;  /* owned; NUL-terminated whenever not NULL */
    size_t len; /* without the NUL */
    size_t cap;
    size_t max;  /* len never exceeds it */
    bool failed; /* an append did not fit or memory ran out; the content is then incomplete */
};

/* Maxima: bytes. Pick one, never "unlimited". */
enum { BUF_SMALL = 64 * 1024, BUF_MEDIUM = 4 * 1024 * 1024, BUF_LARGE = 64 * 1024 * 1024 };

#define BUF_INIT(maximum) ((struct buf){.max = (maximum)})

void buf_free(struct buf *b);  /* frees the memory, keeps max; the buffer can be used again */
void buf_wipe(struct buf *b);  /* the same for what nobody may find in memory later */
void buf_reset(struct buf *b); /* len = 0 and failed = false, keeps the memory */
void buf_add(struct buf *b, const void *ptr, size_t len);
void buf_adds(struct buf *b, const char *cstr);
void buf_addstr(struct buf *b, struct str s);
void buf_addc(struct buf *b, char c);
void buf_addn(struct buf *b, char c, size_t n);
__attribute__((format(printf, 2, 3))) void buf_addf(struct buf *b, const char *fmt, ...);
/* Lower-case hex; and standard base64 with padding (RFC 4648). */
void buf_add_hex(struct buf *b, const void *ptr, size_t len);
void buf_add_base64(struct buf *b, const void *ptr, size_t len);
void buf_add_quoted(struct buf *b, struct str text); /* 'text', one word of a POSIX shell */

struct str buf_str(const struct buf *b);   /* valid until the next append */
const char *buf_cstr(const struct buf *b); /* "" when empty; valid until the next append */

/* Decode base64 (white space is skipped); false on anything else or when it does not fit. */
bool buf_add_base64_decoded(struct buf *b, struct str text);

#define _cleanup_buf_ __attribute__((cleanup(buf_free)))
#define _cleanup_secret_buf_ __attribute__((cleanup(buf_wipe)))
