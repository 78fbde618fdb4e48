#include "providers/host/requirements_text.h"

#include "specs/err.h"

#include <string.h>

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\f' || c == '\v'; }
static bool is_end(char c) { return c == '\n' || c == '\r'; }

/* RFC 3629, without a look at which characters these are. */
static bool is_utf_8(struct str text) {
    size_t more = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c & 0xc0) == 0x80) {
            if (more-- == 0)
                return false;
        } else {
            if (more > 0 || c >= 0xf8)
                return false;
            more = c < 0xc0 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        }
    }
    return more == 0;
}

int requirement_text_begin(struct requirement_text *t, const char *file, struct str text,
                           struct arena *arena) {
    if (str_starts(text, STR("\xef\xbb\xbf")))
        text = (struct str){text.ptr + 3, text.len - 3};
    char *copy = arena_alloc(arena, text.len + 1);
    if (copy == NULL)
        return -ERRC_NOMEM;
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    *t =
        (struct requirement_text){.source = {file, text}, .copy = copy, .is_utf_8 = is_utf_8(text)};
    return 0;
}

/* Where the line that starts at `from` ends, before its "\n", "\r\n" or "\r". */
static size_t find_end(const struct requirement_text *t, size_t from) {
    while (from < t->source.text.len && !is_end(t->copy[from]))
        from++;
    return from;
}

static bool is_comment(const struct requirement_text *t, size_t from, size_t end) {
    while (from < end && is_blank(t->copy[from]))
        from++;
    return from < end && t->copy[from] == '#';
}

static size_t skip_end(const struct requirement_text *t, size_t end) {
    size_t len = t->source.text.len;
    bool both = end + 1 < len && t->copy[end] == '\r' && t->copy[end + 1] == '\n';
    return end == len ? len : end + (both ? 2 : 1);
}

/* A comment goes to the end of its line, and joins none; "#" within a word begins none. */
static size_t cut_comment(const struct requirement_text *t, size_t from, size_t end) {
    for (size_t i = from; i < end; i++)
        if (t->copy[i] == '#' && (i == from || is_blank(t->copy[i - 1])))
            return i;
    return end;
}

bool requirement_text_next(struct requirement_text *t) {
    while (t->at < t->source.text.len) {
        size_t from = t->at, start = from, end = find_end(t, from);
        t->at = skip_end(t, end);
        while (end > start && t->copy[end - 1] == '\\' && !is_comment(t, start, end)) {
            memset(t->copy + end - 1, ' ', t->at - end + 1);
            start = t->at;
            end = find_end(t, start);
            t->at = skip_end(t, end);
        }
        t->line = str_trim((struct str){t->copy + from, cut_comment(t, from, end) - from});
        if (t->line.len > 0)
            return true;
    }
    return false;
}

struct mark requirement_text_mark(struct requirement_text *t, struct str part) {
    const struct str text = t->source.text;
    size_t at = (size_t)(part.ptr - t->copy);
    if (at < t->marked || t->mark.line == 0) {
        t->marked = 0;
        t->mark = (struct mark){1, 1, 0};
    }
    for (; t->marked < at; t->marked++) {
        char c = text.ptr[t->marked];
        t->mark.col = c == '\n' ? 1 : t->mark.col + (((unsigned char)c & 0xc0) != 0x80);
        t->mark.line += c == '\n';
    }
    struct mark mark = t->mark;
    for (size_t i = at; i < at + part.len && !is_end(text.ptr[i]); i++)
        mark.len += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
    mark.len = mark.len == 0 ? 1 : mark.len;
    return mark;
}

struct str requirement_text_split(struct str line, struct str *ret_options) {
    size_t n = 0;
    while (n < line.len && !(line.ptr[n] == '-' && (n == 0 || is_blank(line.ptr[n - 1]))))
        n++;
    *ret_options = (struct str){line.ptr + n, line.len - n};
    return str_trim((struct str){line.ptr, n});
}

/* "a b" in quotes is one; what a shell would make of anything else is not looked at. */
static void take_value(struct str *rest, struct requirement_option *option) {
    size_t n = 0;
    char quote = rest->len > 0 && strchr("'\"", *rest->ptr) != NULL ? *rest->ptr : '\0';
    if (quote != '\0') {
        const char *end = memchr(rest->ptr + 1, quote, rest->len - 1);
        size_t len = end == NULL ? rest->len - 1 : (size_t)(end - rest->ptr) - 1;
        option->value = (struct str){rest->ptr + 1, len};
        n = end == NULL ? rest->len : len + 2;
        option->broken = end == NULL || (n < rest->len && !is_blank(rest->ptr[n]));
    } else {
        while (n < rest->len && !is_blank(rest->ptr[n]))
            n++;
        option->value = (struct str){rest->ptr, n};
        for (size_t i = 0; i < n; i++)
            option->broken |= strchr("'\"\\", rest->ptr[i]) != NULL;
    }
    *rest = str_trim((struct str){rest->ptr + n, rest->len - n});
}

/* "--name=value", "--name value", "-nvalue", "-n value". */
bool requirement_text_option(struct str *rest, struct requirement_option *ret) {
    struct requirement_option option = {0};
    if (rest->len < 2 || *rest->ptr != '-')
        return false;
    bool is_long = rest->ptr[1] == '-', apart = false;
    size_t n = 2;
    while (is_long && n < rest->len && !is_blank(rest->ptr[n]) && rest->ptr[n] != '=')
        n++;
    option.name = (struct str){rest->ptr, n};
    if (is_long && n < rest->len && rest->ptr[n] == '=')
        n++;
    else
        apart = n == rest->len || is_blank(rest->ptr[n]);
    *rest = str_trim((struct str){rest->ptr + n, rest->len - n});
    /* Of one without a value, the next option. */
    if (!apart || (rest->len > 0 && *rest->ptr != '-'))
        take_value(rest, &option);
    *ret = option;
    return true;
}
