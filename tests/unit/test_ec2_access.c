/* Rules of a security group as EC2 writes them, and as they go over the wire. */
#include "providers/ec2/internal.h"
#include "tests/unit/cm.h"

static void test_cidr(void **state) {
    (void)state;
    static const struct {
        const char *given, *want;
    } cases[] = {
        {"203.0.113.7/32", "203.0.113.7/32"},
        {"203.0.113.7/24", "203.0.113.0/24"},
        {"203.0.113.255/27", "203.0.113.224/27"},
        {"203.0.113.7/0", "0.0.0.0/0"},
        {"2001:DB8:0::/64", "2001:db8::/64"},
        {"2001:db8::1/64", "2001:db8::/64"},
        {"2001:db8::ffff/121", "2001:db8::ff80/121"},
        {"2001:db8::1/128", "2001:db8::1/128"},
        {"::1/0", "::/0"},
        /* Nothing that EC2 takes: left for it to refuse. */
        {"203.0.113.7/33", "203.0.113.7/33"},
        {"203.0.113.7", "203.0.113.7"},
        {"sg-1", "sg-1"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char got[80];
        access_canonical_cidr(str_of(cases[i].given), got, sizeof got);
        assert_string_equal(got, cases[i].want);
    }
}

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
        const char *rule = cases[i].rule;
        const struct strlist from = {&rule, 1, 1}, none = {0};
        _cleanup_buf_ struct buf want = BUF_INIT(BUF_SMALL);
        struct str rest = str_of(cases[i].want), part;
        struct query q;
        query_init(&q, "X");
        assert_int_equal(access_add_rules(&q, &from, &none), 1);
        buf_adds(&want, "Action=X&Version=2016-11-15");
        while (str_split(&rest, ' ', &part))
            buf_addf(&want, "&IpPermissions.1.%.*s", STR_FMT(part));
        assert_string_equal(buf_cstr(&q.body), buf_cstr(&want));
        query_free(&q);
        query_init(&q, "X");
        assert_int_equal(access_add_rules(&q, &from, &from), 0);
        query_free(&q);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cidr),
        cmocka_unit_test(test_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
