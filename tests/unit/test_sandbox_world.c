/* What the sandbox's world is made of: tables of zones and types, addresses, faults and what they
 * hide. What EC2 answers from it is tests/interop's. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/faults.h"
#include "providers/sandbox/guest.h"
#include "providers/sandbox/images.h"
#include "providers/sandbox/instance.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"
#include "tests/unit/cm.h"

#include <stdlib.h>
#include <string.h>

static void test_zones(void **state) {
    (void)state;
    int end = 0;
    for (const struct zone *z = zones; z->name != NULL; z++) {
        assert_true(z->first >= end); /* subnets do not overlap, and fill one network */
        end = z->first + (1 << (32 - z->bits));
        assert_int_equal(z->first % (end - z->first), 0);
        assert_ptr_equal(zone_named(z->name), z);
        assert_ptr_equal(zone_of_subnet(z->subnet), z);
    }
    assert_int_equal(end, 256);
    assert_null(zone_named("sandbox-1"));
    assert_null(zone_of_subnet(""));
}

static void test_types(void **state) {
    (void)state;
    for (const struct instance_type *t = instance_types; t->name != NULL; t++) {
        int offered = 0;
        assert_ptr_equal(instance_type_named(t->name), t); /* once only */
        assert_true(t->vcpus > 0 && t->mib > 0 && t->usd > 0);
        for (const struct zone *z = zones; z->name != NULL; z++) {
            offered += zone_offers(z, t);
            assert_true(spot_price(t, z) < t->usd);
        }
        assert_true(offered > 0);
    }
    assert_null(instance_type_named("t3"));
}

static void test_images(void **state) {
    (void)state;
    for (const struct image *i = images; i->name != NULL; i++) {
        assert_ptr_equal(image_named(i->name), i);
        assert_ptr_equal(image_of_ami(i->ami), i); /* once only */
        assert_int_equal(strlen(i->ami), strlen("ami-") + 17);
        assert_int_equal(strspn(i->ami + 4, "0123456789abcdef"), 17);
        assert_string_equal(i->snapshot + strlen("snap-"), i->ami + 4);
        for (const struct image *other = images; other != i; other++)
            assert_string_not_equal(other->parameter, i->parameter);
    }
    assert_null(image_named("debian"));
    assert_null(image_named(NULL));
    assert_null(image_of_ami("ami-0deb1a0120000000b"));
}

/* The first boot's script of an image, for an instance of that type. */
static void compose(const struct image *image, const char *type, const char *user_data,
                    struct buf *out) {
    cJSON *i = cJSON_CreateObject();
    set_text(i, "image", image->ami);
    set_text(i, "type", type);
    set_text(i, "hostname", "h");
    set_text(i, "user_data", user_data);
    out->len = 0;
    seed_compose(i, out);
    cJSON_Delete(i);
}

static void test_seeds(void **state) {
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LARGE);
    char text[64];
    for (const struct image *i = images; i->name != NULL; i++) {
        compose(i, "g4dn.12xlarge", "", &out);
        snprintf(text, sizeof text, "useradd -m -s /bin/bash %s\n", i->user);
        assert_non_null(strstr(buf_cstr(&out), text));
        bool amazon = strcmp(i->name, "amazon-linux-2023") == 0;
        bool gpu = strncmp(i->name, "deep-learning", 13) == 0;
        assert_int_equal(strstr(buf_cstr(&out), "/etc/apt/") == NULL, amazon);
        assert_int_equal(strstr(buf_cstr(&out), "count=4 name='Tesla T4' mib=15360\n") != NULL,
                         gpu);
    }
    compose(image_named("deep-learning-ubuntu-24.04"), "t3.small", "", &out);
    assert_non_null(strstr(buf_cstr(&out), "count=0 "));
    /* What begins like a key and ends before it: anybody may send it. */
    compose(images, "t3.small", "ed25519_public: x\ned25519_private: |", &out);
    assert_non_null(strstr(buf_cstr(&out), "ssh-keygen "));
    compose(images, "t3.small", "ed25519_private: |\n  KEY\ned25519_public: PUBLIC", &out);
    assert_null(strstr(buf_cstr(&out), "ssh-keygen "));
    assert_non_null(strstr(buf_cstr(&out), "\nKEY\nBERTH_END\necho 'PUBLIC' >"));
}

static struct sandbox *new_world(const char *json) {
    struct sandbox *s = calloc(1, sizeof *s);
    assert_non_null(s);
    snprintf(s->paths.dir, sizeof s->paths.dir, "/nonexistent"); /* nothing is kept */
    s->subnet = 7;
    s->world = cJSON_Parse(json);
    assert_non_null(s->world);
    return s;
}

static void free_world(struct sandbox *s) {
    cJSON_Delete(s->world);
    free(s);
}

