/* The client's insides, shared by client.c (running several calls), attempt.c (one try over
 * libcurl), judge.c (what comes of its answer) and session.c (who signs). */
#pragma once

#include "providers/aws/client.h"
#include "providers/aws/request.h"
#include "providers/aws/retry.h"

#include <curl/curl.h>
#include <pthread.h>

enum { MULTIS_MAX = 16, CALLS_MAX = 16, NOTE_FROM_S = 2 };

struct aws_client {
    struct aws_client_in in;
    pthread_mutex_t mutex;          /* of the next four */
    CURLM *free_multis[MULTIS_MAX]; /* kept for their connections */
    size_t free_len;
    int quota;
    struct retry_rate rates[AWS_SERVICE_COUNT];
    atomic_long skew_s;      /* AWS's clock minus ours */
    atomic_long seen_skew_s; /* the same by the last answer, however small */
    atomic_size_t calls;
    pthread_mutex_t session_mutex; /* of what follows; held while credentials are looked for */
    struct aws_credentials credentials;
    unsigned generation; /* of the credentials; 0: none yet */
    double looked_s;     /* when they were looked for, by monotonic_s */
};

/* One attempt of one call. */
struct attempt {
    struct aws_client *client;
    struct aws_call *call;
    CURL *easy;
    struct curl_slist *headers;
    struct buf body;
    char date[64]; /* the answer's Date header */
    char request_id[96];
    char url[REQUEST_URL_SIZE];
    int number;          /* from 1 */
    int last_cost;       /* of the quota, for the last retry */
    long skew_s;         /* what it was signed with */
    unsigned generation; /* whose credentials it was signed with */
    bool renewed;        /* sent again with newer ones */
    bool reserved;       /* its turn is not_before_s */
    bool running, finished;
    double not_before_s;
    CURLcode code;
    struct buf denial; /* the encoded message of a refusal */
};

/* ---- attempt.c */

/* Is the run, or this call, to end now? */
bool attempt_is_cancelled(const struct attempt *a);

/* Signs and starts it; on failure it is not running. */
int attempt_start(struct attempt *a, CURLM *multi, struct err *err);
void attempt_end(struct attempt *a, CURLM *multi);
/* What libcurl says of an attempt that has no answer. */
void attempt_describe(const struct attempt *a, struct err *err);

/* ---- judge.c */

/* Looks at the end of an attempt: accepts or refuses it for good (a->finished), or sets when it is
 * to be made again. */
void attempt_judge(struct attempt *a, CURLM *multi);

/* ---- session.c */

/* Makes sure that there are credentials and that they last for some minutes more; looks for them
 * where not. Without an error the client has some. */
int session_ensure(struct aws_client *c, struct err *err);
/* Those of `generation` are said to have run out: looks for newer ones. False when there are none.
 */
bool session_renew(struct aws_client *c, unsigned generation);
/* Signs a call for the time `when`; which credentials it took goes to *ret_generation. */
int session_sign(struct aws_client *c, const struct aws_call *call, time_t when,
                 struct request *ret, unsigned *ret_generation, struct err *err);
