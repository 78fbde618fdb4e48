/* What comes of an answer: it is accepted, refused for good, or the call is made again. */
#include "providers/aws/client_internal.h"

#include "providers/provider.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SKEW_MAX_S = 240 };

/* Trying again would end the same. */
static bool is_permanent(CURLcode code) {
    switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_FAILED_INIT:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_WRITE_ERROR: /* our own cap on the answer */
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        return true;
    default:
        return false;
    }
}

/* Learns AWS's clock from the Date header; true when the one that this try was signed by is so far
 * off that signing again may help: a call beside it may have learned it meanwhile. */
static bool correct_skew(struct attempt *a) {
    time_t theirs = curl_getdate(a->date, NULL);
    if (theirs == (time_t)-1)
        return false;
    long skew = (long)(theirs - a->client->in.now(a->client->in.clock_ctx));
    if (labs(skew - a->skew_s) < SKEW_MAX_S)
        return false;
    atomic_store(&a->client->skew_s, skew);
    return true;
}

/* The session has ended: the same again with newer credentials, if there are any. Nothing was
 * carried out, so that this is good for any call. */
static bool renew(struct attempt *a) {
    if (a->renewed || !retry_is_expiry(a->call->err.aws_code) || a->call->is_unsigned)
        return false;
    a->renewed = true;
    a->not_before_s = 0;
    return session_renew(a->client, a->generation);
}

/* Too many calls: everybody who calls this service slows down. */
static void slow_down(const struct attempt *a, const struct retry_try *t) {
    struct aws_client *c = a->client;
    bool throttled = retry_is_throttle(t);
    pthread_mutex_lock(&c->mutex);
    if (throttled)
        retry_rate_cut(&c->rates[a->call->service], monotonic_s());
    pthread_mutex_unlock(&c->mutex);
}

static void say_pause(const struct attempt *a, const struct retry_try *t, double pause_s) {
    const struct aws_client_in *in = &a->client->in;
    const char *why = a->call->err.aws_code[0] != '\0' ? a->call->err.aws_code
                      : t->timed_out                   ? "no answer in time"
                                                       : "no good answer";
    char text[256];
    if (in->note == NULL || pause_s < NOTE_FROM_S)
        return;
    snprintf(text, sizeof text, "%s: %s; asking AWS again in %.0f s (try %d of %d)",
             a->call->action, why, pause_s, t->number + 1, t->max_attempts);
    in->note(in->note_ctx, text);
}

/* True when the call is to be sent again, at a->not_before_s. */
static bool wants_retry(struct attempt *a, long status, long request_size) {
    struct aws_client *c = a->client;
    const struct retry_try t = {
        .number = a->number,
        .max_attempts = a->call->stop != NULL ? 1 : c->in.config->max_attempts,
        .once = a->call->once,
        .unsent = status == 0 && request_size == 0,
        .permanent = is_permanent(a->code),
        .timed_out = a->code == CURLE_OPERATION_TIMEDOUT,
        .status = status,
        .code = a->call->err.aws_code,
    };
    if (t.number < t.max_attempts && retry_is_skew(t.code) && correct_skew(a)) {
        a->not_before_s = 0;
        return true;
    }
    if (renew(a))
        return true;
    slow_down(a, &t);
    int cost = retry_cost(&t);
    pthread_mutex_lock(&c->mutex);
    bool again = cost > 0 && retry_spend(&c->quota, cost);
    pthread_mutex_unlock(&c->mutex);
    if (!again)
        return false;
    uint32_t random = 0;
    if (c->in.random(&random, sizeof random) < 0)
        random = UINT32_MAX / 2;
    a->last_cost = cost;
    double pause_s = retry_pause_s(a->number, random);
    a->not_before_s = monotonic_s() + pause_s;
    say_pause(a, &t, pause_s);
    return true;
}

/* What more is to be said of an answer that stands: how often it came, and for every refusal that
 * may be the credentials' fault, where those came from. */
static void add_details(const struct attempt *a, struct err *err) {
    size_t used = strlen(err->msg);
    if (a->code == CURLE_OK && a->number > 1)
        snprintf(err->msg + used, sizeof err->msg - used, " (after %d tries)", a->number);
    if (!aws_blames_credentials(err) || a->call->is_unsigned)
        return;
    char source[sizeof((struct aws_credentials *)NULL)->source];
    aws_client_source(a->client, source, sizeof source);
    used = strlen(err->msg);
    snprintf(err->msg + used, sizeof err->msg - used, " (credentials from %s)", source);
}

/* Good XML of somebody else, a proxy's login page, must not pass for an empty list. */
static int read_answer(struct aws_call *call, const char *url) {
    call->xml = xml_parse(call->arena, buf_str(&call->answer), &call->err);
    if (call->xml == NULL)
        return err_wrap(&call->err, "%s", call->action);
    struct str name = str_of(call->xml->name);
    if (str_starts(name, str_of(call->action)) && str_ends(name, STR("Response")))
        return 0;
    call->xml = NULL;
    err_set(&call->err, ERRC_NET, "%s: the answer is not AWS's", call->action);
    err_hint(&call->err, "it came from %s: is that AWS?", url);
    return -ERRC_NET;
}

static void accept_answer(struct attempt *a) {
    struct aws_call *call = a->call;
    pthread_mutex_lock(&a->client->mutex);
    retry_give_back(&a->client->quota, a->last_cost);
    retry_rate_recover(&a->client->rates[call->service]);
    pthread_mutex_unlock(&a->client->mutex);
    call->answer = a->body;
    a->body = BUF_INIT(XML_BYTES_MAX);
    call->rc = request_is_query(call->service) ? read_answer(call, a->url) : 0;
}

static void learn_skew(const struct attempt *a) {
    time_t theirs = curl_getdate(a->date, NULL);
    if (theirs != (time_t)-1)
        atomic_store(&a->client->seen_skew_s,
                     (long)(theirs - a->client->in.now(a->client->in.clock_ctx)));
}

void attempt_judge(struct attempt *a, CURLM *multi) {
    struct aws_call *call = a->call;
    long status = 0, request_size = 0;
    curl_easy_getinfo(a->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(a->easy, CURLINFO_REQUEST_SIZE, &request_size);
    attempt_end(a, multi);
    a->finished = true;
    if (a->code == CURLE_OK)
        learn_skew(a);
    if (a->code == CURLE_OK && status >= 200 && status <= 299) {
        accept_answer(a);
        return;
    }
    if (a->code != CURLE_OK) {
        status = 0; /* an answer that broke off is none */
        attempt_describe(a, &call->err);
    } else {
        aws_read_error(call->action, status, buf_str(&a->body), &call->err);
        if (call->err.aws_code[0] == '\0')
            err_hint(&call->err, "it came from %s: is that AWS?", a->url);
        if (call->err.aws_request_id[0] == '\0')
            memcpy(call->err.aws_request_id, a->request_id, sizeof a->request_id);
        if (!call->probe && call->stop == NULL)
            aws_encoded_denial(buf_str(&a->body), &a->denial);
    }
    call->rc = -call->err.code;
    if (wants_retry(a, status, request_size))
        a->finished = false;
    else
        add_details(a, &call->err);
}
