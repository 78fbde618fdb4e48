/* Markers and requirements as PEP 508 has them; locks with what uv seldom writes. That what uv does
 * write is understood as uv does is tests/interop/project_test.py's. */
#include "providers/host/pyproject.h"
#include "providers/host/python_env.h"
#include "providers/host/uv_lock.h"
#include "specs/toml.h"
#include "tests/unit/cm.h"

#include <string.h>

static void test_markers(void **state) {
    (void)state;
    static const struct {
        const char *marker;
        int expected;
    } rows[] = {
        {"", 1},
        {"python_version >= '3.8'", 1},
        {"python_version < \"3.10\"", 0},
        {"'3.10' > python_version", 0},
        {"'3.10' <= python_version", 1},
        {"python_full_version == '3.12.*'", 1},
        {"python_full_version > '3.12'", 1},
        {"python_version > '3.12'", 0},
        {"python_version ~= '3.8'", 1},
        {"python_version in '3.11, 3.12'", 1},
        {"python_version not in '3.11 3.13'", 1},
        {"sys_platform == 'linux' and platform_system != 'Windows'", 1},
        {"os_name == 'nt' or platform_machine == 'x86_64'", 1},
        {"os_name == 'nt' or os_name == 'posix' and python_version < '3'", 0},
        {"(os_name == 'nt' or os_name == 'posix') and python_version > '3'", 1},
        {"'lin' in sys_platform", 1},
        {"sys_platform not in 'linux darwin'", 0},
        {"implementation_name == 'cpython' and platform_python_implementation == 'CPython'", 1},
        {"extra == 'Some_Extra'", 1},
        {"extra == 'other'", 0},
        {"extra != 'other'", 1},
        {"os.name == 'posix'", 1},
        {"python_version", -ERRC_INVALID},
        {"python_version >= ", -ERRC_INVALID},
        {"python_version >= 3.8", -ERRC_INVALID},
        {"python_version >= '3.8", -ERRC_INVALID},
        {"python_version >= '3.8')", -ERRC_INVALID},
        {"(python_version >= '3.8'", -ERRC_INVALID},
        {"nonsense == 'x'", -ERRC_INVALID},
        {"os_name == 'posix' and", -ERRC_INVALID},
        {"extra in 'x'", -ERRC_INVALID},
    };
    const char *extras[] = {"some-extra"};
    const struct strlist list = {.items = extras, .len = 1};
    const struct marker_env env = {.python = "3.12.4", .machine = "x86_64", .extras = &list};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int got = marker_holds(str_of(rows[i].marker), &env);
        if (got != rows[i].expected)
            fail_msg("%s: %d, expected %d", rows[i].marker, got, rows[i].expected);
    }
}

static void test_requirements(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    struct requirement r;
    assert_int_equal(requirement_parse(&arena, STR("Scikit__Learn [a, B] (>= 1.5, <2) ; x"), &r),
                     0);
    assert_string_equal(r.name, "scikit-learn");
    assert_string_equal(r.extras, "[a,B]");
    assert_string_equal(r.specifier, ">=1.5,<2");
    assert_true(str_eqc(r.marker, "x"));
    assert_null(r.url);
    assert_int_equal(requirement_parse(&arena, STR("x @ git+https://y ; z"), &r), 0);
    assert_string_equal(r.url, "git+https://y");
    assert_int_equal(requirement_parse(&arena, STR(""), &r), -ERRC_INVALID);
    assert_int_equal(requirement_parse(&arena, STR(">=1"), &r), -ERRC_INVALID);
    assert_int_equal(requirement_parse(&arena, STR("x[a"), &r), -ERRC_INVALID);
    assert_int_equal(requirement_parse(&arena, STR("x[] === 1.0"), &r), 0);
    assert_string_equal(r.extras, "");
    assert_string_equal(r.specifier, "===1.0");
    assert_int_equal(requirement_parse(&arena, STR("x >=1, <2 ,"), &r), 0);
    assert_string_equal(r.specifier, ">=1,<2");
    /* An option of an installer; what would be read as another version. */
    static const char *const bad[] = {
        "-rx",     "--index-url",    "-e",       "x-", "x[-a]", "x[a,", "x 1.0", "x y", "x=1",
        "x ==1 2", "-x @ https://y", "x>=1,,<2", "x,"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (requirement_parse(&arena, str_of(bad[i]), &r) != -ERRC_INVALID)
            fail_msg("%s: taken", bad[i]);
    }
}

static int read_lock(struct arena *arena, const char *text, struct uv_lock *ret, struct err *err) {
    cJSON *toml = NULL;
    assert_int_equal(toml_parse(str_of(text), &toml, err), 0);
    int rc = uv_lock_read(arena, toml, "p", ret, err);
    ret->requires_dist = NULL;
    cJSON_Delete(toml);
    return rc;
}

