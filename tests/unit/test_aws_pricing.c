/* GetProducts: what is asked, and the one price in what comes back. */
#include "providers/aws/pricing.h"
#include "tests/unit/cm.h"

#include <cjson/cJSON.h>

/* cmocka's own compares floats. */
static void assert_near(double a, double b) { assert_true(a - b < 1e-9 && b - a < 1e-9); }

static const struct pricing_product small = {
    .service = "AmazonEC2",
    .attributes = {{"instanceType", "t3.small"}, {"regionCode", "eu-west-1"}},
    .unit = PRICING_HOUR};

/* One product of the list, as AWS writes it but for what berth does not look at. */
static cJSON *entry(const char *type, const char *place, const char *unit, const char *terms,
                    const char *money, const char *usd) {
    char text[2048];
    snprintf(
        text, sizeof text,
        "{\"product\":{\"productFamily\":\"Compute Instance\",\"attributes\":{\"instanceType\":"
        "\"%s\",\"regionCode\":\"eu-west-1\",\"locationType\":\"%s\",\"usagetype\":\"EU-BoxUsage:"
        "%s\"},\"sku\":\"S\"},\"serviceCode\":\"AmazonEC2\",\"terms\":{\"%s\":{\"S.J\":{"
        "\"priceDimensions\":{\"S.J.6\":{\"unit\":\"%s\",\"endRange\":\"Inf\",\"beginRange\":\"0\","
        "\"description\":\"d\",\"appliesTo\":[],\"rateCode\":\"S.J.6\",\"pricePerUnit\":{\"%s\":"
        "\"%s\"}}},\"sku\":\"S\",\"termAttributes\":{}}}},\"version\":\"1\"}",
        type, place, type, terms, unit, money, usd);
    return cJSON_CreateString(text);
}

static cJSON *good(const char *usd) {
    return entry("t3.small", "AWS Region", "Hrs", "OnDemand", "USD", usd);
}

/* The price in an answer of up to three entries (NULL ends), or the error code. */
static int read_list(cJSON *a, cJSON *b, cJSON *c, double *ret) {
    cJSON *answer = cJSON_CreateObject(), *all[] = {a, b, c};
    cJSON *list = cJSON_AddArrayToObject(answer, "PriceList");
    struct err err = {0};
    for (size_t i = 0; i < 3 && all[i] != NULL; i++)
        cJSON_AddItemToArray(list, all[i]);
    char *text = cJSON_PrintUnformatted(answer);
    int rc = pricing_read(&small, str_of(text), ret, &err);
    if (rc < 0)
        assert_int_equal(err.code, -rc);
    cJSON_free(text);
    cJSON_Delete(answer);
    return rc;
}

static void test_ask(void **state) {
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    pricing_ask(&small, &out);
    assert_string_equal(
        buf_cstr(&out),
        "{\"ServiceCode\":\"AmazonEC2\",\"FormatVersion\":\"aws_v1\",\"MaxResults\":100,"
        "\"Filters\":["
        "{\"Type\":\"TERM_MATCH\",\"Field\":\"instanceType\",\"Value\":\"t3.small\"},"
        "{\"Type\":\"TERM_MATCH\",\"Field\":\"regionCode\",\"Value\":\"eu-west-1\"}]}");
}

static void test_one_price(void **state) {
    (void)state;
    double usd = 0;
    assert_int_equal(read_list(good("0.0228000000"), NULL, NULL, &usd), 0);
    assert_near(usd, 0.0228);
    /* Others that do not fit are passed over. */
    assert_int_equal(read_list(entry("t3.smallest", "AWS Region", "Hrs", "OnDemand", "USD", "9"),
                               entry("t3.small", "AWS Local Zone", "Hrs", "OnDemand", "USD", "9"),
                               good("0.0228000000"), &usd),
                     0);
    assert_near(usd, 0.0228);
    assert_int_equal(read_list(good("0.0228"), good("0.0228000000"), NULL, &usd), 0);
    assert_near(usd, 0.0228);
}

