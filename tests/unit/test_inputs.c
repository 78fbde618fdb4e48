/* What the pure half asks for: files, folders, environment. Folders are sorted, links stay inside,
 * and everything that a user controls has a cap. */
#include "engine/inputs.h"
#include "specs/fs.h"
#include "tests/scenario/sim_run.h"
#include "tests/unit/cm.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static const char *path_of(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void put(const char *name, const char *text) {
    struct err err = {0};
    assert_int_equal(fs_write(path_of(name), str_of(text), 0640, &err), 0);
}

static void folder(const char *name) { assert_int_equal(mkdir(path_of(name), 0755), 0); }

static void link_to(const char *target, const char *name) {
    assert_int_equal(symlink(target, path_of(name)), 0);
}

static const char *env(void *ctx, const char *name) {
    (void)ctx;
    return strcmp(name, "HOME") == 0 ? root : strcmp(name, "SECRET") == 0 ? "hush" : NULL;
}

static int my_ip(void *ctx, char *ret, size_t size, struct err *err) {
    if (ctx != NULL)
        return err_set(err, ERRC_NET, "no answer");
    snprintf(ret, size, "203.0.113.7/32");
    return 0;
}

struct loaded {
    struct arena arena;
    struct inputs inputs;
    struct err err;
    int rc;
};

static struct loaded *load(enum input_type type, const char *name) {
    struct loaded *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->inputs.arena = &l->arena;
    assert_int_equal(inputs_ask(&l->inputs, type, name, "files[0].from", true), 0);
    const struct inputs_source source = {
        .spec_dir = root, .project_dir = root, .env = env, .my_ip = my_ip};
    l->rc = inputs_load(&l->inputs, &source, &l->err);
    return l;
}

static void unload(struct loaded *l) {
    inputs_free(&l->inputs);
    arena_free(&l->arena);
    free(l);
}

static void expect_refusal(const char *name, enum err_code code, const char *words) {
    struct loaded *l = load(INPUT_TREE, name);
    assert_int_equal(l->rc, -(int)code);
    assert_non_null(strstr(l->err.msg, words));
    unload(l);
}

static void test_file(void **unused) {
    (void)unused;
    put("key.pub", "abc");
    for (int i = 0; i < 2; i++) {
        struct loaded *l = load(INPUT_FILE, i == 0 ? "key.pub" : "~/key.pub");
        const struct input *in = &l->inputs.items[0];
        assert_int_equal(l->rc, 0);
        assert_true(in->found);
        assert_string_equal(secret_reveal(&in->content).ptr, "abc");
        assert_string_equal(in->sha256,
                            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        unload(l);
    }
}

static void test_absent_is_not_found(void **unused) {
    (void)unused;
    static const enum input_type types[] = {INPUT_FILE, INPUT_TREE, INPUT_LOCAL, INPUT_ENV};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct loaded *l = load(types[i], "nobody");
        assert_int_equal(l->rc, 0);
        assert_false(l->inputs.items[0].found);
        unload(l);
    }
}

/* A plan is made with a file of the project as it is to become. */
static void test_instead_of_a_file(void **unused) {
    (void)unused;
    put("token", "old");
    for (int i = 0; i < 3; i++) {
        struct arena arena = {0};
        struct inputs inputs = {.arena = &arena};
        struct err err = {0};
        const struct inputs_source source = {
            .project_dir = root,
            .instead = {i == 2 ? "another" : "token", i == 0 ? STR("new") : (struct str){NULL, 0}}};
        assert_int_equal(inputs_ask(&inputs, INPUT_LOCAL, "token", "jupyter", false), 0);
        assert_int_equal(inputs_load(&inputs, &source, &err), 0);
        const struct input *in = &inputs.items[0];
        assert_int_equal(in->found, i != 1);
        if (in->found)
            assert_string_equal(secret_reveal(&in->content).ptr, i == 0 ? "new" : "old");
        inputs_free(&inputs);
        arena_free(&arena);
    }
}

static void test_environment_and_address(void **unused) {
    (void)unused;
    struct loaded *l = load(INPUT_ENV, "SECRET");
    assert_string_equal(secret_reveal(&l->inputs.items[0].content).ptr, "hush");
    unload(l);
    l = load(INPUT_MY_IP, "");
    assert_string_equal(secret_reveal(&l->inputs.items[0].content).ptr, "203.0.113.7/32");
    unload(l);
}

static void test_too_large_a_file(void **unused) {
    (void)unused;
    put("large", "");
    assert_int_equal(truncate(path_of("large"), INPUT_FILE_BYTES_MAX + 1), 0);
    struct loaded *l = load(INPUT_FILE, "large");
    assert_int_equal(l->rc, -ERRC_LIMIT);
    unload(l);
    /* In a folder, the sum counts. */
    folder("heavy");
    put("heavy/a", "");
    put("heavy/b", "");
    assert_int_equal(truncate(path_of("heavy/a"), 40 * 1024 * 1024), 0);
    assert_int_equal(truncate(path_of("heavy/b"), 40 * 1024 * 1024), 0);
    expect_refusal("heavy", ERRC_LIMIT, "more than 64 MiB");
}

