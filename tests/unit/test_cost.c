/* What things cost, and how it is said. */
#include "cmd/show_cost.h"
#include "engine/cost.h"
#include "providers/ec2/ec2.h"
#include "providers/ec2/prices.h"
#include "tests/unit/cm.h"

/* cmocka's own compares floats. */
static void assert_near(double a, double b) { assert_true(a - b < 1e-9 && b - a < 1e-9); }

static const struct price prices[] = {
    {"instance t3.small", true, 0.0208, NULL},
    {"instance t3.medium", true, 0.0416, NULL},
    {"volume gp3", true, 0.08, NULL},
    {"ipv4", true, 0.005, NULL},
    {"instance x9.huge", false, 0, "the price list has none"},
};

static const struct server_record small = {
    .type = "t3.small",
    .power = "running",
    .public_ip = "203.0.113.9",
    .private_ip = "172.31.0.9",
    .disk = {.size_gib = 30, .type = "gp3"},
};

static void fill(struct cost *cost) {
    for (size_t w = 0; w < COST_WHENS; w++)
        for (size_t i = 0; i < cost->lines[w].len; i++)
            for (size_t p = 0; p < sizeof prices / sizeof prices[0]; p++)
                if (strcmp(cost->lines[w].items[i].item.price, prices[p].name) == 0)
                    cost->lines[w].items[i].price = &prices[p];
}

static struct cost cost_of(const struct change *changes, size_t len) {
    struct plan plan = {.changes = (struct change *)(uintptr_t)changes, .len = len};
    struct cost cost = {0};
    struct err err = {0};
    assert_int_equal(cost_of_plan(&plan, &cost, &err), 0);
    fill(&cost);
    return cost;
}

#define CHANGE(the_action, ...)                                                                    \
    { .address = "server[0]", .kind = &server_kind, .action = (the_action), __VA_ARGS__ }

#define ALL_HOURS (0.0208 + 0.005 + 30 * 0.08 / 730)

static void test_items(void **state) {
    (void)state;
    const struct change same = CHANGE(ACTION_NOOP, .before = &small, .after = &small);
    struct cost cost = cost_of(&same, 1);
    struct cost_sum sum = cost_sum(&cost.lines[COST_AFTER]);
    assert_int_equal(cost.lines[COST_AFTER].len, 3);
    assert_string_equal(cost.lines[COST_AFTER].items[0].item.what, "instance t3.small");
    assert_string_equal(cost.lines[COST_AFTER].items[1].item.what, "root disk, 30 GiB gp3");
    assert_string_equal(cost.lines[COST_AFTER].items[2].item.what, "public IPv4 address");
    assert_true(cost_is_known(&sum.hour_running));
    assert_near(sum.hour_running.usd, ALL_HOURS);
    assert_near(sum.hour_now.usd, ALL_HOURS);
    assert_near(sum.month_stopped.usd, 2.4);
    cost_free(&cost);
}

/* What a target, or a stop, leaves alone goes on to cost. */
static void test_left_alone(void **state) {
    (void)state;
    struct change both[] = {CHANGE(ACTION_DESTROY, .before = &small),
                            CHANGE(ACTION_DESTROY, .before = &small)};
    struct plan plan = {.changes = both, .len = 1, .others_len = 1};
    struct cost cost = {0};
    struct err err = {0};
    assert_int_equal(cost_of_plan(&plan, &cost, &err), 0);
    fill(&cost);
    struct cost_sum before = cost_sum(&cost.lines[COST_BEFORE]);
    struct cost_sum after = cost_sum(&cost.lines[COST_AFTER]);
    assert_near(before.hour_running.usd, 2 * ALL_HOURS);
    assert_near(after.hour_running.usd, ALL_HOURS);
    cost_free(&cost);
}

/* Stopped: the disk alone costs; the rest would again if it ran. */
static void test_stopped(void **state) {
    (void)state;
    struct server_record stopped = small;
    stopped.power = "stopped";
    stopped.public_ip = NULL;
    const struct change same = CHANGE(ACTION_NOOP, .before = &stopped, .after = &stopped);
    struct cost cost = cost_of(&same, 1);
    struct cost_sum sum = cost_sum(&cost.lines[COST_BEFORE]);
    assert_near(sum.hour_running.usd, ALL_HOURS);
    assert_near(sum.hour_now.usd, 2.4 / 730);
    assert_near(sum.month_stopped.usd, 2.4);
    cost_free(&cost);
    struct server_record started = stopped; /* its address is to come */
    started.power = "running";
    const struct change start = CHANGE(ACTION_UPDATE, .before = &stopped, .after = &started);
    cost = cost_of(&start, 1);
    sum = cost_sum(&cost.lines[COST_AFTER]);
    assert_near(sum.hour_now.usd, ALL_HOURS);
    cost_free(&cost);
}

