/* HTTP/1.1 as far as an SDK needs it. A peer may be slow, broken or hostile: sizes and times have
 * limits. */
#define _GNU_SOURCE /* memmem */
#include "providers/sandbox/http.h"
#include "providers/sandbox/internal.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum {
    HEAD_MAX = 32 * 1024,
    BODY_MAX = 1024 * 1024, /* a user data of 16 KiB is the largest thing in it */
    FORM_PARTS_MAX = 4000,
    IDLE_MS = 60000, /* between requests */
    READ_MS = 20000  /* for a whole one */
};

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* 1: there is more in `raw`; 0: the peer closed; -1: broken or too late. */
static int fill(int fd, struct buf *raw, int64_t deadline_ms) {
    char chunk[16384];
    ssize_t n;
    int64_t left;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    do {
        left = deadline_ms - now_ms();
        n = left <= 0 ? 0 : poll(&p, 1, (int)left);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return -1;
    do {
        n = read(fd, chunk, sizeof chunk);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return (int)n;
    buf_add(raw, chunk, (size_t)n);
    return raw->failed ? -1 : 1;
}

static bool parse_header(struct http_request *r, struct str line) {
    struct str value = line;
    struct str name;
    if (!str_split(&value, ':', &name) || value.ptr == NULL || name.len == 0 ||
        name.len >= sizeof r->headers[0].name ||
        r->headers_len == sizeof r->headers / sizeof r->headers[0])
        return false;
    for (size_t i = 0; i < name.len; i++)
        r->headers[r->headers_len].name[i] = (char)tolower((unsigned char)name.ptr[i]);
    r->headers[r->headers_len].name[name.len] = '\0';
    r->headers[r->headers_len++].value = str_trim(value);
    return true;
}

static bool parse_head(struct http_request *r, struct str head) {
    struct str line, word;
    if (!str_split(&head, '\n', &line))
        return false;
    line = str_trim(line);
    if (!str_split(&line, ' ', &word) || word.len >= sizeof r->method)
        return false;
    snprintf(r->method, sizeof r->method, "%.*s", STR_FMT(word));
    if (!str_split(&line, ' ', &word) || word.len >= sizeof r->path || line.ptr == NULL ||
        !str_starts(line, STR("HTTP/1.")))
        return false;
    r->minor = str_eqc(line, "HTTP/1.0") ? 0 : 1;
    snprintf(r->path, sizeof r->path, "%.*s", STR_FMT(word));
    while (str_split(&head, '\n', &line)) {
        line = str_trim(line);
        if (line.len > 0 && !parse_header(r, line))
            return false;
    }
    return true;
}

int http_read(int fd, struct http_request *r) {
    memset(r, 0, sizeof *r);
    r->raw = BUF_INIT(HEAD_MAX + BODY_MAX);
    const char *end = NULL;
    if (fill(fd, &r->raw, now_ms() + IDLE_MS) <= 0)
        return 0;
    int64_t deadline = now_ms() + READ_MS;
    while ((end = memmem(r->raw.ptr, r->raw.len, "\r\n\r\n", 4)) == NULL) {
        if (r->raw.len > HEAD_MAX)
            return -431;
        int n = fill(fd, &r->raw, deadline);
        if (n <= 0)
            return n == 0 ? -400 : -408;
    }
    size_t head = (size_t)(end - r->raw.ptr) + 4;
    if (!parse_head(r, (struct str){r->raw.ptr, head}))
        return -400;
    struct str length = http_header(r, "content-length");
    int64_t body = 0;
    if (http_header(r, "transfer-encoding").ptr != NULL)
        return -411;
    if (length.ptr != NULL && !str_to_i64(length, 0, INT64_MAX, &body))
        return -400;
    if (body > BODY_MAX)
        return -413;
    while (r->raw.len < head + (size_t)body) {
        int n = fill(fd, &r->raw, deadline);
        if (n <= 0)
            return n == 0 ? -400 : -408;
    }
    /* The buffer may have moved while it grew: look at the headers again. */
    r->headers_len = 0;
    if (!parse_head(r, (struct str){r->raw.ptr, head}))
        return -400;
    struct str connection = http_header(r, "connection");
    /* Requests ahead of their answers (pipelining) are not taken. */
    r->last = (connection.len == 5 && strncasecmp(connection.ptr, "close", 5) == 0) ||
              r->raw.len > head + (size_t)body || r->minor == 0;
    r->body = (struct str){r->raw.ptr + head, (size_t)body};
    return 1;
}

void http_free(struct http_request *request) { buf_free(&request->raw); }

struct str http_header(const struct http_request *r, const char *name) {
    for (size_t i = 0; i < r->headers_len; i++)
        if (strcmp(r->headers[i].name, name) == 0)
            return r->headers[i].value;
    return (struct str){NULL, 0};
}

int http_write(int fd, int status, time_t date, const char *type, struct str body, bool last) {
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LARGE);
    char when[40] = "";
    struct tm tm;
    if (gmtime_r(&date, &tm) != NULL)
        strftime(when, sizeof when, "%a, %d %b %Y %H:%M:%S GMT", &tm); /* RFC 9110, 5.6.7 */
    buf_addf(&out,
             "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nDate: %s\r\n"
             "Server: berth\r\n%s\r\n",
             status, status < 300 ? "OK" : "Error", type, body.len, when,
             last ? "Connection: close\r\n" : "");
    buf_addstr(&out, body);
    size_t sent = 0;
    while (!out.failed && sent < out.len) {
        ssize_t n = write(fd, out.ptr + sent, out.len - sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        sent += (size_t)n;
    }
    return out.failed ? -1 : 0;
}

static bool decode(struct str text, struct buf *out) {
    buf_reset(out);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '+') {
            buf_addc(out, ' ');
        } else if (text.ptr[i] != '%') {
            buf_addc(out, text.ptr[i]);
        } else {
            int a = i + 2 < text.len ? hex_value(text.ptr[i + 1]) : -1;
            int b = i + 2 < text.len ? hex_value(text.ptr[i + 2]) : -1;
            if (a < 0 || b < 0 || (a == 0 && b == 0))
                return false;
            buf_addc(out, (char)(a << 4 | b));
            i += 2;
        }
    }
    return !out->failed;
}

cJSON *form_decode(struct str body) {
    _cleanup_buf_ struct buf name = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf value = BUF_INIT(BUF_MEDIUM);
    cJSON *form = cJSON_CreateObject();
    struct str pair;
    int parts = 0;
    while (form != NULL && body.len > 0 && str_split(&body, '&', &pair)) {
        struct str rest = pair;
        struct str key;
        bool good = ++parts <= FORM_PARTS_MAX && str_split(&rest, '=', &key) &&
                    decode(key, &name) &&
                    decode(rest.ptr == NULL ? (struct str){"", 0} : rest, &value) &&
                    cJSON_AddStringToObject(form, buf_cstr(&name), buf_cstr(&value)) != NULL;
        if (!good) {
            cJSON_Delete(form);
            return NULL;
        }
    }
    return form;
}
