/* The client against a server of ours on loopback that answers what each test writes down: which
 * calls are sent again and which never, whose clock counts, and what people are told. */
#include "providers/aws/client.h"
#include "providers/aws/client_internal.h"
#include "tests/unit/cm.h"
#include "tests/unit/loopback.h"

#include <curl/curl.h>

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
    struct aws_credentials credentials;
    struct aws_client *client;
    struct arena arena;
    atomic_int cancel;
};

static void open_rig(struct rig *r, const char *url) {
    struct err err;
    *r = (struct rig){
        .config = {.region = "us-east-1", .endpoints = {url, url, url, url}, .max_attempts = 3}};
    assert_int_equal(
        aws_credentials_set(&r->credentials, STR("A"), STR("s"), (struct str){NULL, 0}), 0);
    snprintf(r->credentials.source, sizeof r->credentials.source, "a test");
    const struct aws_client_in in = {.config = &r->config,
                                     .credentials = &r->credentials,
                                     .now = now,
                                     .random = no_jitter,
                                     .cancel = &r->cancel};
    assert_int_equal(aws_client_open(&in, &r->client, &err), 0);
}

static void close_rig(struct rig *r) {
    aws_client_close(r->client);
    aws_credentials_free(&r->credentials);
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

/* ---- Credentials that run out: a container's, found by the client itself */

#define BOX(id, until)                                                                             \
    "{\"AccessKeyId\":\"" id                                                                       \
    "\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"" until "\"}"
#define LATE "2015-08-30T14:36:00Z"

static const char *container_url(void *ctx, const char *name) {
    return strcmp(name, "AWS_CONTAINER_CREDENTIALS_FULL_URI") == 0 ? ctx : NULL;
}

/* Makes `n` calls one after another against a script in which the container answers too. */
static void with_container(const struct answer *answers, size_t len, size_t n, int code,
                           struct server *s, const char *text) {
    struct err err = {0};
    struct rig r = {0};
    start(s, answers, len, 0);
    r.config = (struct aws_config){.region = "us-east-1",
                                   .profile = "default",
                                   .env = container_url,
                                   .env_ctx = s->url,
                                   .endpoints = {s->url, s->url, s->url, s->url},
                                   .max_attempts = 3};
    const struct aws_client_in in = {
        .config = &r.config, .now = now, .random = no_jitter, .cancel = &r.cancel};
    assert_int_equal(aws_client_open(&in, &r.client, &err), 0);
    assert_int_equal(s->taken, 0); /* opening asks nobody */
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = call(&r, true, &err);
    stop(s);
    if (rc != -code || s->taken != len)
        fail_msg("%d after %zu requests, not %d after %zu: %s", -rc, s->taken, code, len, err.msg);
    if (text != NULL && strstr(err.msg, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, text);
    close_rig(&r);
}

#define WITH_CONTAINER(n, code, s, text, ...)                                                      \
    do {                                                                                           \
        const struct answer answers_[] = {__VA_ARGS__};                                            \
        with_container(answers_, sizeof answers_ / sizeof answers_[0], n, code, s, text);          \
    } while (0)

static void test_found_once(void **state) {
    (void)state;
    struct server *s = calloc(1, sizeof *s);
    assert_non_null(s);
    WITH_CONTAINER(2, 0, s, NULL, {200, NULL, BOX("FIRST", LATE)}, {200, NULL, GOOD},
                   {200, NULL, GOOD});
    assert_non_null(strstr(s->requests[2], "Credential=FIRST/"));
    /* Two minutes before they run out newer ones are looked for, once a minute at most. */
    WITH_CONTAINER(2, 0, s, NULL, {200, NULL, BOX("FIRST", "2015-08-30T12:38:00Z")},
                   {200, NULL, GOOD}, {200, NULL, GOOD});
    WITH_CONTAINER(1, ERRC_AUTH, s, "the container's credentials: they expired at",
                   {200, NULL, BOX("FIRST", "2015-08-30T12:35:00Z")});
    free(s);
}

static void test_session_ended(void **state) {
    (void)state;
    struct server *s = calloc(1, sizeof *s);
    assert_non_null(s);
    /* Also a call that must not be sent twice: it was refused, not carried out. */
    WITH_CONTAINER(1, 0, s, NULL, {200, NULL, BOX("FIRST", LATE)},
                   {400, NULL, REFUSAL("ExpiredToken")}, {200, NULL, BOX("SECOND", LATE)},
                   {200, NULL, GOOD});
    assert_non_null(strstr(s->requests[1], "Credential=FIRST/"));
    assert_non_null(strstr(s->requests[3], "Credential=SECOND/"));
    /* Once. */
    WITH_CONTAINER(1, ERRC_AWS, s, "(after 2 tries) (credentials from the container",
                   {200, NULL, BOX("FIRST", LATE)}, {400, NULL, REFUSAL("RequestExpired")},
                   {200, NULL, BOX("SECOND", LATE)}, {400, NULL, REFUSAL("ExpiredToken")});
    free(s);
    /* Keys that are given cannot be renewed. */
    EXPECT(false, ERRC_AWS, 1, "(credentials from a test)", {400, NULL, REFUSAL("ExpiredToken")});
}

/* ---- What is behind a refusal */

#define DENIED                                                                                     \
    "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized. " \
    "Encoded authorization failure message: abc-DEF_1</Message></Error></Errors>"                  \
    "<RequestID>req-1</RequestID></Response>"
#define DECODED(deny)                                                                              \
    "<DecodeAuthorizationMessageResponse><DecodeAuthorizationMessageResult><DecodedMessage>"       \
    "{\"allowed\":false,\"explicitDeny\":" deny ",\"context\":{\"action\":\"ec2:RunInstances\","   \
    "\"resource\":\"arn:aws:ec2:us-east-1:1:instance/*\"}}</DecodedMessage>"                       \
    "</DecodeAuthorizationMessageResult></DecodeAuthorizationMessageResponse>"

static void expect_denial(const struct answer *answers, const char *msg, const char *hint) {
    struct server *s = calloc(1, sizeof *s);
    struct rig r;
    struct err err;
    assert_non_null(s);
    start(s, answers, 2, 0);
    open_rig(&r, s->url);
    assert_int_equal(call(&r, false, &err), -ERRC_AWS);
    stop(s);
    assert_int_equal(s->taken, 2);
    assert_non_null(strstr(s->requests[1], "Action=DecodeAuthorizationMessage&Version=2011-06-15&"
                                           "EncodedMessage=abc-DEF_1"));
    if (strstr(err.msg, msg) == NULL || strstr(err.hint, hint) == NULL)
        fail_msg("\"%s\" (%s) does not say \"%s\" (%s)", err.msg, err.hint, msg, hint);
    assert_string_equal(err.aws_code, "UnauthorizedOperation");
    assert_string_equal(err.aws_request_id, "req-1");
    close_rig(&r);
    free(s);
}

/* Too many calls of one service: whoever calls it next waits for its turn; others do not. */
static void test_throttle(void **state) {
    (void)state;
    const struct answer answers[] = {{503, NULL, REFUSAL("RequestLimitExceeded")},
                                     {200, NULL, GOOD}};
    struct server *s = calloc(1, sizeof *s);
    struct rig r;
    struct err err;
    assert_non_null(s);
    start(s, answers, 2, 0);
    open_rig(&r, s->url);
    assert_int_equal(call(&r, true, &err), 0);
    stop(s);
    assert_int_equal(s->taken, 2);
    assert_true(r.client->rates[AWS_EC2].per_s > 0);
    assert_true(r.client->rates[AWS_EC2].next_s > 0);
    assert_true(r.client->rates[AWS_SSM].per_s <= 0);
    close_rig(&r);
    /* Any other failure is nobody else's matter. */
    const struct answer busy[] = {{503, NULL, REFUSAL("Unavailable")}, {200, NULL, GOOD}};
    start(s, busy, 2, 0);
    open_rig(&r, s->url);
    s->taken = 0;
    assert_int_equal(call(&r, false, &err), 0);
    stop(s);
    assert_true(r.client->rates[AWS_EC2].per_s <= 0);
    close_rig(&r);
    free(s);
}

static void test_denial(void **state) {
    (void)state;
    const struct answer allowed[] = {{403, NULL, DENIED}, {200, NULL, DECODED("false")}};
    expect_denial(allowed,
                  "You are not authorized (credentials from a test); denied: ec2:RunInstances on "
                  "arn:aws:ec2:us-east-1:1:instance/*, which no policy allows",
                  "berth doctor");
    const struct answer forbidden[] = {{403, NULL, DENIED}, {200, NULL, DECODED("true")}};
    expect_denial(forbidden, "which a policy forbids", "a Deny in some policy");
    const struct answer hidden[] = {
        {403, NULL, DENIED},
        {403, NULL, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"}};
    expect_denial(hidden, "the encoded message: abc-DEF_1", "aws sts decode-authorization-message");
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
        cmocka_unit_test(test_found_once),
        cmocka_unit_test(test_session_ended),
        cmocka_unit_test(test_denial),
        cmocka_unit_test(test_throttle),
    };
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return 1;
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return rc;
}
