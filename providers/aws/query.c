#include "providers/aws/query.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void query_init(struct query *q, const char *action) {
    q->body = BUF_INIT(BUF_MEDIUM);
    buf_addf(&q->body, "Action=%s&Version=2016-11-15", action);
}

void query_init_sts(struct query *q, const char *action) {
    q->body = BUF_INIT(BUF_MEDIUM);
    buf_addf(&q->body, "Action=%s&Version=2011-06-15", action);
}

void query_free(struct query *q) { buf_wipe(&q->body); } /* codes and tokens may be in it */

void query_encode(struct buf *out, const char *text) {
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     strchr("-_.~", c) != NULL;
        if (plain)
            buf_addc(out, (char)c);
        else if (c == ' ')
            buf_addc(out, '+');
        else
            buf_addf(out, "%%%02X", c);
    }
}

void query_add(struct query *q, const char *name, const char *value) {
    if (value == NULL)
        return;
    buf_addc(&q->body, '&');
    query_encode(&q->body, name);
    buf_addc(&q->body, '=');
    query_encode(&q->body, value);
}

void query_addf(struct query *q, const char *name, const char *fmt, ...) {
    char value[1024];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(value, sizeof value, fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof value)
        q->body.failed = true;
    else
        query_add(q, name, value);
}

void query_add_at(struct query *q, const char *name_fmt, size_t index, const char *value) {
    const char *at = strstr(name_fmt, "%zu");
    char name[160];
    if (at == NULL || value == NULL)
        return;
    snprintf(name, sizeof name, "%.*s%zu%s", (int)(at - name_fmt), name_fmt, index, at + 3);
    query_add(q, name, value);
}

void query_add_filter(struct query *q, size_t index, const char *name, const char *const *values) {
    char key[64];
    query_add_at(q, "Filter.%zu.Name", index, name);
    for (size_t i = 0; values[i] != NULL; i++) {
        snprintf(key, sizeof key, "Filter.%zu.Value.%zu", index, i + 1);
        query_add(q, key, values[i]);
    }
}
