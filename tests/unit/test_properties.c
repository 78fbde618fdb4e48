/* What holds of every world, over random ones: apply then plan is empty; the order of the input
 * does not matter; steps respect dependencies; a run killed at any step and started again ends as
 * an undisturbed one. Of parts of a plan: test_properties_parts.c. */
#include "engine/batch.h"
#include "tests/unit/random_world.h"

static void test_apply_then_plan_is_empty(void **state) {
    (void)state;
    uint64_t seed = first_seed();
    for (unsigned round = rounds(60); round > 0; round--) {
        struct sim *sim = sim_new();
        char dir[64];
        sim_dir_make(dir);
        for (int change = 0; change < 4; change++) {
            struct wants w = make_wants(&seed);
            const struct sim_wish wish = {fill, &w, NULL};
            converge(sim, dir, &wish);
            assert_converged(sim, dir, &wish, &w);
            sim_calm(sim);
            meddle(sim, &seed);
            converge(sim, dir, &wish);
            assert_converged(sim, dir, &wish, &w);
            sim_calm(sim);
        }
        assert_int_equal(sim_apply(sim, dir, &(struct sim_wish){0}, true), 0);
        assert_int_equal(sim_count(sim), 0);
        sim_dir_remove(dir);
        sim_free(sim);
    }
}

/* All that decide says, as one text, in the order of addresses. */
static void list_plan(const struct plan *plan, struct strlist *ret, struct arena *arena) {
    for (size_t i = 0; i < plan->len; i++)
        assert_int_equal(strlist_addf(arena, ret, "%s %s %d %zu", plan->changes[i].address,
                                      action_name(plan->changes[i].action),
                                      plan->changes[i].case_number, plan->changes[i].fields_len),
                         0);
    strlist_sort(ret);
}

static void test_order_of_input_does_not_matter(void **state) {
    (void)state;
    uint64_t seed = first_seed() + 1;
    for (unsigned round = rounds(100); round > 0; round--) {
        _cleanup_arena_ struct arena arena = {0};
        struct sim *sim = sim_new();
        char dir[64];
        struct err err = {0};
        sim_dir_make(dir);
        struct wants w = make_wants(&seed);
        struct sim_wish wish = {fill, &w, NULL};
        sim_apply(sim, dir, &wish, false);
        w = make_wants(&seed);
        meddle(sim, &seed);
        struct strlist lists[2] = {0};
        for (int i = 0; i < 2; i++) {
            struct sim_run run;
            w.reversed = i == 1;
            assert_int_equal(sim_run_plan(&run, sim, dir, &wish, false, &err), 0);
            list_plan(&run.plan, &lists[i], &arena);
            sim_run_end(&run);
        }
        assert_true(strlist_equal(&lists[0], &lists[1]));
        sim_dir_remove(dir);
        sim_free(sim);
    }
}

/* Everything that was wanted of one world is made upon what it needs, and removed before it: the
 * simulated world refuses anything else, so that a refused call fails this test. */
static void test_steps_respect_dependencies(void **state) {
    (void)state;
    uint64_t seed = first_seed() + 2;
    for (unsigned round = rounds(60); round > 0; round--) {
        struct sim *sim = sim_new();
        char dir[64];
        sim_dir_make(dir);
        sim->delay_us = below(&seed, 2) * 200;
        for (int change = 0; change < 3; change++) {
            struct wants w = make_wants(&seed);
            const struct sim_wish wish = {fill, &w, NULL};
            assert_int_equal(sim_apply(sim, dir, &wish, false), 0);
            for (size_t i = 0; i < sim->calls_len; i++) {
                const char *box = sim->calls[i].address;
                unsigned b = 0;
                if (sscanf(box, "box[%u]", &b) != 1 || strcmp(sim->calls[i].what, "create") != 0 ||
                    strchr(box, '.') != NULL)
                    continue;
                char group[48];
                snprintf(group, sizeof group, "group%u", w.group_of[b]);
                size_t made = sim_call_at(sim, "create", group);
                assert_true(made == SIZE_MAX || made < i);
            }
            sim_calm(sim);
        }
        sim_dir_remove(dir);
        sim_free(sim);
    }
}

/* From `first` to `then`, dying at one step after the other; each time a second run must end where
 * an undisturbed one ends. */
static void kill_everywhere(const struct wants *first, const struct wants *then) {
    for (size_t at = 1;; at++) {
        struct sim *sim = sim_new();
        char dir[64];
        sim_dir_make(dir);
        const struct sim_wish before = {fill, (void *)first, NULL};
        const struct sim_wish after = {then == NULL ? NULL : fill, (void *)then, NULL};
        if (first != NULL)
            assert_int_equal(sim_apply(sim, dir, &before, false), 0);
        sim_calm(sim);
        bool ended = sim_apply_dying(sim, dir, &after, at);
        converge(sim, dir, &after);
        if (then != NULL)
            assert_converged(sim, dir, &after, then);
        else
            assert_int_equal(sim_count(sim), 0);
        sim_dir_remove(dir);
        sim_free(sim);
        if (ended) {
            assert_true(at > 5); /* it did die a few times */
            return;
        }
    }
}

