/* What `berth state` does to a state: forgetting and moving, and what it refuses. */
#include "engine/state_edit.h"
#include "specs/buf.h"
#include "tests/scenario/sim.h"
#include "tests/unit/cm.h"

static const char text[] =
    "{\"version\":1,\"serial\":3,\"lineage\":\"l\",\"nodes\":["
    "{\"address\":\"group0\",\"kind\":\"group\",\"id\":\"g\",\"status\":\"ok\"},"
    "{\"address\":\"box[1]\",\"kind\":\"box\",\"id\":\"b1\",\"status\":\"ok\",\"deps\":[\"group0\"]"
    "},"
    "{\"address\":\"box[1].a\",\"kind\":\"box.part\",\"status\":\"ok\",\"parent\":\"box[1]\"},"
    "{\"address\":\"box[1].b\",\"kind\":\"box.part\",\"status\":\"ok\",\"parent\":\"box[1]\","
    "\"deps\":[\"box[1].a\"]},"
    "{\"address\":\"box[10]\",\"kind\":\"box\",\"id\":\"b10\",\"status\":\"pending\"},"
    "{\"address\":\"disk[1]\",\"kind\":\"disk\",\"id\":\"d\",\"status\":\"ok\",\"deps\":[\"box[1]"
    "\"]}"
    "]}";

static struct state make_state(void) {
    struct state state;
    struct arena arena = {0};
    struct err err = {0};
    assert_int_equal(state_parse(&arena, sim_kinds, str_of(text), &state, &err), 0);
    return state;
}

static int forget(struct state *state, const char *pattern, struct recorded_list *gone,
                  struct err *err) {
    const struct strlist patterns = {.items = &pattern, .len = 1};
    return state_forget(state, &patterns, gone, err);
}

static void test_forget(void **unused) {
    (void)unused;
    struct state state = make_state();
    struct recorded_list gone = {0};
    struct err err = {0};
    const struct strlist none = {0};
    assert_int_equal(state_forget(&state, &none, &gone, &err), 0);
    assert_int_equal(gone.len, 0);
    assert_int_equal(forget(&state, "box[3]", &gone, &err), -ERRC_NOTFOUND);
    assert_non_null(strstr(err.hint, "did you mean box["));
    const char *both[] = {"box[1]", "nothing"};
    const struct strlist patterns = {.items = both, .len = 2};
    assert_int_equal(state_forget(&state, &patterns, &gone, &err), -ERRC_NOTFOUND);
    assert_int_equal(state.nodes.len, 6); /* all or nothing */
    assert_int_equal(forget(&state, "box[1]", &gone, &err), 0);
    assert_int_equal(gone.len, 3);
    assert_string_equal(gone.items[0].id, "b1");
    assert_int_equal(state.nodes.len, 3);
    assert_non_null(recorded_find(&state.nodes, "box[10]"));
    assert_int_equal(forget(&state, "box", &gone, &err), 0);
    assert_int_equal(state.nodes.len, 2);
    state_free(&state);
}

static void test_move(void **unused) {
    (void)unused;
    struct state state = make_state();
    struct err err = {0};
    assert_int_equal(state_move(&state, "box[1]", "box[2]", &err), 0);
    assert_null(recorded_find(&state.nodes, "box[1]"));
    const struct recorded *part = recorded_find(&state.nodes, "box[2].b");
    assert_non_null(part);
    assert_string_equal(part->parent, "box[2]");
    assert_string_equal(part->deps.items[0], "box[2].a");
    assert_string_equal(recorded_find(&state.nodes, "disk[1]")->deps.items[0], "box[2]");
    assert_string_equal(recorded_find(&state.nodes, "box[2]")->deps.items[0], "group0");
    assert_string_equal(recorded_find(&state.nodes, "box[10]")->id, "b10");
    state_free(&state);
}

static void test_refused_moves(void **unused) {
    (void)unused;
    static const struct {
        const char *from, *to;
        int code;
    } rows[] = {
        {"box[7]", "box[2]", ERRC_NOTFOUND},   {"box[1]", "box[10]", ERRC_CONFLICT},
        {"box[1]", "disk[7]", ERRC_INVALID},   {"box[1]", "box[x]", ERRC_INVALID},
        {"box[1]", "box[2].a", ERRC_INVALID},  {"box[1]", "box[-1]", ERRC_INVALID},
        {"box[1]", "box", ERRC_INVALID},       {"box[1].a", "box[10].a", ERRC_INVALID},
        {"group0", "group1", ERRC_INVALID},    {"box[1]", "", ERRC_INVALID},
        {"box[1]", "box[2", ERRC_INVALID},     {"box[1]", "box[]", ERRC_INVALID},
        {"disk[1]", "disk[1]", ERRC_CONFLICT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct state state = make_state();
        struct err err = {0};
        _cleanup_buf_ struct buf before = BUF_INIT(BUF_MEDIUM);
        _cleanup_buf_ struct buf after = BUF_INIT(BUF_MEDIUM);
        assert_int_equal(state_print(&state, &before), 0);
        assert_int_equal(state_move(&state, rows[i].from, rows[i].to, &err), -rows[i].code);
        assert_true(err.msg[0] != '\0' && err.hint[0] != '\0');
        assert_int_equal(state_print(&state, &after), 0);
        assert_string_equal(buf_cstr(&before), buf_cstr(&after));
        state_free(&state);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forget), cmocka_unit_test(test_move),
                                       cmocka_unit_test(test_refused_moves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
