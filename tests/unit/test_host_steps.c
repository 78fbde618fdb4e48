/* What steps send to a host, and what is read of odd answers. */
#include "providers/host/python_env.h"
#include "specs/sections/sections.h"
#include "tests/unit/cm.h"

#include <string.h>

struct stepping {
    struct arena arena;
    struct host_connection connection;
    struct live live;
    struct change change;
    struct host_node node;
    struct host_step step;
    struct buf script;
};

/* A step from what is there (NULL: nothing) to what is wanted; the script is to be freed. */
static void run_step(struct stepping *s, const struct host_kind *kind, void *live, void *after,
                     const void *extra) {
    struct err err = {0};
    *s = (struct stepping){.connection = {.endpoint = {.user = "admin", .address = "192.0.2.1"}},
                           .script = BUF_INIT(BUF_MEDIUM)};
    s->live.record = live;
    s->change = (struct change){.kind = kind->kind, .live = live == NULL ? NULL : &s->live};
    s->node = (struct host_node){.address = "server[0].x",
                                 .desired = after,
                                 .extra = extra,
                                 .connection = &s->connection,
                                 .arena = &s->arena};
    s->step = (struct host_step){
        .node = &s->node, .change = &s->change, .before = live, .after = after, .record = after};
    assert_int_equal(kind->step(&s->step, &s->script, &err), 0);
}

static void done(struct stepping *s) {
    buf_free(&s->script);
    arena_free(&s->arena);
}

/* An environment may be all that is wanted: neither uv nor pip takes an empty list. */
static void test_no_python_packages(void **state) {
    (void)state;
    struct stepping s;
    struct host_python_packages_record none = {0}, one = {0};
    const struct python_want nothing = {.env = HOST_ENV};
    struct python_want pandas = {.env = HOST_ENV};
    run_step(&s, &host_python_packages_host, NULL, &none, &nothing);
    assert_null(strstr(buf_cstr(&s.script), "pip_install"));
    done(&s);
    _cleanup_arena_ struct arena arena = {0};
    assert_int_equal(strmap_set(&arena, &one.packages, "pandas", "==2.*"), 0);
    pandas.others = one.packages;
    run_step(&s, &host_python_packages_host, &one, &none, &nothing);
    assert_null(strstr(buf_cstr(&s.script), "pip_install"));
    assert_non_null(strstr(buf_cstr(&s.script), "pip_uninstall 'pandas'"));
    done(&s);
    run_step(&s, &host_python_packages_host, NULL, &one, &pandas);
    assert_non_null(strstr(buf_cstr(&s.script), "set -- \"$@\" 'pandas==2.*'\n[ $# = 0 ] || "
                                                "pip_install \"$@\"\n"));
    done(&s);
}

static void test_index(void **state) {
    (void)state;
    struct stepping s;
    struct host_python_record r = {.path = HOST_ENV};
    run_step(&s, &host_python_host, NULL, &r, "https://index.example/simple");
    assert_non_null(strstr(buf_cstr(&s.script), "need_uv 'https://index.example/simple'\n"));
    done(&s);
    run_step(&s, &host_python_host, NULL, &r, NULL);
    assert_non_null(strstr(buf_cstr(&s.script), "need_uv ''\n"));
    done(&s);
}

/* A run that is cut between a change and its mark would leave Jupyter with older packages. */
static void test_marked_before(void **state) {
    (void)state;
    struct stepping s;
    _cleanup_arena_ struct arena arena = {0};
    struct host_python_packages_record r = {0};
    assert_int_equal(strmap_set(&arena, &r.packages, "pandas", "any"), 0);
    const struct python_want want = {.env = HOST_ENV, .others = r.packages};
    run_step(&s, &host_python_packages_host, NULL, &r, &want);
    const char *mark = strstr(buf_cstr(&s.script), "stale_jupyter");
    const char *change = strstr(buf_cstr(&s.script), "pip_install");
    assert_non_null(mark);
    assert_non_null(change);
    assert_true(mark < change);
    done(&s);
}

static void check_installed(const char *answer, const char *name, const char *expected) {
    _cleanup_arena_ struct arena arena = {0};
    struct facts facts = {0};
    struct err err = {0};
    struct host_python_packages_record wish = {0}, live = {0};
    enum presence presence;
    assert_int_equal(strmap_set(&arena, &wish.packages, name, "any"), 0);
    const struct python_want want = {.env = HOST_ENV, .others = wish.packages};
    const struct host_node node = {
        .address = "n", .desired = &wish, .recorded = &wish, .extra = &want, .arena = &arena};
    assert_int_equal(facts_parse(str_of(answer), &facts, &err), 0);
    assert_int_equal(host_python_packages_host.read(&node, &facts, &live, &presence, &err), 0);
    if (expected == NULL)
        assert_null(strmap_get(&live.packages, name));
    else
        assert_string_equal(strmap_get(&live.packages, name), expected);
    facts_free(&facts);
}

static void test_names(void **state) {
    (void)state;
    check_installed("n\tdist\tRuamel.YAML-0.18\n", "ruamel-yaml", "any");
    check_installed("n\tdist\tfoo__bar-1\n", "foo-bar", "any");
    check_installed("n\tdist\tfoo_barn-1\n", "foo-bar", NULL);
    check_installed("n\tdist\tfoo-1\n", "foo-bar", NULL);
    check_installed("n\tdist\t*.dist-info\n", "foo", NULL);
    check_installed("n\tdist\t\nn\tdist\t-\n", "foo", NULL);
    check_installed("n\tdist\tuvicorn-1\n", "uvicorn[standard]", "any");
}

