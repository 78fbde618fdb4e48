/* Files of requirements: what becomes of what they say. That they are read as pip reads them is
 * tests/interop/requirements_test.py's. */
#include "engine/inputs.h"
#include "providers/host/python_env.h"
#include "tests/unit/cm.h"
#include "tests/unit/fail_alloc.h"

#include <stdlib.h>
#include <string.h>

#define HEAD "berth: 1\nname: t\nprovider: ec2\nserver: { image: debian-12, type: t3.small }\n"
#define SPEC                                                                                       \
    HEAD "packages: { python: { requirements: r.txt, version: \"3.11\", packages: [x] } }\n"
#define KERNEL HEAD "jupyter: { kernels: [{ name: k, requirements: r.txt }] }\n"
#define HASH "sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"

struct scene {
    struct arena arena;
    struct inputs inputs;
    struct nodes nodes;
    struct diags diags;
    struct buf text; /* what was wrong, else the script of an install */
};

/* Names and contents of files by turns, ends with NULL. */
static void load(struct scene *s, const char *const *files) {
    for (; s->inputs.loaded < s->inputs.len; s->inputs.loaded++) {
        struct input *in = &s->inputs.items[s->inputs.loaded];
        for (size_t i = 0; files[i] != NULL; i += 2)
            if (strcmp(in->name, files[i]) == 0) {
                assert_int_equal(secret_set(&in->content, str_of(files[i + 1])), 0);
                in->found = true;
                in->sha256 = "0b";
            }
    }
}

static struct scene *make(const struct kind *kind, const char *text, const char *const *files) {
    struct scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->inputs.arena = s->nodes.arena = &s->arena;
    s->diags = (struct diags){.arena = &s->arena, .file = "berth.yaml", .source = str_of(text)};
    s->text = BUF_INIT(BUF_MEDIUM);
    const struct spec *spec = spec_compile(&s->arena, &s->diags);
    assert_non_null(spec);
    for (size_t before = SIZE_MAX; before != s->inputs.len;) {
        before = s->inputs.len;
        assert_int_equal(kind->ask(spec, &s->inputs), 0);
        load(s, files);
    }
    const struct desire in = {.spec = spec, .inputs = &s->inputs, .lineage = "l"};
    assert_int_equal(kind->desire(&in, &s->nodes, &s->diags), 0);
    diags_render(&s->diags, false, 80, &s->text);
    if (s->diags.errors == 0)
        assert_int_equal(env_change(s->nodes.items[0].extra, NULL, NULL, NULL, &s->arena, &s->text),
                         0);
    return s;
}

static void done(struct scene *s) {
    inputs_free(&s->inputs);
    buf_free(&s->text);
    arena_free(&s->arena);
    free(s);
}

static bool says(const struct scene *s, const char *words) {
    return strstr(buf_cstr(&s->text), words) != NULL;
}

static const struct strmap *packages(const struct scene *s) {
    const struct host_python_packages_record *r = s->nodes.items[0].desired;
    return &r->packages;
}

/* As before there were others. */
static void test_plain(void **state) {
    (void)state;
    struct scene *s = make(&host_python_packages_kind, SPEC,
                           (const char *[]){"r.txt", "a==1.0\r\nb # c\r\na>=0.5\nx<2\n", NULL});
    const struct host_python_packages_record *r = s->nodes.items[0].desired;
    const struct python_want *want = s->nodes.items[0].extra;
    assert_null(want->project);
    assert_null(r->lock);
    assert_string_equal(strmap_get(packages(s), "a"), "==1.0,>=0.5");
    assert_string_equal(strmap_get(packages(s), "b"), "any");
    assert_string_equal(strmap_get(packages(s), "x"), "<2");
    assert_true(says(s, "set -- \"$@\" 'a==1.0,>=0.5'\nset -- \"$@\" 'b'\nset -- \"$@\" 'x<2'\n"));
    assert_false(says(s, "constraints"));
    done(s);
}

