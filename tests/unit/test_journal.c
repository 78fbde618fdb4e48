/* The journal: replaying it gives what was done, wherever it was cut off; a torn line spoils only
 * itself; several threads write whole lines. */
#include "engine/journal.h"
#include "engine/state.h"
#include "specs/fs.h"
#include "specs/record.h"
#include "tests/scenario/sim_run.h"
#include "tests/unit/cm.h"

#include <pthread.h>

static int not_random(void *buffer, size_t len) {
    memset(buffer, 7, len);
    return 0;
}

static struct recorded entry_of(const char *address, enum recorded_status status,
                                struct sim_record *record) {
    record_init(sim_box_kind.fields, record);
    record->count = 4;
    return (struct recorded){.address = address,
                             .kind = &sim_box_kind,
                             .kind_name = "box",
                             .status = status,
                             .id = status == RECORDED_PENDING ? NULL : "id-1",
                             .token = "berth-token",
                             .record = status == RECORDED_PENDING ? NULL : record};
}

static void put(struct journal *journal, const char *address, enum recorded_status status) {
    struct sim_record record = {0};
    const struct recorded entry = entry_of(address, status, &record);
    struct err err = {0};
    assert_int_equal(journal_put(journal, &entry, &err), 0);
}

static void read_journal(const char *dir, struct buf *out) {
    char path[96];
    struct err err = {0};
    snprintf(path, sizeof path, "%s/journal", dir);
    assert_int_equal(fs_read(path, out, &err), 0);
}

static struct journal *open_journal(const char *dir, const struct state *state) {
    struct journal *journal = NULL;
    struct err err = {0};
    assert_int_equal(journal_open(dir, &journal, &err), 0);
    assert_int_equal(journal_begin(journal, state, &err), 0);
    return journal;
}

static const struct state owner = {.lineage = "abc", .name = "n", .provider = "ec2", .region = "r"};

static void write_history(const char *dir) {
    struct err err = {0};
    struct journal *journal = open_journal(dir, &owner);
    put(journal, "box[0]", RECORDED_PENDING);
    put(journal, "box[0]", RECORDED_FAILED);
    put(journal, "box[1]", RECORDED_PENDING);
    put(journal, "box[0]", RECORDED_OK);
    assert_int_equal(journal_remove(journal, "box[0]", &err), 0);
    journal_close(journal);
}

static void test_replay(void **unused) {
    (void)unused;
    char dir[64];
    struct state state = {0};
    struct err err = {0};
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    sim_dir_make(dir);
    write_history(dir);
    read_journal(dir, &text);
    assert_int_equal(journal_replay(buf_str(&text), sim_kinds, &state, &err), 0);
    assert_int_equal(state.nodes.len, 1);
    assert_string_equal(state.nodes.items[0].address, "box[1]");
    assert_int_equal(state.nodes.items[0].status, RECORDED_PENDING);
    assert_string_equal(state.nodes.items[0].token, "berth-token");
    assert_string_equal(state.lineage, "abc");
    assert_string_equal(state.provider, "ec2");
    state_free(&state);
    sim_dir_remove(dir);
}

/* How far the history got, by what the state shows. */
static int stage(const struct state *state) {
    const struct recorded *zero = recorded_find(&state->nodes, "box[0]");
    const struct recorded *one = recorded_find(&state->nodes, "box[1]");
    if (zero == NULL)
        return one == NULL ? 0 : 5;
    if (one == NULL)
        return zero->status == RECORDED_PENDING ? 1 : 2;
    return zero->status == RECORDED_FAILED ? 3 : 4;
}

static void test_cut_at_every_byte(void **unused) {
    (void)unused;
    char dir[64];
    int last = 0;
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    sim_dir_make(dir);
    write_history(dir);
    read_journal(dir, &text);
    for (size_t len = 0; len <= text.len; len++) {
        struct state state = {0};
        struct err err = {0};
        assert_int_equal(journal_replay((struct str){text.ptr, len}, sim_kinds, &state, &err), 0);
        int now = stage(&state);
        assert_true(now == last || now == last + 1); /* a prefix of what was done */
        last = now;
        state_free(&state);
    }
    assert_int_equal(last, 5);
    sim_dir_remove(dir);
}