static void test_public_addresses(void **state) {
    struct sandbox *s = new_world("{\"instances\": [{\"id\": \"i-1\", \"state\": \"running\"}]}");
    cJSON *i = find_by(world_list(s, "instances"), "id", "i-1");
    struct public_address public;
    char first[32], used[256] = {0};
    (void)state;
    assert_false(instance_public(s, i, &public));
    instance_new_public(s, i);
    assert_true(instance_public(s, i, &public));
    assert_null(public.elastic);
    snprintf(first, sizeof first, "%s", public.text);
    instance_new_public(s, i);
    assert_true(instance_public(s, i, &public));
    assert_string_not_equal(public.text, first);
    /* An elastic one goes before it, and stays over a stop. */
    cJSON *list = world_list(s, "addresses");
    cJSON *a = cJSON_CreateObject();
    set_text(a, "instance", "i-1");
    set_number(a, "octet", public_take(s));
    cJSON_AddItemToArray(list, a);
    set_text(i, "state", "stopped");
    assert_true(instance_public(s, i, &public));
    assert_ptr_equal(public.elastic, a);
    addresses_forget(s, "i-1");
    assert_false(instance_public(s, i, &public));
    /* Each once, until none is left. */
    used[(int)number_of(a, "octet")] = 1;
    for (int octet; (octet = public_take(s)) != 0;) {
        assert_true(octet >= 2 && octet < 255 && !used[octet]);
        used[octet] = 1;
        cJSON *other = cJSON_CreateObject();
        set_number(other, "octet", octet);
        cJSON_AddItemToArray(list, other);
    }
    assert_int_equal(cJSON_GetArraySize(list), 253);
    free_world(s);
}

static int meets(struct sandbox *s, const char *action, bool dry, const char *code) {
    struct api_error e = {.status = 200};
    cJSON *form = cJSON_Parse("{\"InstanceType\": \"t3.small\"}");
    int rc = faults_before(s, "ec2", action, form, dry, &e);
    cJSON_Delete(form);
    if (rc < 0)
        assert_string_equal(e.code, code);
    return rc;
}

static void test_fault_counts(void **state) {
    struct sandbox *s = new_world(
        "{\"faults\": ["
        "{\"action\": \"Run*\", \"kind\": \"throttle\", \"nth\": 2, \"count\": 2},"
        "{\"action\": \"StopInstances\", \"code\": \"X\", \"match\": {\"InstanceType\": \"m5*\"}},"
        "{\"action\": \"StartInstances\", \"kind\": \"unauthorized\", \"count\": 0}]}");
    static const int wanted[] = {0, -1, -1, 0, 0};
    (void)state;
    assert_int_equal(meets(s, "RunInstances", true, ""), 0); /* a dry run, and it does not count */
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        assert_int_equal(meets(s, "RunInstances", false, "RequestLimitExceeded"), wanted[i]);
    assert_int_equal(meets(s, "StopInstances", false, ""), 0); /* another type */
    for (int i = 0; i < 3; i++)
        assert_int_equal(meets(s, "StartInstances", i == 1, "UnauthorizedOperation"), -1);
    free_world(s);
}

static void order(struct sandbox *s, const char *wanted) {
    const cJSON *i;
    char text[64] = "";
    cJSON_ArrayForEach(i, world_list(s, "instances")) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s", text_of(i, "id"));
    }
    assert_string_equal(text, wanted);
}

static void test_hidden(void **state) {
    struct sandbox *s = new_world(
        "{\"instances\": [{\"id\": \"a\"}, {\"id\": \"b\"}, {\"id\": \"c\"}],"
        " \"faults\": [{\"action\": \"RunInstances\", \"kind\": \"hide\", \"calls\": 2}]}");
    const struct action describe = {"DescribeInstances", NULL, false};
    const struct action stop = {"StopInstances", NULL, true},
                        keys = {"DescribeKeyPairs", NULL, false};
    cJSON *nobody = cJSON_Parse("{}"), *last = cJSON_Parse("{\"InstanceId.1\": \"c\"}");
    struct api_error e = {.status = 200};
    (void)state;
    faults_after(s, "RunInstances", nobody,
                 STR("<instanceId>b</instanceId><x/><instanceId>c</instanceId>"), &e);
    struct veil *veil = veil_begin(s, &keys, nobody);
    order(s, "abc"); /* not asked for */
    veil_end(veil);
    veil = veil_begin(s, &describe, nobody);
    order(s, "a");
    veil_end(veil);
    order(s, "abc"); /* each in its place again */
    veil = veil_begin(s, &stop, last);
    order(s, "ab"); /* what is named is not found either */
    veil_end(veil);
    veil = veil_begin(s, &describe, nobody);
    order(s, "ac"); /* twice for c, and once more for b */
    veil_end(veil);
    veil = veil_begin(s, &describe, nobody);
    order(s, "abc");
    veil_end(veil);
    cJSON_Delete(nobody);
    cJSON_Delete(last);
    free_world(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_zones),
                                       cmocka_unit_test(test_types),
                                       cmocka_unit_test(test_images),
                                       cmocka_unit_test(test_seeds),
                                       cmocka_unit_test(test_public_addresses),
                                       cmocka_unit_test(test_fault_counts),
                                       cmocka_unit_test(test_hidden)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
