/* Version comparison as PEP 440 has it, for what a plan must know: is what is installed what is
 * asked for? Epochs, releases, pre/post/dev parts and == with a trailing .*; local versions are
 * ignored unless they are asked for. https://peps.python.org/pep-0440/ */
#include "providers/host/internal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { PARTS_MAX = 12 };

struct version {
    int64_t epoch, release[PARTS_MAX];
    size_t release_len;
    int phase;      /* dev < a < b < rc < final < post */
    int64_t number; /* of the pre, post or dev part */
    int64_t dev;    /* of a dev part behind that; INT64_MAX for none: it is before all else */
};

enum { PHASE_DEV, PHASE_A, PHASE_B, PHASE_RC, PHASE_FINAL, PHASE_POST };

static int64_t take_number(const char **at) {
    int64_t n = 0;
    while (isdigit((unsigned char)**at)) {
        if (n < INT64_MAX / 20)
            n = n * 10 + (**at - '0');
        (*at)++;
    }
    return n;
}

static bool take_word(const char **at, const char *word) {
    size_t len = strlen(word);
    if (strncasecmp(*at, word, len) != 0)
        return false;
    *at += len;
    return true;
}

static void skip_separator(const char **at) {
    if (**at == '.' || **at == '-' || **at == '_')
        (*at)++;
}

static bool take_part(const char **at, int *ret_phase, int64_t *ret_number) {
    static const struct {
        const char *word;
        int phase;
    } words[] = {{"dev", PHASE_DEV},   {"alpha", PHASE_A},    {"a", PHASE_A},
                 {"beta", PHASE_B},    {"b", PHASE_B},        {"rc", PHASE_RC},
                 {"c", PHASE_RC},      {"preview", PHASE_RC}, {"pre", PHASE_RC},
                 {"post", PHASE_POST}, {"rev", PHASE_POST},   {"r", PHASE_POST}};
    const char *p = *at;
    bool dash = *p == '-';
    skip_separator(&p);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!take_word(&p, words[i].word))
            continue;
        skip_separator(&p);
        *ret_phase = words[i].phase;
        *ret_number = take_number(&p);
        *at = p;
        return true;
    }
    if (!dash || !isdigit((unsigned char)*p))
        return false;
    *ret_phase = PHASE_POST; /* "1.0-1" */
    *ret_number = take_number(&p);
    *at = p;
    return true;
}

static void take_phase(const char **at, struct version *v) {
    int phase;
    int64_t number;
    v->dev = INT64_MAX;
    if (!take_part(at, &v->phase, &v->number) || !take_part(at, &phase, &number))
        return;
    if (phase == PHASE_POST && v->phase < PHASE_FINAL) {
        /* "1.0rc1.post2": rare enough; it is after its pre-release, which is all that is kept. */
        if (!take_part(at, &phase, &number))
            return;
    }
    if (phase == PHASE_DEV)
        v->dev = number;
}

/* What is behind it, which is "" or a local version; NULL for no version at all. */
static const char *parse(const char *text, struct version *v) {
    *v = (struct version){.phase = PHASE_FINAL};
    if (*text == 'v' || *text == 'V')
        text++;
    const char *bang = strchr(text, '!');
    bool good = bang == NULL;
    if (bang != NULL) {
        good = isdigit((unsigned char)*text) != 0;
        v->epoch = take_number(&text);
        good = good && text == bang;
        text = bang + 1;
    }
    while (v->release_len < PARTS_MAX && isdigit((unsigned char)*text)) {
        v->release[v->release_len++] = take_number(&text);
        if (*text != '.' || !isdigit((unsigned char)text[1]))
            break;
        text++;
    }
    take_phase(&text, v);
    return good && v->release_len > 0 ? text : NULL;
}

static int compare_i64(int64_t a, int64_t b) { return a < b ? -1 : a > b; }

static int compare(const struct version *a, const struct version *b) {
    int c = compare_i64(a->epoch, b->epoch);
    for (size_t i = 0; c == 0 && i < PARTS_MAX; i++)
        c = compare_i64(a->release[i], b->release[i]);
    if (c == 0)
        c = compare_i64(a->phase, b->phase);
    if (c == 0)
        c = compare_i64(a->number, b->number);
    return c != 0 ? c : compare_i64(a->dev, b->dev);
}

static bool same_prefix(const struct version *v, const struct version *prefix, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (v->release[i] != prefix->release[i])
            return false;
    return v->epoch == prefix->epoch;
}

static bool is_pre(const struct version *v) {
    return v->phase < PHASE_FINAL || v->dev != INT64_MAX;
}

