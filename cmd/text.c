#include "cmd/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void text_paint(const struct look *look, enum paint paint, const char *text, struct buf *out) {
    static const char *const codes[] = {[PAINT_BOLD] = "1",
                                        [PAINT_DIM] = "2",
                                        [PAINT_RED] = "31",
                                        [PAINT_GREEN] = "32",
                                        [PAINT_YELLOW] = "33"};
    _Static_assert(sizeof codes / sizeof codes[0] == PAINT_YELLOW + 1, "one code a paint");
    if (look->color)
        buf_addf(out, "\033[%sm%s\033[0m", codes[paint], text);
    else
        buf_adds(out, text);
}

/* Moves the cursor, or what stands behind it: U+0000 to U+001F but the tab, U+007F to U+009F; the
 * directions of U+202A to U+202E and U+2066 to U+2069, which have a name read as another one. */
static bool is_control(const char *at, size_t len) {
    const unsigned char *c = (const unsigned char *)at;
    if (len == 1)
        return (c[0] < 0x20 && c[0] != '\t') || c[0] == 0x7f;
    if (len == 2)
        return c[0] == 0xc2 && c[1] < 0xa0;
    return len == 3 && c[0] == 0xe2 &&
           ((c[1] == 0x80 && c[2] >= 0xaa && c[2] <= 0xae) ||
            (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9));
}

void text_add_clean(struct str text, struct buf *out) {
    for (size_t i = 0; i < text.len;) {
        size_t len = str_code_point((struct str){text.ptr + i, text.len - i});
        if (len == 0 || is_control(text.ptr + i, len))
            buf_addc(out, '?');
        else
            buf_add(out, text.ptr + i, len);
        i += len == 0 ? 1 : len;
    }
}

void text_shell_word(struct str text, struct buf *out) {
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-";
    size_t n = 0;
    while (n < text.len && text.ptr[n] != '\0' && strchr(safe, text.ptr[n]) != NULL)
        n++;
    if (n == text.len && n > 0)
        buf_addstr(out, text);
    else
        buf_add_quoted(out, text);
}

static bool is_continuation(char c) { return ((unsigned char)c & 0xc0) == 0x80; }

/* Columns that UTF-8 text takes, one a code point. */
static size_t count_columns(struct str text) {
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += !is_continuation(text.ptr[i]);
    return n;
}

const char *text_arrow(const struct look *look) { return look->utf8 ? "\u2192" : "->"; }

const char *text_times(const struct look *look) { return look->utf8 ? "\u00d7" : "x"; }

/* One code point, or "?" where the terminal shows only ASCII. */
static size_t add_char(const struct look *look, struct str text, size_t at, struct buf *out) {
    size_t end = at + 1;
    while (end < text.len && is_continuation(text.ptr[end]))
        end++;
    struct str one = {text.ptr + at, end - at};
    if (!look->utf8 && (unsigned char)text.ptr[at] >= 0x80)
        buf_adds(out, str_eqc(one, "\u2192") ? "->" : "?");
    else
        text_add_clean(one, out);
    return end;
}

void text_wrap(const struct look *look, struct str text, size_t col, size_t indent,
               struct buf *out) {
    size_t width = look->width > indent + 20 ? look->width : indent + 20;
    size_t i = 0;
    while (i < text.len) {
        size_t end = i; /* the word, with what separates it from the next */
        while (end < text.len && text.ptr[end] != ' ')
            end++;
        size_t columns = count_columns((struct str){text.ptr + i, end - i});
        if (col + columns > width && col > indent && columns <= width - indent) {
            while (out->len > 0 && out->ptr[out->len - 1] == ' ')
                out->len--;
            buf_addc(out, '\n');
            buf_addn(out, ' ', indent);
            col = indent;
        }
        while (i < end) {
            if (col >= width) {
                buf_addc(out, '\n');
                buf_addn(out, ' ', indent);
                col = indent;
            }
            i = add_char(look, text, i, out);
            col++;
        }
        if (i < text.len) {
            if (col < width)
                buf_addc(out, ' ');
            col++;
            i++;
        }
    }
}

