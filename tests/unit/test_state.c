/* The state file: what is written is read back; what is broken is refused and left alone; whatever
 * fails or dies while it is written, the old state or the new one is there, whole. */
#define _GNU_SOURCE /* SYS_* through syscall() */
#include "engine/state.h"
#include "specs/fs.h"
#include "specs/record.h"
#include "tests/scenario/sim_run.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Calls that fail or kill at a count: the program's own definitions come before libc's. */

static struct {
    long left; /* the call that brings it to 0 fails */
    bool dies;
    long calls;
} trouble;

static bool strikes(void) {
    trouble.calls++;
    if (trouble.left == 0 || --trouble.left > 0)
        return false;
    if (trouble.dies)
        _exit(9);
    errno = ENOSPC;
    return true;
}

ssize_t write(int fd, const void *buffer, size_t len) {
    if (fd <= 2)
        return syscall(SYS_write, fd, buffer, len);
    if (!strikes())
        return syscall(SYS_write, fd, buffer, len);
    syscall(SYS_write, fd, buffer, len / 2); /* torn, as a full disk does */
    errno = ENOSPC;
    return -1;
}

int fsync(int fd) { return strikes() ? -1 : (int)syscall(SYS_fsync, fd); }

int rename(const char *from, const char *to) {
    return strikes() ? -1 : (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int unlink(const char *path) {
    return strikes() ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

static int count_up(void *buffer, size_t len) {
    memset(buffer, 7, len);
    return 0;
}

/* ---- */

static void put(struct state *state, const char *address, int64_t count) {
    struct err err = {0};
    struct sim_record record = {.count = count, .type = "t1"};
    struct recorded entry = {.address = address,
                             .kind = &sim_box_kind,
                             .kind_name = "box",
                             .id = "id-1",
                             .record = &record};
    record_init(sim_box_kind.fields, &record);
    record.count = count;
    record.type = "t1";
    assert_int_equal(state_put(state, &entry, &err), 0);
}

static int64_t count_of(const struct state *state, const char *address) {
    const struct recorded *r = recorded_find(&state->nodes, address);
    return r == NULL ? -1 : ((const struct sim_record *)r->record)->count;
}

static void open_state(const char *dir, struct state *ret) {
    struct err err = {0};
    int rc = state_open(dir, sim_kinds, count_up, ret, &err);
    if (rc < 0)
        fprintf(stderr, "%s\n", err.msg);
    assert_int_equal(rc, 0);
    assert_int_equal(err.code, 0); /* a file that is not there is no error of anybody's */
}

static void write_state(struct state *state) {
    struct err err = {0};
    assert_int_equal(state_write(state, &err), 0);
}

static void test_new_state(void **unused) {
    (void)unused;
    char dir[64];
    struct state state;
    sim_dir_make(dir);
    open_state(dir, &state);
    assert_false(state.exists);
    assert_int_equal(state.serial, 0);
    assert_string_equal(state.lineage, "07070707-0707-4707-8707-070707070707");
    state_free(&state);
    sim_dir_remove(dir);
}

static void test_written_is_read_back(void **unused) {
    (void)unused;
    char dir[64], path[96];
    struct state state;
    struct stat st;
    sim_dir_make(dir);
    open_state(dir, &state);
    put(&state, "box[0]", 1);
    put(&state, "box[1]", 2);
    put(&state, "box[0]", 3);
    write_state(&state);
    put(&state, "box[2]", 4);
    state_remove(&state, "box[1]");
    write_state(&state);
    state_free(&state);
    open_state(dir, &state);
    assert_int_equal(state.serial, 2);
    assert_int_equal(state.nodes.len, 2);
    assert_int_equal(count_of(&state, "box[0]"), 3);
    assert_int_equal(count_of(&state, "box[2]"), 4);
    state_free(&state);
    static const char *const names[] = {"state.json", "state.json.backup"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    sim_dir_remove(dir);
}

static void test_many_come_and_go(void **unused) {
    (void)unused;
    enum { N = 3000 };
    struct state state = {0};
    char address[32];
    for (int i = 0; i < N; i++) {
        snprintf(address, sizeof address, "box[%d]", i);
        put(&state, address, i);
    }
    size_t before = state.arena.total;
    for (int i = 0; i < N; i += 2) {
        snprintf(address, sizeof address, "box[%d]", i);
        state_remove(&state, address);
    }
    state_remove(&state, "nobody");
    assert_int_equal(state.nodes.len, N / 2);
    assert_int_equal(state.arena.total, before); /* removing takes no memory */
    for (int i = 1; i < N; i += 2) {
        snprintf(address, sizeof address, "box[%d]", i);
        assert_int_equal(count_of(&state, address), i);
    }
    state_free(&state);
}

static const char sample[] =
    "{\"version\":1,\"lineage\":\"abc\",\"serial\":9007199254740,\"name\":\"n\",\"provider\":\"p\","
    "\"region\":\"r\",\"nodes\":[{\"address\":\"box[0]\",\"kind\":\"box\",\"id\":\"i-1\","
    "\"status\":\"failed\",\"token\":\"t\",\"parent\":\"x\",\"protect\":true,\"deps\":[\"a\",\"b\"]"
    ","
    "\"attributes\":{\"count\":5,\"future\":1}},{\"address\":\"v\",\"kind\":\"volume\","
    "\"status\":\"ok\",\"attributes\":{\"b\":1,\"a\":[1,2]}},{\"address\":\"p\",\"kind\":\"box\","
    "\"status\":\"pending\",\"token\":\"t2\"}]}";

static int parse(struct str text, struct state *ret, struct err *err) {
    struct arena arena = {0};
    int rc = state_parse(&arena, sim_kinds, text, ret, err);
    if (rc < 0)
        arena_free(&arena);
    return rc;
}

static void test_print_and_parse(void **unused) {
    (void)unused;
    struct state one, two;
    struct err err = {0};
    _cleanup_buf_ struct buf first = BUF_INIT(BUF_MEDIUM), second = BUF_INIT(BUF_MEDIUM);
    assert_int_equal(parse(STR(sample), &one, &err), 0);
    assert_int_equal(one.nodes.len, 3);
    assert_int_equal(one.nodes.items[0].status, RECORDED_FAILED);
    assert_true(one.nodes.items[0].protect);
    assert_int_equal(one.nodes.items[0].deps.len, 2);
    assert_int_equal(one.nodes.items[2].status, RECORDED_PENDING);
    assert_null(one.nodes.items[2].id);
    assert_int_equal(state_print(&one, &first), 0);
    assert_non_null(strstr(buf_cstr(&first), "volume")); /* a kind of a newer berth is kept */
    assert_int_equal(parse(buf_str(&first), &two, &err), 0);
    assert_int_equal(state_print(&two, &second), 0);
    assert_string_equal(buf_cstr(&first), buf_cstr(&second));
    state_free(&one);
    state_free(&two);
}

static void test_every_cut_is_refused(void **unused) {
    (void)unused;
    for (size_t len = 0; len < sizeof sample - 1; len++) {
        struct state state;
        struct err err = {0};
        assert_int_equal(parse((struct str){sample, len}, &state, &err), -ERRC_STATE);
        assert_true(err.msg[0] != '\0');
    }
}

static void test_nonsense_is_refused(void **unused) {
    (void)unused;
    static const char *const texts[] = {
        "[]",
        "null",
        "{}",
        "{\"version\":2,\"lineage\":\"a\",\"serial\":1,\"nodes\":[]}",
        "{\"version\":1,\"lineage\":\"a\",\"serial\":-1,\"nodes\":[]}",
        "{\"version\":1,\"lineage\":\"a\",\"serial\":1e300,\"nodes\":[]}",
        "{\"version\":1,\"lineage\":\"a\",\"serial\":1,\"nodes\":{}}",
        "{\"version\":1,\"lineage\":\"a\",\"serial\":1,\"nodes\":[1]}",
        "{\"version\":1,\"lineage\":\"a\",\"serial\":1,\"nodes\":[{\"address\":\"a\",\"kind\":"
        "\"box\",\"status\":\"well\"}]}",
        "{\"version\":1,\"lineage\":\"a\",\"serial\":1,\"nodes\":[{\"address\":\"a\",\"kind\":"
        "\"box\",\"status\":\"ok\",\"attributes\":{\"count\":\"five\"}}]}",
        "{\"version\":1,\"lineage\":\"0123456789012345678901234567890123456789\",\"serial\":1,"
        "\"nodes\":[]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct state state;
        struct err err = {0};
        assert_int_equal(parse(str_of(texts[i]), &state, &err), -ERRC_STATE);
    }
}

static void test_refused_file_is_left_alone_and_backup_named(void **unused) {
    (void)unused;
    static const char broken[] = "{\"version\":1,\"li";
    char dir[64], path[96];
    struct state state;
    struct err err = {0};
    _cleanup_buf_ struct buf after = BUF_INIT(BUF_MEDIUM);
    sim_dir_make(dir);
    open_state(dir, &state);
    put(&state, "box[0]", 1);
    write_state(&state);
    write_state(&state);
    state_free(&state);
    snprintf(path, sizeof path, "%s/state.json", dir);
    assert_int_equal(fs_write(path, STR(broken), 0600, &err), 0);
    assert_int_equal(state_open(dir, sim_kinds, count_up, &state, &err), -ERRC_STATE);
    assert_non_null(strstr(err.hint, "state.json.backup"));
    assert_int_equal(fs_read(path, &after, &err), 0);
    assert_string_equal(buf_cstr(&after), broken);
    sim_dir_remove(dir);
}

/* What a reader finds: 1 (the old count) or 2 (the new one). */
static int64_t found_count(const char *dir) {
    struct state state;
    open_state(dir, &state);
    int64_t count = count_of(&state, "box[0]");
    assert_true(count == 1 || count == 2);
    assert_int_equal(state.serial, count);
    state_free(&state);
    return count;
}

static void make_old(const char *dir) {
    struct state state;
    open_state(dir, &state);
    put(&state, "box[0]", 1);
    write_state(&state);
    state_free(&state);
}

static void test_every_failing_call(void **unused) {
    (void)unused;
    for (long nth = 1;; nth++) {
        char dir[64];
        struct state state;
        struct err err = {0};
        sim_dir_make(dir);
        make_old(dir);
        open_state(dir, &state);
        put(&state, "box[0]", 2);
        trouble.left = nth;
        int rc = state_write(&state, &err);
        bool struck = trouble.left == 0;
        trouble.left = 0;
        int64_t found = found_count(dir);
        if (struck)
            assert_true(rc == -ERRC_IO && strstr(err.msg, "No space left") != NULL);
        else
            assert_int_equal(rc, 0);
        if (rc == 0)
            assert_int_equal(found, 2);
        /* Try again, as a later run does. */
        assert_int_equal(state_write(&state, &err), 0);
        state_free(&state);
        open_state(dir, &state);
        assert_int_equal(count_of(&state, "box[0]"), 2);
        state_free(&state);
        sim_dir_remove(dir);
        if (!struck) {
            assert_true(nth > 8);
            return;
        }
    }
}

static void test_every_instant_of_death(void **unused) {
    (void)unused;
    for (long nth = 1;; nth++) {
        char dir[64];
        int status = 0;
        sim_dir_make(dir);
        make_old(dir);
        fflush(NULL);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct state state;
            struct err err = {0};
            open_state(dir, &state);
            put(&state, "box[0]", 2);
            trouble.left = nth;
            trouble.dies = true;
            _exit(state_write(&state, &err) == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        int64_t found = found_count(dir);
        bool died = WIFEXITED(status) && WEXITSTATUS(status) == 9;
        sim_dir_remove(dir);
        if (!died) {
            assert_int_equal(found, 2);
            assert_true(nth > 8);
            return;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_state),
        cmocka_unit_test(test_written_is_read_back),
        cmocka_unit_test(test_many_come_and_go),
        cmocka_unit_test(test_print_and_parse),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_refused_file_is_left_alone_and_backup_named),
        cmocka_unit_test(test_every_failing_call),
        cmocka_unit_test(test_every_instant_of_death),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
