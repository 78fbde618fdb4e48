/* Unit prices of EC2 against a server of ours on loopback: what is asked, what is made of the
 * answers, and what is kept. */
#include "providers/ec2/internal.h"
#include "providers/ec2/prices.h"
#include "tests/unit/cm.h"
#include "tests/unit/loopback.h"

static time_t now;
static char folder[64];

static time_t get_now(void *ctx) {
    (void)ctx;
    return now;
}

static const char *get_env(void *ctx, const char *name) {
    (void)ctx;
    return strcmp(name, "BERTH_CACHE_DIR") == 0 ? folder : NULL;
}

static int no_jitter(void *buffer, size_t len) {
    memset(buffer, 0, len);
    return 0;
}

struct rig {
    struct server server;
    struct run run;
    struct aws_credentials credentials;
    struct ec2_session session;
    struct arena arena;
    atomic_int stop;
};

static void open_rig(struct rig *r, int status, const char *body) {
    const struct answer answer = {.status = status, .body = body};
    struct err err;
    *r = (struct rig){0};
    start(&r->server, &answer, 1, 0);
    r->run = (struct run){.now = get_now, .env = get_env};
    r->session.run = &r->run;
    r->session.config.region = "eu-west-1";
    r->session.config.max_attempts = 3;
    for (size_t i = 0; i < AWS_SERVICE_COUNT; i++)
        r->session.config.endpoints[i] = r->server.url;
    assert_int_equal(
        aws_credentials_set(&r->credentials, STR("A"), STR("s"), (struct str){NULL, 0}), 0);
    const struct aws_client_in in = {.config = &r->session.config,
                                     .credentials = &r->credentials,
                                     .now = get_now,
                                     .random = no_jitter};
    assert_int_equal(aws_client_open(&in, &r->session.client, &err), 0);
}

static void close_rig(struct rig *r) {
    aws_client_close(r->session.client);
    aws_credentials_free(&r->credentials);
    arena_free(&r->arena);
    stop(&r->server);
}

static struct price ask(struct rig *r, const char *name) {
    struct price price = {.name = name, .why = "late"};
    ec2_price(&r->session, &price, 1, &r->arena, &r->stop);
    return price;
}

static void assert_near(double a, double b) { assert_true(a - b < 1e-9 && b - a < 1e-9); }

#define ITEM(type, zone, product, usd, when)                                                       \
    "<item><instanceType>" type "</instanceType><productDescription>" product                      \
    "</productDescription><spotPrice>" usd "</spotPrice><timestamp>" when                          \
    "</timestamp><availabilityZone>" zone "</availabilityZone></item>"
#define LINUX "Linux/UNIX"
#define HISTORY(items)                                                                             \
    "<DescribeSpotPriceHistoryResponse><requestId>r</requestId><spotPriceHistorySet>" items        \
    "</spotPriceHistorySet></DescribeSpotPriceHistoryResponse>"

static const char *const history = HISTORY(
    ITEM("t3.small", "eu-west-1a", LINUX, "0.006500", "2026-11-26T12:00:00.000Z")
        ITEM("t3.small", "eu-west-1b", LINUX, "0.007200", "2026-11-26T11:00:00.000Z")
            ITEM("t3.small", "eu-west-1a", LINUX, "0.009900", "2026-11-25T12:00:00.000Z")
                ITEM("t3.small", "eu-west-1c", "Windows", "0.020000", "2026-11-26T12:00:00.000Z")
                    ITEM("t3.large", "eu-west-1c", LINUX, "0.030000", "2026-11-26T12:00:00.000Z"));

/* The newest of each zone; without a zone the highest, above which nobody pays. */
static void test_spot(void **state) {
    (void)state;
    struct rig r;
    open_rig(&r, 200, history);
    struct price price = ask(&r, "spot t3.small eu-west-1a");
    assert_true(price.known);
    assert_null(price.why);
    assert_near(price.usd, 0.0065);
    const char *asked = r.server.requests[0];
    assert_non_null(strstr(asked, "Action=DescribeSpotPriceHistory"));
    assert_non_null(strstr(asked,
                           "&InstanceType.1=t3.small&ProductDescription.1=Linux%2FUNIX"
                           "&AvailabilityZone=eu-west-1a&StartTime=2026-11-26T12%3A30%3A00Z"));
    price = ask(&r, "spot t3.small");
    assert_near(price.usd, 0.0072);
    assert_null(strstr(r.server.requests[1], "AvailabilityZone"));
    price = ask(&r, "spot t3.small eu-west-1c"); /* sold to Windows alone there */
    assert_false(price.known);
    assert_string_equal(price.why, "the spot market has none");
    close_rig(&r);
}

static void test_kept(void **state) {
    (void)state;
    struct rig r;
    open_rig(&r, 200, history);
    assert_true(ask(&r, "spot t3.small").known);
    assert_true(ask(&r, "spot t3.small").known);
    assert_int_equal(r.server.taken, 1);
    assert_int_equal(aws_client_calls(r.session.client), 0); /* none that the run needs */
    now += 11 * 60;
    assert_near(ask(&r, "spot t3.small").usd, 0.0072);
    assert_int_equal(r.server.taken, 2);
    close_rig(&r);
}

static void test_bad_answers(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *body, *why;
    } cases[] = {
        {200, "<DescribeSpotPriceHistoryResponse><spotPriceHist", "DescribeSpotPriceHistory"},
        {200, "{}", "DescribeSpotPriceHistory"},
        {200, HISTORY(""), "the spot market has none"},
        {200, HISTORY(ITEM("t3.small", "eu-west-1a", LINUX, "-1", "2026-11-26T12:00:00.000Z")),
         "the spot market has none"},
        {200, HISTORY("<item><instanceType>t3.small</instanceType></item>"),
         "the spot market has none"},
        {403,
         "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error>"
         "</Errors><RequestID>r</RequestID></Response>",
         "the permission is ec2:DescribeSpotPriceHistory"},
        {503, "busy", "DescribeSpotPriceHistory"}, /* and is not asked again */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig r;
        open_rig(&r, cases[i].status, cases[i].body);
        struct price price = ask(&r, "spot t3.small");
        assert_false(price.known);
        assert_non_null(strstr(price.why, cases[i].why));
        assert_true(cases[i].status != 503 || r.server.taken == 1);
        close_rig(&r);
    }
}

/* Nothing is sent when nobody waits any more, and nothing is said of it. */
static void test_stop(void **state) {
    (void)state;
    struct rig r;
    open_rig(&r, 200, history);
    atomic_store(&r.stop, 1);
    struct price price = ask(&r, "spot t3.small");
    assert_false(price.known);
    assert_string_equal(price.why, "late");
    assert_int_equal(r.server.taken, 0);
    close_rig(&r);
}

/* More than go side by side, and some that nobody knows. */
static void test_many(void **state) {
    (void)state;
    enum { MANY = 40 };
    struct price prices[MANY];
    char names[MANY][32];
    struct rig r;
    open_rig(&r, 200, history);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], i % 4 == 3 ? "moon %zu" : "spot t3.small", i);
        prices[i] = (struct price){.name = names[i], .why = "nobody knows"};
    }
    ec2_price(&r.session, prices, MANY, &r.arena, &r.stop);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(prices[i].known, i % 4 != 3);
    close_rig(&r);
}

static int setup(void **state) {
    (void)state;
    now = 1795696200; /* 2026-11-26T12:30:00Z */
    snprintf(folder, sizeof folder, "/tmp/berth-prices-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command); /* NOLINT(cert-env33-c): a folder that this test made */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_spot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
