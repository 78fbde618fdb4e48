/* The transport: libcurl's multi interface over the signed requests of request.c, by the rules of
 * retry.c. */
#include "providers/aws/client.h"

#include "providers/aws/request.h"
#include "providers/aws/retry.h"
#include "providers/provider.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECT_TIMEOUT_MS = 10000,
    CALL_TIMEOUT_MS = 60000,
    MULTIS_MAX = 16,
    CALLS_MAX = 16,
    SKEW_MAX_S = 240
};

#define LOOK_S 0.2

struct aws_client {
    struct aws_client_in in;
    pthread_mutex_t mutex;
    CURLM *free_multis[MULTIS_MAX]; /* kept for their connections */
    size_t free_len;
    int quota;
    atomic_long skew_s; /* AWS's clock minus ours */
    atomic_size_t calls;
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
    int number;    /* from 1 */
    int last_cost; /* of the quota, for the last retry */
    long skew_s;   /* what it was signed with */
    bool running, finished;
    double not_before_s;
    CURLcode code;
};

int aws_client_open(const struct aws_client_in *in, struct aws_client **ret, struct err *err) {
    struct aws_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    client->in = *in;
    client->quota = RETRY_QUOTA_MAX;
    pthread_mutex_init(&client->mutex, NULL);
    *ret = client;
    return 0;
}

void aws_client_close(struct aws_client *client) {
    if (client == NULL)
        return;
    for (size_t i = 0; i < client->free_len; i++)
        curl_multi_cleanup(client->free_multis[i]);
    pthread_mutex_destroy(&client->mutex);
    free(client);
}

size_t aws_client_calls(const struct aws_client *client) { return atomic_load(&client->calls); }

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

/* ---- One attempt */

static size_t on_body(char *data, size_t size, size_t n, void *ctx) {
    struct attempt *a = ctx;
    buf_add(&a->body, data, size * n);
    return a->body.failed ? 0 : size * n;
}

static void keep_header(struct str line, const char *name, char *ret, size_t size) {
    size_t len = strlen(name);
    if (line.len <= len || strncasecmp(line.ptr, name, len) != 0)
        return;
    struct str value = str_trim((struct str){line.ptr + len, line.len - len});
    snprintf(ret, size, "%.*s", STR_FMT(value));
}

/* NOLINTNEXTLINE(readability-non-const-parameter): libcurl's type of callback */
static size_t on_header(char *data, size_t size, size_t n, void *ctx) {
    struct attempt *a = ctx;
    struct str line = {data, size * n};
    keep_header(line, "date:", a->date, sizeof a->date);
    keep_header(line, "x-amzn-requestid:", a->request_id, sizeof a->request_id);
    return size * n;
}

static bool is_cancelled(const struct attempt *a) {
    const struct aws_client *c = a->client;
    return (c->in.cancel != NULL && atomic_load(c->in.cancel) > 1) ||
           (a->call->stop != NULL && atomic_load(a->call->stop) != 0);
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    const struct attempt *x = ctx;
    (void)a, (void)b, (void)c, (void)d;
    return is_cancelled(x);
}

/* The lines of the signed request for libcurl, which takes copies; "Expect:" keeps it from asking
 * for a 100-continue, which costs a round trip. */
static int list_headers(struct attempt *a, const struct request *request) {
    struct curl_slist *grown = curl_slist_append(NULL, "expect:");
    for (size_t i = 0; grown != NULL && i < request->headers_len; i++) {
        a->headers = grown;
        grown = curl_slist_append(a->headers, request->headers[i].ptr);
    }
    if (grown == NULL)
        return -ERRC_NOMEM;
    a->headers = grown;
    return 0;
}

static void set_options(struct attempt *a) {
    const struct aws_config *config = a->client->in.config;
    CURL *e = a->easy;
    curl_easy_setopt(e, CURLOPT_URL, a->url);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)a->call->body.len);
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, a->call->body.ptr);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, a->headers);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "berth/" BERTH_VERSION);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, a);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, a);
    curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(e, CURLOPT_XFERINFODATA, a);
    curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)CALL_TIMEOUT_MS);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_PRIVATE, a);
    /* libcurl sends a request again by itself when a kept connection turns out to be dead, and
     * cannot know whether it was carried out. */
    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, a->call->once ? 1L : 0L);
    if (a->call->stop != NULL) /* nor for a name that is still looked up */
        curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    if (config->ca_bundle != NULL)
        curl_easy_setopt(e, CURLOPT_CAINFO, config->ca_bundle);
    if (strncmp(a->url, "http://127.", 11) == 0 || strncmp(a->url, "http://localhost", 16) == 0)
        curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
}

static int start_attempt(struct attempt *a, CURLM *multi, struct err *err) {
    struct aws_client *c = a->client;
    struct request request = {0};
    a->easy = curl_easy_init();
    buf_reset(&a->body);
    a->date[0] = a->request_id[0] = '\0';
    a->skew_s = atomic_load(&c->skew_s);
    time_t when = c->in.now(c->in.clock_ctx) + (time_t)a->skew_s;
    int rc = request_make(c->in.config, a->call, when, &request, err);
    if (rc == 0 && (a->easy == NULL || list_headers(a, &request) < 0))
        rc = err_set(err, ERRC_NOMEM, "out of memory");
    snprintf(a->url, sizeof a->url, "%s", request.url);
    request_free(&request);
    if (rc < 0)
        return rc;
    set_options(a);
    if (curl_multi_add_handle(multi, a->easy) != CURLM_OK)
        return err_set(err, ERRC_NOMEM, "out of memory");
    if (a->call->stop == NULL)
        atomic_fetch_add(&c->calls, 1);
    a->number++;
    a->running = true;
    return 0;
}