/* "2.1.0+cu118" asks for that build; "2.1.0" for any. */
static bool same_local(const char *version, const char *wish) {
    const char *a = strchr(version, '+'), *b = strchr(wish, '+');
    if (a == NULL || b == NULL)
        return b == NULL;
    for (; *a != '\0' && *b != '\0'; a++, b++) {
        bool separators = strchr("-_.", *a) != NULL && strchr("-_.", *b) != NULL;
        if (!separators && tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
    }
    return *a == *b;
}

enum comparison {
    OP_IDENTICAL,
    OP_EQUAL,
    OP_NOT,
    OP_AT_MOST,
    OP_AT_LEAST,
    OP_COMPATIBLE,
    OP_BELOW,
    OP_ABOVE,
    OP_COUNT
};

/* Longer ones first: they begin like shorter ones. */
static const char *const operators[] = {
    [OP_IDENTICAL] = "===", [OP_EQUAL] = "==",      [OP_NOT] = "!=",  [OP_AT_MOST] = "<=",
    [OP_AT_LEAST] = ">=",   [OP_COMPATIBLE] = "~=", [OP_BELOW] = "<", [OP_ABOVE] = ">"};
_Static_assert(sizeof operators / sizeof operators[0] == OP_COUNT, "one text an operator");

static bool matches_one(const char *raw, const struct version *v, struct str clause) {
    char text[128];
    clause = str_trim(clause);
    size_t op = 0;
    while (op < OP_COUNT && !str_starts(clause, str_of(operators[op])))
        op++;
    if (op == OP_COUNT)
        return clause.len == 0;
    size_t skip = strlen(operators[op]);
    struct str rest = str_trim((struct str){clause.ptr + skip, clause.len - skip});
    if (rest.len >= sizeof text)
        return false;
    memcpy(text, rest.ptr, rest.len);
    text[rest.len] = '\0';
    bool wild = str_ends(rest, STR(".*"));
    if (wild)
        text[rest.len - 2] = '\0';
    struct version want;
    parse(text, &want);
    int c = compare(v, &want);
    bool same_release = same_prefix(v, &want, PARTS_MAX);
    switch (op) {
    case OP_IDENTICAL: {
        size_t len = strlen(text);
        return strncasecmp(raw, text, len) == 0 && raw[len] == '\0';
    }
    case OP_EQUAL:
        return wild ? same_prefix(v, &want, want.release_len) : c == 0 && same_local(raw, text);
    case OP_NOT:
        return wild ? !same_prefix(v, &want, want.release_len) : c != 0 || !same_local(raw, text);
    case OP_AT_MOST:
        return c <= 0;
    case OP_AT_LEAST:
        return c >= 0;
    case OP_COMPATIBLE:
        return c >= 0 && want.release_len > 1 && same_prefix(v, &want, want.release_len - 1);
    case OP_BELOW: /* a pre-release of the limit itself is not below it */
        return c < 0 && !(same_release && is_pre(v) && !is_pre(&want));
    default: /* nor is its post-release above it */
        return c > 0 && !(same_release && v->phase == PHASE_POST && want.phase != PHASE_POST);
    }
}

/* "+cu118": letters and digits, in parts that "-", "_" or "." end. */
static bool is_local(const char *text) {
    do {
        size_t len = 0;
        while (isalnum((unsigned char)text[len + 1]))
            len++;
        if (len == 0)
            return false;
        text += len + 1;
    } while (*text != '\0' && strchr("-_.", *text) != NULL);
    return *text == '\0';
}

/* What each operator may have behind its version:
 * https://packaging.python.org/en/latest/specifications/version-specifiers/#id5 */
static bool is_clause(struct str clause) {
    char text[128];
    size_t op = 0;
    while (op < OP_COUNT && !str_starts(clause, str_of(operators[op])))
        op++;
    size_t len = op == OP_COUNT ? 0 : strlen(operators[op]);
    if (len == 0 || clause.len - len >= sizeof text || clause.len == len)
        return false;
    memcpy(text, clause.ptr + len, clause.len - len);
    text[clause.len - len] = '\0';
    bool equal = op == OP_EQUAL || op == OP_NOT, wild = str_ends(str_of(text), STR(".*"));
    if (wild)
        text[clause.len - len - 2] = '\0';
    struct version v;
    const char *rest = parse(text, &v);
    if (op == OP_IDENTICAL)
        return true;
    if (rest == NULL ||
        (wild && (!equal || v.phase == PHASE_DEV || v.dev != INT64_MAX || *rest != '\0')) ||
        (op == OP_COMPATIBLE && v.release_len < 2))
        return false;
    return *rest == '\0' || (*rest == '+' && equal && is_local(rest));
}

bool pep440_is_specifier(const char *specifier) {
    struct str rest = str_of(specifier), clause;
    while (rest.len > 0 && str_split(&rest, ',', &clause))
        if (!is_clause(clause))
            return false;
    return true;
}

bool pep440_matches(const char *version, const char *specifier) {
    struct version v;
    parse(version, &v);
    if (strcmp(specifier, "any") == 0)
        return true;
    struct str rest = str_of(specifier);
    struct str clause;
    while (str_split(&rest, ',', &clause))
        if (!matches_one(version, &v, clause))
            return false;
    return true;
}
