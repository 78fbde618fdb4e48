#include "specs/str.h"

#include <string.h>

struct str str_of(const char *cstr) {
    return (struct str){cstr, cstr == NULL ? 0 : strlen(cstr)};
}

bool str_eq(struct str a, struct str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool str_eqc(struct str a, const char *b) { return str_eq(a, str_of(b)); }

bool cstr_eq(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool str_starts(struct str s, struct str prefix) {
    return s.len >= prefix.len && str_eq((struct str){s.ptr, prefix.len}, prefix);
}

bool str_ends(struct str s, struct str suffix) {
    return s.len >= suffix.len &&
           str_eq((struct str){s.ptr + (s.len - suffix.len), suffix.len}, suffix);
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

struct str str_trim(struct str s) {
    while (s.len > 0 && is_space(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool str_split(struct str *s, char sep, struct str *ret_head) {
    if (s->ptr == NULL)
        return false;
    const char *at = s->len == 0 ? NULL : memchr(s->ptr, sep, s->len);
    if (at == NULL) {
        *ret_head = *s;
        *s = (struct str){NULL, 0};
        return true;
    }
    size_t head = (size_t)(at - s->ptr);
    *ret_head = (struct str){s->ptr, head};
    *s = (struct str){at + 1, s->len - head - 1};
    return true;
}

bool str_to_i64(struct str s, int64_t min, int64_t max, int64_t *ret) {
    bool negative = s.len > 0 && s.ptr[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == s.len)
        return false;
    /* Accumulate negative: its range is the larger one. */
    int64_t value = 0;
    for (; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        int digit = s.ptr[i] - '0';
        if (value < (INT64_MIN + digit) / 10)
            return false;
        value = value * 10 - digit;
    }
    if (!negative) {
        if (value == INT64_MIN)
            return false;
        value = -value;
    }
    if (value < min || value > max)
        return false;
    *ret = value;
    return true;
}

enum { DISTANCE_MAX = 64 };

static size_t min3(size_t a, size_t b, size_t c) {
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

size_t str_distance(struct str a, struct str b, size_t cap) {
    if (a.len > DISTANCE_MAX || b.len > DISTANCE_MAX)
        return cap;
    size_t row[DISTANCE_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t above = row[j];
            row[j] =
                min3(above + 1, row[j - 1] + 1, diagonal + (a.ptr[i - 1] == b.ptr[j - 1] ? 0 : 1));
            diagonal = above;
        }
    }
    return row[b.len] < cap ? row[b.len] : cap;
}

size_t str_code_point(struct str s) {
    static const struct {
        unsigned char first, last, second_first, second_last;
        size_t len;
    } rows[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    const unsigned char *b = (const unsigned char *)s.ptr;
    for (size_t i = 0; s.len > 0 && i < sizeof rows / sizeof rows[0]; i++) {
        if (b[0] < rows[i].first || b[0] > rows[i].last)
            continue;
        bool good =
            s.len >= rows[i].len &&
            (rows[i].len == 1 || (b[1] >= rows[i].second_first && b[1] <= rows[i].second_last));
        for (size_t k = 2; good && k < rows[i].len; k++)
            good = (b[k] & 0xc0) == 0x80;
        return good ? rows[i].len : 0;
    }
    return 0;
}

const char *str_nearest(struct str s, const char *const *candidates) {
    enum { BEGUN_MIN = 3 };
    for (size_t i = 0; s.len >= BEGUN_MIN && candidates[i] != NULL; i++)
        if (strncmp(candidates[i], s.ptr, s.len) == 0)
            return candidates[i]; /* it was only begun */
    size_t best_distance = s.len < 4 ? 2 : 3;
    const char *best = NULL;
    for (; *candidates != NULL; candidates++) {
        size_t d = str_distance(s, str_of(*candidates), best_distance);
        if (d < best_distance) {
            best_distance = d;
            best = *candidates;
        }
    }
    return best;
}
