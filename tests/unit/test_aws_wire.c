/* The two ends of the wire: the Query encoder, and the XML reader with its caps. */
#include "providers/aws/query.h"
#include "providers/aws/xml.h"
#include "specs/buf.h"
#include "tests/unit/cm.h"

static void test_query(void **state) {
    (void)state;
    struct query q;
    query_init(&q, "DescribeInstances");
    query_add(&q, "Name", "a b+c/ü~-_.");
    query_add(&q, "Absent", NULL);
    query_add(&q, "Empty", "");
    query_addf(&q, "MinCount", "%d", 3);
    query_add_at(&q, "Tag.%zu.Key", 12, "k&v=");
    query_add_filter(&q, 1, "tag:berth:name", (const char *const[]){"x", "y", NULL});
    assert_false(q.body.failed);
    assert_string_equal(buf_cstr(&q.body),
                        "Action=DescribeInstances&Version=2016-11-15&Name=a+b%2Bc%2F%C3%BC~-_."
                        "&Empty=&MinCount=3&Tag.12.Key=k%26v%3D"
                        "&Filter.1.Name=tag%3Aberth%3Aname&Filter.1.Value.1=x&Filter.1.Value.2=y");
    query_free(&q);
    query_init(&q, "X");
    query_addf(&q, "Long", "%02000d", 1);
    assert_true(q.body.failed); /* never cut short in silence */
    query_free(&q);
}

static struct xml *parse(struct arena *arena, const char *text, struct err *err) {
    *err = (struct err){0};
    return xml_parse(arena, str_of(text), err);
}

static void test_xml(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    struct err err;
    const struct xml *root = parse(&arena,
                                   "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<R a=\"b\"><set>\n"
                                   "<other/><item><id>1</id><v>a &amp; b</v></item><note>n</note>\n"
                                   "<item><id>2</id></item></set><empty/><deep><x>y</x></deep></R>",
                                   &err);
    assert_non_null(root);
    assert_string_equal(root->name, "R");
    const struct xml *item = xml_first_item(root, "set");
    assert_string_equal(xml_text(item, "id"), "1");
    assert_string_equal(xml_text(item, "v"), "a & b");
    item = xml_next_item(item);
    assert_string_equal(xml_text(item, "id"), "2");
    assert_null(xml_next_item(item));
    assert_string_equal(xml_text(root, "deep/x"), "y");
    assert_string_equal(xml_text(root, "empty"), "");
    assert_null(xml_text(root, "deep/none/x"));
    assert_null(xml_get(NULL, "a"));
    assert_null(xml_text(NULL, "a"));
    assert_null(xml_first_item(root, "empty"));
    assert_null(xml_first_item(root, "absent"));
}

static void test_xml_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "no element"},
        {"<a>", "no element"},
        {"<a></b>", "mismatched tag"},
        {"<a/><b/>", "junk after document"},
        {"<!DOCTYPE a><a/>", "DOCTYPE"},
        {"<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "DOCTYPE"},
        {"<a>&undefined;</a>", "undefined entity"},
        {"<a>\x01</a>", "not well-formed"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        _cleanup_arena_ struct arena arena = {0};
        struct err err;
        assert_null(parse(&arena, bad[i].text, &err));
        assert_int_equal(err.code, ERRC_NET);
        if (strstr(err.msg, bad[i].why) == NULL)
            fail_msg("%s: %s", bad[i].text, err.msg);
    }
}

static struct xml *nested(struct arena *arena, size_t depth, const char *inner, struct err *err) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    for (size_t i = 0; i < depth; i++)
        buf_adds(&text, "<a>");
    buf_adds(&text, inner);
    for (size_t i = 0; i < depth; i++)
        buf_adds(&text, "</a>");
    return parse(arena, buf_cstr(&text), err);
}

static void test_xml_caps(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    struct err err;
    assert_non_null(nested(&arena, XML_DEPTH_MAX, "", &err));
    assert_null(nested(&arena, XML_DEPTH_MAX + 1, "", &err));
    assert_non_null(strstr(err.msg, "nested too deep"));
    assert_null(nested(&arena, XML_DEPTH_MAX, "<b/>", &err)); /* an empty one still ends */
    assert_null(xml_parse(&arena, (struct str){"", (size_t)XML_BYTES_MAX + 1}, &err));
    assert_int_equal(err.code, ERRC_LIMIT);
    /* An arena that is full at every possible place: an error, never a half tree. */
    bool done = false;
    for (size_t max = 1; !done && max < 100000; max += 16) {
        _cleanup_arena_ struct arena small = {.max = max};
        struct xml *root = parse(&small, "<a><b/><c><d>text</d></c></a>", &err);
        if (root == NULL)
            assert_non_null(strstr(err.msg, "out of memory"));
        else
            assert_string_equal(xml_text(root, "c/d"), "text");
        done = root != NULL;
    }
    assert_true(done);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_xml),
        cmocka_unit_test(test_xml_refused),
        cmocka_unit_test(test_xml_caps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