static void test_no_price(void **state) {
    (void)state;
    double usd = 7;
    struct {
        const char *place, *unit, *terms, *money, *usd;
    } cases[] = {
        {"AWS Region", "Hrs", "Reserved", "USD", "0.01"},
        {"AWS Region", "GB-Mo", "OnDemand", "USD", "0.01"},
        {"AWS Region", "Hrs", "OnDemand", "CNY", "0.01"},
        {"AWS Outposts", "Hrs", "OnDemand", "USD", "0.01"},
        {"AWS Region", "Hrs", "OnDemand", "USD", "0.0000000000"},
        {"AWS Region", "Hrs", "OnDemand", "USD", "-1"},
        {"AWS Region", "Hrs", "OnDemand", "USD", "1e9"},
        {"AWS Region", "Hrs", "OnDemand", "USD", "nan"},
        {"AWS Region", "Hrs", "OnDemand", "USD", "99999999999999999999"},
        {"AWS Region", "Hrs", "OnDemand", "USD", ""},
        {"AWS Region", "Hrs", "OnDemand", "USD", "."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(read_list(entry("t3.small", cases[i].place, cases[i].unit, cases[i].terms,
                                         cases[i].money, cases[i].usd),
                                   NULL, NULL, &usd),
                         -ERRC_NOTFOUND);
    assert_int_equal(read_list(NULL, NULL, NULL, &usd), -ERRC_NOTFOUND);
    assert_int_equal(read_list(good("0.02"), good("0.03"), NULL, &usd), -ERRC_CONFLICT);
    assert_near(usd, 7); /* as it was */
}

/* Shapes that are not the list's, every prefix of a good one, and every byte of it changed. */
static void test_nonsense(void **state) {
    (void)state;
    static const char *const shapes[] = {"",
                                         "null",
                                         "[]",
                                         "7",
                                         "{}",
                                         "{\"PriceList\":{}}",
                                         "{\"PriceList\":\"x\"}",
                                         "<html>",
                                         "{\"PriceList\":[",
                                         "\xff\xfe"};
    static const char *const entries[] = {
        "null",
        "7",
        "[]",
        "\"\"",
        "\"{\"",
        "\"[]\"",
        "{\"product\":7}",
        "{\"product\":{\"attributes\":[]}}",
        "{\"product\":{\"attributes\":{\"instanceType\":\"t3.small\",\"regionCode\":\"eu-west-1\"}}"
        ",\"terms\":7}",
        "{\"product\":{\"attributes\":{\"instanceType\":\"t3.small\",\"regionCode\":\"eu-west-1\"}}"
        ",\"terms\":"
        "{\"OnDemand\":[{\"priceDimensions\":[{\"unit\":7,\"pricePerUnit\":[]}]}]}}"};
    struct err err = {0};
    double usd = 7;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        assert_int_equal(pricing_read(&small, str_of(shapes[i]), &usd, &err), -ERRC_NET);
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text, "{\"PriceList\":[%s]}", entries[i]);
        assert_int_equal(pricing_read(&small, str_of(text), &usd, &err), -ERRC_NOTFOUND);
    }
    cJSON *answer = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(answer, "PriceList"), good("0.0228000000"));
    char *text = cJSON_PrintUnformatted(answer);
    size_t len = strlen(text);
    for (size_t n = 0; n < len; n++)
        assert_int_equal(pricing_read(&small, (struct str){text, n}, &usd, &err), -ERRC_NET);
    for (size_t n = 0; n < len; n++) {
        char was = text[n];
        double found = 1;
        text[n] ^= 0x11;
        if (pricing_read(&small, (struct str){text, len}, &found, &err) == 0)
            assert_true(found > 0 && found < 1e6);
        text[n] = was;
    }
    assert_near(usd, 7);
    cJSON_free(text);
    cJSON_Delete(answer);
}

/* Deep nesting is refused, not followed to the end of the stack; a long list is gone through. */
static void test_huge(void **state) {
    (void)state;
    struct err err = {0};
    double usd = 0;
    enum { DEPTH = 200000, MANY = 20000 };
    _cleanup_buf_ struct buf deep = BUF_INIT(BUF_MEDIUM);
    buf_adds(&deep, "{\"PriceList\":");
    buf_addn(&deep, '[', DEPTH);
    assert_int_equal(pricing_read(&small, buf_str(&deep), &usd, &err), -ERRC_NET);
    _cleanup_buf_ struct buf wide = BUF_INIT(BUF_MEDIUM);
    buf_adds(&wide, "{\"PriceList\":[");
    for (int i = 0; i < MANY; i++)
        buf_adds(&wide, "\"{}\",");
    buf_adds(&wide, "7]}");
    assert_int_equal(pricing_read(&small, buf_str(&wide), &usd, &err), -ERRC_NOTFOUND);
}

static void test_amounts(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double usd; /* 0: none */
    } cases[] = {{"0.0208000000", 0.0208},
                 {"1", 1},
                 {"12.5", 12.5},
                 {"", 0},
                 {"1.2.3", 0},
                 {" 1", 0},
                 {"1,5", 0},
                 {"0x1", 0},
                 {"+1", 0},
                 {".5", 0.5},
                 {"5.", 5},
                 {"1000001", 0},
                 {"inf", 0},
                 {"1e-2", 0},
                 {"0", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double usd = 0;
        assert_int_equal(pricing_amount(str_of(cases[i].text), &usd), cases[i].usd > 0);
        assert_near(usd, cases[i].usd);
    }
}

/* The end of the usage type tells addresses in use from others of their group. */
static void test_usage(void **state) {
    (void)state;
    struct pricing_product product = small;
    struct err err = {0};
    double usd = 0;
    cJSON *answer = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(answer, "PriceList"), good("0.0228000000"));
    char *text = cJSON_PrintUnformatted(answer);
    product.usage = "BoxUsage:t3.small";
    assert_int_equal(pricing_read(&product, str_of(text), &usd, &err), 0);
    product.usage = "BoxUsage:t3.medium";
    assert_int_equal(pricing_read(&product, str_of(text), &usd, &err), -ERRC_NOTFOUND);
    cJSON_free(text);
    cJSON_Delete(answer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ask),      cmocka_unit_test(test_one_price),
        cmocka_unit_test(test_no_price), cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_huge),     cmocka_unit_test(test_amounts),
        cmocka_unit_test(test_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
