/* What EC2 says of an instance, as a record. */
#include "providers/ec2/internal.h"
#include "providers/ec2/prices.h"
#include "specs/sections/sections.h"
#include "tests/unit/cm.h"

static struct server_record record_of(struct arena *arena, const char *state, const char *rest) {
    struct server_record r = {0};
    struct err err = {0};
    char text[2048];
    snprintf(text, sizeof text,
             "<item><instanceId>i-1</instanceId><instanceState><code>0</code><name>%s</name>"
             "</instanceState><privateIpAddress>172.31.0.9</privateIpAddress>%s</item>",
             state, rest);
    const struct xml *item = xml_parse(arena, str_of(text), &err);
    assert_non_null(item);
    assert_int_equal(server_record_of(item, arena, &r), 0);
    return r;
}

/* Nobody is sent to the private address of a server that is to get a public one, and one that is
 * pending is waited for: EC2 attaches nothing to it. */
static void test_power(void **state) {
    (void)state;
    static const struct {
        const char *state, *rest, *power;
        bool running;
    } cases[] = {
        {"pending", "", "pending", false},
        {"pending", "<ipAddress/>", "pending", false},
        {"pending", "<ipAddress>203.0.113.9</ipAddress>", "pending", false},
        {"running", "<ipAddress>203.0.113.9</ipAddress>", "running", true},
        {"running", "", "running", true}, /* in a private subnet */
        {"stopping", "", "stopped", false},
        {"stopped", "", "stopped", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _cleanup_arena_ struct arena arena = {0};
        const struct server_record r = record_of(&arena, cases[i].state, cases[i].rest);
        struct endpoint endpoint;
        assert_string_equal(r.power, cases[i].power);
        assert_int_equal(server_kind.endpoint(&r, "p", &arena, &endpoint), 0);
        assert_int_equal(endpoint.running, cases[i].running);
    }
}

static void test_fields(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    const struct server_record r = record_of(
        &arena, "running",
        "<imageId>ami-1</imageId><instanceType>t3.small</instanceType><keyName>k</keyName>"
        "<amiLaunchIndex>2</amiLaunchIndex><dnsName/><metadataOptions><httpTokens>optional"
        "</httpTokens></metadataOptions><placement><availabilityZone>us-east-1a</availabilityZone>"
        "</placement><groupSet><item><groupId>sg-2</groupId></item><item><groupId>sg-1</groupId>"
        "</item></groupSet><tagSet><item><key>team</key><value>growth</value></item><item>"
        "<key>Name</key><value>n</value></item><item><key>berth:name</key><value>n</value></item>"
        "<item><key>aws:x</key><value>y</value></item></tagSet>");
    assert_string_equal(r.ami, "ami-1");
    assert_string_equal(r.type, "t3.small");
    assert_string_equal(r.key_name, "k");
    assert_int_equal(r.launch_index, 2);
    assert_null(r.public_dns);
    assert_string_equal(r.imds, "optional");
    assert_string_equal(r.zone, "us-east-1a");
    assert_string_equal(r.group_id, "sg-1,sg-2"); /* another group than ours is drift */
    assert_int_equal(r.tags.len, 1);              /* the user's own */
    assert_string_equal(strmap_get(&r.tags, "team"), "growth");
}

/* It lets in the key that it was made with: the user's own, or the project's of its type. */
static void test_key_path(void **state) {
    (void)state;
    static const struct {
        const char *key_file, *key_type, *path;
    } cases[] = {
        {NULL, "ed25519", "p/id_ed25519"},
        {NULL, "rsa", "p/id_rsa"},
        {NULL, NULL, "p/id_ed25519"}, /* a state from before there were types */
        {"~/.ssh/mine", "rsa", "~/.ssh/mine"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _cleanup_arena_ struct arena arena = {0};
        const struct server_record r = {.key_file = cases[i].key_file,
                                        .key_type = cases[i].key_type};
        struct endpoint endpoint;
        assert_int_equal(server_kind.endpoint(&r, "p", &arena, &endpoint), 0);
        assert_string_equal(endpoint.key_path, cases[i].path);
    }
}

/* All of the tags, of this name, node and index; the lineage may be that of a lost state. */
static void test_tagged(void **state) {
    (void)state;
#define TAG(key, value) "<item><key>" key "</key><value>" value "</value></item>"
#define NAME TAG("berth:name", "n")
#define LINEAGE TAG("berth:lineage", "old")
#define NODE TAG("berth:node", "server")
    static const struct {
        const char *tags;
        int64_t index;
        bool tagged;
    } cases[] = {
        {NAME LINEAGE NODE TAG("berth:index", "3"), 3, true},
        {NAME LINEAGE NODE TAG("berth:index", "2"), 3, false},
        {NAME LINEAGE NODE, 3, false},
        {NAME LINEAGE NODE TAG("berth:index", "-2"), -2, true},
        {NAME LINEAGE NODE TAG("berth:index", "-2"), -1, false},
        {NAME LINEAGE NODE, EC2_NO_INDEX, true}, /* what there is one of */
        {LINEAGE NODE, EC2_NO_INDEX, false},
        {NAME NODE, EC2_NO_INDEX, false},
        {NAME LINEAGE, EC2_NO_INDEX, false},
        {TAG("berth:name", "other") LINEAGE NODE, EC2_NO_INDEX, false},
        {NAME LINEAGE TAG("berth:node", "access"), EC2_NO_INDEX, false},
        {"", EC2_NO_INDEX, false},
    };
    const struct run run = {.name = "n", .lineage = "new"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _cleanup_arena_ struct arena arena = {0};
        struct err err = {0};
        const char *text = arena_printf(&arena, "<item><tagSet>%s</tagSet></item>", cases[i].tags);
        const struct xml *item = xml_parse(&arena, str_of(text), &err);
        assert_non_null(item);
        assert_int_equal(ec2_is_tagged(item, &run, "server", cases[i].index), cases[i].tagged);
    }
    assert_int_equal(server_address_index("server[12]"), 12);
    assert_int_equal(server_address_index("server[x]"), -1);
    assert_int_equal(server_address_index("orphan.i-1"), -1);
}

/* A root disk grows and changes its type in place; it never shrinks. */
static void test_in_place(void **state) {
    (void)state;
    static const struct {
        struct server_disk_record before, after;
        bool in_place;
    } cases[] = {
        {{10, "gp3", true}, {11, "gp3", true}, true},
        {{10, "gp2", true}, {10, "gp3", true}, true},
        {{10, "gp2", true}, {20, "gp3", true}, true},
        {{10, "gp3", true}, {9, "gp3", true}, false},
        {{10, "gp3", true}, {9, "gp2", true}, false},
        {{10, "gp3", true}, {11, "gp3", false}, false},
        {{10, "gp3", false}, {10, "gp3", true}, false},
        {{10, "standard", true}, {11, "standard", true}, false},
        {{10, "gp3", true}, {10, "standard", true}, false},
        {{FIELD_UNSET, NULL, false}, {10, "gp3", false}, false},
    };
    const struct field *type = &server_kind.fields[1];
    const struct server_record demand = {.type = "a"}, spot = {.type = "a", .spot = {true}};
    assert_true(server_kind.in_place(type, &demand, &spot));
    assert_false(server_kind.in_place(type, &spot, &demand)); /* EC2 resizes none of these */
    const struct field *image = &server_kind.fields[0];
    const struct field *disk = &server_kind.fields[SERVER_FIELD_DISK];
    assert_string_equal(disk->name, "disk");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct server_record before = {.disk = cases[i].before};
        const struct server_record after = {.disk = cases[i].after};
        assert_int_equal(server_kind.in_place(disk, &before, &after), cases[i].in_place);
        assert_false(server_kind.in_place(image, &before, &after));
    }
}

/* What the market says of it, and what only the state and the spec know. */
static void test_spot(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    const struct server_record old = {.spot = {true, "0.01", "terminate"}};
    const struct server_record wanted = {.spot = {true, NULL, "stop"}}, demand = {0};
    struct server_record r = record_of(&arena, "running", "<spotInstanceRequestId/>");
    assert_false(r.spot.enabled);
    assert_null(r.spot_request);
    server_spot_carry(&r, &old, &wanted);
    assert_null(r.spot.interruption); /* it is none: drift */
    const char *rest = "<instanceLifecycle>spot</instanceLifecycle><spotInstanceRequestId>sir-1"
                       "</spotInstanceRequestId>";
    r = record_of(&arena, "running", rest);
    assert_true(r.spot.enabled);
    assert_string_equal(r.spot_request, "sir-1");
    server_spot_carry(&r, &old, &wanted);
    assert_string_equal(r.spot.max_price, "0.01");
    assert_string_equal(r.spot.interruption, "terminate");
    r = record_of(&arena, "running", rest);
    server_spot_carry(&r, &demand, &wanted);
    assert_null(r.spot.max_price);
    assert_string_equal(r.spot.interruption, "stop");
    r = record_of(&arena, "running", rest);
    server_spot_carry(&r, NULL, NULL);
    assert_true(r.spot.enabled && r.spot.interruption == NULL);
}

static void test_spot_price(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"0.01", "0.01"}, {"0.0100", "0.01"}, {"00.5", "0.5"},
                                           {"2", "2"},       {"2.0", "2"},       {"10", "10"},
                                           {"0010", "10"},   {"100.10", "100.1"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _cleanup_arena_ struct arena arena = {0};
        const struct server_spot spec = {true, cases[i][0], "stop"};
        struct server_spot_record r = {0};
        assert_int_equal(server_spot_desire(&spec, &arena, &r), 0);
        assert_string_equal(r.max_price, cases[i][1]);
        const struct server_spot off = {false, cases[i][0], "stop"};
        assert_int_equal(server_spot_desire(&off, &arena, &r), 0);
        assert_true(!r.enabled && r.max_price == NULL && r.interruption == NULL);
    }
}

