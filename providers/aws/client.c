#include "providers/aws/client.h"

#include "providers/aws/sign.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RETRY_QUOTA = 500,
    RETRY_COST = 5,
    TIMEOUT_COST = 10,
    BACKOFF_MAX_MS = 20000,
    CONNECT_TIMEOUT_MS = 10000,
    CALL_TIMEOUT_MS = 60000,
    MULTIS_MAX = 16,
    CALLS_MAX = 16,
    SKEW_MAX_S = 240
};

struct aws_client {
    struct aws_client_in in;
    pthread_mutex_t mutex;
    CURLM *free_multis[MULTIS_MAX]; /* kept for their connections */
    size_t free_len;
    int quota;
    long skew_s; /* AWS's clock minus ours */
    size_t calls;
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
    char url[512];
    int number; /* from 1 */
    bool running, finished;
    double not_before_s;
    CURLcode code;
};

static double monotonic_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int aws_client_open(const struct aws_client_in *in, struct aws_client **ret, struct err *err) {
    struct aws_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    client->in = *in;
    client->quota = RETRY_QUOTA;
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

size_t aws_client_calls(const struct aws_client *client) { return client->calls; }

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

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    const struct attempt *x = ctx;
    (void)a, (void)b, (void)c, (void)d;
    return x->client->in.cancel != NULL && atomic_load(x->client->in.cancel) > 1;
}

static void add_header(struct attempt *a, const char *name, const char *value) {
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    buf_addf(&line, "%s: %s", name, value);
    struct curl_slist *grown = line.failed ? NULL : curl_slist_append(a->headers, line.ptr);
    if (grown != NULL)
        a->headers = grown;
}

static const char *host_of(const char *url) {
    const char *at = strstr(url, "://");
    return at == NULL ? url : at + 3;
}

static int make_url(struct attempt *a, struct err *err) {
    const struct aws_config *config = a->client->in.config;
    static const char *const names[] = {[AWS_EC2] = "ec2", [AWS_SSM] = "ssm"};
    const char *given = a->call->service == AWS_EC2 ? config->endpoint_ec2 : config->endpoint_ssm;
    const char *suffix = strncmp(config->region, "cn-", 3) == 0 ? ".cn" : "";
    int len = given != NULL ? snprintf(a->url, sizeof a->url, "%s", given)
                            : snprintf(a->url, sizeof a->url, "https://%s.%s.amazonaws.com%s",
                                       names[a->call->service], config->region, suffix);
    if (len < 0 || (size_t)len + 2 > sizeof a->url)
        return err_set(err, ERRC_INVALID, "the endpoint's URL is too long");
    while (len > 0 && a->url[len - 1] == '/')
        a->url[--len] = '\0';
    return 0;
}

static int sign_attempt(struct attempt *a, struct err *err) {
    const struct aws_config *config = a->client->in.config;
    static const char *const names[] = {[AWS_EC2] = "ec2", [AWS_SSM] = "ssm"};
    static const char *const types[] = {[AWS_EC2] =
                                            "application/x-www-form-urlencoded; charset=utf-8",
                                        [AWS_SSM] = "application/x-amz-json-1.1"};
    time_t when = a->client->in.now(a->client->in.clock_ctx) + a->client->skew_s;
    char date[SIGN_DATE_SIZE];
    char target[128];
    sign_date(when, date);
    snprintf(target, sizeof target, "AmazonSSM.%s", a->call->action);
    struct str token = secret_reveal(&config->session_token);
    struct sign_header headers[5];
    size_t n = 0;
    headers[n++] = (struct sign_header){"content-type", str_of(types[a->call->service])};
    headers[n++] = (struct sign_header){"host", str_of(host_of(a->url))};
    headers[n++] = (struct sign_header){"x-amz-date", str_of(date)};
    if (token.len > 0)
        headers[n++] = (struct sign_header){"x-amz-security-token", token};
    if (a->call->service == AWS_SSM)
        headers[n++] = (struct sign_header){"x-amz-target", str_of(target)};
    const struct sign_input in = {
        .method = "POST",
        .path = "/",
        .query = {"", 0},
        .headers = headers,
        .headers_len = n,
        .body = a->call->body,
        .region = config->region,
        .service = names[a->call->service],
        .access_key = secret_reveal(&config->access_key),
        .secret_key = secret_reveal(&config->secret_key),
        .when = when,
    };
    _cleanup_buf_ struct buf authorization = BUF_INIT(BUF_SMALL);
    int rc = sign_authorization(&in, &authorization, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n; i++)
        if (strcmp(headers[i].name, "host") != 0)
            add_header(a, headers[i].name, headers[i].value.ptr);
    add_header(a, "authorization", buf_cstr(&authorization));
    add_header(a, "expect", ""); /* no 100-continue: it costs a round trip */
    return 0;
}

