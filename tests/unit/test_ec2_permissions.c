/* The permissions that a spec needs: none is forgotten, and none is given without need. */
#include "providers/ec2/permissions.h"
#include "providers/ec2/permissions_table.h"
#include "specs/fs.h"
#include "tests/unit/cm.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>

/* ---- Every call of the code has a row */

static bool is_action(struct str s) {
    static const char *const verbs[] = {
        "Describe", "Create",    "Delete", "Run",       "Start",  "Stop",
        "Modify",   "Terminate", "Import", "Attach",    "Detach", "Allocate",
        "Release",  "Associate", "Cancel", "Authorize", "Revoke", "Disassociate",
        "Replace",  "Update",    "Get",    "Request",   "Enable"};
    for (size_t i = 0; i < s.len; i++)
        if (!isalnum((unsigned char)s.ptr[i]))
            return false;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (str_starts(s, str_of(verbs[i])) && s.len > strlen(verbs[i]) &&
            isupper((unsigned char)s.ptr[strlen(verbs[i])]))
            return true;
    return false;
}

static size_t check_source(const char *name, struct str text) {
    size_t found = 0;
    for (const char *at = memchr(text.ptr, '"', text.len); at != NULL;) {
        const char *end = strchr(at + 1, '"');
        char action[80];
        if (end == NULL)
            break;
        struct str word = {at + 1, (size_t)(end - at - 1)};
        if (word.len < sizeof action && is_action(word)) {
            snprintf(action, sizeof action, "%.*s", STR_FMT(word));
            found++;
            if (!ec2_permission_known("ec2", action) && !ec2_permission_known("ssm", action) &&
                !ec2_permission_known("pricing", action) &&
                strcmp(action, "GetCallerIdentity") != 0 && /* needs no permission */
                strcmp(action, "StartTime") != 0)           /* a parameter */
                fail_msg("%s calls %s, which has no row in permissions_table.c", name, action);
        }
        at = strchr(end + 1, '"');
    }
    return found;
}

static void test_no_call_without_row(void **state) {
    (void)state;
    static const char folder[] = TESTS_DIR "/../providers/ec2";
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    size_t found = 0;
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        char path[512];
        struct err err;
        struct str name = str_of(entry->d_name);
        if (!str_ends(name, STR(".c")) || str_starts(name, STR("permissions")) ||
            str_starts(name, STR("policy")))
            continue;
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
        snprintf(path, sizeof path, "%s/%.200s", folder, entry->d_name);
        assert_int_equal(fs_read(path, &text, &err), 0);
        found += check_source(entry->d_name, buf_str(&text));
    }
    closedir(dir);
    assert_true(found > 20);
    assert_true(ec2_permission_known("ec2", "RunInstances"));
    assert_false(ec2_permission_known("ec2", "RunInstance"));
}

/* ---- Policies */

struct compiled {
    struct arena arena;
    struct diags diags;
    struct spec *spec;
};

static void compile(struct compiled *c, const char *text) {
    *c = (struct compiled){0};
    c->diags = (struct diags){.arena = &c->arena, .file = "berth.yaml", .source = str_of(text)};
    c->spec = spec_compile(&c->arena, &c->diags);
    if (c->spec == NULL)
        fail_msg("%s", c->diags.items[0].msg);
}

#define PLAIN "berth: 1\nname: small\nprovider: ec2\nserver: { image: debian-12, type: t3.micro }\n"

static const cJSON *statement(const cJSON *policy, const char *sid) {
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(policy, "Statement")) {
        if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(item, "Sid")), sid) == 0)
            return item;
    }
    return NULL;
}

static bool has(const cJSON *object, const char *member, const char *text) {
    const cJSON *item, *value = cJSON_GetObjectItem(object, member);
    if (cJSON_IsString(value))
        return strcmp(value->valuestring, text) == 0;
    cJSON_ArrayForEach(item, value) {
        if (strcmp(item->valuestring, text) == 0)
            return true;
    }
    return false;
}

/* The request behind a spot server is tagged when it is made, and ended by its tag. */
static void test_spot(void **state) {
    (void)state;
    struct compiled c;
    compile(&c, "berth: 1\nname: small\nprovider: ec2\nserver: { image: debian-12, type: t3.micro, "
                "spot: { max_price: 0.01 } }\n");
    assert_true(permission_needs(c.spec) & NEED_SPOT);
    cJSON *policy = ec2_policy(c.spec, "eu-west-1", "arn:aws:iam::123456789012:user/me");
    const char *requests = "arn:aws:ec2:eu-west-1:123456789012:spot-instances-request/*";
    assert_true(has(statement(policy, "MakeWithTag"), "Resource", requests));
    assert_false(has(statement(policy, "MakeFrom"), "Resource", requests));
    assert_true(has(statement(policy, "TagWhatIsMade"), "Resource", requests));
    const cJSON *change = statement(policy, "ChangeWhatIsTagged");
    assert_true(has(change, "Action", "ec2:CancelSpotInstanceRequests"));
    assert_true(has(change, "Resource", requests));
    cJSON_Delete(policy);
    arena_free(&c.arena);
    compile(&c, PLAIN);
    assert_false(permission_needs(c.spec) & NEED_SPOT);
    arena_free(&c.arena);
}

