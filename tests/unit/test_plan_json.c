/* A plan as JSON: what a change does to something else that is there, and stays (docs/plan.md). The
 * rest of it is checked where plans are made, by golden files and the plan file's tests. */
#include "engine/plan.h"
#include "tests/unit/cm.h"

static const struct field fields[] = {
    {.name = "on", .type = FIELD_BOOL},
    FIELD_END,
};
static const struct kind service = {.name = "service", .fields = fields, .size = sizeof(bool)};
static const struct kind part = {.name = "part",
                                 .fields = fields,
                                 .size = sizeof(bool),
                                 .besides = "the service restarts",
                                 .beside = &service};
static const bool off = false, on = true;
static struct field_change moved[] = {{.field = &fields[0], .why = WHY_SPEC}};
static const struct live busy = {.presence = LIVE_OURS, .at_stake = "2 sessions"};
static const struct live idle = {.presence = LIVE_OURS};

/* What the plan of a part and a service says of the part: "ADDRESS: TEXT (AT STAKE)", or "". */
static void said(struct change of_part, struct change of_service, struct buf *out) {
    struct change changes[] = {of_service, of_part};
    struct plan plan = {.changes = changes, .len = 2};
    changes[0].address = "server[0].service";
    changes[1].address = "server[0].part";
    changes[0].kind = &service;
    changes[1].kind = &part;
    changes[1].before = &off;
    changes[0].after = changes[1].after = &on;
    cJSON *json = plan_to_json(&plan);
    assert_non_null(json);
    const cJSON *list = cJSON_GetObjectItem(json, "changes");
    assert_false(cJSON_HasObjectItem(cJSON_GetArrayItem(list, 0), "besides"));
    const cJSON *item = cJSON_GetObjectItem(cJSON_GetArrayItem(list, 1), "besides");
    buf_reset(out);
    if (item != NULL) {
        const char *stake = cJSON_GetStringValue(cJSON_GetObjectItem(item, "at_stake"));
        buf_addf(out, "%s: %s (%s)", cJSON_GetStringValue(cJSON_GetObjectItem(item, "address")),
                 cJSON_GetStringValue(cJSON_GetObjectItem(item, "text")),
                 stake == NULL ? "" : stake);
    }
    cJSON_Delete(json);
}

static void test_besides(void **unused) {
    (void)unused;
    const struct change update = {.action = ACTION_UPDATE, .fields = moved, .fields_len = 1};
    const struct change stays = {.action = ACTION_NOOP, .live = &busy};
    const struct {
        const char *what;
        struct change part, service;
        const char *says;
    } rows[] = {
        {"an update", update, stays, "server[0].service: the service restarts (2 sessions)"},
        {"nobody is on it",
         update,
         {.action = ACTION_NOOP, .live = &idle},
         "server[0].service: the service restarts ()"},
        {"a create",
         {.action = ACTION_CREATE},
         stays,
         "server[0].service: the service restarts (2 sessions)"},
        {"a destroy",
         {.action = ACTION_DESTROY},
         stays,
         "server[0].service: the service restarts (2 sessions)"},
        {"a no-op", {.action = ACTION_NOOP}, stays, ""},
        {"looked at again", {.action = ACTION_UPDATE, .why = WHY_PARENT}, stays, ""},
        {"it is made", update, {.action = ACTION_CREATE}, ""},
        {"it goes", update, {.action = ACTION_DESTROY, .live = &busy}, ""},
        {"of another server", update, {.action = ACTION_NOOP, .parent = "server[1]"}, ""},
    };
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        said(rows[i].part, rows[i].service, &text);
        if (strcmp(buf_cstr(&text), rows[i].says) != 0)
            fail_msg("%s: %s", rows[i].what, buf_cstr(&text));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_besides)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
