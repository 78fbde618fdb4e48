#include "providers/aws/secrets.h"

#include "specs/err.h"

#include <string.h>

void aws_credentials_free(struct aws_credentials *c) {
    secret_free(&c->access_key);
    secret_free(&c->secret_key);
    secret_free(&c->session_token);
    c->expires = 0;
    c->source[0] = '\0';
}

int aws_credentials_set(struct aws_credentials *c, struct str access_key, struct str secret_key,
                        struct str session_token) {
    if (secret_set(&c->access_key, access_key) < 0 || secret_set(&c->secret_key, secret_key) < 0 ||
        secret_set(&c->session_token, session_token) < 0)
        return -ERRC_NOMEM;
    return 0;
}

int aws_credentials_copy(struct aws_credentials *to, const struct aws_credentials *from) {
    struct aws_credentials copy = {.expires = from->expires};
    memcpy(copy.source, from->source, sizeof copy.source);
    if (aws_credentials_set(&copy, secret_reveal(&from->access_key),
                            secret_reveal(&from->secret_key),
                            secret_reveal(&from->session_token)) < 0) {
        aws_credentials_free(&copy);
        return -ERRC_NOMEM;
    }
    aws_credentials_free(to);
    *to = copy;
    return 0;
}
