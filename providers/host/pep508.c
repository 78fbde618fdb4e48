#include "providers/host/pep508.h"

#include "providers/host/internal.h"
#include "specs/sections/check.h"

#include <ctype.h>
#include <string.h>

enum { DEPTH_MAX = 32, OPERAND_MAX = 256, PATCHES_MAX = 8 };

struct marker {
    struct str rest;
    const struct marker_env *env;
    int depth;
};

enum operand_type { LITERAL, VERSION, TEXT, EXTRA };

struct operand {
    enum operand_type type;
    char text[OPERAND_MAX];
};

static void skip(struct str *s) {
    while (s->len > 0 && (*s->ptr == ' ' || *s->ptr == '\t'))
        *s = (struct str){s->ptr + 1, s->len - 1};
}

static bool take(struct str *s, const char *word) {
    skip(s);
    if (!str_starts(*s, str_of(word)))
        return false;
    size_t len = strlen(word);
    *s = (struct str){s->ptr + len, s->len - len};
    return true;
}

static bool is_word_char(char c) { return isalnum((unsigned char)c) != 0 || c == '_' || c == '.'; }

/* `word`, and not the beginning of a longer one. */
static bool take_word(struct str *s, const char *word) {
    struct str before = *s;
    if (!take(s, word))
        return false;
    if (s->len == 0 || !is_word_char(*s->ptr))
        return true;
    *s = before;
    return false;
}

/* "3.12" of "3.12.4" */
static struct str minor_of(const char *python) {
    const char *dot = strchr(python, '.');
    dot = dot == NULL ? NULL : strchr(dot + 1, '.');
    return dot == NULL ? str_of(python) : (struct str){python, (size_t)(dot - python)};
}

/* A variable's value; false where there is none of that name. */
static bool set_variable(struct marker *m, struct str name, struct operand *ret) {
    const struct {
        const char *name;
        enum operand_type type;
        struct str value;
    } rows[] = {
        {"python_version", VERSION, minor_of(m->env->python)},
        {"python_full_version", VERSION, str_of(m->env->python)},
        {"implementation_version", VERSION, str_of(m->env->python)},
        {"sys_platform", TEXT, STR("linux")},
        {"platform_system", TEXT, STR("Linux")},
        {"os_name", TEXT, STR("posix")},
        {"platform_machine", TEXT, str_of(m->env->machine)},
        {"platform_python_implementation", TEXT, STR("CPython")},
        {"implementation_name", TEXT, STR("cpython")},
        {"platform_release", TEXT, STR("")},
        {"platform_version", TEXT, STR("")},
        {"extra", EXTRA, STR("")},
        {"os.name", TEXT, STR("posix")}, /* as they were once written */
        {"sys.platform", TEXT, STR("linux")},
        {"platform.machine", TEXT, str_of(m->env->machine)},
        {"python_implementation", TEXT, STR("CPython")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!str_eqc(name, rows[i].name) || rows[i].value.len >= sizeof ret->text)
            continue;
        ret->type = rows[i].type;
        memcpy(ret->text, rows[i].value.ptr, rows[i].value.len);
        ret->text[rows[i].value.len] = '\0';
        return true;
    }
    return false;
}

static bool take_operand(struct marker *m, struct operand *ret) {
    skip(&m->rest);
    if (m->rest.len == 0)
        return false;
    char quote = *m->rest.ptr;
    if (quote == '\'' || quote == '"') {
        const char *end = memchr(m->rest.ptr + 1, quote, m->rest.len - 1);
        size_t len = end == NULL ? SIZE_MAX : (size_t)(end - m->rest.ptr) - 1;
        if (len >= sizeof ret->text)
            return false;
        memcpy(ret->text, m->rest.ptr + 1, len);
        ret->text[len] = '\0';
        ret->type = LITERAL;
        m->rest = (struct str){end + 1, m->rest.len - len - 2};
        return memchr(ret->text, '\0', len) == NULL;
    }
    size_t n = 0;
    while (n < m->rest.len && is_word_char(m->rest.ptr[n]))
        n++;
    struct str name = {m->rest.ptr, n};
    m->rest = (struct str){m->rest.ptr + n, m->rest.len - n};
    return set_variable(m, name, ret);
}

enum operator{
    OP_IN,
    OP_NOT_IN,
    OP_IDENTICAL,
    OP_LE,
    OP_GE,
    OP_EQ,
    OP_NE,
    OP_COMPATIBLE,
    OP_LT,
    OP_GT,
    OP_NONE
};
static const char *const operators[] = {
    [OP_IDENTICAL] = "===", [OP_LE] = "<=",         [OP_GE] = ">=", [OP_EQ] = "==",
    [OP_NE] = "!=",         [OP_COMPATIBLE] = "~=", [OP_LT] = "<",  [OP_GT] = ">"};