/* In a subnet that gives no public addresses there is none to pay. */
static void test_private(void **state) {
    (void)state;
    struct server_record private = small;
    private.public_ip = NULL;
    const struct change same = CHANGE(ACTION_NOOP, .before = &private, .after = &private);
    struct cost cost = cost_of(&same, 1);
    struct cost_sum sum = cost_sum(&cost.lines[COST_AFTER]);
    assert_near(sum.hour_running.usd, ALL_HOURS - 0.005);
    cost_free(&cost);
}

/* An elastic address costs also while its server is stopped, and then once. */
static void test_elastic(void **state) {
    (void)state;
    struct server_record elastic = small, wanted = small;
    static const struct address_record address = {.public_ip = "203.0.113.9"};
    elastic.elastic_ip = "203.0.113.9";
    wanted.public_ip = NULL;
    wanted.private_ip = NULL;
    uint64_t unknown = 0;
    for (size_t i = 0; server_kind.fields[i].name != NULL; i++)
        if (strcmp(server_kind.fields[i].name, "elastic_ip") == 0)
            unknown = UINT64_C(1) << i;
    const struct change changes[] = {
        {.address = "address[0]",
         .kind = &address_kind,
         .action = ACTION_NOOP,
         .before = &address,
         .after = &address},
        CHANGE(ACTION_NOOP, .before = &elastic, .after = &elastic),
        CHANGE(ACTION_CREATE, .after = &wanted, .after_unknown = unknown),
    };
    struct cost cost = cost_of(changes, 3);
    struct cost_sum before = cost_sum(&cost.lines[COST_BEFORE]);
    struct cost_sum after = cost_sum(&cost.lines[COST_AFTER]);
    assert_near(before.hour_running.usd, ALL_HOURS);
    assert_near(before.month_stopped.usd, 2.4 + 0.005 * 730);
    assert_near(after.hour_running.usd, 2 * ALL_HOURS - 0.005);
    cost_free(&cost);
}

