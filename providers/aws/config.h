/* Where credentials, region and endpoints come from: arguments, environment, and the shared files
 * ~/.aws/config and ~/.aws/credentials. The environment is an input.
 * https://docs.aws.amazon.com/sdkref/latest/guide/creds-config-files.html */
#pragma once

#include "specs/arena.h"
#include "specs/err.h"
#include "specs/secret.h"

/* The services that are called by signed requests; request.c has a row for each. Pricing is asked
 * in us-east-1 whatever the region is: it is offered in few. */
enum aws_service { AWS_EC2, AWS_SSM, AWS_STS, AWS_PRICING, AWS_SERVICE_COUNT };

struct aws_config {
    struct arena arena; /* owns the strings */
    struct secret access_key, secret_key, session_token;
    const char *source; /* for messages: "the environment", "profile research of …/credentials" */
    const char *region;
    const char *endpoints[AWS_SERVICE_COUNT]; /* by service; NULL: AWS's own */
    const char *ca_bundle;                    /* file of certificates; NULL: the machine's */
    int max_attempts;
};

struct aws_config_in {
    const char *(*env)(void *env_ctx, const char *name); /* NULL when unset */
    void *env_ctx;
    const char *profile, *region; /* of the spec, or NULL */
    /* The sandbox's: these win over everything. */
    const char *endpoint, *access_key, *secret_key;
};

/* Credentials: the spec's profile, else the environment's keys, else the profile of AWS_PROFILE or
 * "default". Region: the spec's, AWS_REGION, AWS_DEFAULT_REGION, the profile's. Endpoints:
 * AWS_ENDPOINT_URL_EC2 (_SSM, _STS, _PRICING), AWS_ENDPOINT_URL, the profile's `services` section,
 * its endpoint_url; none when AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is true. -ERRC_AUTH with where
 * was looked; -ERRC_UNSUPPORTED for a source that needs a call or a program first; -ERRC_INVALID
 * for a bad region or number; -ERRC_IO, -ERRC_NOMEM. `ret` is untouched then. Free with
 * aws_config_free. */
int aws_config_load(const struct aws_config_in *in, struct aws_config *ret, struct err *err);
/* The same for a run: its environment, and what it was given by the spec and the sandbox. */
struct run;
int aws_config_load_run(const struct run *run, struct aws_config *ret, struct err *err);
void aws_config_free(struct aws_config *config); /* wipes the secrets */
