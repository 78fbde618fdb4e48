/* Which nodes a spec asks for on its hosts. */
#include "providers/host/internal.h"
#include "providers/host/jupyter_login.h"
#include "specs/fs.h"
#include "tests/unit/cm.h"

#include <libssh2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    assert_int_equal(w.nodes.len, 8);
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
        "server[0].jupyter.health",  "server[0].disk",
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

/* Each is in its own environment, with what a kernel needs; none is named twice. */
static void test_kernels(void **state) {
    (void)state;
    struct world_of w;
    desire_all(&w,
               HEAD "jupyter: { kernels: [{ name: a.b, display_name: 'A \"B\"', packages: [x] }, { "
                    "name: c, packages: ['ipykernel==6.*'] }] }\n",
               NULL);
    const struct node *a = nodes_find(&w.nodes, "server[1].kernels[a.b]");
    const struct node *c = nodes_find(&w.nodes, "server[0].kernels[c]");
    assert_non_null(a);
    assert_non_null(c);
    assert_true(strlist_has(&a->deps, "server[1].python.packages"));
    const struct host_kernel_record *first = a->desired, *second = c->desired;
    assert_string_equal(strmap_get(&first->packages, "ipykernel"), "any");
    assert_string_equal(strmap_get(&second->packages, "ipykernel"), "==6.*");
    assert_non_null(strstr(first->spec, "\"/opt/berth/kernels/a.b/bin/python\""));
    assert_non_null(strstr(first->spec, "\"A \\\"B\\\"\""));
    done(&w);
    desire_all(&w, HEAD "jupyter: { kernels: [{ name: c }, { name: c }] }\n", NULL);
    assert_int_equal(w.diags.errors, 1);
    done(&w);
}

/* What lies at or below the mount comes after it, and nothing else does. */
static void test_data(void **state) {
    (void)state;
    struct world_of w;
    desire_all(
        &w,
        "berth: 1\nname: t\nprovider: ec2\nserver: { image: debian-12, type: t3.small, swap: "
        "2 GiB, data: { size: 5 GiB, mount: ~/work/ } }\n"
        "files: [{ from: a, to: ~/work }, { from: b, to: ~/work/b }, { from: c, to: "
        "~/works }, { from: d, to: /srv }]\njupyter: { root_dir: ~/work }\n",
        NULL);
    static const struct {
        const char *address;
        bool after;
    } nodes[] = {{"server[0].files[~/work]", true},    {"server[0].files[~/work/b]", true},
                 {"server[0].files[~/works]", false},  {"server[0].files[/srv]", false},
                 {"server[0].jupyter", true},          {"server[0].jupyter.service", true},
                 {"server[0].python.packages", false}, {"server[0].swap", false}};
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        const struct node *node = nodes_find(&w.nodes, nodes[i].address);
        assert_non_null(node);
        assert_int_equal(strlist_has(&node->deps, "server[0].data"), nodes[i].after);
    }
    const struct node *data = nodes_find(&w.nodes, "server[0].data");
    assert_true(strlist_has(&data->deps, "data[0]"));
    assert_int_equal(data->unknown, 1); /* which volume */
    assert_int_equal(((const struct host_data_record *)data->desired)->size_gib, 5);
    const struct host_swap_record *swap = nodes_find(&w.nodes, "server[0].swap")->desired;
    assert_int_equal(swap->size_gib, 2);
    done(&w);
}

/* A password that is asked for and empty is a mistake, not "none". */
static void test_empty_password(void **state) {
    (void)state;
    const char *text = HEAD "jupyter: { password: { file: p } }\n";
    struct world_of w;
    desire_all(&w, text, "secret\n");
    assert_int_equal(w.diags.errors, 0);
    done(&w);
    desire_all(&w, text, " \n");
    assert_int_equal(w.diags.errors, 1);
    done(&w);
}

static int random_bytes(void *buffer, size_t len) {
    memset(buffer, 7, len);
    return 0;
}

