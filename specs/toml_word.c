#include "specs/toml_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

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

int toml_word(struct toml *t, cJSON **ret) {
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
                return *ret == NULL ? toml_no_memory(t) : 0;
            }
        return toml_fail(t, "no value that TOML knows");
    }
    return *ret == NULL ? toml_no_memory(t) : 0;
}
