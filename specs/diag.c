#include "specs/diag.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* U+0080 to U+009F in UTF-8: control characters as well. */
static bool is_c1(const char *text, size_t left) {
    return left > 1 && (unsigned char)text[0] == 0xc2 && ((unsigned char)text[1] & 0xe0) == 0x80;
}

static bool is_control(char c) { return (unsigned char)c < 0x20 || c == 0x7f; }

/* The spec's own words may hold what a terminal would obey. */
static void clean(char *text) {
    for (size_t left = strlen(text); left > 0; text++, left--) {
        if (is_c1(text, left))
            text[0] = text[1] = '?';
        else if (is_control(text[0]))
            text[0] = '?';
    }
}

/* The same of the same place: a file that the spec names twice is read twice. */
static bool is_told(const struct diags *d, const struct diag *item, const char *msg) {
    for (size_t i = 0; item->source != NULL && i < d->len; i++) {
        const struct diag *other = &d->items[i];
        if (other->source != NULL && cstr_eq(other->source->file, item->source->file) &&
            other->mark.line == item->mark.line && other->mark.col == item->mark.col &&
            cstr_eq(other->msg, msg))
            return true;
    }
    return false;
}

/* `item` without its texts. */
static void diag_vadd(struct diags *d, struct diag item, const char *help, const char *fmt,
                      va_list args) {
    if (item.level == DIAG_ERROR)
        d->errors++;
    if (d->len == DIAG_MAX) {
        d->dropped++;
        return;
    }
    char text[512];
    vsnprintf(text, sizeof text, fmt, args);
    clean(text);
    if (is_told(d, &item, text))
        return;
    item.msg = arena_dup(d->arena, text);
    item.help = arena_dup(d->arena, help);
    if (item.msg == NULL)
        item.msg = "out of memory";
    d->items[d->len++] = item;
}

void diag_add(struct diags *d, struct mark mark, const char *help, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    diag_vadd(d, (struct diag){.level = DIAG_ERROR, .mark = mark}, help, fmt, args);
    va_end(args);
}

void diag_add_hidden(struct diags *d, struct mark mark, const char *help, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    diag_vadd(d, (struct diag){.level = DIAG_ERROR, .mark = mark, .hidden = true}, help, fmt, args);
    va_end(args);
}

void diag_add_in(struct diags *d, const struct diag_source *source, struct mark mark, bool hidden,
                 const char *help, const char *fmt, ...) {
    const struct diag item = {
        .level = DIAG_ERROR, .source = source, .mark = mark, .hidden = hidden};
    va_list args;
    va_start(args, fmt);
    diag_vadd(d, item, help, fmt, args);
    va_end(args);
}

void diag_warn(struct diags *d, struct mark mark, const char *help, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    diag_vadd(d, (struct diag){.level = DIAG_WARNING, .mark = mark}, help, fmt, args);
    va_end(args);
}

void diag_suggest(struct str word, const char *const *names, char *ret, size_t size) {
    const char *near = str_nearest(word, names);
    if (near != NULL) {
        snprintf(ret, size, "did you mean `%s`?", near);
        return;
    }
    size_t used = (size_t)snprintf(ret, size, "expected one of");
    for (size_t i = 0; names[i] != NULL && used < size; i++)
        used += (size_t)snprintf(ret + used, size - used, "%s %s", i == 0 ? "" : ",", names[i]);
}

