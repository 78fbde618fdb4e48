/* The client: several calls side by side over libcurl's multi interface, by the rules of retry.c.
 */
#include "providers/aws/client_internal.h"

#include "providers/provider.h"

#include <stdio.h>
#include <stdlib.h>

#define LOOK_S 0.2

struct aws_client_in aws_client_in_run(const struct run *run, const struct aws_config *config) {
    return (struct aws_client_in){.config = config,
                                  .now = run->now,
                                  .clock_ctx = run->clock_ctx,
                                  .random = run->random,
                                  .cancel = run->cancel,
                                  .note = run->note,
                                  .note_ctx = run->note_ctx,
                                  .ask = run->ask,
                                  .ask_ctx = run->ask_ctx};
}

int aws_client_open(const struct aws_client_in *in, struct aws_client **ret, struct err *err) {
    struct aws_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return err_no_memory(err);
    client->in = *in;
    client->quota = RETRY_QUOTA_MAX;
    pthread_mutex_init(&client->mutex, NULL);
    pthread_mutex_init(&client->session_mutex, NULL);
    *ret = client;
    return 0;
}

void aws_client_close(struct aws_client *client) {
    if (client == NULL)
        return;
    for (size_t i = 0; i < client->free_len; i++)
        curl_multi_cleanup(client->free_multis[i]);
    pthread_mutex_destroy(&client->mutex);
    pthread_mutex_destroy(&client->session_mutex);
    aws_credentials_free(&client->credentials);
    free(client);
}

size_t aws_client_calls(const struct aws_client *client) { return atomic_load(&client->calls); }

long aws_client_skew(const struct aws_client *client) { return atomic_load(&client->seen_skew_s); }

static CURLM *take_multi(struct aws_client *c) {
    CURLM *multi = NULL;
    pthread_mutex_lock(&c->mutex);
    if (c->free_len > 0)
        multi = c->free_multis[--c->free_len];
    pthread_mutex_unlock(&c->mutex);
    return multi != NULL ? multi : curl_multi_init();
}

static void give_multi(struct aws_client *c, CURLM *multi) {
    pthread_mutex_lock(&c->mutex);
    bool kept = c->free_len < MULTIS_MAX;
    if (kept)
        c->free_multis[c->free_len++] = multi;
    pthread_mutex_unlock(&c->mutex);
    if (!kept)
        curl_multi_cleanup(multi);
}

/* ---- Running several */

static void collect(CURLM *multi) {
    int left;
    const CURLMsg *msg;
    while ((msg = curl_multi_info_read(multi, &left)) != NULL) {
        struct attempt *a = NULL;
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURLcode code = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&a);
        a->code = code;
        attempt_judge(a, multi);
    }
}

/* Takes a place in the row of those who call this service, where AWS has said that it is too much.
 */
static void reserve(struct attempt *a, double now) {
    struct aws_client *c = a->client;
    char text[128];
    pthread_mutex_lock(&c->mutex);
    a->not_before_s = retry_rate_reserve(&c->rates[a->call->service], now);
    pthread_mutex_unlock(&c->mutex);
    a->reserved = true;
    if (c->in.note == NULL || a->not_before_s - now < NOTE_FROM_S)
        return;
    snprintf(text, sizeof text, "%s: waiting %.0f s for its turn, as AWS limits the rate of calls",
             a->call->action, a->not_before_s - now);
    c->in.note(c->in.note_ctx, text);
}

/* Starts it if its time has come. */
static void step(struct attempt *a, CURLM *multi, double now) {
    if (a->finished || a->running)
        return;
    if (attempt_is_cancelled(a)) {
        a->call->rc = err_set(&a->call->err, ERRC_CANCELLED, "%s: interrupted", a->call->action);
        a->finished = true;
        return;
    }
    if (a->not_before_s <= now && !a->reserved)
        reserve(a, now);
    if (a->not_before_s > now)
        return;
    a->reserved = false;
    if (attempt_start(a, multi, &a->call->err) < 0) {
        a->call->rc = -a->call->err.code;
        attempt_end(a, multi);
        a->finished = true;
    }
}

static void run(CURLM *multi, struct attempt *attempts, size_t n) {
    for (;;) {
        size_t open = 0, waiting = 0;
        double now = monotonic_s();
        double next = now + LOOK_S; /* for the cancel flag */
        for (size_t i = 0; i < n; i++) {
            const struct attempt *a = &attempts[i];
            step(&attempts[i], multi, now);
            open += !a->finished;
            if (a->finished || a->running)
                continue;
            waiting++;
            if (a->not_before_s < next)
                next = a->not_before_s;
        }
        if (open == 0)
            return;
        int running = 0;
        curl_multi_perform(multi, &running);
        collect(multi);
        int wait_ms = (int)((next - now) * 1000) + 1;
        if (running > 0 || waiting > 0) /* else all have just ended: look again at once */
            curl_multi_poll(multi, NULL, 0, wait_ms, NULL);
    }
}

/* Nobody may take a call that was not made for an empty answer. */
static int refuse_all(struct aws_call *calls, size_t n, const struct err *err) {
    for (size_t i = 0; i < n; i++) {
        calls[i].err = *err;
        calls[i].rc = -err->code;
    }
    return -err->code;
}

static bool needs_signer(const struct aws_call *calls, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!calls[i].is_unsigned)
            return true;
    return false;
}

int aws_call_many(struct aws_client *client, struct aws_call *calls, size_t n, struct err *err) {
    struct attempt attempts[CALLS_MAX];
    for (size_t i = 0; i < n; i++) {
        calls[i].answer = BUF_INIT(XML_BYTES_MAX);
        calls[i].xml = NULL;
        calls[i].rc = 0;
    }
    if (n > CALLS_MAX) {
        err_set(err, ERRC_INTERNAL, "cannot make %zu calls", n);
        return refuse_all(calls, n, err);
    }
    if (needs_signer(calls, n) && session_ensure(client, err) < 0)
        return refuse_all(calls, n, err);
    CURLM *multi = take_multi(client);
    if (multi == NULL) {
        err_no_memory(err);
        return refuse_all(calls, n, err);
    }
    for (size_t i = 0; i < n; i++)
        attempts[i] = (struct attempt){.client = client,
                                       .call = &calls[i],
                                       .body = BUF_INIT(XML_BYTES_MAX),
                                       .denial = BUF_INIT(BUF_SMALL)};
    run(multi, attempts, n);
    give_multi(client, multi);
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        if (calls[i].rc < 0 && attempts[i].denial.len > 0)
            aws_explain_denial(client, buf_str(&attempts[i].denial), &calls[i].err);
        buf_free(&attempts[i].body);
        buf_free(&attempts[i].denial);
        if (calls[i].rc < 0 && rc == 0) {
            rc = calls[i].rc;
            *err = calls[i].err;
        }
    }
    return rc;
}

int aws_call(struct aws_client *client, struct aws_call *call, struct err *err) {
    return aws_call_many(client, call, 1, err);
}