/* Writes `text` as the project's token, has the configuration made, and reads the token again. */
static void make_config(const char *text, struct buf *token) {
    char dir[] = "/tmp/berth-token-XXXXXX";
    char path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/token", dir);
    struct err err = {0};
    assert_int_equal(fs_write(path, str_of(text), 0600, &err), 0);
    struct world_of w;
    desire_all(&w, HEAD "jupyter: {}\n", NULL);
    struct node *node = nodes_find(&w.nodes, "server[0].jupyter");
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    const struct run run = {.project_dir = dir, .random = random_bytes};
    const struct host_session session = {.run = &run, .mutex = &mutex};
    const struct host_connection connection = {.endpoint = {.user = "admin"}};
    const struct host_node on = {.address = node->address,
                                 .desired = node->desired,
                                 .extra = node->extra,
                                 .session = &session,
                                 .connection = &connection,
                                 .arena = &w.arena};
    struct host_step step = {.node = &on, .after = node->desired, .record = node->desired};
    _cleanup_buf_ struct buf script = BUF_INIT(BUF_MEDIUM);
    assert_int_equal(host_jupyter_host.step(&step, &script, &err), 0);
    assert_int_equal(fs_read(path, token, &err), 0);
    const struct host_jupyter_record *record = step.record;
    unsigned char secret[SSHKEY_SEED_SIZE];
    assert_int_equal(project_secret(dir, random_bytes, secret, &err), 0);
    struct str key = {(const char *)secret, sizeof secret};
    assert_string_equal(record->token_tag,
                        host_secret_tag(&w.arena, key, "token", str_trim(buf_str(token))));
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/secret", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    done(&w);
}

/* An empty token would let everybody in; a line's end is no part of it. */
static void test_token(void **state) {
    (void)state;
    _cleanup_buf_ struct buf token = BUF_INIT(BUF_SMALL);
    make_config("abc\n", &token);
    assert_string_equal(buf_cstr(&token), "abc\n");
    buf_reset(&token);
    make_config("\n", &token);
    assert_int_equal(token.len, TOKEN_SIZE);
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

/* The same of one that is to be made, at the word that asks for it; a plain server takes it. */
static void test_made_rsa(void **state) {
    (void)state;
    struct world_of w;
    const char *text = HEAD "key_pair: { type: rsa }\npackages: { system: [git] }\n";
    bool refused = libssh2_version(0x010b00) == NULL;
    desire_all(&w, text, NULL);
    assert_int_equal(w.diags.errors, refused ? 1 : 0);
    if (refused) {
        assert_int_equal(w.diags.items[0].mark.line, 5);
        assert_int_equal(w.diags.items[0].mark.col, 19);
        assert_int_equal(w.diags.items[0].mark.len, strlen("rsa"));
    }
    done(&w);
    desire_all(&w, HEAD "key_pair: { type: rsa }\n", NULL);
    assert_int_equal(w.diags.errors, 0);
    assert_int_equal(w.nodes.len, 0);
    done(&w);
}

/* What restarts Jupyter says so in the plan, and nothing else does. */
static void test_restarts(void **state) {
    (void)state;
    static const struct kind *const restart[] = {
        &host_python_packages_kind, /* also for another Python */

        &host_tls_kind, &host_jupyter_kind, &host_extensions_kind, &host_service_kind};
    for (size_t i = 0; host_kinds[i] != NULL; i++) {
        const struct host_kind *k = host_kinds[i];
        bool wanted = false;
        for (size_t r = 0; r < sizeof restart / sizeof restart[0]; r++)
            wanted |= restart[r] == k->kind;
        assert_int_equal(k->restarts_jupyter, wanted);
        assert_int_equal(k->kind->besides != NULL, wanted);
        if (wanted)
            assert_ptr_equal(k->kind->beside, &host_service_kind);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),    cmocka_unit_test(test_python_only),
        cmocka_unit_test(test_jupyter),  cmocka_unit_test(test_empty_password),
        cmocka_unit_test(test_token),    cmocka_unit_test(test_rsa),
        cmocka_unit_test(test_made_rsa), cmocka_unit_test(test_data),
        cmocka_unit_test(test_kernels),  cmocka_unit_test(test_restarts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