static void test_kill_at_every_step(void **state) {
    (void)state;
    uint64_t seed = first_seed() + 3;
    for (unsigned round = rounds(2); round > 0; round--) {
        struct wants first = make_wants(&seed), then = make_wants(&seed);
        first.box[0] = first.box[1] = true;
        kill_everywhere(NULL, &first);
        kill_everywhere(&first, &then);
        kill_everywhere(&first, NULL);
    }
}

/* As above, but the state is lost too: what carries the tags is found again, nothing is doubled. */
static void lose_state(uint64_t seed) {
    for (unsigned round = rounds(30); round > 0; round--) {
        struct sim *sim = sim_new();
        char dir[64], other[64];
        sim_dir_make(dir);
        sim_dir_make(other);
        struct wants w = make_wants(&seed);
        const struct sim_wish wish = {fill, &w, NULL};
        assert_int_equal(sim_apply(sim, dir, &wish, false), 0);
        struct wants then = make_wants(&seed);
        const struct sim_wish after = {fill, &then, NULL};
        assert_int_equal(sim_apply(sim, other, &after, false), 0);
        assert_int_equal(sim_changes(sim, other, &after), 0);
        assert_int_equal(sim_apply(sim, other, &(struct sim_wish){0}, true), 0);
        assert_int_equal(sim_count(sim), 0);
        sim_dir_remove(dir);
        sim_dir_remove(other);
        sim_free(sim);
    }
}

/* Always those seeds too that once found something. */
static void test_lost_state(void **state) {
    (void)state;
    const uint64_t seeds[] = {first_seed(), 11};
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++)
        lose_state(seeds[i] + 4);
}

/* What is taken over is only written down: between steps that are made by one call, it does not cut
 * them apart, and an orphan that is still in use waits for its users. */
static void test_taken_over_amid_others(void **state) {
    (void)state;
    struct sim *sim = sim_new();
    struct sim_run run;
    struct batches batches = {0};
    struct outcome outcome = {0};
    struct err err = {0};
    char dir[64], other[64];
    sim_dir_make(dir);
    sim_dir_make(other);
    struct wants w = {
        .group = {true, true}, .box = {true}, .group_of = {1}, .part = {{[1] = true}}};
    const struct sim_wish wish = {fill, &w, NULL};
    assert_int_equal(sim_apply(sim, dir, &wish, false), 0);
    w = (struct wants){.group = {true}, .box = {true}, .part = {{true, true, true}}};
    assert_int_equal(sim_run_plan(&run, sim, other, &wish, false, &err), 0);
    assert_int_equal(batches_make(&run.plan, sim_kinds, &run.arena, &batches, &err), 0);
    size_t inside = 0, taken_over = 0;
    for (size_t i = 0; i < batches.len; i++) {
        const struct exec_batch *b = &batches.items[i];
        bool is_inside = cstr_eq(b->changes[0]->parent, "box[0]");
        inside += is_inside && !b->state_only;
        taken_over += is_inside && b->state_only;
    }
    assert_int_equal(inside, 1);
    assert_int_equal(taken_over, 1);
    assert_int_equal(sim_run_execute(&run, &outcome, &err), 0);
    assert_true(sim_call_at(sim, "update", "box[0]") < sim_call_at(sim, "destroy", "group1"));
    outcome_free(&outcome);
    sim_run_end(&run);
    sim_dir_remove(dir);
    sim_dir_remove(other);
    sim_free(sim);
}

/* What vanished and still has something on this machine is forgotten by its world, after all that
 * depended on it is gone; not at all when that is not. */
static void test_forget_after_users(void **state) {
    (void)state;
    struct sim *sim = sim_new();
    char dir[64];
    sim_dir_make(dir);
    struct wants w = {.group = {true}, .box = {true, true}};
    const struct sim_wish wish = {fill, &w, NULL};
    assert_int_equal(sim_apply(sim, dir, &wish, false), 0);
    sim_find(sim, "group0")->used = false;
    sim_calm(sim);
    snprintf(sim->fail_for, sizeof sim->fail_for, "box[1]");
    assert_true(sim_apply(sim, dir, &(struct sim_wish){0}, true) < 0);
    assert_int_equal(sim_called(sim, "forget", "group0"), 0);
    sim_calm(sim);
    assert_int_equal(sim_apply(sim, dir, &(struct sim_wish){0}, true), 0);
    assert_int_equal(sim_called(sim, "forget", "group0"), 1);
    assert_true(sim_call_at(sim, "destroy", "box[1]") < sim_call_at(sim, "forget", "group0"));
    sim_calm(sim);
    assert_int_equal(sim_apply(sim, dir, &(struct sim_wish){0}, true), 0);
    assert_int_equal(sim_called(sim, "forget", "group0"), 0);
    sim_dir_remove(dir);
    sim_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apply_then_plan_is_empty),
        cmocka_unit_test(test_order_of_input_does_not_matter),
        cmocka_unit_test(test_steps_respect_dependencies),
        cmocka_unit_test(test_kill_at_every_step),
        cmocka_unit_test(test_lost_state),
        cmocka_unit_test(test_taken_over_amid_others),
        cmocka_unit_test(test_forget_after_users),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