static int start_attempt(struct attempt *a, CURLM *multi, struct err *err) {
    a->easy = curl_easy_init();
    buf_reset(&a->body);
    a->body.max = XML_BYTES_MAX;
    a->date[0] = a->request_id[0] = '\0';
    int rc = a->easy == NULL ? err_set(err, ERRC_NOMEM, "out of memory") : make_url(a, err);
    if (rc == 0)
        rc = sign_attempt(a, err);
    if (rc < 0)
        return rc;
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
    if (strncmp(a->url, "http://127.", 11) == 0 || strncmp(a->url, "http://localhost", 16) == 0)
        curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
    if (curl_multi_add_handle(multi, e) != CURLM_OK)
        return err_set(err, ERRC_NOMEM, "out of memory");
    pthread_mutex_lock(&a->client->mutex);
    a->client->calls++;
    pthread_mutex_unlock(&a->client->mutex);
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

static void transport_error(const struct attempt *a, struct err *err) {
    if (a->code == CURLE_ABORTED_BY_CALLBACK) {
        err_set(err, ERRC_CANCELLED, "%s: interrupted", a->call->action);
        return;
    }
    bool timeout = a->code == CURLE_OPERATION_TIMEDOUT;
    err_set(err, timeout ? ERRC_TIMEOUT : ERRC_NET, "%s: cannot reach %s: %s, after %d %s",
            a->call->action, a->url, curl_easy_strerror(a->code), a->number,
            a->number == 1 ? "try" : "tries");
    err_hint(err, "check the network%s",
             a->client->in.config->endpoint_ec2 != NULL ? ", and the endpoint that is set" : "");
}

static bool is_transient(long status, const char *code) {
    return status == 500 || status == 502 || status == 503 || status == 504 ||
           strcmp(code, "RequestTimeout") == 0 || strcmp(code, "RequestTimeoutException") == 0;
}

static bool is_skew(const char *code) {
    return strcmp(code, "RequestExpired") == 0 || strcmp(code, "RequestTimeTooSkewed") == 0 ||
           strcmp(code, "SignatureDoesNotMatch") == 0 || strcmp(code, "AuthFailure") == 0 ||
           strcmp(code, "InvalidSignatureException") == 0;
}

/* Learns AWS's clock from the Date header; true when ours is so far off that signing again may
 * help. */
static bool correct_skew(struct attempt *a) {
    time_t theirs = curl_getdate(a->date, NULL);
    if (theirs == (time_t)-1)
        return false;
    long skew = (long)(theirs - a->client->in.now(a->client->in.clock_ctx));
    if (labs(skew - a->client->skew_s) < SKEW_MAX_S)
        return false;
    pthread_mutex_lock(&a->client->mutex);
    a->client->skew_s = skew;
    pthread_mutex_unlock(&a->client->mutex);
    return true;
}

static bool spend(struct aws_client *c, int cost) {
    pthread_mutex_lock(&c->mutex);
    bool good = c->quota >= cost;
    if (good)
        c->quota -= cost;
    pthread_mutex_unlock(&c->mutex);
    return good;
}

static double backoff_s(struct attempt *a) {
    uint32_t r = 0;
    if (a->client->in.random(&r, sizeof r) < 0)
        r = UINT32_MAX / 2;
    double most = 1000.0 * (double)(1 << (a->number - 1));
    if (most > BACKOFF_MAX_MS)
        most = BACKOFF_MAX_MS;
    return most / 1000.0 * (double)r / (double)UINT32_MAX;
}

/* True when the call is to be sent again, at a->not_before_s. */
static bool wants_retry(struct attempt *a, bool sent, long status, const char *code) {
    if (a->number >= a->client->in.config->max_attempts)
        return false;
    bool throttled = aws_is_throttle(code);
    if (is_skew(code) && correct_skew(a)) {
        a->not_before_s = 0;
        return true;
    }
    bool again = !sent || throttled || (is_transient(status, code) && !a->call->once);
    int cost = a->code == CURLE_OPERATION_TIMEDOUT ? TIMEOUT_COST : RETRY_COST;
    if (!again || !spend(a->client, cost))
        return false;
    a->not_before_s = monotonic_s() + backoff_s(a);
    return true;
}

static void judge(struct attempt *a, CURLM *multi) {
    struct aws_call *call = a->call;
    long status = 0;
    curl_easy_getinfo(a->easy, CURLINFO_RESPONSE_CODE, &status);
    end_attempt(a, multi);
    if (a->code != CURLE_OK) {
        transport_error(a, &call->err);
        call->rc = -call->err.code;
        /* A call that may have been carried out is not sent again unless that is harmless. */
        bool sent =
            a->code != CURLE_COULDNT_CONNECT && a->code != CURLE_COULDNT_RESOLVE_HOST && call->once;
        if (a->code != CURLE_ABORTED_BY_CALLBACK && wants_retry(a, sent, 0, ""))
            return;
    } else if (status < 200 || status > 299) {
        aws_read_error(call->action, status, buf_str(&a->body), &call->err);
        if (call->err.aws_request_id[0] == '\0')
            memcpy(call->err.aws_request_id, a->request_id, sizeof a->request_id);
        call->rc = -call->err.code;
        if (wants_retry(a, true, status, call->err.aws_code))
            return;
        if (status == 401 || status == 403 || is_skew(call->err.aws_code)) {
            const char *source = a->client->in.config->source;
            size_t used = strlen(call->err.msg);
            snprintf(call->err.msg + used, sizeof call->err.msg - used, " (credentials from %s)",
                     source);
        }
    } else {
        call->rc = 0;
        if (a->number == 1) {
            pthread_mutex_lock(&a->client->mutex);
            a->client->quota += a->client->quota < RETRY_QUOTA;
            pthread_mutex_unlock(&a->client->mutex);
        }
        call->answer = a->body;
        a->body = BUF_INIT(XML_BYTES_MAX);
        if (call->service == AWS_EC2 &&
            (call->xml = xml_parse(call->arena, buf_str(&call->answer), &call->err)) == NULL) {
            err_wrap(&call->err, "%s", call->action);
            call->rc = -call->err.code;
        }
    }
    a->finished = true;
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
        double next = now + 1;
        for (size_t i = 0; i < n; i++) {
            struct attempt *a = &attempts[i];
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
    if (n > CALLS_MAX)
        return err_set(err, ERRC_INTERNAL, "too many calls at once");
    CURLM *multi = take_multi(client);
    if (multi == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        calls[i].answer = BUF_INIT(XML_BYTES_MAX);
        calls[i].xml = NULL;
        attempts[i] =
            (struct attempt){.client = client, .call = &calls[i], .body = BUF_INIT(XML_BYTES_MAX)};
    }
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
