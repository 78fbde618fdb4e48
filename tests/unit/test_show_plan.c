/* The plan as text against golden files, tests/scenario/show/CASE.LOOK.txt, at 80 and 120 columns,
 * with colours, and without a terminal. BERTH_UPDATE=1 rewrites them; read the diff by eye. */
#include "cmd/show_plan.h"
#include "specs/fs.h"
#include "tests/unit/cm.h"

#include <stdlib.h>
#include <string.h>

struct thing {
    const char *type;
    int64_t size_gib;
    bool on;
    struct strlist rules;
    struct strmap versions;
    const char *config; /* JSON */
    const char *unit;   /* lines */
    const char *token;  /* secret */
    const char *address;
};

#define ROW(member, kind, ...)                                                                     \
    { .name = #member, .type = (kind), .offset = offsetof(struct thing, member), __VA_ARGS__ }

static const struct field fields[] = {
    ROW(type, FIELD_STR, .flags = 0),
    ROW(size_gib, FIELD_SIZE, .flags = FIELD_IMMUTABLE),
    ROW(on, FIELD_BOOL, .flags = 0),
    ROW(rules, FIELD_LIST, .flags = FIELD_SET),
    ROW(versions, FIELD_MAP, .flags = 0),
    ROW(config, FIELD_JSON, .flags = 0),
    ROW(unit, FIELD_STR, .flags = FIELD_MULTILINE),
    ROW(token, FIELD_STR, .flags = FIELD_SECRET),
    ROW(address, FIELD_STR, .flags = FIELD_COMPUTED),
    FIELD_END,
};
enum { TYPE, SIZE, ON, RULES, VERSIONS, CONFIG, UNIT, TOKEN };

static const struct kind kind = {.name = "thing", .fields = fields, .size = sizeof(struct thing)};

static const char *rules_before[] = {"tcp 22 203.0.113.7/32", "tcp 8888 203.0.113.7/32"},
                  *rules_after[] = {"tcp 22 203.0.113.7/32", "tcp 8888 198.51.100.0/24"};
static struct strpair versions_before[] = {{"humanize", "4.9.0"}, {"tabulate", "0.8.10"}},
                      versions_after[] = {{"jupyterlab", ">=4"}, {"tabulate", "==0.9.*"}};

static const struct thing before = {
    .type = "t3.small",
    .size_gib = 30,
    .rules = {rules_before, 2, 2},
    .versions = {versions_before, 2, 2},
    .config = "{\"ServerApp\":{\"ip\":\"0.0.0.0\",\"port_retries\":50}}",
    .unit = "[Unit]\nDescription=Jupyter\n\n[Service]\nRestart=no\nUser=admin\n",
    .token = "never-shown-1",
    .address = "198.51.100.9",
};
static const struct thing after = {
    .type = "t3.medium",
    .size_gib = 60,
    .on = true,
    .rules = {rules_after, 2, 2},
    .versions = {versions_after, 2, 2},
    .config = "{\"IdentityProvider\":{},\"ServerApp\":{\"ip\":\"0.0.0.0\",\"port_retries\":0}}",
    .unit = "[Unit]\nDescription=Jupyter\n\n[Service]\nRestart=on-failure\nUser=admin\n",
    .token = "never-shown-2",
};

static struct field_change all_fields[] = {
    {.field = &fields[TYPE], .why = WHY_SPEC},    {.field = &fields[ON], .why = WHY_DRIFT},
    {.field = &fields[RULES], .why = WHY_BOTH},   {.field = &fields[VERSIONS], .why = WHY_DRIFT},
    {.field = &fields[CONFIG], .why = WHY_DRIFT}, {.field = &fields[UNIT], .why = WHY_SPEC},
    {.field = &fields[TOKEN], .why = WHY_SPEC},
};
static struct field_change immutable[] = {
    {.field = &fields[SIZE], .why = WHY_SPEC, .replaces = true},
    {.field = &fields[TYPE], .why = WHY_SPEC, .after_unknown = true},
};
static struct field_change one_drift[] = {{.field = &fields[ON], .why = WHY_DRIFT}};

static const struct live unreachable = {
    .presence = LIVE_UNREADABLE,
    .err = {.code = ERRC_NET,
            .msg = "connect to 198.51.100.9, port 22: Connection timed out after 10 s, 3 tries",
            .hint = "is your address still the one that `access` lets in?"}};
static const struct live foreign = {
    .presence = LIVE_FOREIGN,
    .err = {.code = ERRC_CONFLICT, .msg = "security group sg-0123 is named churn, without tags"}};

#define CHANGE(where, what, ...)                                                                   \
    { .address = (where), .kind = &kind, .action = (what), __VA_ARGS__ }

static struct change mixed[] = {
    CHANGE("access", ACTION_NOOP, .before = &after, .after = &after),
    CHANGE("key_pair", ACTION_ADOPT, .why = WHY_NEW, .before = &after, .after = &after),
    CHANGE("server[0]", ACTION_UPDATE, .why = WHY_BOTH, .before = &before, .after = &after,
           .fields = all_fields, .fields_len = 7),
    CHANGE("server[1]", ACTION_REPLACE, .why = WHY_SPEC, .before = &before, .after = &after,
           .fields = immutable, .fields_len = 2,
           .loses = "the 30 GiB root disk with everything that was written to it since it was "
                    "launched, notebooks included"),
    CHANGE("server[2].jupyter", ACTION_UNKNOWN, .why = WHY_UNREADABLE, .live = &unreachable),
    CHANGE("server[4]", ACTION_DESTROY, .why = WHY_REMOVED, .before = &before,
           .loses = "the 30 GiB root disk"),
    CHANGE("server[4].jupyter", ACTION_DESTROY, .why = WHY_PARENT, .with_parent = true,
           .parent = "server[4]"),
    CHANGE("server[5]", ACTION_FORGET, .why = WHY_REMOVED, .before = &before),
};
static struct change create[] = {
    CHANGE("key_pair", ACTION_CREATE, .why = WHY_NEW, .after = &before),
    CHANGE("server[0]", ACTION_CREATE, .why = WHY_NEW, .after = &after,
           .after_unknown = 1u << TYPE),
    CHANGE("server[1]", ACTION_CREATE, .why = WHY_NEW, .after = &after,
           .after_unknown = 1u << TYPE),
    CHANGE("server[2]", ACTION_CREATE, .why = WHY_NEW, .after = &after,
           .after_unknown = 1u << TYPE),
    CHANGE("server[3]", ACTION_CREATE, .why = WHY_DRIFT, .before = &before, .after = &after),
};
static struct change drift[] = {
    CHANGE("server[0]", ACTION_STOP_UPDATE_START, .why = WHY_DRIFT, .before = &before,
           .after = &after, .fields = one_drift, .fields_len = 1),
    CHANGE("server[1]", ACTION_STOP_UPDATE_START, .why = WHY_DRIFT, .before = &before,
           .after = &after, .fields = one_drift, .fields_len = 1),
};
static struct change blocked[] = {
    CHANGE("access", ACTION_UNKNOWN, .why = WHY_UNREADABLE, .live = &foreign),
};
static struct change same[] = {
    CHANGE("access", ACTION_NOOP, .before = &after, .after = &after),
};

static struct plan_warning warnings[] = {
    {"server[0]",
     "a newer image is there: ami-0123456789abcdef0; it is taken when the server is "
     "next replaced",
     true},
    {"server[1]", "its disk may be too small", false},
    {"server[2]", "its disk may be too small", false},
    {NULL, "no address of its own", false}};
static struct plan_warning blockers[] = {
    {"access", "security group sg-0123 is named churn, without tags exists and is not berth's",
     false}};

static struct {
    const char *name;
    struct plan plan;
} cases[] = {
    {"mixed", {.changes = mixed, .len = 8, .warnings = warnings, .warnings_len = 4}},
    {"create", {.changes = create, .len = 5}},
    {"drift", {.changes = drift, .len = 2}},
    {"blocked", {.changes = blocked, .len = 1, .blockers = blockers, .blockers_len = 1}},
    {"none", {.changes = same, .len = 1}},
    {"nothing-to-destroy", {.destroy = true}},
};

static const struct {
    const char *name;
    struct look look;
} looks[] = {
    {"80", {.width = 80, .tty = true, .utf8 = true}},
    {"120", {.width = 120, .tty = true, .utf8 = true}},
    {"color", {.width = 80, .tty = true, .utf8 = true, .color = true}},
    {"plain", {.width = WIDTH_PLAIN}},
};

static void count(struct plan *plan) {
    memset(plan->counts, 0, sizeof plan->counts);
    for (size_t i = 0; i < plan->len; i++)
        plan->counts[plan->changes[i].action]++;
}

/* No line is wider than the terminal; nothing of a secret; plain text is plain. */
static void check_rules(const struct look *look, const struct buf *text) {
    assert_false(text->failed);
    assert_null(strstr(buf_cstr(text), "never-shown"));
    assert_null(strchr(buf_cstr(text), '\r'));
    if (!look->color)
        assert_null(strchr(buf_cstr(text), '\033'));
    size_t columns = 0;
    for (size_t i = 0; i < text->len; i++) {
        unsigned char c = (unsigned char)text->ptr[i];
        if (!look->utf8)
            assert_true(c < 0x80);
        columns = c == '\n' ? 0 : columns + ((c & 0xc0) != 0x80);
        if (!look->color)
            if (columns > look->width)
                fail_msg("too wide: %.*s", (int)(i < 200 ? i : 200),
                         text->ptr + (i < 200 ? 0 : i - 200));
        if (c == '\n' && i > 0)
            assert_true(text->ptr[i - 1] != ' ');
    }
}

static void test_golden(void **state) {
    (void)state;
    size_t bad = 0;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        for (size_t l = 0; l < sizeof looks / sizeof looks[0]; l++) {
            _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
            _cleanup_buf_ struct buf golden = BUF_INIT(BUF_MEDIUM);
            _cleanup_buf_ struct buf path = BUF_INIT(BUF_SMALL);
            struct err err = {0};
            count(&cases[c].plan);
            show_plan(&cases[c].plan, "berth.yaml", &looks[l].look, &text);
            show_losses(&cases[c].plan, &looks[l].look, &text);
            check_rules(&looks[l].look, &text);
            buf_addf(&path, TESTS_DIR "/scenario/show/%s.%s.txt", cases[c].name, looks[l].name);
            if (getenv("BERTH_UPDATE") != NULL)
                assert_int_equal(fs_write(buf_cstr(&path), buf_str(&text), 0644, &err), 0);
            assert_int_equal(fs_read(buf_cstr(&path), &golden, &err), 0);
            if (!str_eq(buf_str(&golden), buf_str(&text))) {
                print_error("%s differs; it is now:\n%s", buf_cstr(&path), buf_cstr(&text));
                bad++;
            }
        }
    }
    assert_int_equal(bad, 0);
}

