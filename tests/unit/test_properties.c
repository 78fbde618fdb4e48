/* What holds of every world, over random ones: apply then plan is empty; the order of the input
 * does not matter; steps respect dependencies; a run killed at any step and started again ends as
 * an undisturbed one. BERTH_SEED picks another start, BERTH_ROUNDS more rounds. */
#include "engine/batch.h"
#include "tests/scenario/sim_run.h"
#include "tests/unit/cm.h"

enum { GROUPS = 3, BOXES = 5, PARTS = 3 };

static uint64_t next_random(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static unsigned below(uint64_t *seed, unsigned n) { return (unsigned)(next_random(seed) % n); }

static uint64_t first_seed(void) {
    const char *text = getenv("BERTH_SEED");
    int64_t seed = 0;
    return text != NULL && str_to_i64(str_of(text), 1, INT64_MAX, &seed) ? (uint64_t)seed
                                                                         : 0x9e3779b97f4a7c15u;
}

static unsigned rounds(unsigned normal) {
    const char *text = getenv("BERTH_ROUNDS");
    int64_t n = 0;
    return text != NULL && str_to_i64(str_of(text), 1, 100000, &n) ? (unsigned)n : normal;
}

/* What somebody wants: which things, and a value for each field that can move. */
struct wants {
    bool group[GROUPS], box[BOXES], part[BOXES][PARTS];
    unsigned group_of[BOXES];
    unsigned rules[GROUPS], type[BOXES], count[BOXES], size[BOXES], tags[BOXES];
    unsigned setting[BOXES][PARTS];
    bool disk[BOXES], keep[BOXES];
    bool reversed; /* the order in which nodes are declared */
};

static struct wants make_wants(uint64_t *seed) {
    struct wants w = {0};
    for (unsigned g = 0; g < GROUPS; g++) {
        w.group[g] = g == 0 || below(seed, 3) > 0;
        w.rules[g] = below(seed, 3);
    }
    for (unsigned b = 0; b < BOXES; b++) {
        w.box[b] = below(seed, 4) > 0;
        w.group_of[b] = below(seed, GROUPS);
        if (!w.group[w.group_of[b]])
            w.group_of[b] = 0;
        w.type[b] = below(seed, 2);
        w.count[b] = below(seed, 3);
        w.size[b] = below(seed, 6) == 0 ? 20 : 10;
        w.tags[b] = below(seed, 3);
        w.disk[b] = w.keep[b] = false; /* only where a test speaks of them */
        for (unsigned p = 0; p < PARTS; p++) {
            w.part[b][p] = below(seed, 3) > 0;
            w.setting[b][p] = below(seed, 3);
        }
    }
    return w;
}

static void fill_disk(struct nodes *nodes, const struct wants *w, unsigned b) {
    char address[24], box[24], json[64];
    snprintf(address, sizeof address, "disk[%u]", b);
    snprintf(box, sizeof box, "box[%u]", b);
    snprintf(json, sizeof json, "{\"on\":%s,\"size_gib\":10}", w->keep[b] ? "true" : "false");
    sim_want(nodes, &sim_disk_kind, address, NULL,
             (const char *const[]){w->box[b] ? box : NULL, NULL}, json);
}

static void fill_box(struct nodes *nodes, const struct wants *w, unsigned b) {
    char address[24], group[24], json[256], part[48], before[48] = "";
    snprintf(address, sizeof address, "box[%u]", b);
    snprintf(group, sizeof group, "group%u", w->group_of[b]);
    snprintf(json, sizeof json,
             "{\"on\":true,\"count\":%u,\"size_gib\":%u,\"type\":\"t%u\",\"image\":\"deb\","
             "\"tags\":{\"a\":\"%u\"},\"disk\":{\"size\":%u,\"type\":\"gp3\"}}",
             w->count[b], w->size[b], w->type[b], w->tags[b], w->count[b] + 1);
    sim_want(nodes, &sim_box_kind, address, NULL, (const char *const[]){group, NULL}, json);
    for (unsigned p = 0; p < PARTS; p++) {
        if (!w->part[b][p])
            continue;
        snprintf(part, sizeof part, "%s.p%u", address, p);
        snprintf(json, sizeof json,
                 "{\"order\":[\"x\",\"%u\"],\"settings\":\"{}\",\"users\":[{\"name\":\"u\","
                 "\"uid\":%u}]}",
                 w->setting[b][p], w->setting[b][p]);
        sim_want(nodes, p == 0 ? &sim_part_kind : &sim_unit_kind, part, address,
                 (const char *const[]){before[0] == '\0' ? NULL : before, NULL}, json);
        snprintf(before, sizeof before, "%s", part);
    }
}

static void fill_group(struct nodes *nodes, const struct wants *w, unsigned g) {
    char address[48], json[64];
    snprintf(address, sizeof address, "group%u", g);
    snprintf(json, sizeof json, "{\"rules\":[\"r%u\",\"all\"]}", w->rules[g]);
    sim_want(nodes, &sim_group_kind, address, NULL, NULL, json);
}

static void fill(struct nodes *nodes, void *ctx) {
    const struct wants *w = ctx;
    for (unsigned i = 0; i < GROUPS; i++) {
        unsigned g = w->reversed ? GROUPS - 1 - i : i;
        if (!w->reversed && w->group[g])
            fill_group(nodes, w, g);
    }
    for (unsigned i = 0; i < BOXES; i++) {
        unsigned b = w->reversed ? BOXES - 1 - i : i;
        if (w->box[b])
            fill_box(nodes, w, b);
        if (w->disk[b])
            fill_disk(nodes, w, b);
    }
    for (unsigned i = 0; w->reversed && i < GROUPS; i++)
        if (w->group[i])
            fill_group(nodes, w, i);
}

static size_t wanted(const struct wants *w) {
    size_t n = 0;
    for (unsigned g = 0; g < GROUPS; g++)
        n += w->group[g];
    for (unsigned b = 0; b < BOXES; b++) {
        n += w->box[b] + w->disk[b];
        for (unsigned p = 0; p < PARTS; p++)
            n += w->box[b] && w->part[b][p];
    }
    return n;
}

/* Somebody else was here. */
static void meddle(struct sim *sim, uint64_t *seed) {
    if (sim->len == 0)
        return;
    for (unsigned i = below(seed, 4); i > 0; i--) {
        struct sim_thing *thing = &sim->things[below(seed, (unsigned)sim->len)];
        if (!thing->used)
            continue;
        if (strcmp(thing->kind, "group") == 0)
            sim_drift(sim, thing->address, "count", "7");
        else if (strcmp(thing->kind, "box") == 0 && below(seed, 2) == 0)
            sim_drift(sim, thing->address, "type", "t9");
        else if (strcmp(thing->kind, "box") == 0)
            sim_drift(sim, thing->address, "power", "stopped");
        else
            thing->used = false;
    }
}

static void assert_converged(struct sim *sim, const char *dir, const struct sim_wish *wish,
                             const struct wants *w) {
    assert_int_equal(sim_changes(sim, dir, wish), 0);
    assert_int_equal(sim_count(sim), wanted(w));
}

/* Apply until nothing is left: what was unreadable (a stopped box) may take a second time. */
static void converge(struct sim *sim, const char *dir, const struct sim_wish *wish) {
    for (int i = 0; i < 3 && sim_apply(sim, dir, wish, wish->fill == NULL) != 0; i++)
        ;
}

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
        cmocka_unit_test(test_apply_then_plan_is_empty),
        cmocka_unit_test(test_order_of_input_does_not_matter),
        cmocka_unit_test(test_steps_respect_dependencies),
        cmocka_unit_test(test_kill_at_every_step),
        cmocka_unit_test(test_lost_state),
        cmocka_unit_test(test_taken_over_amid_others),
        cmocka_unit_test(test_forget_after_users),
        cmocka_unit_test(test_part_of_a_plan),
        cmocka_unit_test(test_stop_and_start),
        cmocka_unit_test(test_kill_stop_and_start),
        cmocka_unit_test(test_kept_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
