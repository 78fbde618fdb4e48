#include "specs/secret.h"

#include "specs/err.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

int secret_set(struct secret *s, struct str value) {
    char *copy = calloc(1, value.len + 1);
    if (copy == NULL)
        return -ERRC_NOMEM;
    if (value.len > 0)
        memcpy(copy, value.ptr, value.len);
    secret_free(s);
    s->ptr = copy;
    s->len = value.len;
    return 0;
}

void secret_free(struct secret *s) {
    if (s->ptr != NULL) {
        OPENSSL_cleanse(s->ptr, s->len);
        free(s->ptr);
    }
    *s = (struct secret){0};
}

struct str secret_reveal(const struct secret *s) {
    return (struct str){s->ptr, s->len};
}
