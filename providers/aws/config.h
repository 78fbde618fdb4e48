/* Where credentials, region and endpoints come from: arguments, environment, and the shared files
 * ~/.aws/config and ~/.aws/credentials.
 * https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html */
#pragma once

#include "specs/arena.h"
#include "specs/buf.h"
#include "specs/err.h"
#include "specs/secret.h"

struct aws_config {
    struct arena arena;
    struct secret access_key, secret_key, session_token;
    const char *source; /* "environment", "profile research of ~/.aws/credentials" */
    const char *region;
    const char *endpoint_ec2, *endpoint_ssm; /* NULL: AWS's own */
    int max_attempts;
};

struct aws_config_in {
    const char *(*env)(void *env_ctx, const char *name);
    void *env_ctx;
    const char *profile, *region; /* of the spec, or NULL */
    /* The sandbox's: these win over everything. */
    const char *endpoint, *access_key, *secret_key;
};

/* -ERRC_AUTH with where was looked; -ERRC_INVALID for no region. Free with aws_config_free. */
int aws_config_load(const struct aws_config_in *in, struct aws_config *ret, struct err *err);
void aws_config_free(struct aws_config *config);

/* The value of `key` in `[section]` of an INI text as AWS's files are written; nested keys
 * (indented below `parent =`) when `parent` is not NULL. false when absent. */
bool ini_get(struct str text, const char *section, const char *parent, const char *key,
             struct str *ret);
