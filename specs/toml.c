#include "specs/toml.h"

#include "specs/buf.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* What may still be added to a table or an array; kept in valueint, which these do not use. */
enum {
    OPEN_IMPLIED = 0, /* a table that a longer name brought along */
    OPEN_DOTTED,      /* made by a key with dots */
    OPEN_HEADED,      /* had its [header] */
    OPEN_TABLES,      /* an array of [[tables]] */
    CLOSED            /* an inline table, a plain array */
};

struct toml {
    const char *at, *end;
    size_t line;
    cJSON *root, *table;
    struct buf text; /* of the string or key that is read */
    struct err *err;
};

static int parse_value(struct toml *t, int depth, cJSON **ret);

static int fail(const struct toml *t, const char *what) {
    return err_set(t->err, ERRC_INVALID, "line %zu: %s", t->line, what);
}

static int no_memory(const struct toml *t) { return err_set(t->err, ERRC_NOMEM, "out of memory"); }

static bool is_at(const struct toml *t, const char *word) {
    size_t len = strlen(word);
    return (size_t)(t->end - t->at) >= len && memcmp(t->at, word, len) == 0;
}

static bool take(struct toml *t, const char *word) {
    if (!is_at(t, word))
        return false;
    t->at += strlen(word);
    return true;
}

static void skip_blanks(struct toml *t) {
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\t'))
        t->at++;
}

static bool take_newline(struct toml *t) {
    if (!take(t, "\n") && !take(t, "\r\n"))
        return false;
    t->line++;
    return true;
}

/* A comment up to the end of its line. */
static int skip_comment(struct toml *t) {
    if (!is_at(t, "#"))
        return 0;
    for (; t->at < t->end && *t->at != '\n'; t->at++)
        if (((unsigned char)*t->at < 0x20 && *t->at != '\t' && !is_at(t, "\r\n")) || *t->at == 0x7f)
            return fail(t, "a control character in a comment");
    return 0;
}

/* White space, comments and line breaks, where a value may go on in another line. */
static int skip_all(struct toml *t) {
    int rc;
    do {
        skip_blanks(t);
        rc = skip_comment(t);
    } while (rc == 0 && take_newline(t));
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
            return fail(t, "expected hexadecimal digits");
        char c = (char)tolower((unsigned char)*t->at);
        code = code << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return fail(t, "no such character");
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
    if (take(t, "u"))
        return take_unicode(t, 4);
    if (take(t, "U"))
        return take_unicode(t, 8);
    /* A line that is joined with the next: white space up to the next word goes. */
    const char *start = t->at;
    skip_blanks(t);
    if (multiline && take_newline(t)) {
        do
            skip_blanks(t);
        while (take_newline(t));
        return 0;
    }
    t->at = start;
    return fail(t, "no such escape in a string");
}

/* Quotes at the end of a multi-line string: up to two belong to it. */
static bool take_end(struct toml *t, const char *quotes, bool multiline) {
    if (!is_at(t, quotes))
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
    return take(t, quotes);
}

/* Into t->text, which it begins anew. */
static int take_string(struct toml *t) {
    char quotes[4] = {*t->at, '\0'};
    bool literal = *t->at == '\'';
    bool multiline = is_at(t, "\"\"\"") || is_at(t, "'''");
    buf_reset(&t->text);
    if (multiline)
        memset(quotes, *t->at, 3);
    t->at += strlen(quotes);
    if (multiline)
        (void)take_newline(t);
    while (!take_end(t, quotes, multiline)) {
        if (t->at == t->end || (!multiline && *t->at == '\n'))
            return fail(t, "a string has no end");
        if (!literal && take(t, "\\")) {
            int rc = take_escape(t, multiline);
            if (rc < 0)
                return rc;
        } else if (multiline && take_newline(t)) {
            buf_addc(&t->text, '\n');
        } else if (((unsigned char)*t->at < 0x20 && *t->at != '\t') || *t->at == 0x7f) {
            return fail(t, "a control character in a string");
        } else {
            buf_addc(&t->text, *t->at++);
        }
    }
    return t->text.failed ? no_memory(t) : 0;
}

/* ---- Keys and tables */