static struct str source_line(struct str source, size_t number) {
    struct str line = {NULL, 0};
    for (size_t i = 0; i < number; i++)
        if (!str_split(&source, '\n', &line))
            return (struct str){"", 0};
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

static bool is_continuation(char c) { return ((unsigned char)c & 0xc0) == 0x80; }

/* One code point of UTF-8 by its lead byte (RFC 3629, 4); a file that is no text has others. */
static bool is_code_point(const char *text, size_t len) {
    static const unsigned char first[] = {0, 0xc2, 0xe0, 0xf0}, last[] = {0x7f, 0xdf, 0xef, 0xf4};
    unsigned char lead = (unsigned char)text[0];
    return len <= sizeof first && lead >= first[len - 1] && lead <= last[len - 1];
}

/* Bytes of the column at `at`: a code point, or a byte that belongs to none. */
static size_t column_len(struct str line, size_t at) {
    size_t len = 1;
    bool more = (unsigned char)line.ptr[at] >= 0xc0;
    while (more && at + len < line.len && is_continuation(line.ptr[at + len]))
        len++;
    return len;
}

/* Adds the columns [from, to) of `line` (0-based code points), tabs and control characters as one
 * space each, so that carets stay under what they mean. */
static void add_columns(struct buf *out, struct str line, size_t from, size_t to) {
    size_t col = 0;
    for (size_t i = 0; i < line.len && col < to;) {
        size_t len = column_len(line, i);
        if (col >= from) {
            if (is_control(line.ptr[i]) || is_c1(line.ptr + i, len))
                buf_addc(out, ' ');
            else if (!is_code_point(line.ptr + i, len))
                buf_addc(out, '?');
            else
                buf_add(out, line.ptr + i, len);
        }
        i += len;
        col++;
    }
}

static size_t count_columns(struct str line) {
    size_t cols = 0;
    for (size_t i = 0; i < line.len; i += column_len(line, i))
        cols++;
    return cols;
}

enum { INDENT = 4 };

/* The column from which on an item's line is not shown, whatever is wrong in it; SIZE_MAX for none.
 */
static size_t hidden_from(const struct diags *d, const struct diag *item) {
    size_t from = SIZE_MAX;
    for (size_t i = 0; i < d->len; i++) {
        const struct diag *other = &d->items[i];
        if (other->hidden && other->source == item->source && other->mark.line == item->mark.line &&
            other->mark.col > 0 && other->mark.col - 1 < from)
            from = other->mark.col - 1;
    }
    return from;
}

static void render_place(const struct diags *d, const struct diag *item, bool color, size_t width,
                         struct buf *out) {
    struct str text = item->source == NULL ? d->source : item->source->text;
    struct str line = source_line(text, item->mark.line);
    size_t cols = count_columns(line);
    size_t caret = item->mark.col > 0 ? item->mark.col - 1 : 0;
    size_t room = width > 40 ? width - INDENT - 1 : 40;
    size_t from = 0;
    if (cols > room && caret > room * 2 / 3)
        from = caret - room * 2 / 3;
    size_t to = from + room < cols ? from + room : cols;
    size_t hidden = hidden_from(d, item);
    buf_addn(out, ' ', INDENT);
    add_columns(out, line, from, to < hidden ? to : hidden);
    buf_adds(out, to > hidden ? "…\n" : "\n");
    buf_addn(out, ' ', INDENT + (caret - from));
    size_t len = item->mark.len > 0 && !item->hidden ? item->mark.len : 1;
    if (caret + len > to)
        len = to > caret ? to - caret : 1;
    buf_adds(out, color ? "\033[1;31m^" : "^");
    buf_addn(out, '~', len - 1);
    buf_adds(out, color ? "\033[0m\n" : "\n");
}

/* Broken between words, so that no line is wider than `width`. */
static void render_help(struct str text, size_t width, struct buf *out) {
    size_t room = width > 40 ? width - INDENT : 40, col = 0;
    struct str word;
    while (str_split(&text, ' ', &word)) {
        size_t cols = count_columns(word);
        bool fits = col > 0 && col + 1 + cols <= room;
        buf_addn(out, '\n', col > 0 && !fits);
        buf_addn(out, ' ', fits ? 1 : INDENT);
        buf_addstr(out, word);
        col = fits ? col + 1 + cols : cols;
    }
    buf_addc(out, '\n');
}

static void render(const struct diags *d, const struct diag *item, bool color, size_t width,
                   struct buf *out) {
    static const char *const words[] = {[DIAG_ERROR] = "error", [DIAG_WARNING] = "warning"};
    static const char *const colors[] = {
        [DIAG_ERROR] = "\033[1;31m", [DIAG_WARNING] = "\033[1;33m"};
    _Static_assert(sizeof words == sizeof colors &&
                       sizeof words / sizeof words[0] == DIAG_WARNING + 1,
                   "one word and one colour a level");
    const char *file = item->source == NULL ? d->file : item->source->file;
    buf_adds(out, file == NULL ? "spec" : file);
    if (item->mark.line > 0)
        buf_addf(out, ":%zu:%zu", item->mark.line, item->mark.col);
    buf_addf(out, ": %s%s:%s %s\n", color ? colors[item->level] : "", words[item->level],
             color ? "\033[0m" : "", item->msg);
    if (item->mark.line > 0)
        render_place(d, item, color, width, out);
    if (item->help != NULL && item->help[0] != '\0')
        render_help(str_of(item->help), width, out);
}

/* The spec is the first, then each as it came up. */
static size_t source_rank(const struct diags *d, const struct diag *item) {
    size_t i = 0;
    while (item->source != NULL && d->items[i].source != item->source)
        i++;
    return item->source == NULL ? 0 : i + 1;
}

static bool is_in_order(const struct diags *d, const struct diag *a, const struct diag *b) {
    size_t rank_a = source_rank(d, a), rank_b = source_rank(d, b);
    if (rank_a != rank_b)
        return rank_a < rank_b;
    return a->mark.line < b->mark.line ||
           (a->mark.line == b->mark.line && a->mark.col <= b->mark.col);
}

void diags_render(const struct diags *d, bool color, size_t width, struct buf *out) {
    /* A stable selection by place; the list is short. */
    size_t order[DIAG_MAX];
    for (size_t i = 0; i < d->len; i++) {
        size_t at = i;
        for (; at > 0 && !is_in_order(d, &d->items[order[at - 1]], &d->items[i]); at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (size_t i = 0; i < d->len; i++)
        render(d, &d->items[order[i]], color, width, out);
    if (d->dropped > 0)
        buf_addf(out, "… and %zu more\n", d->dropped);
}
