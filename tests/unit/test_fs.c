/* Files that are written whole or not at all. */
#include "specs/fs.h"
#include "tests/unit/cm.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_write(void **state) {
    (void)state;
    char dir[] = "/tmp/berth-fs-XXXXXX", path[64], pipe[64];
    struct err err = {0};
    struct stat st;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(pipe, sizeof pipe, "%s/pipe", dir);

    assert_int_equal(fs_write(path, STR("one"), 0600, &err), 0);
    assert_int_equal(fs_write(path, STR("two"), 0640, &err), 0);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    assert_int_equal(fs_read(path, &text, &err), 0);
    assert_string_equal(buf_cstr(&text), "two");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);

    /* What is no file is left as it is: root could replace /dev/null. */
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(fs_write(pipe, STR("three"), 0600, &err), -ERRC_IO);
    assert_non_null(strstr(err.msg, "not a regular file"));
    assert_int_equal(stat(pipe, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(fs_write(dir, STR("three"), 0600, &err), -ERRC_IO);

    unlink(path);
    unlink(pipe);
    assert_int_equal(rmdir(dir), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_write)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
