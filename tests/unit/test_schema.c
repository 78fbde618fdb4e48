/* The schema and the reference: made of the same tables, so everything is in both. */
#include "specs/record.h"
#include "specs/spec.h"
#include "specs/template.h"
#include "tests/unit/cm.h"

static void check_fields(const cJSON *object, const struct field *fields, const char *text) {
    const cJSON *properties = cJSON_GetObjectItemCaseSensitive(object, "properties");
    assert_non_null(properties);
    for (const struct field *f = fields; f->name != NULL; f++) {
        const cJSON *property = cJSON_GetObjectItemCaseSensitive(properties, f->name);
        if (f->flags & FIELD_LATER) {
            assert_null(property);
            continue;
        }
        assert_non_null(property);
        const cJSON *doc = cJSON_GetObjectItemCaseSensitive(property, "description");
        assert_string_equal(doc->valuestring, f->doc);
        assert_non_null(strstr(text, f->doc));
        if (f->type == FIELD_GROUP)
            check_fields(property, f->sub, text);
    }
    const cJSON *more = cJSON_GetObjectItemCaseSensitive(object, "additionalProperties");
    assert_true(cJSON_IsFalse(more));
}

static void test_tables(void **state) {
    (void)state;
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    spec_reference_markdown(&text);
    assert_false(text.failed);
    cJSON *schema = spec_schema();
    assert_non_null(schema);
    const cJSON *properties = cJSON_GetObjectItemCaseSensitive(schema, "properties");
    for (size_t i = 1; sections[i] != NULL; i++) {
        const cJSON *section = cJSON_GetObjectItemCaseSensitive(properties, sections[i]->name);
        assert_true((section == NULL) == sections[i]->later);
        if (section == NULL)
            continue;
        if (sections[i]->item_fields != NULL)
            check_fields(cJSON_GetObjectItemCaseSensitive(section, "items"),
                         sections[i]->item_fields, buf_cstr(&text));
        else
            check_fields(section, sections[i]->fields, buf_cstr(&text));
    }
    cJSON_Delete(schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
