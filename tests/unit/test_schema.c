/* The schema and the reference: made of the same tables, so everything is in both. */
#include "specs/fs.h"
#include "specs/record.h"
#include "specs/spec.h"
#include "specs/template.h"
#include "tests/unit/cm.h"

static void check_fields(const cJSON *object, const struct field *fields, const char *text) {
    const cJSON *properties = cJSON_GetObjectItemCaseSensitive(object, "properties");
    assert_non_null(properties);
    for (const struct field *f = fields; f->name != NULL; f++) {
        const cJSON *property = cJSON_GetObjectItemCaseSensitive(properties, f->name);
        if (f->flags & (FIELD_LATER | FIELD_REFUSED)) {
            assert_null(property);
            continue;
        }
        assert_non_null(property);
        const cJSON *doc = cJSON_GetObjectItemCaseSensitive(property, "description");
        assert_string_equal(doc->valuestring, f->doc);
        assert_non_null(strstr(text, f->doc));
        /* A scalar will do too: the map is the other of two. */
        if (f->type == FIELD_GROUP && f->flags & FIELD_SHORT)
            property = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(property, "anyOf"), 1);
        if (f->type == FIELD_GROUP)
            check_fields(property, f->sub, text);
    }
    const cJSON *more = cJSON_GetObjectItemCaseSensitive(object, "additionalProperties");
    assert_true(cJSON_IsFalse(more));
}

/* One table or the other, by the provider. */
static void check_sorts(const cJSON *schema, const struct section *section, const char *text) {
    static const char *const sorts[] = {"then", "else"};
    for (size_t i = 0; i < 2; i++) {
        const cJSON *rows = cJSON_GetObjectItemCaseSensitive(schema, sorts[i]);
        const cJSON *properties = cJSON_GetObjectItemCaseSensitive(rows, "properties");
        check_fields(cJSON_GetObjectItemCaseSensitive(properties, section->name),
                     i == 0 ? section->given : section->fields, text);
    }
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
        else if (sections[i]->given == NULL)
            check_fields(section, sections[i]->fields, buf_cstr(&text));
        else
            check_sorts(schema, sections[i], buf_cstr(&text));
    }
    cJSON_Delete(schema);
}

/* docs/spec.md is the reference as it is printed; BERTH_UPDATE=1 writes it anew. */
static void test_docs(void **state) {
    (void)state;
    static const char path[] = TESTS_DIR "/../docs/spec.md";
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    _cleanup_buf_ struct buf file = BUF_INIT(BUF_MEDIUM);
    struct err err = {0};
    spec_reference_markdown(&text);
    const char *update = getenv("BERTH_UPDATE");
    if (update != NULL && strcmp(update, "1") == 0)
        assert_int_equal(fs_write(path, buf_str(&text), 0644, &err), 0);
    assert_int_equal(fs_read(path, &file, &err), 0);
    assert_string_equal(buf_cstr(&file), buf_cstr(&text));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables), cmocka_unit_test(test_docs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
