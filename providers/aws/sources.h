/* The sources of credentials, one file each, and what they share. Inside providers/aws/ only. */
#pragma once

#include "providers/aws/client.h"
#include "providers/aws/credentials.h"

#include <cjson/cJSON.h>

enum { CHAIN_DEPTH_MAX = 16, ANSWER_MAX = 256 * 1024 };

/* One look through the chain. */
struct chain {
    const struct aws_client_in *in;
    const struct aws_config *config;
    struct arena arena;
    const char *visited[CHAIN_DEPTH_MAX]; /* profiles on the way here: A's source_profile is B */
    size_t visited_len;
    const char *found; /* what the source that was asked last has, in a few words */
};

/* 0: `ret` is filled; 1: this source is not set up, chain->found says why; or -ERRC_…. */
int source_environment(struct chain *c, struct aws_credentials *ret, struct err *err);
int source_web_identity(struct chain *c, struct aws_credentials *ret, struct err *err);
int source_container(struct chain *c, struct aws_credentials *ret, struct err *err);
int source_imds(struct chain *c, struct aws_credentials *ret, struct err *err);
/* The same for what a profile can be. */
int source_profile(struct chain *c, const char *profile, struct aws_credentials *ret,
                   struct err *err);
int source_role(struct chain *c, const char *profile, struct aws_credentials *ret, struct err *err);
int source_profile_web_identity(struct chain *c, const char *profile, struct aws_credentials *ret,
                                struct err *err);
int source_sso(struct chain *c, const char *profile, struct aws_credentials *ret, struct err *err);
int source_process(struct chain *c, const char *profile, struct aws_credentials *ret,
                   struct err *err);

/* The region of the instance that this runs on, or NULL: no instance, or not allowed to ask. */
const char *source_imds_region(const struct aws_config *config, struct arena *arena);
/* May a container's credentials come from this URL? Over http only from this machine or from the
 * addresses that AWS serves them at. */
bool source_container_allows(const char *url);
/* Splits a command line as a POSIX shell would without any of its expansions: white space, '…',
 * "…", backslashes. Ends with NULL, lives in `arena`; NULL for quotes that do not end, or no word.
 */
char **source_split_command(struct arena *arena, struct str command);
/* Time of the form 2006-01-02T15:04:05Z, with fractions or an offset; also "…UTC". */
bool source_parse_time(const char *text, time_t *ret);

/* A profile's setting in the chain's arena, or NULL. */
const char *source_setting(struct chain *c, const char *profile, const char *key);
/* Sets chain->found, printf-like; 1 for a source's return. */
int source_none(struct chain *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* From the JSON that containers, instances and programs give: AccessKeyId, SecretAccessKey,
 * `token` ("Token" or "SessionToken"), Expiration. -ERRC_AUTH when the keys are not there or have
 * expired. */
int source_take_json(struct chain *c, const cJSON *json, const char *token,
                     struct aws_credentials *ret, struct err *err);
/* Deletes it after its texts are wiped. Takes NULL. */
void source_json_free(cJSON *json);
time_t source_now(const struct chain *c);

/* A plain HTTP request: metadata services and SSO are not signed. */
struct http {
    const char *method, *url;
    const char *headers[5]; /* lines; NULL for none */
    struct str body;
    long timeout_ms;
    bool direct; /* by no proxy: it is on this machine or link */
    const char *ca_bundle;
    atomic_int *cancel; /* 2 ends it; or NULL */
    /* filled: */
    long status;
    struct buf answer; /* wipe it with buf_wipe, also after a failure */
};
/* 0 for any answer, whatever its status; -ERRC_NET, -ERRC_TIMEOUT, -ERRC_CANCELLED. */
int http_send(struct http *h, struct err *err);
