/* Calls to AWS: signed, retried as the SDKs' standard mode does, several side by side from one
 * thread over connections that are kept for the run. One client may be used by many threads; each
 * thread's calls then go over connections of their own.
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html */
#pragma once

#include "providers/aws/config.h"
#include "providers/aws/xml.h"
#include "specs/arena.h"
#include "specs/buf.h"
#include "specs/err.h"

#include <stdatomic.h>
#include <time.h>

struct aws_call {
    enum aws_service service;
    const char *action; /* for messages; JSON services: the X-Amz-Target's last part */
    struct str body;    /* form-encoded (EC2, STS) or JSON (SSM, Pricing) */
    bool once;          /* not idempotent and without a token: never sent twice */
    /* Not NULL: the run can do without the answer. It is sent once, it does not count, and it ends
     * when this is no longer 0. */
    const atomic_int *stop;
    /* filled: */
    struct buf answer;   /* body of a good answer; free with buf_free */
    struct xml *xml;     /* EC2, STS: parsed into the call's arena */
    struct arena *arena; /* set by the caller */
    int rc;              /* 0 or -code; then err */
    struct err err;
};

struct aws_client;

struct aws_client_in {
    const struct aws_config *config; /* outlives the client */
    time_t (*now)(void *clock_ctx);
    void *clock_ctx;
    int (*random)(void *buffer, size_t len);
    atomic_int *cancel; /* 2 stops waiting */
};

/* No call is made yet. -ERRC_NOMEM. Close with aws_client_close (takes NULL), when no call runs. */
int aws_client_open(const struct aws_client_in *in, struct aws_client **ret, struct err *err);
void aws_client_close(struct aws_client *client);
/* Sends them side by side and returns when all have ended; each has its rc and err. Returns the
 * first rc that is not 0, and that err. */
int aws_call_many(struct aws_client *client, struct aws_call *calls, size_t n, struct err *err);
int aws_call(struct aws_client *client, struct aws_call *call, struct err *err);
size_t aws_client_calls(const struct aws_client *client); /* sent so far, retries included,
                                                           * without those with a `stop` */

/* What a failed answer means: code, message and request id from its body (EC2's XML or SSM's JSON),
 * and a hint of what to do for the codes that people meet. */
void aws_read_error(const char *action, long status, struct str body, struct err *err);
/* May a refusal be the fault of the credentials, or of what they are allowed? */
bool aws_blames_credentials(const struct err *err);
