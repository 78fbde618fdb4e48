/* The parts of a URI as Signature Version 4 wants them. berth posts to "/" without a query; paths
 * come from endpoints that somebody sets.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
#include "providers/aws/sign.h"

#include <stdlib.h>
#include <string.h>

static bool is_unreserved(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-_.~", c) != NULL);
}

static bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); }

static void add_encoded(struct str text, struct buf *out) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool escape =
            c == '%' && i + 2 < text.len && is_hex(text.ptr[i + 1]) && is_hex(text.ptr[i + 2]);
        if (is_unreserved(c) || escape)
            buf_addc(out, c);
        else
            buf_addf(out, "%%%02X", (unsigned)(unsigned char)c);
    }
}

void sign_add_path(struct str path, struct buf *out) {
    size_t start = out->len;
    bool folder = str_ends(path, STR("/")) || str_ends(path, STR("/.")) ||
                  str_ends(path, STR("/..")) || path.len == 0;
    struct str part;
    while (str_split(&path, '/', &part)) {
        if (part.len == 0 || str_eqc(part, "."))
            continue;
        if (str_eqc(part, "..")) {
            while (out->len > start && out->ptr[--out->len] != '/')
                continue;
            continue;
        }
        buf_addc(out, '/');
        add_encoded(part, out);
    }
    if (folder || out->len == start)
        buf_addc(out, '/');
}

struct parameter {
    struct buf name, value;
};

static int by_name(const void *a, const void *b) {
    const struct parameter *x = a;
    const struct parameter *y = b;
    int order = strcmp(buf_cstr(&x->name), buf_cstr(&y->name));
    return order != 0 ? order : strcmp(buf_cstr(&x->value), buf_cstr(&y->value));
}

int sign_add_query(struct str query, struct buf *out) {
    struct parameter parameters[SIGN_PARAMETERS_MAX];
    size_t n = 0;
    struct str part, name;
    bool fits = true;
    while (fits && query.len > 0 && str_split(&query, '&', &part)) {
        fits = n < SIGN_PARAMETERS_MAX;
        if (!fits || part.len == 0)
            continue;
        str_split(&part, '=', &name);
        parameters[n] = (struct parameter){BUF_INIT(BUF_SMALL), BUF_INIT(BUF_SMALL)};
        add_encoded(name, &parameters[n].name);
        add_encoded(part, &parameters[n].value);
        n++;
    }
    qsort(parameters, n, sizeof *parameters, by_name);
    for (size_t i = 0; i < n; i++) {
        buf_addf(out, "%s%s=%s", i == 0 ? "" : "&", buf_cstr(&parameters[i].name),
                 buf_cstr(&parameters[i].value));
        out->failed |= parameters[i].name.failed || parameters[i].value.failed;
        buf_free(&parameters[i].name);
        buf_free(&parameters[i].value);
    }
    return fits ? 0 : -ERRC_LIMIT;
}
