/* What is on disk when a world makes its call: all intents, whether they were written one by one or
 * many at once; and how often the disk was waited for. */
#include "engine/execute.h"
#include "tests/scenario/sim_run.h"
#include "tests/unit/cm.h"

#include <sys/stat.h>
#include <unistd.h>

enum { MANY = 200 };

static off_t synced; /* size of the file that was waited for last, then */
static size_t syncs;

/* In place of the C library's: the engine's calls come here. */
int fsync(int fd) {
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        synced = st.st_size;
        syncs++;
    }
    return 0;
}

static bool gathers; /* how the world does it */
static size_t syncs_of_intents, syncs_of_creations, syncs_of_done;
static char dir[64];

static bool all_on_disk(void) {
    char path[96];
    struct stat st;
    snprintf(path, sizeof path, "%s/journal", dir);
    return stat(path, &st) == 0 && st.st_size > 0 && st.st_size == synced;
}

static int open_nothing(const struct run *run, void **ret_session, struct err *err) {
    (void)run, (void)err;
    *ret_session = NULL;
    return 0;
}

static void close_nothing(void *session) { (void)session; }

static int write_all(struct batch *batch, const struct apply_ops *ops, bool created,
                     struct err *err) {
    int rc = 0;
    if (gathers)
        ops->gather(ops->ctx, batch->changes[0]);
    for (size_t i = 0; rc == 0 && i < batch->len; i++) {
        struct change *c = batch->changes[i];
        rc = created ? ops->created(ops->ctx, c, c->address, NULL, err)
                     : ops->intent(ops->ctx, c, err);
        if (!gathers)
            assert_true(all_on_disk());
    }
    return rc < 0 || !gathers ? rc : ops->sync(ops->ctx, batch->changes[0], err);
}

static int apply(void *session, struct batch *batch, const struct apply_ops *ops, struct err *err) {
    (void)session;
    assert_int_equal(batch->len, MANY);
    size_t before = syncs;
    assert_int_equal(write_all(batch, ops, false, err), 0);
    assert_true(all_on_disk()); /* here is the call */
    syncs_of_intents = syncs - before;
    before = syncs;
    assert_int_equal(write_all(batch, ops, true, err), 0);
    assert_true(all_on_disk()); /* here begins the wait */
    syncs_of_creations = syncs - before;
    before = syncs;
    for (size_t i = 0; i < batch->len; i++)
        assert_int_equal(ops->done(ops->ctx, batch->changes[i], batch->changes[i]->after, err), 0);
    syncs_of_done = syncs - before;
    return 0;
}

static const char *batch_of(const struct change *change, struct arena *arena) {
    (void)change, (void)arena;
    return "all";
}

static const struct field fields[] = {FIELD_END};
static const struct world world = {
    .name = "disk", .open = open_nothing, .close = close_nothing, .apply = apply};
static const struct kind kind = {
    .name = "thing", .world = &world, .fields = fields, .size = 8, .batch = batch_of};
static const struct kind *const kinds[] = {&kind, NULL};

static int some_random(void *buffer, size_t len) {
    memset(buffer, 7, len);
    return 0;
}

static void run_once(void) {
    struct change changes[MANY];
    struct node nodes[MANY];
    char addresses[MANY][32];
    uint64_t record = 0;
    atomic_int cancel = 0;
    const struct run run = {.name = "n", .project_dir = dir, .cancel = &cancel};
    struct plan plan = {.changes = changes, .len = MANY};
    struct state state = {0};
    struct sessions *sessions = NULL;
    struct outcome outcome = {0};
    struct err err = {0};
    for (size_t i = 0; i < MANY; i++) {
        snprintf(addresses[i], sizeof addresses[i], "thing[%zu]", i);
        nodes[i] = (struct node){.address = addresses[i], .kind = &kind, .desired = &record};
        changes[i] = (struct change){.address = addresses[i],
                                     .kind = &kind,
                                     .node = &nodes[i],
                                     .action = ACTION_CREATE,
                                     .token = "t",
                                     .after = &record};
    }
    sim_dir_make(dir);
    assert_int_equal(state_open(dir, kinds, some_random, &state, &err), 0);
    assert_int_equal(sessions_open(kinds, &run, &sessions, &err), 0);
    assert_int_equal(execute_plan(&plan, &state, sessions, kinds, &run, NULL, &outcome, &err), 0);
    assert_int_equal(outcome.done, MANY);
    assert_int_equal(state.nodes.len, MANY);
    outcome_free(&outcome);
    sessions_close(sessions);
    state_free(&state);
    sim_dir_remove(dir);
}

static void test_one_by_one(void **state) {
    (void)state;
    gathers = false;
    run_once();
    assert_int_equal(syncs_of_intents, MANY);
    assert_int_equal(syncs_of_creations, MANY);
}

static void test_many_at_once(void **state) {
    (void)state;
    gathers = true;
    run_once();
    assert_int_equal(syncs_of_intents, 1);
    assert_int_equal(syncs_of_creations, 1);
    assert_int_equal(syncs_of_done, 0); /* the state that is written at the end has it */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_by_one),
        cmocka_unit_test(test_many_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
