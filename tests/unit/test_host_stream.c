/* Files as they go to a host: what tar itself makes of the stream, and of files that change. */
#include "providers/host/stream.h"
#include "providers/host/tar.h"
#include "specs/fs.h"
#include "specs/hash.h"
#include "tests/unit/cm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGE = 300000 };

struct sending {
    struct arena arena;
    struct host_stream stream;
    char dir[32];
    char local[3][64];
    char hash[3][SHA256_HEX_SIZE];
    char *large;
};

static void add(struct sending *s, size_t i, const char *path, struct str content, unsigned mode,
                size_t step) {
    struct err err = {0};
    snprintf(s->local[i], sizeof s->local[i], "%s/%zu", s->dir, i);
    assert_int_equal(fs_write(s->local[i], content, 0600, &err), 0);
    sha256_hex(content, s->hash[i]);
    const struct stream_file file = {.path = path,
                                     .local_path = s->local[i],
                                     .sha256 = s->hash[i],
                                     .size_bytes = (int64_t)content.len,
                                     .mode = mode,
                                     .step = step};
    assert_int_equal(stream_add(&s->stream, &file, &err), 0);
}

static void start(struct sending *s, const char *long_name) {
    struct err err = {0};
    *s = (struct sending){.dir = "/tmp/berth-stream-XXXXXX"};
    assert_non_null(mkdtemp(s->dir));
    s->large = malloc(LARGE);
    assert_non_null(s->large);
    for (size_t i = 0; i < LARGE; i++)
        s->large[i] = (char)(i * 7 + i / 251);
    assert_int_equal(stream_init(&s->stream, &s->arena, 2), 0);
    add(s, 0, "sub/short", STR("hello"), 0640, 0);
    add(s, 1, long_name, STR(""), 0755, 0);
    assert_int_equal(stream_end(&s->stream, 0, &err), 0);
    add(s, 2, "large", (struct str){s->large, LARGE}, 0600, 1);
    assert_int_equal(stream_end(&s->stream, 1, &err), 0);
}

static void finish(struct sending *s) {
    char command[64];
    stream_free(&s->stream);
    arena_free(&s->arena);
    free(s->large);
    snprintf(command, sizeof command, "rm -r %s", s->dir);
    assert_int_equal(system(command), 0);
}

/* All of it, in pieces of that many bytes. */
static void read_all(struct sending *s, size_t piece, struct buf *out) {
    const struct ssh_source source = stream_source(&s->stream);
    char *chunk = malloc(piece);
    struct err err = {0};
    assert_non_null(chunk);
    ssize_t n;
    while ((n = source.read(source.ctx, chunk, piece, &err)) > 0)
        buf_add(out, chunk, (size_t)n);
    assert_int_equal(n, 0);
    assert_false(out->failed);
    free(chunk);
}

static void test_archives(void **state) {
    (void)state;
    static const size_t pieces[] = {1, 511, 4096, 262144};
    char name[151], command[1024], path[64];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
        struct sending s;
        struct err err = {0};
        _cleanup_buf_ struct buf out = BUF_INIT(BUF_LARGE);
        start(&s, name);
        int64_t first = s.stream.bytes[0], second = s.stream.bytes[1];
        read_all(&s, pieces[p], &out);
        assert_int_equal(out.len, first + second);
        assert_null(s.stream.changed[0]);
        assert_null(s.stream.changed[1]);
        snprintf(path, sizeof path, "%s/all", s.dir);
        assert_int_equal(fs_write(path, buf_str(&out), 0600, &err), 0);
        /* Each archive is whole in itself. */
        snprintf(command, sizeof command,
                 "cd %s && head -c %lld all | tar -xpf - && tail -c %lld all | tar -xpf - && "
                 "test \"$(cat sub/short)\" = hello && test \"$(stat -c %%a sub/short)\" = 640 && "
                 "test -x %s && test ! -s %s && cmp large 2",
                 s.dir, (long long)first, (long long)second, name, name);
        assert_int_equal(system(command), 0);
        finish(&s);
    }
}

/* Cut short, grown, gone, or of another content since it was planned: the archive stays whole, and
 * its step knows. */
static void test_changed(void **state) {
    (void)state;
    static const char *const edits[] = {"printf x >2", "printf more >>2", "rm 2",
                                        "tr a b <2 >3; mv 3 2"};
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        struct sending s;
        char command[128];
        _cleanup_buf_ struct buf out = BUF_INIT(BUF_LARGE);
        start(&s, "empty");
        snprintf(command, sizeof command, "cd %s && %s", s.dir, edits[i]);
        assert_int_equal(system(command), 0);
        read_all(&s, 4096, &out);
        assert_int_equal(out.len, s.stream.bytes[0] + s.stream.bytes[1]);
        assert_null(s.stream.changed[0]);
        assert_string_equal(s.stream.changed[1], s.local[2]);
        finish(&s);
    }
}

static void test_too_large(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    struct host_stream stream;
    struct err err = {0};
    const struct stream_file file = {
        .path = "a", .local_path = "a", .sha256 = "", .size_bytes = TAR_FILE_MAX + 1};
    assert_int_equal(stream_init(&stream, &arena, 1), 0);
    assert_int_equal(stream_add(&stream, &file, &err), -ERRC_LIMIT);
    assert_int_equal(stream_end(&stream, 0, &err), 0);
    assert_int_equal(stream.len, 0);
    stream_free(&stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_archives),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