#define ROOT "[[package]]\nname = 'p'\nsource = { virtual = '.' }\n"

static void test_bad_locks(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"", "of which format"},
        {"version = 2", "format 2"},
        {"version = 1", "project p is not in it"},
        {"version = 1\n[[package]]\nversion = '1'", "has no name"},
        {"version = 1\n[[package]]\nname = 'x; reboot'", "has no name"},
        {"version = 1\n[[package]]\nname = '-r'", "has no name"},
        {"version = 1\n[[package]]\nname = 'x'\nversion = '$(reboot)'", "no version"},
        {"version = 1\n" ROOT "dependencies = [{ version = '1' }]", "dependency has no name"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        _cleanup_arena_ struct arena arena = {0};
        struct uv_lock lock = {0};
        struct err err = {0};
        assert_true(read_lock(&arena, rows[i].text, &lock, &err) < 0);
        if (strstr(err.msg, rows[i].words) == NULL)
            fail_msg("%s: %s", rows[i].text, err.msg);
    }
}

/* Hashes go into a script: nothing else than a hash is taken for one. */
static void test_hashes(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    struct uv_lock lock = {0};
    struct err err = {0};
    assert_int_equal(
        read_lock(&arena,
                  "version = 1\n" ROOT "sdist = { url = 'x.tar.gz', hash = 'sha256:0a' }\n"
                  "wheels = [{ url = 'x-win_amd64.whl', hash = 'sha256:01' },\n"
                  "{ url = 'x-musllinux_1_1_x86_64.whl', hash = 'sha256:02' },\n"
                  "{ url = 'x-manylinux_2_17_x86_64.whl', hash = 'sha256:03' },\n"
                  "{ url = 'x', hash = 'sha256:04; reboot' }, { url = 'y', hash = '05' }]\n",
                  &lock, &err),
        0);
    assert_int_equal(lock.root->hashes.len, 2);
    assert_string_equal(lock.root->hashes.items[0], "sha256:0a");
    assert_string_equal(lock.root->hashes.items[1], "sha256:03");
}