static void test_hashed(void **state) {
    (void)state;
    struct scene *s =
        make(&host_python_packages_kind, SPEC,
             (const char *[]){"r.txt",
                              "--extra-index-url https://example.org/simple\na[b]==1.0 \\\n"
                              " --hash=" HASH "\nc==2 --hash=" HASH
                              " # why\nd==3; python_version < '3' --hash=" HASH "\n",
                              NULL});
    const struct host_python_packages_record *r = s->nodes.items[0].desired;
    assert_non_null(r->lock);
    assert_int_equal(s->nodes.items[0].unknown & 1, 0);
    assert_string_equal(strmap_get(packages(s), "a[b]"), "1.0");
    assert_string_equal(strmap_get(packages(s), "c"), "2");
    assert_null(strmap_get(packages(s), "d"));
    assert_true(says(s, "\nlocked 'a[b]==1.0' --hash=" HASH "\nlocked 'c==2' --hash=" HASH "\n"));
    /* What they need besides is to fail. */
    assert_true(says(s, "pip_install --require-hashes -r \"$work/locked\" "
                        "--extra-index-url 'https://example.org/simple'\n"));
    assert_true(says(s, "set -- \"$@\" 'x'\n[ $# = 0 ] || pip_install -c \"$work/constraints\""));
    done(s);
}

static void test_limits(void **state) {
    (void)state;
    struct scene *s =
        make(&host_python_packages_kind, SPEC,
             (const char *[]){"r.txt", "-c c/c.txt\na>=1\nb; python_full_version < '3.11.3'\n",
                              "c/c.txt", "-c ./d.txt\na==1.5\ne<2\n", "c/d.txt",
                              "x<3; python_version > '3'\n", NULL});
    assert_int_equal(s->nodes.items[0].unknown & 2, 0);
    assert_int_equal(s->nodes.items[0].unknown & 1, 1); /* before 3.11.3, or not */
    assert_string_equal(strmap_get(packages(s), "a"), "1.5");
    assert_string_equal(strmap_get(packages(s), "x"), "<3");
    assert_null(strmap_get(packages(s), "e"));
    assert_true(says(s, "limit 'a==1.5'\nlimit 'e<2'\n"));
    assert_true(says(s, "case $n in 0|1) set -- \"$@\" 'b';; esac\n"));
    assert_true(says(s, "pip_install -c \"$work/constraints\" \"$@\"\n"));
    done(s);
}

/* It is known once its own Python is. */
static const void *find(void *ctx, const char *address, const struct kind **ret_kind) {
    (void)ret_kind;
    static const struct host_python_record python = {.python = "3.12.1", .machine = "x86_64"};
    return strcmp(address, "server[0].python") == 0 ? (const void *)&python : ctx;
}

static void test_kernel(void **state) {
    (void)state;
    struct scene *s = make(
        &host_kernel_kind, KERNEL,
        (const char *[]){"r.txt", "a; python_version < '3.11'\nb; python_version < '4'\n", NULL});
    const struct node *node = &s->nodes.items[0];
    struct host_kernel_record r = *(const struct host_kernel_record *)node->desired;
    struct host_kernel_record now = {.python = "3.10.2"};
    uint64_t unknown = node->unknown;
    assert_non_null(r.lock);
    assert_int_equal(unknown, 2);
    assert_null(strmap_get(&r.packages, "a"));
    assert_string_equal(strmap_get(&r.packages, "b"), "any");
    assert_string_equal(strmap_get(&r.packages, "ipykernel"), "any");
    assert_int_equal(
        node->kind->resolve(node, &(struct lookup){find, NULL}, &s->arena, &r, &unknown), 0);
    assert_int_equal(unknown, 2);
    assert_int_equal(
        node->kind->resolve(node, &(struct lookup){find, &now}, &s->arena, &r, &unknown), 0);
    assert_int_equal(unknown, 0);
    assert_string_equal(strmap_get(&r.packages, "a"), "any");
    /* Just made: that counts. */
    r.python = "3.13.0";
    assert_int_equal(
        node->kind->resolve(node, &(struct lookup){find, &now}, &s->arena, &r, &unknown), 0);
    assert_null(strmap_get(&r.packages, "a"));
    /* Another is asked for. */
    r.python = NULL;
    r.version = "3.11";
    unknown = 2;
    assert_int_equal(
        node->kind->resolve(node, &(struct lookup){find, &now}, &s->arena, &r, &unknown), 0);
    assert_int_equal(unknown, 2);
    done(s);
}