static void test_going_on_behind_a_torn_line(void **unused) {
    (void)unused;
    char dir[64], path[96];
    struct state state;
    struct err err = {0};
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    sim_dir_make(dir);
    struct journal *journal = open_journal(dir, &owner);
    put(journal, "box[0]", RECORDED_PENDING);
    journal_close(journal);
    read_journal(dir, &text);
    snprintf(path, sizeof path, "%s/journal", dir);
    assert_int_equal(fs_write(path, (struct str){text.ptr, text.len - 9}, 0600, &err), 0);
    journal = open_journal(dir, &owner);
    put(journal, "box[1]", RECORDED_OK);
    journal_close(journal);
    assert_int_equal(state_open(dir, sim_kinds, not_random, &state, &err), 0);
    assert_true(state.replayed);
    assert_null(recorded_find(&state.nodes, "box[0]"));
    assert_non_null(recorded_find(&state.nodes, "box[1]"));
    assert_string_equal(state.lineage, "abc"); /* the run's, though its state was never written */
    /* Writing the state folds the journal in. */
    assert_int_equal(state_write(&state, &err), 0);
    assert_false(fs_exists(path));
    state_free(&state);
    sim_dir_remove(dir);
}

static void test_journal_of_another_state_is_refused(void **unused) {
    (void)unused;
    char dir[64];
    struct state state;
    struct err err = {0};
    sim_dir_make(dir);
    assert_int_equal(state_open(dir, sim_kinds, not_random, &state, &err), 0);
    assert_int_equal(state_write(&state, &err), 0);
    state_free(&state);
    write_history(dir);
    assert_int_equal(state_open(dir, sim_kinds, not_random, &state, &err), -ERRC_STATE);
    assert_non_null(strstr(err.msg, "another state"));
    sim_dir_remove(dir);
}

static void test_nonsense_is_refused(void **unused) {
    (void)unused;
    static const char *const texts[] = {
        "{}\n",
        "[]\n",
        "{\"put\":{}}\n",
        "{\"put\":7}\n",
        "{\"put\":{\"address\":\"a\",\"kind\":\"box\"}}\n",
        "{\"lineage\":\"0123456789012345678901234567890123456789\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct state state = {0};
        struct err err = {0};
        assert_int_equal(journal_replay(str_of(texts[i]), sim_kinds, &state, &err), -ERRC_STATE);
        state_free(&state);
    }
}

enum { THREADS = 8, EACH = 40 };

struct writer {
    struct journal *journal;
    int number;
};

static void *write_many(void *arg) {
    const struct writer *w = arg;
    for (int i = 0; i < EACH; i++) {
        char address[32];
        struct sim_record record = {0};
        struct err err = {0};
        snprintf(address, sizeof address, "box[%d]", w->number * EACH + i);
        const struct recorded entry = entry_of(address, RECORDED_OK, &record);
        if (journal_put(w->journal, &entry, &err) < 0)
            return arg;
    }
    return NULL;
}

static void test_many_writers(void **unused) {
    (void)unused;
    char dir[64];
    struct state state = {0};
    struct err err = {0};
    pthread_t threads[THREADS];
    struct writer writers[THREADS];
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    sim_dir_make(dir);
    struct journal *journal = open_journal(dir, &owner);
    for (int i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){journal, i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    journal_close(journal);
    read_journal(dir, &text);
    assert_int_equal(journal_replay(buf_str(&text), sim_kinds, &state, &err), 0);
    assert_int_equal(state.nodes.len, THREADS * EACH);
    state_free(&state);
    sim_dir_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_going_on_behind_a_torn_line),
        cmocka_unit_test(test_journal_of_another_state_is_refused),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_many_writers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