static void test_plain(void **state) {
    (void)state;
    struct compiled c;
    compile(&c, PLAIN);
    assert_int_equal(permission_needs(c.spec), NEED_ALWAYS | NEED_SERVER | NEED_NAMED_IMAGE);
    cJSON *policy = ec2_policy(c.spec, "eu-west-1", "arn:aws-cn:iam::123456789012:user/me");
    assert_non_null(policy);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(policy, "Version")), "2012-10-17");
    const cJSON *make = statement(policy, "MakeWithTag");
    assert_true(has(make, "Action", "ec2:RunInstances"));
    assert_true(has(make, "Resource", "arn:aws-cn:ec2:eu-west-1:123456789012:instance/*"));
    assert_false(has(make, "Action", "ec2:AllocateAddress"));
    const cJSON *tag = cJSON_GetObjectItem(
        cJSON_GetObjectItem(cJSON_GetObjectItem(make, "Condition"), "StringEquals"),
        "aws:RequestTag/berth:name");
    assert_string_equal(cJSON_GetStringValue(tag), "small");
    const cJSON *from = statement(policy, "MakeFrom");
    assert_true(has(from, "Resource", "arn:aws-cn:ec2:eu-west-1::image/*"));
    assert_false(has(from, "Action", "ec2:ImportKeyPair"));
    const cJSON *change = statement(policy, "ChangeWhatIsTagged");
    assert_true(has(change, "Action", "ec2:TerminateInstances"));
    assert_false(has(change, "Action", "ec2:DeleteVolume"));
    assert_non_null(cJSON_GetObjectItem(
        cJSON_GetObjectItem(cJSON_GetObjectItem(change, "Condition"), "StringEquals"),
        "aws:ResourceTag/berth:name"));
    assert_true(has(statement(policy, "FindImages"), "Resource",
                    "arn:aws-cn:ssm:eu-west-1::parameter/aws/service/*"));
    assert_null(statement(policy, "PassRole"));
    assert_null(statement(policy, "SpotRole"));
    cJSON_Delete(policy);
    arena_free(&c.arena);
}

static void test_less(void **state) {
    (void)state;
    struct compiled c;
    compile(&c, "berth: 1\nname: small\nprovider: ec2\n"
                "server: { image: ami-0123456789abcdef0, type: t3.micro }\n");
    assert_int_equal(permission_needs(c.spec), NEED_ALWAYS | NEED_SERVER);
    cJSON *policy = ec2_policy(c.spec, "eu-west-1", NULL);
    assert_null(statement(policy, "FindImages"));
    assert_true(has(statement(policy, "MakeWithTag"), "Resource",
                    "arn:aws:ec2:eu-west-1:*:instance/*")); /* nobody is known yet */
    cJSON_Delete(policy);
    arena_free(&c.arena);
}

static void test_more(void **state) {
    (void)state;
    struct compiled c;
    compile(&c, "berth: 1\nname: small\nprovider: ec2\nserver:\n  image: debian-12\n"
                "  type: t3.micro\n  address: elastic\n  data: { size: 10 GiB, mount: /data }\n");
    assert_int_equal(permission_needs(c.spec),
                     NEED_ALWAYS | NEED_SERVER | NEED_NAMED_IMAGE | NEED_ELASTIC | NEED_DATA);
    cJSON *policy = ec2_policy(c.spec, "eu-west-1", NULL);
    const cJSON *make = statement(policy, "MakeWithTag");
    assert_true(has(make, "Action", "ec2:AllocateAddress"));
    assert_true(has(make, "Resource", "arn:aws:ec2:eu-west-1:*:elastic-ip/*"));
    assert_true(has(make, "Action", "ec2:CreateVolume"));
    assert_true(has(statement(policy, "ChangeWhatIsTagged"), "Action", "ec2:AttachVolume"));
    cJSON_Delete(policy);
    arena_free(&c.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_call_without_row),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_spot),
        cmocka_unit_test(test_less),
        cmocka_unit_test(test_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