static enum operator take_operator(struct str *s) {
    struct str before = *s;
    if (take_word(s, "not") && take_word(s, "in"))
        return OP_NOT_IN;
    *s = before;
    if (take_word(s, "in"))
        return OP_IN;
    for (size_t i = OP_IDENTICAL; i < OP_NONE; i++)
        if (take(s, operators[i]))
            return (enum operator)i;
    return OP_NONE;
}

/* Names of extras are compared as names are. */
static bool is_extra(const struct marker *m, const char *name) {
    const struct strlist *extras = m->env->extras;
    for (size_t i = 0; extras != NULL && i < extras->len; i++) {
        const char *a = extras->items[i], *b = name;
        for (; *a != '\0' && *b != '\0'; a++, b++) {
            bool separators = strchr("-_.", *a) != NULL && strchr("-_.", *b) != NULL;
            if (!separators && tolower((unsigned char)*a) != tolower((unsigned char)*b))
                break;
        }
        if (*a == '\0' && *b == '\0')
            return true;
    }
    return false;
}

/* Is `needle` in `text`: a part of it, or for versions one of its words? */
static bool is_in(const struct operand *needle, const struct operand *text) {
    if (needle->type != VERSION)
        return strstr(text->text, needle->text) != NULL;
    struct str rest = str_of(text->text);
    while (rest.len > 0) {
        size_t n = 0;
        while (n < rest.len && strchr(" ,|", rest.ptr[n]) == NULL)
            n++;
        char clause[OPERAND_MAX + 2] = "==";
        memcpy(clause + 2, rest.ptr, n);
        clause[n + 2] = '\0';
        if (n > 0 && pep440_matches(needle->text, clause))
            return true;
        n += n < rest.len ? 1 : 0;
        rest = (struct str){rest.ptr + n, rest.len - n};
    }
    return false;
}

static bool compare_texts(const char *a, enum operator op, const char *b) {
    int c = strcmp(a, b);
    switch (op) {
    case OP_IDENTICAL:
    case OP_EQ:
        return c == 0;
    case OP_NE:
        return c != 0;
    case OP_LE:
        return c <= 0;
    case OP_GE:
        return c >= 0;
    case OP_LT:
        return c < 0;
    case OP_GT:
        return c > 0;
    default:
        return false;
    }
}

/* "'3.8' <= python_version" is "python_version >= '3.8'". */
static enum operator mirrored(enum operator op) {
    static const enum operator mirror[] = {
        [OP_LE] = OP_GE, [OP_GE] = OP_LE, [OP_LT] = OP_GT, [OP_GT] = OP_LT};
    return op == OP_LE || op == OP_GE || op == OP_LT || op == OP_GT ? mirror[op] : op;
}

static int compare(const struct marker *m, const struct operand *left, enum operator op,
                   const struct operand *right) {
    bool inside = op == OP_IN || op == OP_NOT_IN;
    if (left->type == EXTRA || right->type == EXTRA) {
        bool is = is_extra(m, left->type == EXTRA ? right->text : left->text);
        return op == OP_EQ ? is : op == OP_NE ? !is : -ERRC_INVALID;
    }
    if (inside)
        return is_in(left, right) == (op == OP_IN);
    if (left->type != VERSION && right->type != VERSION)
        return compare_texts(left->text, op, right->text);
    if (left->type != VERSION) {
        const struct operand *swap = left;
        left = right;
        right = swap;
        op = mirrored(op);
    }
    char clause[OPERAND_MAX + 4];
    size_t len = strlen(operators[op]), more = strlen(right->text);
    memcpy(clause, operators[op], len);
    memcpy(clause + len, right->text, more + 1);
    return pep440_matches(left->text, clause);
}

static int evaluate_or(struct marker *m);

static int evaluate_one(struct marker *m) {
    struct operand left, right;
    if (take(&m->rest, "(")) {
        if (++m->depth > DEPTH_MAX)
            return -ERRC_INVALID;
        int holds = evaluate_or(m);
        m->depth--;
        return holds < 0 || take(&m->rest, ")") ? holds : -ERRC_INVALID;
    }
    if (!take_operand(m, &left))
        return -ERRC_INVALID;
    enum operator op = take_operator(&m->rest);
    return op == OP_NONE || !take_operand(m, &right) ? -ERRC_INVALID
                                                     : compare(m, &left, op, &right);
}

static int evaluate_and(struct marker *m) {
    int holds = evaluate_one(m);
    while (holds >= 0 && take_word(&m->rest, "and")) {
        int more = evaluate_one(m);
        holds = more < 0 ? more : holds && more;
    }
    return holds;
}

static int evaluate_or(struct marker *m) {
    int holds = evaluate_and(m);
    while (holds >= 0 && take_word(&m->rest, "or")) {
        int more = evaluate_and(m);
        holds = more < 0 ? more : holds || more;
    }
    return holds;
}

int marker_holds(struct str marker, const struct marker_env *env) {
    struct marker m = {.rest = str_trim(marker), .env = env};
    if (m.rest.len == 0)
        return 1;
    int holds = evaluate_or(&m);
    skip(&m.rest);
    return m.rest.len > 0 ? -ERRC_INVALID : holds;
}

