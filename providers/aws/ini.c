#include "providers/aws/ini.h"

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* The next word of a section's name; quotes around a profile's name are allowed. */
static bool next_word(struct str *rest, struct str *ret) {
    while (rest->len > 0 && is_blank(*rest->ptr)) {
        rest->ptr++;
        rest->len--;
    }
    if (rest->len == 0)
        return false;
    char quote = *rest->ptr == '"' || *rest->ptr == '\'' ? *rest->ptr : '\0';
    size_t from = quote != '\0';
    size_t i = from;
    while (i < rest->len && (quote != '\0' ? rest->ptr[i] != quote : !is_blank(rest->ptr[i])))
        i++;
    *ret = (struct str){rest->ptr + from, i - from};
    i += quote != '\0' && i < rest->len;
    rest->ptr += i;
    rest->len -= i;
    return true;
}

/* `line` begins with "[". */
static bool is_section(struct str line, const char *section) {
    struct str name, rest = {line.ptr + 1, line.len - 1};
    if (!str_split(&rest, ']', &name) || rest.ptr == NULL)
        return false;
    struct str want = str_of(section);
    struct str a, b;
    for (;;) {
        bool more = next_word(&name, &a);
        if (more != next_word(&want, &b))
            return false;
        if (!more || !str_eq(a, b))
            return !more;
    }
}

/* White space and then "#" or ";" begin a comment behind a value. */
static struct str without_comment(struct str value) {
    for (size_t i = 1; i < value.len; i++)
        if ((value.ptr[i] == '#' || value.ptr[i] == ';') && is_blank(value.ptr[i - 1]))
            return str_trim((struct str){value.ptr, i});
    return value;
}

struct reader {
    struct str text;
    struct str line; /* the last one, trimmed; never empty, never a comment */
    bool indented;
};

static bool next_line(struct reader *r) {
    struct str line;
    while (str_split(&r->text, '\n', &line)) {
        r->line = str_trim(line);
        if (r->line.len == 0 || *r->line.ptr == '#' || *r->line.ptr == ';')
            continue;
        r->indented = is_blank(*line.ptr);
        return true;
    }
    return false;
}

bool ini_has_section(struct str text, const char *section) {
    struct reader r = {.text = text};
    while (next_line(&r))
        if (!r.indented && *r.line.ptr == '[' && is_section(r.line, section))
            return true;
    return false;
}

bool ini_get(struct str text, const char *section, const char *parent, const char *key,
             struct str *ret) {
    struct reader r = {.text = text};
    bool inside = false, in_parent = false, found = false;
    while (next_line(&r)) {
        if (!r.indented && *r.line.ptr == '[') {
            inside = is_section(r.line, section);
            in_parent = false;
            continue;
        }
        struct str name, value = r.line;
        if (!inside || !str_split(&value, '=', &name) || value.ptr == NULL)
            continue;
        name = str_trim(name);
        if (!r.indented)
            in_parent = parent != NULL && str_eqc(name, parent);
        if (r.indented == (parent != NULL) && in_parent == (parent != NULL) && str_eqc(name, key)) {
            *ret = without_comment(str_trim(value));
            found = true;
        }
    }
    return found;
}