/* What is not there costs nothing, whatever is remembered of it. */
static void test_actions(void **state) {
    (void)state;
    static const struct server_record wanted = {
        .type = "t3.small", .power = "running", .disk = {.size_gib = 30, .type = "gp3"}};
    static const struct live live = {.address = "server[0]"};
    static const struct {
        struct change change;
        bool before, after;
    } cases[] = {
        {CHANGE(ACTION_CREATE, .after = &wanted), false, true},
        {CHANGE(ACTION_CREATE, .before = &small, .after = &wanted), false, true},
        {CHANGE(ACTION_RESUME, .before = &small, .after = &wanted), false, true},
        {CHANGE(ACTION_RESUME, .before = &small, .after = &wanted, .live = &live), true, true},
        {CHANGE(ACTION_UPDATE, .before = &small, .after = &small), true, true},
        {CHANGE(ACTION_REPLACE, .before = &small, .after = &wanted), true, true},
        {CHANGE(ACTION_DESTROY, .before = &small), true, false},
        {CHANGE(ACTION_FORGET, .before = &small), false, false},
        {CHANGE(ACTION_KEEP, .before = &small), true, true},
        {CHANGE(ACTION_UNKNOWN, .before = &small), true, true},
        {CHANGE(ACTION_UNKNOWN), false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cost cost = cost_of(&cases[i].change, 1);
        struct cost_sum before = cost_sum(&cost.lines[COST_BEFORE]);
        struct cost_sum after = cost_sum(&cost.lines[COST_AFTER]);
        assert_near(before.hour_running.usd, cases[i].before ? ALL_HOURS : 0);
        assert_near(after.hour_running.usd, cases[i].after ? ALL_HOURS : 0);
        assert_int_equal(cost_is_any(&cost), cases[i].before || cases[i].after);
        cost_free(&cost);
    }
}

static void test_cap(void **state) {
    (void)state;
    static const struct price spot = {"spot", true, 0.02, NULL};
    double usd = 0;
    struct cost_line line = {.item = {.quantity = 1, .most_usd = 0.03}, .price = &spot};
    assert_true(cost_hour(&line, &usd));
    assert_near(usd, 0.02);
    line.item.most_usd = 0.01;
    assert_true(cost_hour(&line, &usd));
    assert_near(usd, 0.01);
}

static void assert_text(const struct cost *cost, const char *wanted) {
    static const struct look look = {.width = 100};
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    show_cost(cost, &look, &text);
    assert_string_equal(buf_cstr(&text), wanted);
}

static void test_words(void **state) {
    (void)state;
    struct server_record medium = small, huge = small, unsized = small;
    medium.type = "t3.medium";
    huge.type = "x9.huge";
    unsized.disk.size_gib = FIELD_UNSET;
    const struct change same = CHANGE(ACTION_NOOP, .before = &small, .after = &small);
    const struct change grow = CHANGE(ACTION_UPDATE, .before = &small, .after = &medium);
    const struct change end = CHANGE(ACTION_DESTROY, .before = &small);
    const struct change unknown = CHANGE(ACTION_UPDATE, .before = &small, .after = &huge);
    const struct change size = CHANGE(ACTION_NOOP, .before = &unsized, .after = &unsized);
    struct cost cost = cost_of(&same, 1);
    assert_text(&cost, "Cost: $0.0291 an hour running, $2.40 a month stopped.\n");
    cost.rehearsed = true;
    assert_text(&cost,
                "Cost on AWS (nothing here): $0.0291 an hour running, $2.40 a month stopped.\n");
    cost_free(&cost);
    cost = cost_of(&grow, 1);
    assert_text(&cost, "Cost: $0.0291 -> $0.0499 an hour running, $2.40 a month stopped.\n");
    cost_free(&cost);
    struct server_record off = small;
    off.power = "stopped";
    const struct change stop = CHANGE(ACTION_UPDATE, .before = &small, .after = &off);
    cost = cost_of(&stop, 1);
    assert_text(&cost, "Cost: $0.0291 -> $0.0033 an hour as it stands; $0.0291 an hour running, "
                       "$2.40 a month stopped.\n");
    cost_free(&cost);
    cost = cost_of(&end, 1);
    assert_text(&cost, "Cost: $0.0291 -> $0 an hour running, $2.40 -> $0 a month stopped.\n");
    cost_free(&cost);
    cost = cost_of(&unknown, 1);
    assert_text(&cost, "Cost: $0.0291 -> unknown an hour running, $2.40 a month stopped.\n");
    _cleanup_buf_ struct buf why = BUF_INIT(BUF_SMALL);
    show_cost_why(&cost, &why);
    assert_string_equal(buf_cstr(&why),
                        "price of instance x9.huge: unknown: the price list has none\n");
    cost_free(&cost);
    cost = cost_of(&size, 1);
    assert_text(&cost, "Cost: unknown an hour running, unknown a month stopped.\n");
    buf_reset(&why);
    show_cost_why(&cost, &why);
    assert_string_equal(buf_cstr(&why), "price of root disk: unknown: its size is not known\n");
    cost_free(&cost);
    cost = cost_of(NULL, 0);
    assert_text(&cost, "");
    cost_free(&cost);
}

static void test_table(void **state) {
    (void)state;
    static const struct look look = {.width = 100};
    struct server_record huge = small;
    huge.type = "x9.huge";
    struct change changes[] = {
        CHANGE(ACTION_NOOP, .before = &small, .after = &small),
        CHANGE(ACTION_NOOP, .before = &small, .after = &small),
        CHANGE(ACTION_NOOP, .before = &huge, .after = &huge),
    };
    changes[1].address = "server[1]";
    changes[2].address = "server[2]";
    struct cost cost = cost_of(changes, 3);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    assert_int_equal(show_cost_table(&cost.lines[COST_AFTER], &look, &text), 0);
    assert_string_equal(buf_cstr(&text),
                        "                            $/hour    $/month    $/month\n"
                        "                           running    running    stopped\n"
                        "server[0..1], each:\n"
                        "  instance t3.small        $0.0208     $15.18         $0\n"
                        "  root disk, 30 GiB gp3    $0.0033      $2.40      $2.40\n"
                        "  public IPv4 address      $0.0050      $3.65         $0\n"
                        "server[2]\n"
                        "  instance x9.huge         unknown    unknown         $0\n"
                        "  root disk, 30 GiB gp3    $0.0033      $2.40      $2.40\n"
                        "  public IPv4 address      $0.0050      $3.65         $0\n"
                        "all                        unknown    unknown      $7.20\n");
    cost_free(&cost);
}

static void test_json(void **state) {
    (void)state;
    struct server_record huge = small;
    huge.type = "x9.huge";
    const struct change change = CHANGE(ACTION_UPDATE, .before = &small, .after = &huge);
    struct cost cost = cost_of(&change, 1);
    cJSON *json = cost_to_json(&cost);
    char *text = cJSON_PrintUnformatted(json);
    assert_string_equal(
        text, "{\"before\":{\"usd_per_hour_running\":0.029088,\"usd_per_month_running\":21.234,"
              "\"usd_per_month_stopped\":2.4,\"usd_per_hour_now\":0.029088},"
              "\"after\":{\"usd_per_hour_running\":null,\"usd_per_month_running\":null,"
              "\"usd_per_month_stopped\":2.4,\"usd_per_hour_now\":null},"
              "\"unknown\":[{\"item\":\"instance x9.huge\",\"why\":\"the price list has none\"}]}");
    cJSON_free(text);
    cJSON_Delete(json);
    cost_free(&cost);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items),   cmocka_unit_test(test_left_alone),
        cmocka_unit_test(test_stopped), cmocka_unit_test(test_private),
        cmocka_unit_test(test_actions), cmocka_unit_test(test_elastic),
        cmocka_unit_test(test_cap),     cmocka_unit_test(test_words),
        cmocka_unit_test(test_table),   cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
