#include "specs/toml_internal.h"

#include <ctype.h>
#include <string.h>

int toml_fail(const struct toml *t, const char *what) {
    return err_set(t->err, ERRC_INVALID, "line %zu: %s", t->line, what);
}

int toml_no_memory(const struct toml *t) { return err_no_memory(t->err); }

bool toml_is_at(const struct toml *t, const char *word) {
    size_t len = strlen(word);
    return (size_t)(t->end - t->at) >= len && memcmp(t->at, word, len) == 0;
}

bool toml_take(struct toml *t, const char *word) {
    if (!toml_is_at(t, word))
        return false;
    t->at += strlen(word);
    return true;
}

void toml_skip_blanks(struct toml *t) {
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\t'))
        t->at++;
}

bool toml_take_newline(struct toml *t) {
    if (!toml_take(t, "\n") && !toml_take(t, "\r\n"))
        return false;
    t->line++;
    return true;
}

int toml_skip_comment(struct toml *t) {
    if (!toml_is_at(t, "#"))
        return 0;
    for (; t->at < t->end && *t->at != '\n'; t->at++)
        if (((unsigned char)*t->at < 0x20 && *t->at != '\t' && !toml_is_at(t, "\r\n")) ||
            *t->at == 0x7f)
            return toml_fail(t, "a control character in a comment");
    return 0;
}

int toml_skip_all(struct toml *t) {
    int rc;
    do {
        toml_skip_blanks(t);
        rc = toml_skip_comment(t);
    } while (rc == 0 && toml_take_newline(t));
    return rc;
}

/* ---- Strings */

static void add_code_point(struct buf *out, unsigned code) {
    if (code < 0x80) {
        buf_addc(out, (char)code);
        return;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned leads[] = {0, 0xc0, 0xe0, 0xf0};
    buf_addc(out, (char)(leads[more] | code >> (6 * more)));
    for (int i = more - 1; i >= 0; i--)
        buf_addc(out, (char)(0x80u | (code >> (6 * i) & 0x3fu)));
}

static int take_unicode(struct toml *t, int digits) {
    unsigned code = 0;
    for (int i = 0; i < digits; i++, t->at++) {
        if (t->at == t->end || !isxdigit((unsigned char)*t->at))
            return toml_fail(t, "expected hexadecimal digits");
        char c = (char)tolower((unsigned char)*t->at);
        code = code << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return toml_fail(t, "no such character");
    add_code_point(&t->text, code);
    return 0;
}

/* Behind a backslash. */
static int take_escape(struct toml *t, bool multiline) {
    static const char from[] = "btnfr\"\\e", to[] = "\b\t\n\f\r\"\\\033";
    const char *found = t->at == t->end || *t->at == '\0' ? NULL : strchr(from, *t->at);
    if (found != NULL) {
        buf_addc(&t->text, to[found - from]);
        t->at++;
        return 0;
    }
    if (toml_take(t, "u"))
        return take_unicode(t, 4);
    if (toml_take(t, "U"))
        return take_unicode(t, 8);
    /* A line that is joined with the next: white space up to the next word goes. */
    const char *start = t->at;
    toml_skip_blanks(t);
    if (multiline && toml_take_newline(t)) {
        do
            toml_skip_blanks(t);
        while (toml_take_newline(t));
        return 0;
    }
    t->at = start;
    return toml_fail(t, "no such escape in a string");
}

/* Quotes at the end of a multi-line string: up to two belong to it. */
static bool take_end(struct toml *t, const char *quotes, bool multiline) {
    if (!toml_is_at(t, quotes))
        return false;
    while (multiline && t->end - t->at > 3 && t->at[3] == quotes[0]) {
        size_t run = 3;
        while (run < 6 && t->at + run < t->end && t->at[run] == quotes[0])
            run++;
        if (run > 5)
            break;
        buf_addc(&t->text, quotes[0]);
        t->at++;
    }
    return toml_take(t, quotes);
}

int toml_string(struct toml *t) {
    char quotes[4] = {*t->at, '\0'};
    bool literal = *t->at == '\'';
    bool multiline = toml_is_at(t, "\"\"\"") || toml_is_at(t, "'''");
    buf_reset(&t->text);
    if (multiline)
        memset(quotes, *t->at, 3);
    t->at += strlen(quotes);
    if (multiline)
        (void)toml_take_newline(t);
    while (!take_end(t, quotes, multiline)) {
        if (t->at == t->end || (!multiline && *t->at == '\n'))
            return toml_fail(t, "a string has no end");
        if (!literal && toml_take(t, "\\")) {
            int rc = take_escape(t, multiline);
            if (rc < 0)
                return rc;
        } else if (multiline && toml_take_newline(t)) {
            buf_addc(&t->text, '\n');
        } else if (((unsigned char)*t->at < 0x20 && *t->at != '\t') || *t->at == 0x7f) {
            return toml_fail(t, "a control character in a string");
        } else {
            buf_addc(&t->text, *t->at++);
        }
    }
    return t->text.failed ? toml_no_memory(t) : 0;
}

int toml_key(struct toml *t) {
    if (toml_is_at(t, "\"\"\"") || toml_is_at(t, "'''"))
        return toml_fail(t, "a key is one line");
    if (toml_is_at(t, "\"") || toml_is_at(t, "'"))
        return toml_string(t);
    buf_reset(&t->text);
    while (t->at < t->end && (isalnum((unsigned char)*t->at) || *t->at == '_' || *t->at == '-'))
        buf_addc(&t->text, *t->at++);
    if (t->text.len == 0)
        return toml_fail(t, "expected a key");
    return t->text.failed ? toml_no_memory(t) : 0;
}
