/* Which nodes a spec asks for on its hosts. */
#include "providers/host/internal.h"
#include "tests/unit/cm.h"

#include <libssh2.h>

#define HEAD                                                                                       \
    "berth: 1\nname: t\nprovider: ec2\nserver: { image: debian-12, type: t3.small, count: 2 }\n"

struct world_of {
    struct arena arena;
    struct inputs inputs;
    struct nodes nodes;
    struct diags diags;
};

static void desire_all(struct world_of *w, const char *text, const char *public_key) {
    *w = (struct world_of){0};
    w->inputs.arena = w->nodes.arena = &w->arena;
    w->diags = (struct diags){.arena = &w->arena, .file = "t", .source = str_of(text)};
    const struct spec *spec = spec_compile(&w->arena, &w->diags);
    assert_non_null(spec);
    for (size_t i = 0; host_kinds[i] != NULL; i++)
        if (host_kinds[i]->kind->ask != NULL)
            assert_int_equal(host_kinds[i]->kind->ask(spec, &w->inputs), 0);
    for (size_t i = 0; public_key != NULL && i < w->inputs.len; i++)
        if (w->inputs.items[i].type == INPUT_FILE) {
            w->inputs.items[i].found = true;
            assert_int_equal(secret_set(&w->inputs.items[i].content, str_of(public_key)), 0);
        }
    const struct desire in = {.spec = spec, .inputs = &w->inputs, .lineage = "l"};
    for (size_t i = 0; host_kinds[i] != NULL; i++)
        assert_int_equal(host_kinds[i]->kind->desire(&in, &w->nodes, &w->diags), 0);
}

static void done(struct world_of *w) {
    inputs_free(&w->inputs);
    arena_free(&w->arena);
}

static void test_plain(void **state) {
    (void)state;
    struct world_of w;
    desire_all(&w, HEAD, NULL);
    assert_int_equal(w.nodes.len, 0);
    assert_int_equal(w.inputs.len, 0);
    done(&w);
}

static void test_python_only(void **state) {
    (void)state;
    struct world_of w;
    desire_all(&w, HEAD "packages: { python: { packages: [\"Scikit__.Learn[x] ==1.5.*\"] } }\n",
               NULL);
    assert_int_equal(w.nodes.len, 6);
    assert_non_null(nodes_find(&w.nodes, "server[1].host_key"));
    assert_null(nodes_find(&w.nodes, "server[0].jupyter"));
    const struct node *node = nodes_find(&w.nodes, "server[1].python.packages");
    assert_non_null(node);
    assert_string_equal(node->parent, "server[1]");
    assert_true(strlist_has(&node->deps, "server[1].python"));
    const struct host_python_packages_record *r = node->desired;
    assert_int_equal(r->packages.len, 1);
    assert_string_equal(r->packages.items[0].key, "scikit-learn[x]");
    assert_string_equal(r->packages.items[0].value, "==1.5.*");
    done(&w);
}

static void test_jupyter(void **state) {
    (void)state;
    struct world_of w;
    desire_all(&w,
               HEAD "jupyter: { interface: notebook, settings: { ServerApp: { max_body_size: 9 }, "
                    "X: { y: [1, \"a\"] } } }\n",
               NULL);
    static const char *const there[] = {
        "server[0].host_key",        "server[0].python",
        "server[0].python.packages", "server[0].tls",
        "server[0].jupyter",         "server[0].jupyter.service",
        "server[0].jupyter.health",
    };
    assert_int_equal(w.nodes.len, 2 * sizeof there / sizeof there[0]);
    for (size_t i = 0; i < sizeof there / sizeof there[0]; i++)
        assert_non_null(nodes_find(&w.nodes, there[i]));
    const struct host_jupyter_record *r = nodes_find(&w.nodes, "server[0].jupyter")->desired;
    assert_string_equal(strmap_get(&r->settings, "ServerApp.port"), "8888");
    assert_string_equal(strmap_get(&r->settings, "ServerApp.port_retries"), "0");
    assert_string_equal(strmap_get(&r->settings, "ServerApp.max_body_size"), "9");
    assert_string_equal(strmap_get(&r->settings, "X.y"), "[1,\"a\"]");
    const struct host_python_packages_record *p =
        nodes_find(&w.nodes, "server[0].python.packages")->desired;
    assert_string_equal(strmap_get(&p->packages, "notebook"), "any");
    done(&w);
}

static void test_rsa(void **state) {
    (void)state;
    struct world_of w;
    const char *text = HEAD "key_pair: { public_key: k.pub }\npackages: { system: [git] }\n";
    desire_all(&w, text, "ssh-ed25519 AAAA me\n");
    assert_int_equal(w.diags.errors, 0);
    done(&w);
    desire_all(&w, text, "ssh-rsa AAAA me\n");
    assert_int_equal(w.diags.errors, libssh2_version(0x010b00) == NULL ? 1 : 0);
    done(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_python_only),
        cmocka_unit_test(test_jupyter),
        cmocka_unit_test(test_rsa),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
