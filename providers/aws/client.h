/* Calls to AWS: signed, retried as the SDKs' standard mode does, several side by side from one
 * thread over connections that are kept for the run. One client may be used by many threads; each
 * thread's calls then go over connections of their own.
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html */
#pragma once

#include "providers/aws/config.h"
#include "providers/aws/credentials.h"
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
    bool is_unsigned; /* by nobody: for a token of another kind in the body */
    bool probe;       /* a refusal is an answer: nothing more is asked about it */
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
    /* Who acts; NULL: found by the chain of credentials.h when the first call is made, and again
     * before they run out. Outlives the client. */
    const struct aws_credentials *credentials;
    time_t (*now)(void *clock_ctx);
    void *clock_ctx;
    int (*random)(void *buffer, size_t len);
    atomic_int *cancel; /* 2 stops waiting */
    /* What is being waited for, for people; may be NULL. From any thread. */
    void (*note)(void *note_ctx, const char *text);
    void *note_ctx;
    /* Asks a person for something secret at the terminal (an MFA code); NULL where nobody is.
     * -ERRC_CANCELLED, -ERRC_AUTH. */
    int (*ask)(void *ask_ctx, const char *question, struct secret *ret, struct err *err);
    void *ask_ctx;
};

/* As a run has it; the credentials are yet to be found. */
struct run;
struct aws_client_in aws_client_in_run(const struct run *run, const struct aws_config *config);
/* No call is made yet. -ERRC_NOMEM. Close with aws_client_close (takes NULL), when no call runs. */
int aws_client_open(const struct aws_client_in *in, struct aws_client **ret, struct err *err);
void aws_client_close(struct aws_client *client);
/* Sends them side by side and returns when all have ended; each has its rc and err. Returns the
 * first rc that is not 0, and that err. */
int aws_call_many(struct aws_client *client, struct aws_call *calls, size_t n, struct err *err);
int aws_call(struct aws_client *client, struct aws_call *call, struct err *err);
size_t aws_client_calls(const struct aws_client *client); /* sent so far, retries included,
                                                           * without those with a `stop` */
/* Where the credentials that it signs with come from; "" before the first call. */
void aws_client_source(struct aws_client *client, char *ret, size_t size);
/* AWS's clock minus this machine's, in seconds, as the last answers told; 0 while nothing did. */
long aws_client_skew(const struct aws_client *client);

/* What a failed answer means: code, message and request id from its body (EC2's XML or SSM's JSON),
 * and a hint of what to do for the codes that people meet. An "encoded authorization failure
 * message" is left out: aws_encoded_denial. */
void aws_read_error(const char *action, long status, struct str body, struct err *err);
/* Appends the encoded message of a refusal (UnauthorizedOperation), which says which permission is
 * missing to those who may decode it; false when there is none. */
bool aws_encoded_denial(struct str body, struct buf *ret);
/* Asks STS what it says, and puts action, resource and reason into `err`; where that is not
 * allowed, a hint how somebody else can. Makes a call. */
void aws_explain_denial(struct aws_client *client, struct str encoded, struct err *err);
/* May a refusal be the fault of the credentials, or of what they are allowed? */
bool aws_blames_credentials(const struct err *err);