static int take_key(struct toml *t) {
    if (is_at(t, "\"\"\"") || is_at(t, "'''"))
        return fail(t, "a key is one line");
    if (is_at(t, "\"") || is_at(t, "'"))
        return take_string(t);
    buf_reset(&t->text);
    while (t->at < t->end && (isalnum((unsigned char)*t->at) || *t->at == '_' || *t->at == '-'))
        buf_addc(&t->text, *t->at++);
    if (t->text.len == 0)
        return fail(t, "expected a key");
    return t->text.failed ? no_memory(t) : 0;
}

/* The member of that name (t->text), or NULL; counts the members. */
static cJSON *find(const struct toml *t, const cJSON *table, size_t *ret_len) {
    *ret_len = 0;
    for (cJSON *c = table->child; c != NULL; c = c->next) {
        if (strcmp(c->string, buf_cstr(&t->text)) == 0)
            return c;
        (*ret_len)++;
    }
    return NULL;
}

static int add(struct toml *t, cJSON *table, size_t len, cJSON *value) {
    if (len >= TOML_KEYS_MAX) {
        cJSON_Delete(value);
        return err_set(t->err, ERRC_LIMIT, "line %zu: more than %d keys in a table", t->line,
                       TOML_KEYS_MAX);
    }
    if (value == NULL || !cJSON_AddItemToObject(table, buf_cstr(&t->text), value)) {
        cJSON_Delete(value);
        return no_memory(t);
    }
    return 0;
}

static cJSON *last_of(const cJSON *array) {
    return array->child == NULL ? NULL : array->child->prev;
}

/* Into the table that t->text names in *table, made where there is none. `how`: by what. */
static int enter(struct toml *t, cJSON **table, int how) {
    size_t len;
    cJSON *child = find(t, *table, &len);
    if (child == NULL) {
        child = cJSON_CreateObject();
        int rc = add(t, *table, len, child);
        if (rc < 0)
            return rc;
        child->valueint = how;
    } else if (how == OPEN_DOTTED && child->valueint != OPEN_DOTTED) {
        return fail(t, "a key that is there already");
    }
    if (cJSON_IsArray(child) && child->valueint == OPEN_TABLES)
        child = last_of(child);
    if (!cJSON_IsObject(child) || child->valueint == CLOSED)
        return fail(t, "a name that is no open table");
    *table = child;
    return 0;
}

/* "a.b.c": up to the last name, which is left in t->text. */
static int take_path(struct toml *t, cJSON **table, int how) {
    for (int depth = 0;; depth++) {
        skip_blanks(t);
        int rc = take_key(t);
        if (rc < 0)
            return rc;
        skip_blanks(t);
        if (!take(t, "."))
            return 0;
        if (depth == TOML_DEPTH_MAX)
            return err_set(t->err, ERRC_LIMIT, "line %zu: a key of too many parts", t->line);
        rc = enter(t, table, how);
        if (rc < 0)
            return rc;
    }
}

static int head_table(struct toml *t, cJSON *table) {
    size_t len;
    cJSON *child = find(t, table, &len);
    if (child == NULL) {
        child = cJSON_CreateObject();
        int rc = add(t, table, len, child);
        if (rc < 0)
            return rc;
    } else if (!cJSON_IsObject(child) || child->valueint != OPEN_IMPLIED) {
        return fail(t, "a table that is there already");
    }
    child->valueint = OPEN_HEADED;
    t->table = child;
    return 0;
}

static int head_array(struct toml *t, cJSON *table) {
    size_t len;
    cJSON *array = find(t, table, &len);
    if (array == NULL) {
        array = cJSON_CreateArray();
        int rc = add(t, table, len, array);
        if (rc < 0)
            return rc;
        array->valueint = OPEN_TABLES;
    } else if (!cJSON_IsArray(array) || array->valueint != OPEN_TABLES) {
        return fail(t, "a name that is no array of tables");
    }
    cJSON *item = cJSON_CreateObject();
    if (item == NULL)
        return no_memory(t);
    item->valueint = OPEN_HEADED;
    (void)cJSON_AddItemToArray(array, item);
    t->table = item;
    return 0;
}

static int parse_header(struct toml *t) {
    bool array = take(t, "[[");
    cJSON *table = t->root;
    if (!array)
        t->at++;
    int rc = take_path(t, &table, OPEN_IMPLIED);
    if (rc == 0 && !take(t, array ? "]]" : "]"))
        rc = fail(t, "a header has no end");
    if (rc < 0)
        return rc;
    return array ? head_array(t, table) : head_table(t, table);
}

