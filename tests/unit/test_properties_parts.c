/* What holds of every world where not all of a plan is made: targets, stop and start, what is to be
 * kept. */
#include "tests/unit/random_world.h"

/* ---- Parts of a plan */

static const struct change *find_in(const struct plan *plan, const char *address) {
    for (size_t i = 0; i < plan->len; i++)
        if (cstr_eq(plan->changes[i].address, address))
            return &plan->changes[i];
    return NULL;
}

static bool is_removal(const struct change *c) {
    return c->action == ACTION_DESTROY || c->action == ACTION_FORGET;
}

/* Does what `c` needs, or what needs it, move in the whole plan and not in the part? */
static void check_closed(const struct plan *part, const struct plan *whole) {
    for (size_t i = 0; i < part->len; i++) {
        const struct change *c = &part->changes[i];
        if (c->action == ACTION_NOOP)
            continue;
        for (size_t d = 0; !is_removal(c) && d <= c->deps.len; d++) {
            const char *dep = d < c->deps.len ? c->deps.items[d] : c->parent;
            const struct change *on = dep == NULL ? NULL : find_in(whole, dep);
            assert_true(on == NULL || on->action == ACTION_NOOP || find_in(part, dep) != NULL);
        }
        for (size_t w = 0; is_removal(c) && w < whole->len; w++) {
            const struct change *user = &whole->changes[w];
            const struct recorded *r = user->recorded;
            bool uses =
                r != NULL && (cstr_eq(r->parent, c->address) || strlist_has(&r->deps, c->address));
            assert_true(!uses || user->action == ACTION_NOOP ||
                        find_in(part, user->address) != NULL);
        }
    }
}

/* The part has nothing that the whole has not, has all that it needs, and can be carried out; then
 * the rest can, and it ends as if it had been done at once. */
static void test_part_of_a_plan(void **state) {
    (void)state;
    uint64_t seed = first_seed() + 5;
    for (unsigned round = rounds(120); round > 0; round--) {
        struct sim *sim = sim_new();
        char dir[64], target[48];
        struct err err = {0};
        sim_dir_make(dir);
        struct wants w = make_wants(&seed);
        const struct sim_wish wish = {fill, &w, NULL};
        assert_int_equal(sim_apply(sim, dir, &wish, false), 0);
        bool destroy = below(&seed, 4) == 0;
        w = make_wants(&seed);
        struct sim_run whole, part;
        assert_int_equal(sim_run_plan(&whole, sim, dir, &wish, destroy, &err), 0);
        const struct change *named = &whole.plan.changes[below(&seed, (unsigned)whole.plan.len)];
        snprintf(target, sizeof target, "%s", named->address);
        const char *items[] = {target};
        const struct strlist targets = {.items = items, .len = 1};
        const struct plan_options options = {.targets = &targets};
        const struct sim_wish some = {fill, &w, &options};
        int rc = sim_run_plan(&part, sim, dir, &some, destroy, &err);
        if (rc < 0) { /* it goes with its box alone, and must not seem to go without */
            assert_int_equal(rc, -ERRC_INVALID);
            assert_true(named->with_parent);
        } else {
            assert_true(!named->with_parent || find_in(&part.plan, named->parent) != NULL);
            assert_true(part.plan.partial && find_in(&part.plan, target) != NULL);
            for (size_t i = 0; i < part.plan.len; i++) {
                const struct change *c = &part.plan.changes[i], *same = NULL;
                assert_non_null(same = find_in(&whole.plan, c->address));
                assert_int_equal(c->action, same->action);
                assert_int_equal(c->case_number, same->case_number);
                assert_int_equal(c->fields_len, same->fields_len);
            }
            check_closed(&part.plan, &whole.plan);
            sim_run_end(&part);
            assert_int_equal(sim_apply(sim, dir, &some, destroy), 0);
        }
        sim_run_end(&whole);
        assert_int_equal(sim_apply(sim, dir, &wish, destroy), 0);
        if (destroy)
            assert_int_equal(sim_count(sim), 0);
        else
            assert_converged(sim, dir, &wish, &w);
        sim_dir_remove(dir);
        sim_free(sim);
    }
}

/* ---- Power */

/* All that is there, but for addresses, which move. */
static void list_things(struct sim *sim, struct strlist *ret, struct arena *arena) {
    for (size_t i = 0; i < sim->len; i++) {
        if (!sim->things[i].used)
            continue;
        cJSON *json = cJSON_Parse(sim->things[i].record);
        cJSON_DeleteItemFromObjectCaseSensitive(json, "address");
        char *text = cJSON_PrintUnformatted(json);
        assert_int_equal(
            strlist_addf(arena, ret, "%s %s %s", sim->things[i].address, sim->things[i].id, text),
            0);
        cJSON_free(text);
        cJSON_Delete(json);
    }
    strlist_sort(ret);
}

static struct wants make_running(uint64_t *seed) {
    struct wants w = make_wants(seed);
    w.box[0] = true;
    return w;
}

/* Stopped is no drift, whatever is stopped; started again, all is as it was, and nothing was made
 * or destroyed on the way. What somebody else starts meanwhile is drift. */
