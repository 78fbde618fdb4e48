/* Who acts: the chain of sources that the AWS SDKs go through, from the first of which credentials
 * are taken. Sources that need a call or a program make it here, and nowhere earlier.
 * https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html */
#pragma once

#include "providers/aws/secrets.h"
#include "specs/arena.h"
#include "specs/err.h"

#include <stdbool.h>
#include <stddef.h>

struct aws_client_in;

/* What each source of the chain had, in the order in which they were looked at; for `doctor`. */
struct aws_trail {
    struct arena *arena; /* owns the texts */
    struct aws_trail_step {
        const char *source; /* "environment", "profile default" */
        const char *found;  /* "AWS_ACCESS_KEY_ID is not set" */
        bool taken, failed;
    } steps[8];
    size_t len;
};

/* The spec's profile; else the environment's keys, a web identity that the environment names, the
 * profile of AWS_PROFILE or "default", the container, the instance. A profile is, in this order: a
 * role (role_arn with source_profile or credential_source), a web identity, an SSO login, keys in
 * the credentials file, a program (credential_process), keys in the config file.
 * A source that is set up and does not work is an error: the next one would be somebody else.
 * `in` gives the configuration, the clock and who to ask. `trail` may be NULL.
 * -ERRC_AUTH with what to do, -ERRC_NET, -ERRC_AWS, -ERRC_UNSUPPORTED, -ERRC_CANCELLED,
 * -ERRC_NOMEM; `ret` is left alone then. Free with aws_credentials_free. */
int aws_credentials_find(const struct aws_client_in *in, struct aws_trail *trail,
                         struct aws_credentials *ret, struct err *err);
/* Can another look bring newer ones? */
bool aws_credentials_renewable(const struct aws_credentials *c);