void text_line(const struct look *look, struct str text, size_t indent, struct buf *out) {
    buf_addn(out, ' ', indent);
    text_wrap(look, text, indent, indent + 2, out);
    buf_addc(out, '\n');
}

/* ---- Line diff: longest common subsequence, small texts only */

enum { DIFF_LINES_MAX = 400, DIFF_CONTEXT = 2 };

struct lines {
    struct str items[DIFF_LINES_MAX];
    size_t len;
    bool too_many;
};

static void split_lines(struct str text, struct lines *ret) {
    struct str line;
    if (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    while (text.len > 0 && str_split(&text, '\n', &line)) {
        if (ret->len == DIFF_LINES_MAX) {
            ret->too_many = true;
            return;
        }
        ret->items[ret->len++] = line;
    }
}

struct differ {
    struct lines before, after;
    uint16_t common[DIFF_LINES_MAX + 1][DIFF_LINES_MAX + 1];
    struct {
        char sign;
        struct str text;
    } steps[2 * DIFF_LINES_MAX];
    size_t len;
};

static void fill_steps(struct differ *d) {
    for (size_t i = d->before.len; i-- > 0;)
        for (size_t j = d->after.len; j-- > 0;)
            d->common[i][j] = str_eq(d->before.items[i], d->after.items[j])
                                  ? (uint16_t)(d->common[i + 1][j + 1] + 1)
                              : d->common[i + 1][j] > d->common[i][j + 1] ? d->common[i + 1][j]
                                                                          : d->common[i][j + 1];
    size_t i = 0, j = 0;
    while (i < d->before.len || j < d->after.len) {
        bool same =
            i < d->before.len && j < d->after.len && str_eq(d->before.items[i], d->after.items[j]);
        bool removed = !same && i < d->before.len &&
                       (j == d->after.len || d->common[i + 1][j] >= d->common[i][j + 1]);
        d->steps[d->len].sign = same ? ' ' : removed ? '-' : '+';
        d->steps[d->len++].text = same || removed ? d->before.items[i] : d->after.items[j];
        i += same || removed;
        j += same || !removed;
    }
}

static bool near_change(const struct differ *d, size_t at) {
    size_t first = at < DIFF_CONTEXT ? 0 : at - DIFF_CONTEXT;
    for (size_t i = first; i < d->len && i <= at + DIFF_CONTEXT; i++)
        if (d->steps[i].sign != ' ')
            return true;
    return false;
}

static void print_steps(const struct differ *d, const struct look *look, size_t indent,
                        struct buf *out) {
    bool gap = false;
    for (size_t i = 0; i < d->len; i++) {
        if (!near_change(d, i)) {
            gap = true;
            continue;
        }
        if (gap) {
            buf_addn(out, ' ', indent);
            buf_adds(out, "...\n");
        }
        gap = false;
        char sign[2] = {d->steps[i].sign, '\0'};
        bool empty = d->steps[i].text.len == 0;
        if (sign[0] != ' ') {
            buf_addn(out, ' ', indent);
            text_paint(look, sign[0] == '+' ? PAINT_GREEN : PAINT_RED, sign, out);
            buf_adds(out, empty ? "" : " ");
        } else if (!empty) {
            buf_addn(out, ' ', indent + 2);
        }
        text_wrap(look, d->steps[i].text, indent + 2, indent + 4, out);
        buf_addc(out, '\n');
    }
}

void text_diff(const struct look *look, struct str before, struct str after, size_t indent,
               struct buf *out) {
    struct differ *d = calloc(1, sizeof *d);
    if (d == NULL) {
        out->failed = true;
        return;
    }
    split_lines(before, &d->before);
    split_lines(after, &d->after);
    if (d->before.too_many || d->after.too_many) {
        buf_addn(out, ' ', indent);
        buf_addf(out, "(differs; %zu bytes, then %zu)\n", before.len, after.len);
    } else {
        fill_steps(d);
        print_steps(d, look, indent, out);
    }
    free(d);
}
