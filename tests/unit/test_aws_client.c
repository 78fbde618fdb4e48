/* The client against a server of ours on loopback that answers what each test writes down: which
 * calls are sent again and which never, whose clock counts, and what people are told. */
#define _GNU_SOURCE /* strcasestr */
#include "providers/aws/client.h"
#include "tests/unit/cm.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWERS_MAX = 8, REQUEST_MAX = 16384 };

struct answer {
    int status; /* 0: the connection is closed without one */
    const char *header;
    const char *body;
};

struct server {
    struct answer answers[ANSWERS_MAX]; /* the last one repeats */
    size_t len, taken;
    size_t gathers; /* so many connections are there before the first is answered */
    char requests[ANSWERS_MAX][REQUEST_MAX];
    int listener;
    char url[64];
    pthread_t thread;
};

/* One whole request, headers and body. */
static bool read_request(int fd, char *ret) {
    size_t len = 0;
    for (;;) {
        ssize_t n = recv(fd, ret + len, REQUEST_MAX - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        ret[len] = '\0';
        const char *end = strstr(ret, "\r\n\r\n");
        const char *length = strcasestr(ret, "content-length: ");
        if (end != NULL && length != NULL &&
            len >= (size_t)(end + 4 - ret) + strtoul(length + 16, NULL, 10))
            return true;
    }
}

static void answer_one(struct server *s, int fd) {
    char text[4096];
    const struct answer *a = &s->answers[s->taken < s->len ? s->taken : s->len - 1];
    char ignored[REQUEST_MAX];
    if (!read_request(fd, s->taken < ANSWERS_MAX ? s->requests[s->taken] : ignored))
        return;
    s->taken++;
    if (a->status == 0)
        return;
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n%s",
                       a->status, strlen(a->body), a->header == NULL ? "" : a->header, a->body);
    (void)!send(fd, text, (size_t)len, MSG_NOSIGNAL);
}

static void close_one(int fd) {
    shutdown(fd, SHUT_RDWR);
    close(fd);
}

/* Calls that are under way together: nobody's answer comes before the others were sent. */
static void answer_together(struct server *s) {
    int fds[ANSWERS_MAX];
    size_t n = 0;
    while (n < s->gathers && (fds[n] = accept(s->listener, NULL, NULL)) >= 0)
        n++;
    for (size_t i = 0; i < n; i++) {
        answer_one(s, fds[i]);
        close_one(fds[i]);
    }
}

