#include "specs/yaml_text.h"

/* A longer implicit key is not YAML (1024 characters); an escape takes up to ten. */
enum { IMPLICIT_KEY_MAX = 100 };

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool is_plain(struct str text) {
    static const char *const words[] = {"true", "false", "null", "yes", "no", "on", "off"};
    if (text.len == 0 || (!is_letter(text.ptr[0]) && text.ptr[0] != '/'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!is_letter(c) && !(c >= '0' && c <= '9') && c != '_' && c != '.' && c != '/' &&
            c != '-')
            return false;
    }
    char small[8];
    if (text.len >= sizeof small)
        return true;
    for (size_t i = 0; i < text.len; i++)
        small[i] = (char)(text.ptr[i] >= 'A' && text.ptr[i] <= 'Z' ? text.ptr[i] + ('a' - 'A')
                                                                   : text.ptr[i]);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (str_eqc((struct str){small, text.len}, words[i]))
            return false;
    return true;
}

/* The code point at *i, which moves behind it. Broken bytes count as themselves. */
static unsigned next_code_point(struct str text, size_t *i) {
    unsigned char lead = (unsigned char)text.ptr[(*i)++];
    size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (more == 0 || more > text.len - *i)
        return lead;
    unsigned code = lead & (0x3fu >> more);
    for (; more > 0; more--)
        code = code << 6 | ((unsigned char)text.ptr[(*i)++] & 0x3fu);
    return code;
}

static void print_quoted(struct str text, struct buf *out) {
    buf_addc(out, '"');
    for (size_t i = 0; i < text.len;) {
        size_t start = i;
        unsigned code = next_code_point(text, &i);
        if (code == '"' || code == '\\')
            buf_addf(out, "\\%c", (int)code);
        else if (code == '\n')
            buf_adds(out, "\\n");
        else if (code == '\t')
            buf_adds(out, "\\t");
        else if (code < 0x20 || (code >= 0x7f && code < 0xa0))
            buf_addf(out, "\\x%02x", code);
        else if (code == 0x2028 || code == 0x2029 || code == 0xfeff || code == 0xfffe ||
                 code == 0xffff)
            buf_addf(out, "\\u%04x", code); /* line breaks and not printable */
        else if (code > 0xffff)
            buf_addf(out, "\\U%08x", code);
        else
            buf_add(out, text.ptr + start, i - start);
    }
    buf_addc(out, '"');
}

void yaml_text_print(struct str text, struct buf *out) {
    if (is_plain(text))
        buf_addstr(out, text);
    else
        print_quoted(text, out);
}

void yaml_text_print_key(struct str text, struct buf *out) {
    if (text.len > IMPLICIT_KEY_MAX)
        buf_adds(out, "? ");
    yaml_text_print(text, out);
    buf_adds(out, text.len > IMPLICIT_KEY_MAX ? " : " : ": ");
}