/* What was asked for by name, and not by the spec: kept and said, or with `exact` a difference. */
static void test_by_hand(void **state) {
    (void)state;
    static const char answer[] = "n\tdist\tpandas-2.0\nn\tasked\tpandas-2.0\n"
                                 "n\tdist\tnumpy-1.9\n"
                                 "n\tdist\tScikit_Learn-1.5\nn\tasked\tScikit_Learn-1.5\n"
                                 "n\tdist\tpip-24\nn\tasked\tpip-24\n"
                                 "n\tdist\told-1\nn\tasked\told-1\n";
    _cleanup_arena_ struct arena arena = {0};
    struct facts facts = {0};
    struct err err = {0};
    struct host_python_packages_record wish = {0}, past = {0};
    struct python_want python = {.env = HOST_ENV};
    assert_int_equal(strmap_set(&arena, &wish.packages, "pandas[fast]", "any"), 0);
    python.others = wish.packages;
    assert_int_equal(strmap_set(&arena, &past.packages, "old", "any"), 0);
    const struct host_node node = {
        .address = "n", .desired = &wish, .recorded = &past, .extra = &python, .arena = &arena};
    assert_int_equal(facts_parse(str_of(answer), &facts, &err), 0);
    for (int exact = 0; exact < 2; exact++) {
        struct host_python_packages_record live = {0};
        enum presence presence;
        python.exact = exact == 1;
        assert_int_equal(host_python_packages_host.read(&node, &facts, &live, &presence, &err), 0);
        const char *said = host_python_packages_host.remark(&node, &facts);
        assert_int_equal(live.extra.len, exact);
        if (exact == 1) {
            assert_string_equal(live.extra.items[0], "Scikit_Learn 1.5");
            assert_null(said);
            struct stepping s;
            run_step(&s, &host_python_packages_host, &live, &wish, &python);
            assert_non_null(strstr(buf_cstr(&s.script), "pip_uninstall 'old' 'Scikit_Learn'\n"));
            done(&s);
        } else {
            assert_string_equal(said, "Scikit_Learn 1.5: installed by hand, not in the spec: kept");
        }
    }
    facts_free(&facts);
}

/* A removal that was cut left a part of the environment: it is still to be removed, not forgotten.
 * Where it is wanted, it is not there. */
static void test_left_over(void **state) {
    (void)state;
    const struct host_kind *const kinds[] = {&host_kernel_host, &host_python_host};
    struct host_kernel_record kernel = {.spec = "{}"};
    struct host_python_record python = {.path = HOST_ENV};
    void *const records[] = {&kernel, &python};
    struct facts facts = {0};
    struct err err = {0};
    assert_int_equal(facts_parse(STR("server[0].kernels[a]\tfolder\tyes\n"), &facts, &err), 0);
    for (size_t i = 0; i < 4; i++) {
        _cleanup_arena_ struct arena arena = {0};
        union {
            struct host_kernel_record kernel;
            struct host_python_record python;
        } live = {0};
        enum presence presence;
        const struct host_node node = {.address = "server[0].kernels[a]",
                                       .desired = i < 2 ? NULL : records[i % 2],
                                       .recorded = records[i % 2],
                                       .arena = &arena};
        assert_int_equal(kinds[i % 2]->read(&node, &facts, &live, &presence, &err), 0);
        assert_int_equal(presence, i < 2 ? LIVE_OURS : LIVE_NONE);
    }
    facts_free(&facts);
}

/* The name in an address becomes a path that is removed. */
static void test_odd_kernel(void **state) {
    (void)state;
    static const char *const bad[] = {"server[0].kernels[../..]", "server[0].kernels[]",
                                      "server[0].kernels[a b]", "kernels", "x[.cut.a]"};
    struct stepping s;
    run_step(&s, &host_python_host, NULL, NULL, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err = {0};
        s.node.address = bad[i];
        buf_reset(&s.script);
        assert_int_equal(host_kernel_host.probe(&s.node, &s.script), 0);
        assert_int_equal(host_kernel_host.step(&s.step, &s.script, &err), -ERRC_INVALID);
        assert_int_equal(s.script.len, 0);
    }
    struct err err = {0};
    s.node.address = "server[0].kernels[a.cut]";
    assert_int_equal(host_kernel_host.step(&s.step, &s.script, &err), 0);
    assert_non_null(strstr(buf_cstr(&s.script), "remove_environment /opt/berth/kernels/a.cut\n"));
    done(&s);
}

/* On a server of one's own it may have any name. */
static void test_user(void **state) {
    (void)state;
    struct stepping s;
    struct host_python_packages_record none = {0};
    const struct python_want nothing = {.env = HOST_ENV};
    run_step(&s, &host_python_packages_host, NULL, &none, &nothing);
    s.connection.endpoint.user = "x; reboot";
    struct err err = {0};
    assert_int_equal(host_python_packages_host.step(&s.step, &s.script, &err), 0);
    assert_non_null(strstr(buf_cstr(&s.script), "own_environment 'x; reboot'\n"));
    done(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_python_packages),
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_marked_before),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_left_over),
        cmocka_unit_test(test_odd_kernel),
        cmocka_unit_test(test_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