static void *serve(void *arg) {
    struct server *s = arg;
    answer_together(s);
    for (;;) {
        int fd = accept(s->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        answer_one(s, fd);
        close_one(fd);
    }
}

static void start(struct server *s, const struct answer *answers, size_t len, size_t gathers) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *s = (struct server){.len = len, .gathers = gathers};
    memcpy(s->answers, answers, len * sizeof *answers);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->listener >= 0);
    assert_int_equal(bind(s->listener, (const struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(s->listener, 16), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop(struct server *s) {
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
}

/* ---- The client under test */

static time_t now(void *ctx) {
    (void)ctx;
    return 1440938160; /* 2015-08-30T12:36:00Z */
}

static int no_jitter(void *buffer, size_t len) {
    memset(buffer, 0, len);
    return 0;
}

struct rig {
    struct aws_config config;
    struct aws_client *client;
    struct arena arena;
    atomic_int cancel;
};

static void open_rig(struct rig *r, const char *url) {
    struct err err;
    *r = (struct rig){.config = {.region = "us-east-1",
                                 .source = "a test",
                                 .endpoints = {url, url, url, url},
                                 .max_attempts = 3}};
    assert_int_equal(secret_set(&r->config.access_key, STR("A")), 0);
    assert_int_equal(secret_set(&r->config.secret_key, STR("s")), 0);
    const struct aws_client_in in = {
        .config = &r->config, .now = now, .random = no_jitter, .cancel = &r->cancel};
    assert_int_equal(aws_client_open(&in, &r->client, &err), 0);
}

static void close_rig(struct rig *r) {
    aws_client_close(r->client);
    aws_config_free(&r->config);
    arena_free(&r->arena);
}

static int call(struct rig *r, bool once, struct err *err) {
    struct aws_call c = {.service = AWS_EC2,
                         .action = "DescribeX",
                         .body = STR("Action=DescribeX"),
                         .once = once,
                         .arena = &r->arena};
    *err = (struct err){0};
    int rc = aws_call(r->client, &c, err);
    buf_free(&c.answer);
    if (rc == 0)
        assert_string_equal(xml_text(c.xml, "v"), "1");
    return rc;
}

#define GOOD "<DescribeXResponse><v>1</v></DescribeXResponse>"
#define REFUSAL(code)                                                                              \
    "<Response><Errors><Error><Code>" code "</Code><Message>the message</Message></Error>"         \
    "</Errors><RequestID>req-1</RequestID></Response>"

/* What comes of a script of answers: the code, and how many requests the server saw. */
static void expect(const struct answer *answers, size_t len, bool once, int code, size_t requests,
                   const char *text) {
    struct server *s = calloc(1, sizeof *s);
    struct rig r;
    struct err err;
    assert_non_null(s);
    start(s, answers, len, 0);
    open_rig(&r, s->url);
    int rc = call(&r, once, &err);
    stop(s);
    if (rc != -code || s->taken != requests)
        fail_msg("%d after %zu requests, not %d after %zu: %s", -rc, s->taken, code, requests,
                 err.msg);
    assert_int_equal(aws_client_calls(r.client), requests);
    if (text != NULL && strstr(err.msg, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, text);
    if (rc < 0 && code == ERRC_AWS)
        assert_string_equal(err.aws_request_id, "req-1");
    close_rig(&r);
    free(s);
}

#define EXPECT(once, code, requests, text, ...)                                                    \
    do {                                                                                           \
        const struct answer answers_[] = {__VA_ARGS__};                                            \
        expect(answers_, sizeof answers_ / sizeof answers_[0], once, code, requests, text);        \
    } while (0)

static void test_retries(void **state) {
    (void)state;
    EXPECT(false, 0, 1, NULL, {200, NULL, GOOD});
    EXPECT(false, 0, 3, NULL, {500, NULL, ""}, {503, NULL, "<html/>"}, {200, NULL, GOOD});
    EXPECT(false, ERRC_AWS, 3, "the message", {503, NULL, REFUSAL("Unavailable")});
    EXPECT(false, ERRC_AWS, 1, "the message", {400, NULL, REFUSAL("InvalidParameterValue")});
    EXPECT(false, 0, 2, NULL, {0, NULL, NULL}, {200, NULL, GOOD});
    EXPECT(false, ERRC_NET, 3, "after 3 tries", {0, NULL, NULL});
    EXPECT(false, ERRC_NET, 3, "HTTP 502 and not AWS's (after 3 tries)",
           {502, NULL, "<html>proxy</html>"});
    EXPECT(false, ERRC_NET, 1, "not good XML", {200, NULL, "<html>proxy"});
    EXPECT(false, ERRC_NET, 1, "the answer is not AWS's", {200, NULL, "<html>proxy</html>"});
}

/* A lost answer to a call that is not idempotent: it is not sent again. */
static void test_once(void **state) {
    (void)state;
    EXPECT(true, ERRC_NET, 1, "after 1 try", {0, NULL, NULL});
    EXPECT(true, ERRC_AWS, 1, NULL, {500, NULL, REFUSAL("InternalError")});
    EXPECT(true, 0, 2, NULL, {503, NULL, REFUSAL("RequestLimitExceeded")}, {200, NULL, GOOD});
}

static void test_credentials(void **state) {
    (void)state;
    EXPECT(false, ERRC_AWS, 1, "(credentials from a test)", {401, NULL, REFUSAL("AuthFailure")});
    EXPECT(false, ERRC_AWS, 1, "(credentials from a test)",
           {403, NULL, REFUSAL("UnauthorizedOperation")});
    EXPECT(false, ERRC_AWS, 1, "(credentials from a test)",
           {400, NULL, REFUSAL("AccessDeniedException")});
    EXPECT(false, ERRC_AWS, 1, "(credentials from a test)", {400, NULL, REFUSAL("RequestExpired")});
}

/* The clock is wrong by an hour: signed again by AWS's, and from then on at once. */
static void test_skew(void **state) {
    (void)state;
    static const char date[] = "Date: Sun, 30 Aug 2015 13:36:00 GMT\r\n";
    const struct answer answers[] = {{400, date, REFUSAL("RequestExpired")}, {200, date, GOOD}};
    struct server *s = calloc(1, sizeof *s);
    struct rig r;
    struct err err;
    assert_non_null(s);
    start(s, answers, 2, 0);
    open_rig(&r, s->url);
    assert_int_equal(call(&r, true, &err), 0);
    assert_int_equal(call(&r, true, &err), 0);
    stop(s);
    assert_int_equal(s->taken, 3);
    assert_non_null(strstr(s->requests[0], "x-amz-date: 20150830T123600Z"));
    assert_non_null(strstr(s->requests[1], "x-amz-date: 20150830T133600Z"));
    assert_non_null(strstr(s->requests[2], "x-amz-date: 20150830T133600Z"));
    close_rig(&r);
    free(s);
    /* The same refusal with a date like ours is about the keys: once is enough. */
    EXPECT(false, ERRC_AWS, 1, "(credentials from a test)",
           {400, "Date: Sun, 30 Aug 2015 12:36:30 GMT\r\n", REFUSAL("SignatureDoesNotMatch")});
}

/* A plan's four calls, all signed before anybody knew: each is signed again. */
static void test_skew_side_by_side(void **state) {
    (void)state;
    static const char date[] = "Date: Sun, 30 Aug 2015 13:36:00 GMT\r\n";
    const struct answer answers[] = {{400, date, REFUSAL("RequestExpired")},
                                     {400, date, REFUSAL("RequestExpired")},
                                     {400, date, REFUSAL("RequestExpired")},
                                     {400, date, REFUSAL("RequestExpired")},
                                     {200, date, GOOD}};
    struct server *s = calloc(1, sizeof *s);
    struct aws_call calls[4];
    struct rig r;
    struct err err = {0};
    assert_non_null(s);
    start(s, answers, 5, 4);
    open_rig(&r, s->url);
    for (size_t i = 0; i < 4; i++)
        calls[i] = (struct aws_call){.service = AWS_EC2,
                                     .action = "DescribeX",
                                     .body = STR("Action=DescribeX"),
                                     .arena = &r.arena};
    if (aws_call_many(r.client, calls, 4, &err) < 0)
        fail_msg("%s", err.msg);
    stop(s);
    assert_int_equal(s->taken, 8);
    for (size_t i = 0; i < 4; i++)
        buf_free(&calls[i].answer);
    close_rig(&r);
    free(s);
}

static void test_endpoint_down(void **state) {
    (void)state;
    struct server *s = calloc(1, sizeof *s);
    struct rig r;
    struct err err;
    const struct answer none = {0, NULL, NULL};
    assert_non_null(s);
    start(s, &none, 1, 0); /* to have a port that nothing listens on afterwards */
    stop(s);
    open_rig(&r, s->url);
    assert_int_equal(call(&r, true, &err), -ERRC_NET); /* unsent: tried again all the same */
    assert_non_null(strstr(err.msg, s->url));
    assert_non_null(strstr(err.msg, "after 3 tries"));
    assert_non_null(strstr(err.hint, "endpoint"));
    atomic_store(&r.cancel, 2);
    assert_int_equal(call(&r, false, &err), -ERRC_CANCELLED);
    close_rig(&r);
    free(s);
}

/* Side by side: each has an answer or an error of its own. */
static void test_many(void **state) {
    (void)state;
    const struct answer answers[] = {
        {200, NULL, GOOD}, {400, NULL, REFUSAL("X")}, {200, NULL, GOOD}};
    struct server *s = calloc(1, sizeof *s);
    struct aws_call calls[3];
    struct rig r;
    struct err err = {0};
    size_t good = 0;
    assert_non_null(s);
    start(s, answers, 3, 0);
    open_rig(&r, s->url);
    for (size_t i = 0; i < 3; i++)
        calls[i] = (struct aws_call){.service = i == 2 ? AWS_SSM : AWS_EC2,
                                     .action = "DescribeX",
                                     .body = STR("Action=X"),
                                     .arena = &r.arena};
    assert_int_equal(aws_call_many(r.client, calls, 3, &err), -ERRC_AWS);
    assert_string_equal(err.aws_code, "X");
    for (size_t i = 0; i < 3; i++) {
        good += calls[i].rc == 0 && calls[i].answer.len == strlen(GOOD);
        buf_free(&calls[i].answer);
    }
    assert_int_equal(good, 2);
    stop(s);
    assert_int_equal(aws_client_calls(r.client), 3);
    close_rig(&r);
    free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retries),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_skew),
        cmocka_unit_test(test_skew_side_by_side),
        cmocka_unit_test(test_endpoint_down),
        cmocka_unit_test(test_many),
    };
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return 1;
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return rc;
}