static void end_attempt(struct attempt *a, CURLM *multi) {
    if (a->easy != NULL && multi != NULL && a->running)
        curl_multi_remove_handle(multi, a->easy);
    curl_easy_cleanup(a->easy);
    curl_slist_free_all(a->headers);
    a->easy = NULL;
    a->headers = NULL;
    a->running = false;
}

/* ---- Judging an answer */

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

static void transport_error(const struct attempt *a, struct err *err) {
    const struct aws_config *config = a->client->in.config;
    if (a->code == CURLE_ABORTED_BY_CALLBACK) {
        err_set(err, ERRC_CANCELLED, "%s: interrupted", a->call->action);
        return;
    }
    if (a->code == CURLE_WRITE_ERROR) {
        err_set(err, ERRC_LIMIT, "%s: the answer of %s is longer than %d MiB", a->call->action,
                a->url, XML_BYTES_MAX / 1024 / 1024);
        return;
    }
    err_set(err, a->code == CURLE_OPERATION_TIMEDOUT ? ERRC_TIMEOUT : ERRC_NET,
            "%s: cannot reach %s: %s, after %d %s", a->call->action, a->url,
            curl_easy_strerror(a->code), a->number, a->number == 1 ? "try" : "tries");
    if (a->code == CURLE_PEER_FAILED_VERIFICATION || a->code == CURLE_SSL_CACERT_BADFILE)
        err_hint(err,
                 "its certificate is not signed by an authority of %s; AWS_CA_BUNDLE names "
                 "another file",
                 config->ca_bundle != NULL ? config->ca_bundle : "this machine");
    else
        err_hint(err, "check the network%s",
                 config->endpoints[a->call->service] != NULL ? ", and the endpoint that is set"
                                                             : "");
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
    a->not_before_s = monotonic_s() + retry_pause_s(a->number, random);
    return true;
}

/* What more is to be said of an answer that stands: how often it came, and for every refusal that
 * may be the credentials' fault, where those came from. */
static void add_details(const struct attempt *a, struct err *err) {
    size_t used = strlen(err->msg);
    if (a->code == CURLE_OK && a->number > 1)
        snprintf(err->msg + used, sizeof err->msg - used, " (after %d tries)", a->number);
    used = strlen(err->msg);
    if (aws_blames_credentials(err))
        snprintf(err->msg + used, sizeof err->msg - used, " (credentials from %s)",
                 a->client->in.config->source);
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
    pthread_mutex_unlock(&a->client->mutex);
    call->answer = a->body;
    a->body = BUF_INIT(XML_BYTES_MAX);
    call->rc = request_is_query(call->service) ? read_answer(call, a->url) : 0;
}

static void judge(struct attempt *a, CURLM *multi) {
    struct aws_call *call = a->call;
    long status = 0, request_size = 0;
    curl_easy_getinfo(a->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(a->easy, CURLINFO_REQUEST_SIZE, &request_size);
    end_attempt(a, multi);
    a->finished = true;
    if (a->code == CURLE_OK && status >= 200 && status <= 299) {
        accept_answer(a);
        return;
    }
    if (a->code != CURLE_OK) {
        status = 0; /* an answer that broke off is none */
        transport_error(a, &call->err);
    } else {
        aws_read_error(call->action, status, buf_str(&a->body), &call->err);
        if (call->err.aws_code[0] == '\0')
            err_hint(&call->err, "it came from %s: is that AWS?", a->url);
        if (call->err.aws_request_id[0] == '\0')
            memcpy(call->err.aws_request_id, a->request_id, sizeof a->request_id);
    }
    call->rc = -call->err.code;
    if (wants_retry(a, status, request_size))
        a->finished = false;
    else
        add_details(a, &call->err);
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
        judge(a, multi);
    }
}

static void run(CURLM *multi, struct attempt *attempts, size_t n) {
    for (;;) {
        size_t open = 0, waiting = 0;
        double now = monotonic_s();
        double next = now + LOOK_S; /* for the cancel flag */
        for (size_t i = 0; i < n; i++) {
            struct attempt *a = &attempts[i];
            if (!a->finished && !a->running && is_cancelled(a)) {
                a->call->rc =
                    err_set(&a->call->err, ERRC_CANCELLED, "%s: interrupted", a->call->action);
                a->finished = true;
            }
            if (!a->finished && !a->running && a->not_before_s <= now &&
                start_attempt(a, multi, &a->call->err) < 0) {
                a->call->rc = -a->call->err.code;
                end_attempt(a, multi);
                a->finished = true;
            }
            if (!a->finished && !a->running && a->not_before_s < next)
                next = a->not_before_s;
            open += !a->finished;
            waiting += !a->finished && !a->running;
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

int aws_call_many(struct aws_client *client, struct aws_call *calls, size_t n, struct err *err) {
    struct attempt attempts[CALLS_MAX];
    CURLM *multi = n > CALLS_MAX ? NULL : take_multi(client);
    for (size_t i = 0; i < n; i++) {
        calls[i].answer = BUF_INIT(XML_BYTES_MAX);
        calls[i].xml = NULL;
        calls[i].rc = 0;
    }
    if (multi == NULL) { /* nobody may take a call that was not made for an empty answer */
        err_set(err, n > CALLS_MAX ? ERRC_INTERNAL : ERRC_NOMEM, "cannot make %zu calls", n);
        for (size_t i = 0; i < n; i++) {
            calls[i].err = *err;
            calls[i].rc = -err->code;
        }
        return -err->code;
    }
    for (size_t i = 0; i < n; i++)
        attempts[i] =
            (struct attempt){.client = client, .call = &calls[i], .body = BUF_INIT(XML_BYTES_MAX)};
    run(multi, attempts, n);
    give_multi(client, multi);
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        buf_free(&attempts[i].body);
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
