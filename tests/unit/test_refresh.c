/* What moved since the state was written, and what of it the state takes over. */
#include "engine/refresh.h"
#include "specs/record.h"
#include "tests/scenario/sim_run.h"
#include "tests/unit/cm.h"

static void fill(struct nodes *nodes, void *ctx) {
    (void)ctx;
    sim_want(nodes, &sim_group_kind, "group0", NULL, NULL, "{\"rules\":[\"all\"]}");
    sim_want(nodes, &sim_box_kind, "box[0]", NULL, (const char *const[]){"group0", NULL},
             "{\"type\":\"t1\",\"image\":\"deb\",\"count\":1}");
    sim_want(nodes, &sim_part_kind, "box[0].a", "box[0]", NULL, "{\"count\":1}");
}
static const struct sim_wish wish = {fill, NULL, NULL};

/* One refresh, as the verb does it; what moved is listed as "ADDRESS FIELD…" lines. */
static void refresh(struct sim *sim, const char *dir, struct buf *out) {
    struct sim_run run;
    struct refresh found;
    struct err err = {0};
    _cleanup_arena_ struct arena arena = {0};
    assert_int_equal(sim_run_plan(&run, sim, dir, &wish, false, &err), 0);
    assert_int_equal(refresh_make(&run.state, &run.live, &arena, &found, &err), 0);
    int taken = 0;
    for (size_t i = 0; i < found.len; i++) {
        const struct moved *m = &found.items[i];
        buf_adds(out, m->recorded->address);
        for (size_t f = 0; f < m->fields_len; f++)
            buf_addf(out, " %s", m->fields[f]->name);
        buf_adds(out, m->after == NULL ? " -\n" : "\n");
        taken += m->after != NULL;
    }
    assert_int_equal(refresh_take(&found, &run.state, &err), taken);
    assert_int_equal(state_write(&run.state, &err), 0);
    sim_run_end(&run);
}

static void test_refresh(void **state) {
    (void)state;
    struct sim *sim = sim_new();
    char dir[64];
    sim_dir_make(dir);
    assert_int_equal(sim_apply(sim, dir, &wish, false), 0);
    const struct {
        void (*drift)(struct sim *sim, const char *address, const char *field, const char *value);
        const char *address, *field, *value, *expect, *again;
    } rows[] = {
        {NULL, NULL, NULL, NULL, "", ""},
        {sim_drift, "box[0]", "count", "7", "box[0] count\n", ""},
        {sim_drift, "box[0]", "address", "10.9.9.9", "box[0] address\n", ""},
        {sim_drift, "box[0].a", "count", "4", "box[0].a count\n", ""},
        {sim_drift, "box[0]", "image", "other", "", ""}, /* nobody can tell */
        {sim_drift, "box[0]", "password", "x", "", ""},
        /* Whether it is to run is for people to say; what is on it cannot be seen. */
        {sim_drift, "box[0]", "power", "stopped", "box[0] power -\n", "box[0] power -\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        _cleanup_buf_ struct buf first = BUF_INIT(BUF_SMALL);
        _cleanup_buf_ struct buf second = BUF_INIT(BUF_SMALL);
        if (rows[i].drift != NULL)
            rows[i].drift(sim, rows[i].address, rows[i].field, rows[i].value);
        refresh(sim, dir, &first);
        assert_string_equal(buf_cstr(&first), rows[i].expect);
        refresh(sim, dir, &second);
        assert_string_equal(buf_cstr(&second), rows[i].again);
    }
    /* Vanished: named, and remembered, so that the plan can tell of it. */
    sim_find(sim, "group0")->used = false;
    _cleanup_buf_ struct buf gone = BUF_INIT(BUF_SMALL);
    refresh(sim, dir, &gone);
    assert_string_equal(buf_cstr(&gone), "group0 -\nbox[0] power -\n");
    struct sim_run run;
    struct err err = {0};
    assert_int_equal(sim_run_plan(&run, sim, dir, &wish, false, &err), 0);
    assert_non_null(recorded_find(&run.state.nodes, "group0"));
    sim_run_end(&run);
    sim_dir_remove(dir);
    sim_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refresh)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