int marker_patches(struct arena *arena, struct str marker, struct strlist *patches) {
    for (size_t i = 0; i + 4 < marker.len; i++) {
        if ((marker.ptr[i] != '\'' && marker.ptr[i] != '"') ||
            !str_starts((struct str){marker.ptr + i + 1, marker.len - i - 1}, STR("3.")))
            continue;
        char version[16];
        size_t n = 0, dots = 0;
        for (; i + 1 + n < marker.len && n + 1 < sizeof version; n++) {
            char c = marker.ptr[i + 1 + n];
            if (!isdigit((unsigned char)c) && c != '.')
                break;
            dots += c == '.';
            version[n] = c;
        }
        version[n] = '\0';
        if (dots == 2 && version[n - 1] != '.' && patches->len < PATCHES_MAX &&
            !strlist_has(patches, version) && strlist_add(arena, patches, version) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

/* ---- Requirements */

const char *package_name(struct arena *arena, struct str name) {
    char *out = arena_alloc(arena, name.len + 1);
    size_t n = 0;
    for (size_t i = 0; out != NULL && i < name.len; i++) {
        char c = name.ptr[i];
        if (c == '_' || c == '.')
            c = '-';
        if (c != '-' || n == 0 || out[n - 1] != '-')
            out[n++] = (char)tolower((unsigned char)c);
    }
    return out;
}

/* Without white space. */
static const char *squeeze(struct arena *arena, struct str text) {
    char *out = arena_alloc(arena, text.len + 1);
    size_t n = 0;
    for (size_t i = 0; out != NULL && i < text.len; i++)
        if (!isspace((unsigned char)text.ptr[i]))
            out[n++] = text.ptr[i];
    return out;
}

/* ">=2 ; MARKER", "(>=2)" → ">=2" */
static struct str take_specifier(struct str rest, struct str *ret_marker) {
    const char *semicolon = rest.len == 0 ? NULL : memchr(rest.ptr, ';', rest.len);
    size_t n = semicolon == NULL ? rest.len : (size_t)(semicolon - rest.ptr);
    if (semicolon != NULL)
        *ret_marker = str_trim((struct str){semicolon + 1, rest.len - n - 1});
    struct str specifier = str_trim((struct str){rest.ptr, n});
    if (specifier.len > 1 && specifier.ptr[0] == '(' && specifier.ptr[specifier.len - 1] == ')')
        specifier = str_trim((struct str){specifier.ptr + 1, specifier.len - 2});
    if (specifier.len > 1 && specifier.ptr[specifier.len - 1] == ',') /* more than PEP 508 has */
        specifier = str_trim((struct str){specifier.ptr, specifier.len - 1});
    return specifier;
}

/* Nothing else may come of it than a package: it becomes an argument of an installer. */
static int check_parts(struct arena *arena, struct str name, const char *extras,
                       struct str specifier) {
    const char *text = arena_printf(arena, "%.*s%s%s%.*s", STR_FMT(name), extras,
                                    specifier.len > 0 ? " " : "", STR_FMT(specifier));
    if (text == NULL)
        return -ERRC_NOMEM;
    return check_requirement(str_of(text)) == NULL ? 0 : -ERRC_INVALID;
}

int requirement_parse(struct arena *arena, struct str text, struct requirement *ret) {
    struct requirement r = {.extras = "", .specifier = ""};
    struct str rest = str_trim(text), specifier = {NULL, 0};
    size_t n = 0;
    while (n < rest.len && (is_word_char(rest.ptr[n]) || rest.ptr[n] == '-'))
        n++;
    if (n == 0 || memchr(rest.ptr, '\0', rest.len) != NULL)
        return -ERRC_INVALID;
    const struct str name = {rest.ptr, n};
    rest = (struct str){rest.ptr + n, rest.len - n};
    skip(&rest);
    if (rest.len > 0 && *rest.ptr == '[') {
        const char *end = memchr(rest.ptr, ']', rest.len);
        if (end == NULL)
            return -ERRC_INVALID;
        size_t len = (size_t)(end - rest.ptr) + 1;
        r.extras = squeeze(arena, (struct str){rest.ptr, len});
        if (r.extras != NULL && strcmp(r.extras, "[]") == 0)
            r.extras = "";
        rest = (struct str){rest.ptr + len, rest.len - len};
    }
    if (take(&rest, "@")) {
        rest = str_trim(rest);
        for (n = 0; n < rest.len && rest.ptr[n] != ' ';)
            n++;
        r.url = arena_dup_str(arena, (struct str){rest.ptr, n});
        if (r.url == NULL)
            return -ERRC_NOMEM;
    } else {
        specifier = take_specifier(rest, &r.marker);
        r.specifier = squeeze(arena, specifier);
    }
    r.name = package_name(arena, name);
    if (r.name == NULL || r.extras == NULL || r.specifier == NULL)
        return -ERRC_NOMEM;
    int rc = check_parts(arena, name, r.extras, specifier);
    if (rc == 0)
        *ret = r;
    return rc;
}
