/* Records by their tables: init, copy, compare, print, JSON there and back. */
#include "providers/provider.h"
#include "specs/record.h"
#include "tests/unit/cm.h"

struct inner {
    int64_t size_gib;
    const char *kind;
};

struct sample {
    bool on;
    int64_t count, ttl_s;
    const char *name, *secret, *json;
    struct strlist list, set;
    struct strmap map;
    struct inner inner;
    struct reclist items;
};

static const struct field inner_fields[] = {
    {.name = "size", .type = FIELD_SIZE, .offset = offsetof(struct inner, size_gib)},
    {.name = "kind", .type = FIELD_STR, .offset = offsetof(struct inner, kind)},
    FIELD_END,
};

#define ROW(member, kind, ...)                                                                     \
    { .name = #member, .type = (kind), .offset = offsetof(struct sample, member), __VA_ARGS__ }

static const struct field fields[] = {
    ROW(on, FIELD_BOOL, .flags = 0),
    ROW(count, FIELD_INT, .flags = 0),
    ROW(ttl_s, FIELD_DURATION, .flags = 0),
    ROW(name, FIELD_STR, .flags = 0),
    ROW(secret, FIELD_STR, .flags = FIELD_SECRET),
    ROW(json, FIELD_JSON, .flags = 0),
    ROW(list, FIELD_LIST, .flags = 0),
    ROW(set, FIELD_LIST, .flags = FIELD_SET),
    ROW(map, FIELD_MAP, .flags = 0),
    ROW(inner, FIELD_GROUP, .sub = inner_fields),
    ROW(items, FIELD_RECORDS, .sub = inner_fields, .sub_size = sizeof(struct inner)),
    FIELD_END,
};

static void fill(struct arena *a, struct sample *s) {
    *s = (struct sample){0};
    record_init(fields, s);
    s->on = true;
    s->count = 3;
    s->ttl_s = 3600;
    s->name = "a name";
    s->secret = "hunter2";
    s->json = "{\"a\":[1,null]}";
    s->inner = (struct inner){1024, "gp3"};
    assert_int_equal(strlist_add(a, &s->list, "x"), 0);
    assert_int_equal(strlist_add(a, &s->list, "y"), 0);
    assert_int_equal(strlist_add(a, &s->set, "p"), 0);
    assert_int_equal(strlist_add(a, &s->set, "q"), 0);
    assert_int_equal(strmap_set(a, &s->map, "k", "v"), 0);
    struct inner *items = arena_calloc(a, 1, sizeof *items);
    assert_non_null(items);
    items[0] = (struct inner){FIELD_UNSET, "item"};
    s->items = (struct reclist){items, 1};
}

static void assert_equal(const struct sample *x, const struct sample *y) {
    for (const struct field *f = fields; f->name != NULL; f++)
        if (!record_field_equal(f, x, y))
            fail_msg("%s differs", f->name);
}

static void test_copy(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    _cleanup_arena_ struct arena b = {0};
    struct sample x, y = {0}, empty = {0};
    fill(&a, &x);
    assert_int_equal(record_copy(&b, fields, &y, &x), 0);
    assert_equal(&x, &y);
    assert_ptr_not_equal(x.name, y.name);
    strlist_sort(&y.set);
    const char *swap = y.set.items[0];
    y.set.items[0] = y.set.items[1];
    y.set.items[1] = swap;
    assert_equal(&x, &y); /* a set has no order */
    record_init(fields, &empty);
    for (const struct field *f = fields; f->name != NULL; f++) {
        assert_false(record_field_equal(f, &x, &empty));
        assert_true(record_field_is_set(f, &x));
    }
    assert_true(empty.count == FIELD_UNSET && empty.inner.size_gib == FIELD_UNSET);
}

static void test_print(void **state) {
    (void)state;
    static const char *const texts[] = {"true",          "3",
                                        "1 h",           "a name",
                                        "(secret)",      "{\"a\":[1,null]}",
                                        "[x, y]",        "[p, q]",
                                        "{k: v}",        "{size: 1 TiB, kind: gp3}",
                                        "[{kind: item}]"};
    _cleanup_arena_ struct arena a = {0};
    struct sample x, empty = {0};
    fill(&a, &x);
    record_init(fields, &empty);
    for (size_t i = 0; fields[i].name != NULL; i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
        record_print_field(&fields[i], &x, &out);
        assert_string_equal(buf_cstr(&out), texts[i]);
    }
    _cleanup_buf_ struct buf none = BUF_INIT(BUF_SMALL);
    record_print_field(&fields[3], &empty, &none);
    assert_string_equal(buf_cstr(&none), "(none)");
}

static void test_json(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    struct sample x, y = {0};
    struct err err = {0};
    fill(&a, &x);
    cJSON *json = record_to_json(fields, &x, true);
    assert_non_null(json);
    assert_int_equal(record_from_json(&a, fields, json, &y, &err), 0);
    assert_equal(&x, &y);
    cJSON_Delete(json);
    json = record_to_json(fields, &x, false);
    assert_null(cJSON_GetObjectItemCaseSensitive(json, "secret"));
    cJSON_Delete(json);
}

static void test_json_wrong(void **state) {
    (void)state;
    static const char *const texts[] = {"[]",
                                        "{\"on\":1}",
                                        "{\"count\":1.5}",
                                        "{\"count\":1e30}",
                                        "{\"name\":1}",
                                        "{\"list\":[1]}",
                                        "{\"list\":{}}",
                                        "{\"map\":{\"a\":1}}",
                                        "{\"map\":[1]}",
                                        "{\"inner\":\"x\"}",
                                        "{\"items\":[1]}",
                                        "{\"count\":\"1\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        _cleanup_arena_ struct arena a = {0};
        struct sample y = {0};
        struct err err = {0};
        cJSON *json = cJSON_Parse(texts[i]);
        assert_non_null(json);
        assert_int_equal(record_from_json(&a, fields, json, &y, &err), -ERRC_STATE);
        assert_int_equal(err.code, ERRC_STATE);
        cJSON_Delete(json);
    }
}

/* A map that was a list in states of an older berth: its keys. */
static void test_json_list_for_map(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    struct sample y = {0};
    struct err err = {0};
    cJSON *json = cJSON_Parse("{\"map\":[\"tcp 22 10.0.0.0/8\"]}");
    assert_int_equal(record_from_json(&a, fields, json, &y, &err), 0);
    assert_int_equal(y.map.len, 1);
    assert_string_equal(strmap_get(&y.map, "tcp 22 10.0.0.0/8"), "");
    cJSON_Delete(json);
}

/* Which fields are unknown or unread is said by the bits of a uint64_t. */
static void test_kinds_fit(void **state) {
    (void)state;
    for (const struct kind *const *k = registry_kinds; *k != NULL; k++) {
        assert_in_range(fields_count((*k)->fields), 1, 64);
        assert_ptr_equal(registry_find(registry_kinds, (*k)->name), *k);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),       cmocka_unit_test(test_print),
        cmocka_unit_test(test_json),       cmocka_unit_test(test_kinds_fit),
        cmocka_unit_test(test_json_wrong), cmocka_unit_test(test_json_list_for_map)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