/* What it is launched with: a request that starts it again, or one that ends with it. */
static void test_spot_launch(void **state) {
    (void)state;
    static const struct {
        struct server_spot_record spot;
        const char *form;
    } cases[] = {
        {{false, NULL, NULL}, "Action=RunInstances&Version=2016-11-15"},
        {{true, NULL, "stop"},
         "Action=RunInstances&Version=2016-11-15&InstanceMarketOptions.MarketType=spot"
         "&InstanceMarketOptions.SpotOptions.SpotInstanceType=persistent"
         "&InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior=stop"},
        {{true, "0.01", "terminate"},
         "Action=RunInstances&Version=2016-11-15&InstanceMarketOptions.MarketType=spot"
         "&InstanceMarketOptions.SpotOptions.MaxPrice=0.01"
         "&InstanceMarketOptions.SpotOptions.SpotInstanceType=one-time"
         "&InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior=terminate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct query q;
        query_init(&q, "RunInstances");
        server_spot_ask(&q, &cases[i].spot);
        assert_string_equal(buf_cstr(&q.body), cases[i].form);
        query_free(&q);
    }
}

static const char *note_of(struct arena *arena, const char *state, const char *code) {
    struct err err = {0};
    const char *text = arena_printf(arena,
                                    "<item><instanceId>i-1</instanceId><instanceState><name>%s"
                                    "</name></instanceState><stateReason><code>%s</code>"
                                    "</stateReason></item>",
                                    state, code);
    const struct xml *item = xml_parse(arena, str_of(text), &err);
    assert_non_null(item);
    return server_spot_note(item, arena);
}

static void test_spot_note(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    assert_string_equal(note_of(&a, "stopped", "Server.SpotInstanceShutdown"),
                        "EC2 took i-1 back: spot capacity (Server.SpotInstanceShutdown); it starts "
                        "again when there is some");
    assert_string_equal(note_of(&a, "terminated", "Server.SpotInstanceTermination"),
                        "EC2 took i-1 back: spot capacity (Server.SpotInstanceTermination)");
    assert_null(note_of(&a, "stopped", "Client.UserInitiatedShutdown"));
    assert_null(note_of(&a, "running", "Server.SpotInstanceShutdown"));
    assert_null(note_of(&a, "stopped", ""));
}

static void test_spot_cost(void **state) {
    (void)state;
    static const struct {
        struct server_spot_record spot;
        const char *zone, *what, *price;
        double most_usd;
    } cases[] = {
        {{false, NULL, NULL}, "z-1a", "instance t3.small", "instance t3.small", 0},
        {{true, NULL, "stop"}, NULL, "spot instance t3.small", "spot t3.small", 0},
        {{true, "0.01", "stop"}, "z-1a", "spot instance t3.small", "spot t3.small z-1a", 0.01},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _cleanup_arena_ struct arena arena = {0};
        struct cost_items items = {.arena = &arena};
        const struct server_record r = {
            .type = "t3.small", .power = "running", .spot = cases[i].spot, .zone = cases[i].zone};
        assert_int_equal(server_costs(&r, 0, &items), 0);
        assert_string_equal(items.items[0].what, cases[i].what);
        assert_string_equal(items.items[0].price, cases[i].price);
        assert_true(items.items[0].while_running && items.items[0].most_usd == cases[i].most_usd);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power),      cmocka_unit_test(test_fields),
        cmocka_unit_test(test_key_path),   cmocka_unit_test(test_tagged),
        cmocka_unit_test(test_in_place),   cmocka_unit_test(test_spot),
        cmocka_unit_test(test_spot_price), cmocka_unit_test(test_spot_launch),
        cmocka_unit_test(test_spot_note),  cmocka_unit_test(test_spot_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
