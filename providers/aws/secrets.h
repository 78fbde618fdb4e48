/* A set of AWS credentials: what requests are signed with. */
#pragma once

#include "specs/secret.h"

#include <time.h>

struct aws_credentials {
    struct secret access_key, secret_key;
    struct secret session_token; /* empty for the keys of a user */
    time_t expires;              /* 0: never */
    char source[384];            /* for messages: "the environment", "profile work of …" */
};

/* Wipes them; they can be filled again. */
void aws_credentials_free(struct aws_credentials *c);
/* 0 or -ERRC_NOMEM; `to` is left alone then, else freed before. */
int aws_credentials_copy(struct aws_credentials *to, const struct aws_credentials *from);
/* From texts; the token may be empty. 0 or -ERRC_NOMEM. */
int aws_credentials_set(struct aws_credentials *c, struct str access_key, struct str secret_key,
                        struct str session_token);

#define _cleanup_credentials_ __attribute__((cleanup(aws_credentials_free)))