static void test_a_thousand(void **state) {
    (void)state;
    enum { N = 1000 };
    struct plan plan = {.changes = calloc(N, sizeof *plan.changes), .len = N};
    static char addresses[N][32];
    for (size_t i = 0; i < N; i++) {
        snprintf(addresses[i], sizeof addresses[i], "server[%zu]", i);
        plan.changes[i] = create[1];
        plan.changes[i].address = addresses[i];
    }
    count(&plan);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    show_plan(&plan, "berth.yaml", &looks[0].look, &text);
    assert_non_null(strstr(buf_cstr(&text), "server[0..999] \u00d71000\n"));
    assert_non_null(strstr(buf_cstr(&text), "\nPlan: 1000 to create.\n"));
    assert_true(text.len < 2000);
    assert_int_equal(show_plan_count(&plan), N);
    struct look each = looks[0].look; /* -v: one by one */
    each.each = true;
    buf_reset(&text);
    show_plan(&plan, "berth.yaml", &each, &text);
    assert_non_null(strstr(buf_cstr(&text), "server[0]\n"));
    assert_non_null(strstr(buf_cstr(&text), "server[999]\n"));
    free(plan.changes);
}

/* What a verb made anew is not said to be the spec's. */
static void test_rotated(void **state) {
    (void)state;
    static const struct field rotated = {.name = "token_hash",
                                         .type = FIELD_STR,
                                         .flags = FIELD_ROTATED,
                                         .offset = offsetof(struct thing, type)};
    static const struct {
        enum why why;
        const char *mark, *legend, *never;
    } rows[] = {{WHY_SPEC, "t3.medium (rotate)\n", "\n(rotate): made anew by", "(spec)"},
                {WHY_BOTH, "(rotate, drift)\n", "(drift): changed out there", "(spec)"},
                {WHY_DRIFT, "(drift)\n", "\n(drift): changed", "(rotate)"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct field_change field = {.field = &rotated, .why = rows[i].why};
        struct change change =
            CHANGE("server[0].jupyter", ACTION_UPDATE, .why = rows[i].why, .before = &before,
                   .after = &after, .fields = &field, .fields_len = 1);
        struct plan plan = {.changes = &change, .len = 1};
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
        count(&plan);
        show_plan(&plan, "berth.yaml", &looks[0].look, &text);
        assert_non_null(strstr(buf_cstr(&text), rows[i].mark));
        assert_non_null(strstr(buf_cstr(&text), rows[i].legend));
        assert_null(strstr(buf_cstr(&text), rows[i].never));
    }
}

/* What a change does to something beside it: said where that is there and stays, and what it costs
 * then; else not. */
static void test_besides(void **state) {
    (void)state;
    static const struct kind service = {.name = "service",
                                        .fields = fields,
                                        .size = sizeof(struct thing),
                                        .besides = "it restarts",
                                        .beside = &service},
                             part = {.name = "part",
                                     .fields = fields,
                                     .size = sizeof(struct thing),
                                     .besides = "it restarts",
                                     .beside = &service};
    const struct live busy = {.presence = LIVE_OURS, .at_stake = "2 running kernels"};
    static const struct {
        enum action action, beside;
        enum why why;
        size_t fields;
        bool said;
    } rows[] = {{ACTION_UPDATE, ACTION_NOOP, WHY_SPEC, 1, true},
                {ACTION_UPDATE, ACTION_UPDATE, WHY_DRIFT, 1, true},
                {ACTION_UPDATE, ACTION_NOOP, WHY_DRIFT, 0, true}, /* to finish what was cut */
                {ACTION_UPDATE, ACTION_NOOP, WHY_PARENT, 0, false},
                {ACTION_CREATE, ACTION_NOOP, WHY_NEW, 0, true},
                {ACTION_CREATE, ACTION_CREATE, WHY_NEW, 0, false},
                {ACTION_DESTROY, ACTION_NOOP, WHY_REMOVED, 0, true},
                {ACTION_DESTROY, ACTION_DESTROY, WHY_REMOVED, 0, false},
                {ACTION_NOOP, ACTION_NOOP, WHY_SAME, 0, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct change changes[] = {
            {.address = "server[0].part",
             .parent = "server[0]",
             .kind = &part,
             .action = rows[i].action,
             .why = rows[i].why,
             .before = &before,
             .after = &after,
             .fields = one_drift,
             .fields_len = rows[i].fields},
            {.address = "server[0].service",
             .parent = "server[0]",
             .kind = &service,
             .live = &busy,
             .action = rows[i].beside,
             .why = WHY_PARENT,
             .before = &before,
             .after = &after},
            {.address = "server[1].part", /* nothing stands beside this one */
             .parent = "server[1]",
             .kind = &part,
             .action = ACTION_UPDATE,
             .why = WHY_SPEC,
             .before = &before,
             .after = &after,
             .fields = one_drift,
             .fields_len = 1}};
        struct plan plan = {.changes = changes, .len = 3};
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
        count(&plan);
        show_plan(&plan, "berth.yaml", &looks[3].look, &text);
        const char *found = strstr(buf_cstr(&text), "it restarts (2 running kernels)");
        if ((found != NULL) != rows[i].said)
            fail_msg("row %zu:\n%s", i, buf_cstr(&text));
        assert_null(strstr(found == NULL ? buf_cstr(&text) : found + 1, "it restarts"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden), cmocka_unit_test(test_a_thousand),
        cmocka_unit_test(test_rotated), cmocka_unit_test(test_besides)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
