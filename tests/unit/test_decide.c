/* The table as a whole: every combination of desired, recorded and live has exactly one answer, and
 * the one that docs/decisions.md gives. What single rows do with fields is in tests/scenario/plan.
 */
#include "engine/decide.h"
#include "engine/plan.h"
#include "providers/ec2/ec2.h"
#include "specs/record.h"
#include "tests/scenario/sim.h"
#include "tests/unit/cm.h"

enum memory { NOT_KNOWN, PENDING, FAILED, OK, MEMORIES };

static struct sim_record same = {.type = "t1", .power = "running"};

static int expected(bool desired, enum memory memory, enum presence presence) {
    if (presence == LIVE_UNREADABLE)
        return 15;
    if (desired && presence == LIVE_FOREIGN)
        return 3;
    if (desired && presence == LIVE_NONE)
        return memory == NOT_KNOWN ? 1 : memory == PENDING ? 4 : 6;
    if (desired)
        return memory == NOT_KNOWN ? 2 : memory == PENDING ? 5 : memory == FAILED ? 16 : 7;
    if (presence == LIVE_OURS)
        return memory == NOT_KNOWN ? 13 : 11;
    return 12;
}

static enum action action_of(int number) {
    static const enum action actions[] = {
        [1] = ACTION_CREATE,  [2] = ACTION_ADOPT,    [3] = ACTION_UNKNOWN,  [4] = ACTION_RESUME,
        [5] = ACTION_ADOPT,   [6] = ACTION_CREATE,   [7] = ACTION_NOOP,     [11] = ACTION_DESTROY,
        [12] = ACTION_FORGET, [13] = ACTION_DESTROY, [15] = ACTION_UNKNOWN, [16] = ACTION_NOOP};
    return actions[number];
}

static void test_every_combination(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    for (int d = 0; d < 2; d++) {
        for (int m = 0; m < MEMORIES; m++) {
            for (int p = LIVE_NONE; p <= LIVE_UNREADABLE; p++) {
                if (d == 0 && m == NOT_KNOWN && p != LIVE_OURS)
                    continue; /* nobody speaks of it */
                const struct node node = {
                    .address = "box", .kind = &sim_box_kind, .desired = &same};
                const struct recorded recorded = {.address = "box",
                                                  .kind = &sim_box_kind,
                                                  .status = m == PENDING  ? RECORDED_PENDING
                                                            : m == FAILED ? RECORDED_FAILED
                                                                          : RECORDED_OK,
                                                  .record = m == PENDING ? NULL : &same};
                const struct live live = {.address = "box",
                                          .kind = &sim_box_kind,
                                          .presence = (enum presence)p,
                                          .record = p == LIVE_OURS ? &same : NULL};
                const struct situation s = {.node = d == 1 ? &node : NULL,
                                            .recorded = m == NOT_KNOWN ? NULL : &recorded,
                                            .presence = (enum presence)p,
                                            .live = &live,
                                            .desired = d == 1 ? &same : NULL};
                struct change c;
                struct err err = {0};
                assert_int_equal(decide(&s, &arena, &c, &err), 0);
                int number = expected(d == 1, (enum memory)m, (enum presence)p);
                assert_int_equal(c.case_number, number);
                assert_int_equal(c.action, action_of(number));
                assert_int_equal(c.fields_len, 0);
                assert_true((c.after != NULL) == (d == 1));
            }
        }
    }
}

/* What a parent's fate does to what lives in it, for every action. */
static void test_every_fate_of_a_parent(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    static struct sim_record stopped = {.power = "stopped", .address = "10.0.0.1"};
    const struct live parent_live = {.presence = LIVE_OURS, .record = &stopped};
    for (int a = 0; a < ACTION_COUNT; a++) {
        for (int d = 0; d < 2; d++) {
            const struct change parent = {.address = "box",
                                          .kind = &sim_box_kind,
                                          .action = (enum action)a,
                                          .live = &parent_live};
            const struct node node = {
                .address = "box.a", .kind = &sim_part_kind, .parent = "box", .desired = &same};
            const struct recorded recorded = {
                .address = "box.a", .kind = &sim_part_kind, .parent = "box", .record = &same};
            const struct live live = {
                .address = "box.a", .kind = &sim_part_kind, .presence = LIVE_UNREADABLE};
            const struct situation s = {.node = d == 1 ? &node : NULL,
                                        .recorded = &recorded,
                                        .presence = LIVE_UNREADABLE,
                                        .live = &live,
                                        .desired = d == 1 ? &same : NULL,
                                        .parent = &parent};
            struct change c;
            struct err err = {0};
            assert_int_equal(decide(&s, &arena, &c, &err), 0);
            bool made = a == ACTION_CREATE || a == ACTION_RESUME || a == ACTION_REPLACE;
            bool goes = a == ACTION_DESTROY || a == ACTION_FORGET || a == ACTION_REPLACE;
            bool starts = a == ACTION_UPDATE || a == ACTION_ADOPT || a == ACTION_STOP_UPDATE_START;
            if (d == 1)
                assert_int_equal(c.action, made     ? ACTION_CREATE
                                           : starts ? ACTION_UPDATE
                                                    : ACTION_UNKNOWN);
            else
                assert_int_equal(c.action, a == ACTION_FORGET ? ACTION_FORGET
                                           : goes || starts   ? ACTION_DESTROY
                                                              : ACTION_UNKNOWN);
            assert_true(c.with_parent == (d == 0 && goes));
            if (d == 1 && made)
                assert_null(c.live); /* seen in the parent's last life */
        }
    }
}

static int no_random(void *bytes, size_t len) {
    memset(bytes, 7, len);
    return 0;
}

/* `protect: true` holds from the moment that the spec says so: the state need not know it yet, nor
 * the server at all. */
static void test_spec_protects(void **state) {
    (void)state;
    for (int n = 0; n < 4; n++) {
        bool protect = n < 2, orphan = n % 2 == 1;
        _cleanup_arena_ struct arena arena = {0};
        char text[160];
        snprintf(
            text, sizeof text,
            "berth: 1\nname: x\nprovider: sandbox\nserver: { image: debian-12, type: t3.small, "
            "protect: %s }\n",
            protect ? "true" : "false");
        struct diags diags = {.arena = &arena, .file = "x", .source = str_of(text)};
        const struct desired desired = {.spec = spec_compile(&arena, &diags)};
        assert_non_null(desired.spec);
        struct server_record record = {.type = "t3.small", .power = "running"};
        struct recorded recorded = {
            .address = "server[0]", .kind = &server_kind, .kind_name = "server", .record = &record};
        struct live live = {.address = "server[0]",
                            .kind = &server_kind,
                            .presence = LIVE_OURS,
                            .id = "i-1",
                            .record = &record};
        struct state known = {.nodes = {&recorded, orphan ? 0 : 1}, .lineage = "l"};
        struct observed world = {.items = &live, .len = 1};
        const struct live_world seen = {.worlds = &world, .len = 1};
        struct plan plan;
        struct err err = {0};
        const struct plan_options options = {.destroy = true};
        assert_int_equal(plan_make(&desired, &known, &seen, &options, no_random, &plan, &err), 0);
        assert_int_equal(plan.len, 1);
        assert_int_equal(plan.changes[0].case_number, protect ? 14 : orphan ? 13 : 11);
        assert_int_equal(plan.blockers_len, protect);
        plan_free(&plan);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_combination),
                                       cmocka_unit_test(test_every_fate_of_a_parent),
                                       cmocka_unit_test(test_spec_protects)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