static void test_folder_is_sorted(void **unused) {
    (void)unused;
    folder("tree");
    folder("tree/b");
    folder("tree/.ipynb_checkpoints");
    put("tree/.ipynb_checkpoints/x", "left out");
    put("tree/b/2", "two");
    put("tree/a", "one");
    put("tree/c", "three");
    assert_int_equal(chmod(path_of("tree/c"), 0755), 0);
    struct loaded *l = load(INPUT_TREE, "tree/");
    const struct input *in = &l->inputs.items[0];
    assert_int_equal(l->rc, 0);
    assert_int_equal(in->entries_len, 3);
    assert_string_equal(in->entries[0].path, "a");
    assert_string_equal(in->entries[1].path, "b/2");
    assert_string_equal(in->entries[2].path, "c");
    assert_int_equal(in->entries[2].mode, 0755);
    assert_int_equal(in->entries[1].size_bytes, 3);
    assert_string_equal(in->entries[1].sha256,
                        "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3");
    unload(l);
    folder("empty");
    l = load(INPUT_TREE, "empty/");
    assert_int_equal(l->rc, 0);
    assert_true(l->inputs.items[0].found);
    assert_int_equal(l->inputs.items[0].entries_len, 0);
    unload(l);
    l = load(INPUT_TREE, "tree/a"); /* one file */
    assert_int_equal(l->inputs.items[0].entries_len, 1);
    assert_string_equal(l->inputs.items[0].entries[0].path, "");
    unload(l);
}

static void test_links_stay_inside(void **unused) {
    (void)unused;
    folder("links");
    folder("links/sub");
    put("links/sub/file", "x");
    put("outside", "secret");
    link_to("sub/file", "links/good");
    link_to("sub", "links/folder");
    struct loaded *l = load(INPUT_TREE, "links");
    assert_int_equal(l->rc, 0);
    assert_int_equal(l->inputs.items[0].entries_len, 3); /* folder/file, good, sub/file */
    assert_string_equal(l->inputs.items[0].entries[0].path, "folder/file");
    unload(l);
    link_to("../outside", "links/bad");
    expect_refusal("links", ERRC_INVALID, "links/bad is a link to");
    unlink(path_of("links/bad"));
    link_to("/etc/passwd", "links/bad");
    expect_refusal("links", ERRC_INVALID, "/etc/passwd");
    unlink(path_of("links/bad"));
    link_to("..", "links/sub/up");
    expect_refusal("links", ERRC_INVALID, "a folder that it stands in");
    unlink(path_of("links/sub/up"));
    link_to("nobody", "links/bad");
    expect_refusal("links", ERRC_IO, "links/bad");
    unlink(path_of("links/bad"));
    /* What the spec names may itself be a link. */
    link_to("links", "named");
    l = load(INPUT_TREE, "named");
    assert_int_equal(l->rc, 0);
    unload(l);
}

static void test_neither_file_nor_folder(void **unused) {
    (void)unused;
    folder("odd");
    assert_int_equal(mkfifo(path_of("odd/pipe"), 0600), 0);
    expect_refusal("odd", ERRC_INVALID, "neither a file nor a folder");
}

static void test_too_many_and_too_deep(void **unused) {
    (void)unused;
    char name[256] = "deep";
    folder("many");
    for (int i = 0; i < 10001; i++) {
        char file[32];
        snprintf(file, sizeof file, "many/%d", i);
        int fd = open(path_of(file), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    expect_refusal("many", ERRC_LIMIT, "more than 10000");
    for (int i = 0; i < 40; i++) {
        folder(name);
        snprintf(name + strlen(name), sizeof name - strlen(name), "/d");
    }
    expect_refusal("deep", ERRC_LIMIT, "too deep");
}

static int make_root(void **unused) {
    (void)unused;
    sim_dir_make(root);
    return 0;
}

static void remove_tree(const char *path) {
    DIR *dir = opendir(path);
    for (const struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        char inner[1024];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        if (lstat(inner, &st) == 0 && S_ISDIR(st.st_mode))
            remove_tree(inner);
        else
            unlink(inner);
    }
    if (dir != NULL)
        closedir(dir);
    rmdir(path);
}

static int remove_root(void **unused) {
    (void)unused;
    remove_tree(root);
    return 0;
}

/* A chain of files: each has the name of the next. */
static int ask_chain(const struct spec *spec, struct inputs *inputs) {
    (void)spec;
    const char *name = "first";
    for (;;) {
        const struct input *in = inputs_get(inputs, INPUT_FILE, name);
        if (in == NULL)
            return inputs_ask(inputs, INPUT_FILE, name, "x", false);
        if (!in->found)
            return 0;
        name = secret_reveal(&in->content).ptr;
        if (strcmp(name, "first") == 0)
            return 0;
    }
}

static void test_files_that_name_others(void **unused) {
    (void)unused;
    static const struct world world = {.name = "w"};
    static const struct kind kind = {.name = "k", .world = &world, .ask = ask_chain};
    static const struct kind *const kinds[] = {&kind, NULL};
    static const char *const ends[] = {"absent", "first"};
    for (size_t i = 0; i < 2; i++) {
        struct arena arena = {0};
        struct inputs inputs = {.arena = &arena};
        struct err err = {0};
        const struct spec spec = {.provider = NULL};
        const struct inputs_source source = {.spec_dir = root, .project_dir = root};
        put("first", "second");
        put("second", "third");
        put("third", ends[i]);
        assert_int_equal(inputs_gather(&inputs, kinds, &spec, &source, &err), 0);
        assert_int_equal(inputs.len, i == 0 ? 4 : 3);
        assert_int_equal(inputs.loaded, inputs.len);
        assert_true(inputs.items[2].found);
        inputs_free(&inputs);
        arena_free(&arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_absent_is_not_found),
        cmocka_unit_test(test_files_that_name_others),
        cmocka_unit_test(test_instead_of_a_file),
        cmocka_unit_test(test_environment_and_address),
        cmocka_unit_test(test_too_large_a_file),
        cmocka_unit_test(test_folder_is_sorted),
        cmocka_unit_test(test_links_stay_inside),
        cmocka_unit_test(test_neither_file_nor_folder),
        cmocka_unit_test(test_too_many_and_too_deep),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
