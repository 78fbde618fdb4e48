/* One run at a time: who holds the lock is named, a dead holder's lock is taken over with a note.
 */
#include "engine/lock.h"
#include "tests/scenario/sim_run.h"
#include "tests/unit/cm.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_take_and_release(void **unused) {
    (void)unused;
    char dir[64], note[256] = "x", path[96];
    struct lock *lock = NULL;
    struct err err = {0};
    struct stat st;
    sim_dir_make(dir);
    assert_int_equal(lock_take(dir, "apply", &lock, note, &err), 0);
    assert_string_equal(note, "");
    snprintf(path, sizeof path, "%s/lock", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    lock_release(lock);
    assert_int_equal(lock_take(dir, "apply", &lock, note, &err), 0);
    assert_string_equal(note, ""); /* the last holder ended well */
    lock_release(lock);
    lock_release(NULL);
    sim_dir_remove(dir);
}

static void test_second_is_told_who(void **unused) {
    (void)unused;
    char dir[64], note[256], who[64];
    struct lock *first = NULL, *second = NULL;
    struct err err = {0};
    sim_dir_make(dir);
    assert_int_equal(lock_take(dir, "destroy", &first, note, &err), 0);
    assert_int_equal(lock_take(dir, "apply", &second, note, &err), -ERRC_LOCKED);
    assert_null(second);
    snprintf(who, sizeof who, "berth destroy, process %ld on ", (long)getpid());
    assert_non_null(strstr(err.msg, who));
    assert_true(err.hint[0] != '\0');
    lock_release(first);
    assert_int_equal(lock_take(dir, "apply", &second, note, &err), 0);
    lock_release(second);
    sim_dir_remove(dir);
}

static void test_dead_holder_is_noted(void **unused) {
    (void)unused;
    char dir[64], note[256] = "", who[64], ready = 0;
    int ends[2];
    struct lock *lock = NULL;
    struct err err = {0};
    sim_dir_make(dir);
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct lock *held = NULL;
        ready = lock_take(dir, "apply", &held, note, &err) == 0;
        if (write(ends[1], &ready, 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ends[0], &ready, 1), 1);
    assert_int_equal(ready, 1);
    assert_int_equal(lock_take(dir, "plan", &lock, note, &err), -ERRC_LOCKED);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(lock_take(dir, "plan", &lock, note, &err), 0);
    snprintf(who, sizeof who, "berth apply, process %ld", (long)pid);
    assert_non_null(strstr(note, who));
    lock_release(lock);
    close(ends[0]);
    close(ends[1]);
    sim_dir_remove(dir);
}

static void test_no_folder(void **unused) {
    (void)unused;
    struct lock *lock = NULL;
    char note[256];
    struct err err = {0};
    assert_int_equal(lock_take("/nonexistent", "plan", &lock, note, &err), -ERRC_IO);
}

/* A mark without a holder goes; a held lock goes by force alone, and is another one then. */
static void test_break(void **unused) {
    (void)unused;
    char dir[64], path[96], note[LOCK_NOTE_SIZE];
    struct lock *first = NULL, *second = NULL;
    struct lock_info info = {.held = true};
    struct err err = {0};
    sim_dir_make(dir);
    snprintf(path, sizeof path, "%s/lock", dir);
    assert_int_equal(lock_break(dir, false, &info, &err), 0);
    assert_false(info.held);
    assert_string_equal(info.holder, "");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("berth apply, process 1 on there\n", file);
    fclose(file);
    assert_int_equal(lock_break(dir, false, &info, &err), 0);
    assert_false(info.held);
    assert_string_equal(info.holder, "berth apply, process 1 on there");
    assert_int_equal(lock_take(dir, "apply", &first, note, &err), 0);
    assert_string_equal(note, ""); /* nobody to tell of any more */
    assert_int_equal(lock_break(dir, false, &info, &err), -ERRC_LOCKED);
    assert_non_null(strstr(err.msg, "berth apply, process"));
    assert_int_equal(lock_take(dir, "apply", &second, note, &err), -ERRC_LOCKED);
    assert_int_equal(lock_break(dir, true, &info, &err), 0);
    assert_true(info.held);
    assert_int_equal(lock_take(dir, "apply", &second, note, &err), 0);
    lock_release(first); /* does not touch the other one's */
    struct lock *third = NULL;
    assert_int_equal(lock_take(dir, "apply", &third, note, &err), -ERRC_LOCKED);
    assert_non_null(strstr(err.msg, "berth apply, process"));
    lock_release(second);
    sim_dir_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_take_and_release),
        cmocka_unit_test(test_second_is_told_who),
        cmocka_unit_test(test_dead_holder_is_noted),
        cmocka_unit_test(test_break),
        cmocka_unit_test(test_no_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
