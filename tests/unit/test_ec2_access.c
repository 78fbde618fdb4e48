/* Rules of a security group as EC2 writes them, and as they go over the wire. */
#include "providers/ec2/internal.h"
#include "tests/unit/cm.h"

#include <string.h>

/* Whatever somebody added by hand can be revoked as it was read. */
static void test_rules(void **state) {
    (void)state;
    static const struct {
        const char *rule, *want;
    } cases[] = {
        {"tcp 22 203.0.113.7/32", "IpProtocol=tcp FromPort=22 ToPort=22 "
                                  "IpRanges.1.CidrIp=203.0.113.7%2F32"},
        {"udp 8000-8010 2001:db8::/64", "IpProtocol=udp FromPort=8000 ToPort=8010 "
                                        "Ipv6Ranges.1.CidrIpv6=2001%3Adb8%3A%3A%2F64"},
        {"icmp -1 0.0.0.0/0", "IpProtocol=icmp FromPort=-1 ToPort=-1 "
                              "IpRanges.1.CidrIp=0.0.0.0%2F0"},
        {"icmp 8--1 0.0.0.0/0", "IpProtocol=icmp FromPort=8 ToPort=-1 "
                                "IpRanges.1.CidrIp=0.0.0.0%2F0"},
        {"all sg-1", "IpProtocol=-1 Groups.1.GroupId=sg-1"},
        {"50 pl-1", "IpProtocol=50 PrefixListIds.1.PrefixListId=pl-1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct strpair rule = {cases[i].rule, "by hand"};
        const struct strmap from = {.items = &rule, .len = 1, .cap = 1}, none = {0};
        _cleanup_buf_ struct buf want = BUF_INIT(BUF_SMALL);
        struct str rest = str_of(cases[i].want), part;
        struct query q;
        query_init(&q, "X");
        assert_int_equal(access_add_rules(&q, ACCESS_SHUT_OUT, &from, &none), 1);
        buf_adds(&want, "Action=X&Version=2016-11-15");
        while (str_split(&rest, ' ', &part))
            buf_addf(&want, "&IpPermissions.1.%.*s", STR_FMT(part));
        assert_string_equal(buf_cstr(&q.body), buf_cstr(&want));
        query_free(&q);
        query_init(&q, "X");
        for (int call = ACCESS_LET_IN; call <= ACCESS_SHUT_OUT; call++)
            assert_int_equal(access_add_rules(&q, (enum access_call)call, &from, &from), 0);
        query_free(&q);
    }
}

/* A rule that is there but described otherwise is neither let in again nor shut out. */
static void test_descriptions(void **state) {
    (void)state;
    struct strpair old[] = {{"tcp 22 10.0.0.0/8", "old"}, {"tcp 22 ::/0", ""}};
    struct strpair new[] = {{"tcp 22 10.0.0.0/8", "new"}, {"tcp 22 ::/0", "all"}};
    const struct strmap before = {.items = old, .len = 2, .cap = 2};
    const struct strmap after = {.items = new, .len = 2, .cap = 2}, none = {0};
    struct query q;
    query_init(&q, "X");
    assert_int_equal(access_add_rules(&q, ACCESS_LET_IN, &after, &before), 0);
    assert_int_equal(access_add_rules(&q, ACCESS_SHUT_OUT, &before, &after), 0);
    assert_int_equal(access_add_rules(&q, ACCESS_DESCRIBE, &after, &before), 2);
    assert_non_null(strstr(buf_cstr(&q.body), "&IpPermissions.1.IpRanges.1.Description=new"));
    assert_non_null(strstr(buf_cstr(&q.body), "&IpPermissions.2.Ipv6Ranges.1.Description=all"));
    query_free(&q);
    query_init(&q, "X");
    assert_int_equal(access_add_rules(&q, ACCESS_LET_IN, &after, &none), 2);
    assert_non_null(strstr(buf_cstr(&q.body), "&IpPermissions.1.IpRanges.1.Description=new"));
    query_free(&q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_descriptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