static int parse_pair(struct toml *t, cJSON *table, int depth) {
    size_t len;
    int rc = take_path(t, &table, OPEN_DOTTED);
    if (rc < 0)
        return rc;
    if (!take(t, "="))
        return fail(t, "expected =");
    if (find(t, table, &len) != NULL)
        return fail(t, "a key that is there already");
    /* A value may use t->text: the name is kept beside it. */
    struct buf name = t->text;
    cJSON *value = NULL;
    t->text = BUF_INIT(BUF_MEDIUM);
    skip_blanks(t);
    rc = parse_value(t, depth, &value);
    buf_free(&t->text);
    t->text = name;
    return rc < 0 ? rc : add(t, table, len, value);
}

/* ---- Values */

static int parse_array(struct toml *t, int depth, cJSON **ret) {
    cJSON *array = cJSON_CreateArray();
    if (array == NULL)
        return no_memory(t);
    array->valueint = CLOSED;
    int rc = skip_all(t);
    while (rc == 0 && !take(t, "]")) {
        cJSON *value = NULL;
        rc = parse_value(t, depth + 1, &value);
        if (rc == 0)
            (void)cJSON_AddItemToArray(array, value);
        if (rc == 0)
            rc = skip_all(t);
        if (rc == 0 && take(t, ","))
            rc = skip_all(t);
        else if (rc == 0 && !is_at(t, "]"))
            rc = fail(t, "expected , or ]");
    }
    if (rc < 0)
        cJSON_Delete(array);
    else
        *ret = array;
    return rc;
}

/* What is in it is closed with it: nothing is added later. */
static void close_all(cJSON *value) {
    value->valueint = CLOSED;
    for (cJSON *c = value->child; c != NULL; c = c->next)
        if (cJSON_IsObject(c))
            close_all(c);
}

static int parse_inline(struct toml *t, int depth, cJSON **ret) {
    cJSON *table = cJSON_CreateObject();
    if (table == NULL)
        return no_memory(t);
    table->valueint = OPEN_DOTTED;
    int rc = skip_all(t);
    while (rc == 0 && !take(t, "}")) {
        rc = parse_pair(t, table, depth + 1);
        if (rc == 0)
            rc = skip_all(t);
        if (rc == 0 && take(t, ","))
            rc = skip_all(t);
        else if (rc == 0 && !is_at(t, "}"))
            rc = fail(t, "expected , or }");
    }
    if (rc < 0) {
        cJSON_Delete(table);
        return rc;
    }
    close_all(table);
    *ret = table;
    return 0;
}

/* Digits with single underscores between them; the count, 0 when there is something else. */
static size_t span_digits(const char *text, const char *digits) {
    size_t n = 0;
    while (text[n] != '\0' &&
           (strchr(digits, text[n]) != NULL || (text[n] == '_' && n > 0 && text[n - 1] != '_')))
        n++;
    return n > 0 && text[n - 1] == '_' ? 0 : n;
}

/* Dates and times, by their shape; each is kept as its text. */
static bool is_time(const char *text) {
    static const char *const shapes[] = {"dddd-dd-dd", "dd:dd", "dd:dd:dd"};
    const char *rest = text;
    bool found = false;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        size_t n = 0;
        while (
            shapes[i][n] != '\0' && rest[n] != '\0' &&
            (shapes[i][n] == 'd' ? isdigit((unsigned char)rest[n]) != 0 : rest[n] == shapes[i][n]))
            n++;
        if (shapes[i][n] == '\0')
            found = true;
    }
    return found && strspn(text, "0123456789-:.+TtZz ") == strlen(text);
}

static bool is_number(const char *text) {
    static const char decimal[] = "0123456789";
    const char *p = text + strspn(text, "+-");
    size_t whole = span_digits(p, decimal);
    if (p - text > 1 || whole == 0 || (p[0] == '0' && whole > 1))
        return false;
    p += whole;
    if (*p == '.') {
        size_t n = span_digits(p + 1, decimal);
        if (n == 0)
            return false;
        p += n + 1;
    }
    if (*p == 'e' || *p == 'E') {
        p += p[1] == '+' || p[1] == '-' ? 2 : 1;
        size_t n = span_digits(p, decimal);
        if (n == 0)
            return false;
        p += n;
    }
    return *p == '\0';
}

