/* Where region, endpoints and settings come from: arguments, environment, and the shared files
 * ~/.aws/config and ~/.aws/credentials. The environment is an input. Who acts is found later, when
 * the first call is made: credentials.h.
 * https://docs.aws.amazon.com/sdkref/latest/guide/creds-config-files.html */
#pragma once

#include "providers/aws/secrets.h"
#include "specs/arena.h"
#include "specs/buf.h"
#include "specs/err.h"

/* The services that are called by signed requests; request.c and config.c have a row for each.
 * Pricing is asked in us-east-1 whatever the region is: it is offered in few. */
enum aws_service { AWS_EC2, AWS_SSM, AWS_STS, AWS_PRICING, AWS_SERVICE_COUNT };

/* One of the shared files, read once. */
struct aws_shared {
    struct buf text; /* may hold keys: wiped */
    char path[1024];
};

struct aws_config {
    struct arena arena; /* owns the strings */
    const char *(*env)(void *env_ctx, const char *name);
    void *env_ctx;
    struct aws_shared config_file, credentials_file;
    const char *profile;           /* the one that is used: "default" when nobody names any */
    const char *profile_from;      /* "the spec", "AWS_PROFILE"; NULL: nobody named it */
    bool profile_wins;             /* the spec names it: it is stronger than the environment */
    struct aws_credentials *given; /* the sandbox's: nobody's files are asked; NULL otherwise */
    const char *region;
    const char *region_from;                  /* "the spec", "AWS_REGION", … */
    const char *endpoints[AWS_SERVICE_COUNT]; /* by service; NULL: AWS's own */
    const char *endpoints_from[AWS_SERVICE_COUNT];
    const char *endpoint_sso, *endpoint_oidc; /* NULL: AWS's own */
    bool sts_global;                          /* STS at its one global endpoint of old */
    const char *ca_bundle;                    /* file of certificates; NULL: the machine's */
    int max_attempts;
};

struct aws_config_in {
    const char *(*env)(void *env_ctx, const char *name); /* NULL when unset; outlives the config */
    void *env_ctx;
    const char *profile, *region;           /* of the spec, or NULL */
    const char *profile_from, *region_from; /* who says so; NULL: "the spec" */
    /* The sandbox's: these win over everything. */
    const char *endpoint, *access_key, *secret_key;
};

/* Region: the spec's, AWS_REGION, AWS_DEFAULT_REGION, the profile's, and last that of the instance
 * that this runs on, the one thing here that takes a call. Endpoints: AWS_ENDPOINT_URL_EC2 (_SSM,
 * _STS, _PRICING), AWS_ENDPOINT_URL, the profile's `services` section, its endpoint_url; none when
 * AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is true.
 * -ERRC_AUTH when a profile that is named does not exist; -ERRC_INVALID for a bad region or number;
 * -ERRC_IO, -ERRC_NOMEM. `ret` is untouched then. Free with aws_config_free. */
int aws_config_load(const struct aws_config_in *in, struct aws_config *ret, struct err *err);
/* The same for a run: its environment, and what it was given by the spec and the sandbox. */
struct run;
int aws_config_load_run(const struct run *run, struct aws_config *ret, struct err *err);
void aws_config_free(struct aws_config *config); /* wipes the secrets */

/* A variable; NULL when it is unset or empty. */
const char *aws_config_env(const struct aws_config *config, const char *name);
/* Is it set to "true"? */
bool aws_config_env_true(const struct aws_config *config, const char *name);
/* A setting of a profile, whichever file it stands in: that of `credentials` counts when it stands
 * in both. False when it is unset or empty. The view is into the file's text. */
bool aws_profile_get(const struct aws_config *config, const char *profile, const char *key,
                     struct str *ret);
/* The same in one of the files only. */
bool aws_profile_get_in(const struct aws_config *config, const struct aws_shared *file,
                        const char *profile, const char *key, struct str *ret);
bool aws_profile_exists(const struct aws_config *config, const char *profile);
/* A setting of the section "[KIND NAME]" of the config file ("sso-session corp"). */
bool aws_section_get(const struct aws_config *config, const char *kind, const char *name,
                     const char *key, struct str *ret);
/* The path that a user wrote, with "~/" taken as the home folder. NULL when it is too long. */
const char *aws_config_path(const struct aws_config *config, struct arena *arena,
                            struct str written);