static void test_stop_and_start(void **state) {
    (void)state;
    uint64_t seed = first_seed() + 6;
    for (unsigned round = rounds(60); round > 0; round--) {
        _cleanup_arena_ struct arena arena = {0};
        struct sim *sim = sim_new();
        char dir[64];
        sim_dir_make(dir);
        struct wants w = make_running(&seed);
        const char *items[] = {below(&seed, 2) == 0 ? "box[0]" : "box"};
        const struct strlist targets = {.items = items, .len = 1};
        const struct plan_options stop = {.power = "stopped", .targets = &targets};
        const struct plan_options start = {.power = "running", .targets = &targets};
        const struct sim_wish wish = {fill, &w, NULL}, stopped = {fill, &w, &stop},
                              started = {fill, &w, &start};
        struct strlist before = {0}, after = {0};
        assert_int_equal(sim_apply(sim, dir, &wish, false), 0);
        list_things(sim, &before, &arena);
        sim_calm(sim);
        assert_int_equal(sim_apply(sim, dir, &stopped, false), 0);
        assert_int_equal(sim_changes(sim, dir, &wish), 0);
        if (below(&seed, 3) == 0) {
            sim_drift(sim, "box[0]", "power", "running");
            sim_drift(sim, "box[0]", "address", "10.9.9.9");
            assert_int_equal(sim_changes(sim, dir, &wish), 1);
        }
        assert_int_equal(sim_apply(sim, dir, &wish, false), 0);
        assert_int_equal(sim_changes(sim, dir, &wish), 0);
        assert_int_equal(sim_apply(sim, dir, &started, false), 0);
        assert_int_equal(sim_changes(sim, dir, &wish), 0);
        list_things(sim, &after, &arena);
        assert_true(strlist_equal(&before, &after));
        for (size_t i = 0; i < sim->calls_len; i++)
            assert_string_equal(sim->calls[i].what, "update");
        sim_dir_remove(dir);
        sim_free(sim);
    }
}

/* A stop or a start that dies at any step is done by the next one. */
static void test_kill_stop_and_start(void **state) {
    (void)state;
    uint64_t seed = first_seed() + 7;
    struct wants w = make_running(&seed);
    const struct plan_options stop = {.power = "stopped"}, start = {.power = "running"};
    const struct sim_wish wish = {fill, &w, NULL}, stopped = {fill, &w, &stop},
                          started = {fill, &w, &start};
    bool ended = false;
    for (size_t at = 1; !ended; at++) {
        _cleanup_arena_ struct arena arena = {0};
        struct strlist before = {0}, after = {0};
        struct sim *sim = sim_new();
        char dir[64];
        sim_dir_make(dir);
        assert_int_equal(sim_apply(sim, dir, &wish, false), 0);
        list_things(sim, &before, &arena);
        sim_calm(sim);
        ended = sim_apply_dying(sim, dir, &stopped, at);
        assert_int_equal(sim_apply(sim, dir, &stopped, false), 0);
        assert_int_equal(sim_changes(sim, dir, &wish), 0);
        sim_calm(sim);
        ended &= sim_apply_dying(sim, dir, &started, at);
        assert_int_equal(sim_apply(sim, dir, &started, false), 0);
        converge(sim, dir, &wish); /* parts that a dead run had begun */
        assert_int_equal(sim_changes(sim, dir, &wish), 0);
        list_things(sim, &after, &arena);
        assert_true(strlist_equal(&before, &after));
        sim_dir_remove(dir);
        sim_free(sim);
        assert_true(!ended || at > 3);
    }
}

/* ---- What is to be kept */

static size_t count_disks(struct sim *sim, bool destroyed) {
    size_t n = 0;
    for (size_t i = 0; !destroyed && i < sim->len; i++)
        n += sim->things[i].used && strcmp(sim->things[i].kind, "disk") == 0;
    for (size_t i = 0; destroyed && i < sim->calls_len; i++)
        n += strcmp(sim->calls[i].what, "destroy") == 0 &&
             strncmp(sim->calls[i].address, "disk", 4) == 0;
    return n;
}

/* Whatever the spec becomes, whatever is destroyed, and whether the state is there or not: what is
 * to be kept stays, until `-data`. */
static void test_kept_stays(void **state) {
    (void)state;
    uint64_t seed = first_seed() + 8;
    for (unsigned round = rounds(60); round > 0; round--) {
        struct sim *sim = sim_new();
        char dir[64], other[64];
        sim_dir_make(dir);
        sim_dir_make(other);
        for (int change = 0; change < 4; change++) {
            struct wants w = make_wants(&seed);
            const struct sim_wish wish = {fill, &w, NULL};
            for (unsigned b = 0; b < BOXES; b++)
                w.keep[b] = (w.disk[b] = below(&seed, 2) == 0);
            converge(sim, dir, &wish);
            assert_int_equal(sim_changes(sim, dir, &wish), 0);
            meddle(sim, &seed);
        }
        const char *last = below(&seed, 2) == 0 ? dir : other; /* with the state, or it is lost */
        const struct plan_options data = {.data = true};
        const struct sim_wish nothing = {NULL, NULL, NULL}, all = {NULL, NULL, &data};
        assert_int_equal(sim_apply(sim, last, &nothing, true), 0);
        assert_int_equal(count_disks(sim, true), 0);
        assert_int_equal(sim_count(sim), count_disks(sim, false));
        assert_int_equal(sim_apply(sim, last, &all, true), 0);
        assert_int_equal(sim_count(sim), 0);
        sim_dir_remove(dir);
        sim_dir_remove(other);
        sim_free(sim);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_part_of_a_plan),
        cmocka_unit_test(test_stop_and_start),
        cmocka_unit_test(test_kill_stop_and_start),
        cmocka_unit_test(test_kept_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