/* What is named twice is wanted in both ways. */
static void test_twice(void **state) {
    (void)state;
    static const struct {
        const char *first, *second, *value;
    } rows[] = {
        {"a", "a", "any"},         {"a", "a>=1", ">=1"},          {"a>=1", "A", ">=1"},
        {"a>=1", "a<2", ">=1,<2"}, {"a==1.0", "a<2", "==1.0,<2"}, {"a==1.0", "a == 1.0", "1.0"},
        {"a==1.*", "a", "==1.*"},  {"a<2", "a==1.0", "<2,==1.0"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        _cleanup_arena_ struct arena arena = {0};
        struct strmap map = {0};
        assert_int_equal(env_add_requirement(&arena, &map, str_of(rows[i].first)), 0);
        assert_int_equal(env_add_requirement(&arena, &map, str_of(rows[i].second)), 0);
        assert_int_equal(map.len, 1);
        assert_string_equal(map.items[0].value, rows[i].value);
    }
}

/* Where a need is one in some places only, the host is asked which it is. */
static void test_choice(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_buf_ struct buf script = BUF_INIT(BUF_SMALL);
    const char *hash[] = {"sha256:0a"};
    const struct strlist hashes = {.items = hash, .len = 1};
    struct project_need needs[] = {
        {.key = "a", .value = "1.0", .hashes = &hashes, .places = 7},
        {.key = "b", .value = "2.0", .hashes = &hashes, .places = 5},
    };
    const struct python_project project = {
        .locked = true,
        .hashed = true,
        .closed = true,
        .needs = needs,
        .len = 2,
        .places = {{"3.11", 0, "x86_64"}, {"3.11", 3, "x86_64"}, {"3.11", 0, "aarch64"}},
        .places_len = 3};
    struct python_want want = {.env = HOST_ENV, .project = &project};
    struct strmap packages = {0};
    assert_int_equal(project_place(&project, "3.11.2", "x86_64"), 0);
    assert_int_equal(project_place(&project, "3.11.12", "x86_64"), 1);
    assert_int_equal(project_place(&project, "3.11.12", "aarch64"), 2);
    assert_true(project_place(&project, "3.12.0", "x86_64") == SIZE_MAX);
    assert_true(project_place(&project, "3.1.0", "x86_64") == SIZE_MAX);
    assert_int_equal(env_packages(&want, "3.11.2", "x86_64", &arena, &packages), 0);
    assert_string_equal(strmap_get(&packages, "b"), "2.0");
    assert_int_equal(env_packages(&want, "3.11.3", "x86_64", &arena, &packages), 0);
    assert_null(strmap_get(&packages, "b"));
    assert_int_equal(env_change(&want, NULL, NULL, NULL, &arena, &script), 0);
    const char *text = buf_cstr(&script);
    assert_non_null(strstr(text, "\nlocked 'a==1.0' --hash=sha256:0a\n"));
    assert_non_null(strstr(text, "case $n in 0|2) locked 'b==2.0' --hash=sha256:0a;; esac\n"));
    assert_non_null(strstr(text, "--no-deps --require-hashes -r"));
    const char *later = strstr(text, "[ \"$1 $3\" != '3.11 x86_64' ] || [ \"$2\" -lt 3 ] || n=1\n");
    const char *first = strstr(text, "[ \"$1 $3\" != '3.11 x86_64' ] || [ \"$2\" -lt 0 ] || n=0\n");
    assert_non_null(first);
    assert_non_null(later);
    assert_true(first < later);
}

/* What a project without a lock asks for, with its extra `a` and its group `g`. */
static int read_project(struct arena *arena, const char *text, struct strlist *ret,
                        struct err *err) {
    cJSON *toml = NULL;
    struct strlist extras = {0}, groups = {0};
    assert_int_equal(toml_parse(str_of(text), &toml, err), 0);
    assert_int_equal(strlist_add(arena, &extras, "a"), 0);
    assert_int_equal(strlist_add(arena, &groups, "g"), 0);
    int rc = pyproject_requirements(arena, toml, "p", &extras, &groups, ret, err);
    cJSON_Delete(toml);
    return rc;
}

#define PROJECT "[project]\nname = 'p'\ndependencies = ['x>1']\n"

static void test_project(void **state) {
    (void)state;
    static const struct {
        const char *more, *words, *hint;
    } rows[] = {
        {"optional-dependencies.a = []", "no group `g`", "[dependency-groups]"},
        {"[dependency-groups]\ng = []", "no extra `a`", "optional-dependencies"},
        {"optional-dependencies.a = ['y @ git+https://z']", "y comes from git+https://z", "index"},
        {"optional-dependencies.a = ['-r/etc/passwd']", "`-r/etc/passwd` is no", "expected"},
        {"optional-dependencies.a = ['p[b]']\noptional-dependencies.b = ['p[a]']", "each other",
         ""},
        {"optional-dependencies.a = []\n[dependency-groups]\n"
         "g = [{ include-group = 'g' }, { include-group = 'g' }]",
         "each other", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        _cleanup_arena_ struct arena arena = {0};
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
        struct strlist got = {0};
        struct err err = {0};
        buf_addf(&text, PROJECT "%s\n", rows[i].more);
        assert_true(read_project(&arena, buf_cstr(&text), &got, &err) < 0);
        assert_int_equal(got.len, 0);
        if (strstr(err.msg, rows[i].words) == NULL || strstr(err.hint, rows[i].hint) == NULL)
            fail_msg("%s: %s (%s)", rows[i].more, err.msg, err.hint);
    }
}

/* A group is taken once, however many name it: ten in each of fifteen would else be 10^15. */
static void test_project_wide(void **state) {
    (void)state;
    _cleanup_arena_ struct arena arena = {.max = BUF_MEDIUM};
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    struct strlist got = {0};
    struct err err = {0};
    buf_adds(&text, PROJECT "optional-dependencies.A = ['p[]']\n[dependency-groups]\nG = [");
    for (int i = 0; i < 15; i++) {
        for (int k = 0; k < 10; k++)
            buf_addf(&text, "{ include-group = 'g%d' }, ", i);
        buf_addf(&text, "]\ng%d = [", i);
    }
    buf_adds(&text, "'last']\n");
    assert_int_equal(read_project(&arena, buf_cstr(&text), &got, &err), 0);
    assert_int_equal(got.len, 2);
    assert_string_equal(got.items[0], "x>1");
    assert_string_equal(got.items[1], "last");
    buf_reset(&text);
    buf_adds(&text, "[project]\nname = 'p'\ndependencies = [");
    for (int i = 0; i <= REQUIREMENTS_MAX; i++)
        buf_adds(&text, "'x',");
    buf_adds(&text, "]\n");
    arena.max = 0;
    assert_int_equal(read_project(&arena, buf_cstr(&text), &got, &err), -ERRC_LIMIT);
    assert_int_equal(got.len, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_markers),      cmocka_unit_test(test_requirements),
        cmocka_unit_test(test_bad_locks),    cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_choice),       cmocka_unit_test(test_project),
        cmocka_unit_test(test_project_wide), cmocka_unit_test(test_twice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
