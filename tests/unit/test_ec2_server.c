/* What EC2 says of an instance, as a record. */
#include "providers/ec2/internal.h"
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

/* Nobody is sent to the private address of a server that is to get a public one. */
static void test_power(void **state) {
    (void)state;
    static const struct {
        const char *state, *rest, *power;
        bool running;
    } cases[] = {
        {"pending", "", "pending", false},
        {"pending", "<ipAddress/>", "pending", false},
        {"pending", "<ipAddress>203.0.113.9</ipAddress>", "running", true},
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power),    cmocka_unit_test(test_fields),
        cmocka_unit_test(test_key_path), cmocka_unit_test(test_tagged),
        cmocka_unit_test(test_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