/* With their line and a caret, behind those of the spec; what may be a secret is not shown. */
static void test_mistakes(void **state) {
    (void)state;
    struct scene *s = make(
        &host_python_packages_kind, SPEC,
        (const char *[]){"r.txt", "six\n\n  ï # x\n-r m/b.txt\n-i https://u:hunter2@example.org/\n",
                         "m/b.txt", "\n-r c.txt\nsix @ https://example.org/six.whl\n", NULL});
    assert_string_equal(
        buf_cstr(&s->text),
        "r.txt:3:3: error: this is no requirement\n"
        "      ï # x\n"
        "      ^\n"
        "    expected a package with its versions, such as pandas==2.2.*\n"
        "r.txt:5:4: error: the file names a package index that the spec does not\n"
        "    -i …\n"
        "       ^\n"
        "    write it into the spec, packages.python.index_url, and leave it out here "
        "or\n"
        "    let it stand\n"
        "m/b.txt:2:4: error: the file does not exist\n"
        "    -r c.txt\n"
        "       ^~~~~\n"
        "    paths are relative to the file that names them\n"
        "m/b.txt:3:1: error: six is to come from elsewhere than an index\n"
        "    six @ https://example.org/six.whl\n"
        "    ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
        "    only packages of an index can be installed\n");
    done(s);
}

/* The main environment and a kernel may have the same file. */
static void test_told_once(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    struct diags d = {.arena = &arena, .file = "berth.yaml"};
    const struct diag_source first = {"r.txt", STR("a\nb\n")}, again = first;
    const struct diag_source other = {"s.txt", STR("a\n")};
    diag_add_in(&d, &first, (struct mark){1, 1, 1}, false, NULL, "x");
    diag_add_in(&d, &again, (struct mark){1, 1, 1}, false, NULL, "x");
    assert_int_equal(d.len, 1);
    assert_int_equal(d.errors, 2); /* who asks whether it went well is answered */
    diag_add_in(&d, &again, (struct mark){2, 1, 1}, false, NULL, "x");
    diag_add_in(&d, &again, (struct mark){2, 1, 1}, false, NULL, "y");
    diag_add_in(&d, &other, (struct mark){1, 1, 1}, false, NULL, "x");
    diag_add(&d, (struct mark){1, 1, 1}, NULL, "x");
    assert_int_equal(d.len, 5);
}

/* Without memory it fails, or is refused, or is right. */
static void test_no_memory(void **state) {
    (void)state;
    if (!fail_alloc_possible())
        skip();
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    buf_adds(&text, "-r r2.txt\n-c r2.txt\n");
    for (int i = 0; i < 400; i++)
        buf_addf(&text, "p%d==1.%d ; python_version > '3' --hash=" HASH "\n", i, i);
    struct scene *s = make(&host_python_packages_kind, SPEC,
                           (const char *[]){"r.txt", buf_cstr(&text), "r2.txt", "", NULL});
    assert_int_equal(packages(s)->len, 401);
    long before = fail_alloc_live();
    bool hit = true;
    size_t n = 1;
    for (; hit; n++) {
        struct arena arena = {0};
        struct diags diags = {.arena = &arena};
        struct requirements all = {0};
        fail_alloc_at(n);
        int rc = requirements_read(&s->inputs, "r.txt", NULL, &arena, &diags, &all);
        hit = fail_alloc_hit();
        fail_alloc_at(0);
        assert_true(rc == 0 || rc == -ERRC_NOMEM);
        assert_true(rc < 0 || diags.errors > 0 || (all.wanted.len == 400 && all.hashed));
        assert_true(rc == 0 || all.wanted.len == 0);
        arena_free(&arena);
        assert_int_equal(fail_alloc_live(), before);
    }
    assert_true(n > 10);
    done(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),     cmocka_unit_test(test_hashed),
        cmocka_unit_test(test_limits),    cmocka_unit_test(test_kernel),
        cmocka_unit_test(test_mistakes),  cmocka_unit_test(test_told_once),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