/* 0x1f, 0o17, 0b11 */
static bool is_based(const char *text, int *ret_base) {
    static const struct {
        char letter;
        int base;
        const char *digits;
    } rows[] = {{'x', 16, "0123456789abcdefABCDEF"}, {'o', 8, "01234567"}, {'b', 2, "01"}};
    for (size_t i = 0; text[0] == '0' && i < sizeof rows / sizeof rows[0]; i++)
        if (text[1] == rows[i].letter) {
            size_t n = span_digits(text + 2, rows[i].digits);
            *ret_base = rows[i].base;
            return n > 0 && text[2 + n] == '\0';
        }
    return false;
}

static cJSON *make_number(const char *text, int base) {
    char digits[128];
    size_t n = 0;
    for (; *text != '\0' && n + 1 < sizeof digits; text++)
        if (*text != '_')
            digits[n++] = *text;
    digits[n] = '\0';
    return cJSON_CreateNumber(base == 10 ? strtod(digits, NULL)
                                         : (double)strtoull(digits + 2, NULL, base));
}

static int parse_word(struct toml *t, cJSON **ret) {
    static const char *const odd[] = {"inf", "+inf", "-inf", "nan", "+nan", "-nan"};
    char word[128];
    size_t n = 0;
    while (t->at < t->end && n + 1 < sizeof word &&
           (isalnum((unsigned char)*t->at) || strchr("+-_.:", *t->at) != NULL ||
            /* a blank between date and time */
            (*t->at == ' ' && n == 10 && word[4] == '-' && t->end - t->at > 2 &&
             isdigit((unsigned char)t->at[1]) && isdigit((unsigned char)t->at[2]))) &&
           *t->at != '\0')
        word[n++] = *t->at++;
    word[n] = '\0';
    int base = 10;
    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0)
        *ret = cJSON_CreateBool(word[0] == 't');
    else if (is_number(word) || is_based(word, &base))
        *ret = make_number(word, base);
    else if (is_time(word))
        *ret = cJSON_CreateString(word);
    else {
        for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
            if (strcmp(word, odd[i]) == 0) {
                *ret = cJSON_CreateString(word);
                return *ret == NULL ? no_memory(t) : 0;
            }
        return fail(t, "no value that TOML knows");
    }
    return *ret == NULL ? no_memory(t) : 0;
}

static int parse_value(struct toml *t, int depth, cJSON **ret) {
    if (depth >= TOML_DEPTH_MAX)
        return err_set(t->err, ERRC_LIMIT, "line %zu: values are nested too deep", t->line);
    if (take(t, "["))
        return parse_array(t, depth, ret);
    if (take(t, "{"))
        return parse_inline(t, depth, ret);
    if (!is_at(t, "\"") && !is_at(t, "'"))
        return parse_word(t, ret);
    int rc = take_string(t);
    if (rc < 0)
        return rc;
    *ret = cJSON_CreateString(buf_cstr(&t->text));
    return *ret == NULL ? no_memory(t) : 0;
}

static int parse_line(struct toml *t) {
    skip_blanks(t);
    int rc = 0;
    if (is_at(t, "["))
        rc = parse_header(t);
    else if (t->at < t->end && *t->at != '\n' && *t->at != '#' && !is_at(t, "\r\n"))
        rc = parse_pair(t, t->table, 0);
    if (rc < 0)
        return rc;
    skip_blanks(t);
    rc = skip_comment(t);
    if (rc == 0 && t->at < t->end && !take_newline(t))
        rc = fail(t, "something is behind the value");
    return rc;
}

int toml_parse(struct str text, cJSON **ret, struct err *err) {
    struct toml t = {.at = text.ptr,
                     .end = text.len == 0 ? text.ptr : text.ptr + text.len,
                     .line = 1,
                     .root = cJSON_CreateObject(),
                     .text = BUF_INIT(BUF_MEDIUM),
                     .err = err};
    if (t.root == NULL)
        return no_memory(&t);
    t.root->valueint = OPEN_HEADED;
    t.table = t.root;
    (void)take(&t, "\xef\xbb\xbf"); /* a byte order mark */
    int rc = 0;
    while (rc == 0 && t.at < t.end)
        rc = parse_line(&t);
    buf_free(&t.text);
    if (rc < 0)
        cJSON_Delete(t.root);
    else
        *ret = t.root;
    return rc;
}
