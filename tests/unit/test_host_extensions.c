/* What a plan sees of Jupyter's extensions: the list that converging left, and Jupyter's own files.
 */
#include "providers/host/internal.h"
#include "tests/unit/cm.h"

#include <string.h>

#define NODE "server[0].jupyter.extensions"

static const char spec_text[] =
    "berth: 1\nname: t\nprovider: ec2\nserver: { image: debian-12, type: t3.small }\n"
    "packages: { python: { packages: [pandas, JupyterLab==4.*] } }\n"
    "jupyter: { extensions: [\"Jupyterlab_Git[x] >=0.5\", { name: other, enabled: false }] }\n";

struct scene {
    struct arena arena;
    struct nodes nodes;
    const struct node *node;
};

static void setup_scene(struct scene *s) {
    static struct inputs inputs;
    *s = (struct scene){0};
    s->nodes.arena = &s->arena;
    inputs = (struct inputs){.arena = &s->arena};
    struct diags diags = {.arena = &s->arena, .file = "t", .source = STR(spec_text)};
    const struct spec *spec = spec_compile(&s->arena, &diags);
    assert_non_null(spec);
    const struct desire in = {.spec = spec, .inputs = &inputs, .lineage = "l"};
    assert_int_equal(host_extensions_kind.desire(&in, &s->nodes, &diags), 0);
    s->node = nodes_find(&s->nodes, NODE);
    assert_non_null(s->node);
}

static void test_desire(void **state) {
    (void)state;
    struct scene s;
    setup_scene(&s);
    const struct host_extensions_record *r = s.node->desired;
    assert_int_equal(r->extensions.len, 2);
    assert_string_equal(strmap_get(&r->extensions, "jupyterlab-git"), "enabled");
    assert_string_equal(strmap_get(&r->extensions, "other"), "disabled");
    assert_int_equal(r->requirements.len, 3); /* another JupyterLab asks anew */
    assert_string_equal(strmap_get(&r->requirements, "jupyterlab-git"), ">=0.5");
    assert_non_null(strmap_get(&r->requirements, "jupyterlab"));
    assert_null(strmap_get(&r->requirements, "pandas"));
    assert_true(strlist_has(&s.node->deps, "server[0].python.packages"));
    arena_free(&s.arena);
}

static void add64(struct buf *out, const char *key, const char *text) {
    if (text == NULL)
        return;
    buf_addf(out, NODE "\t%s\t", key);
    buf_add_base64(out, text, strlen(text));
    buf_addc(out, '\n');
}

/* `list` and Jupyter's files: those of the environment, then the user's. */
struct files {
    const char *server[2], *page[2];
    bool there, lab; /* the package of that version, the extension's folder */
};

static const char list[] =
    "R\tjupyterlab-git\t>=0.5\nR\tjupyterlab\t4.*\n"
    "D\tjupyterlab-git\t/x/jupyterlab_git-0.5.dist-info\n"
    "L\tjupyterlab-git\t@jupyterlab/git\nS\tjupyterlab-git\tjupyterlab_git\n";

static void read_files(struct scene *s, const struct files *f, struct host_extensions_record *ret) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    struct facts facts = {0};
    struct err err = {0};
    enum presence presence = LIVE_NONE;
    add64(&text, "list", list);
    for (int i = 0; i < 2; i++) {
        add64(&text, i == 0 ? "server0" : "server1", f->server[i]);
        add64(&text, i == 0 ? "page0" : "page1", f->page[i]);
    }
    if (f->there)
        buf_adds(&text, NODE "\tthere\tjupyterlab-git\n");
    if (f->lab)
        buf_adds(&text, NODE "\tlab\t@jupyterlab/git\n");
    assert_int_equal(facts_parse(buf_str(&text), &facts, &err), 0);
    const struct host_node on = {
        .address = NODE, .desired = s->node->desired, .extra = s->node->extra, .arena = &s->arena};
    assert_int_equal(host_extensions_host.read(&on, &facts, ret, &presence, &err), 0);
    assert_int_equal(presence, LIVE_OURS);
    facts_free(&facts);
}

#define ON "{\"ServerApp\":{\"jpserver_extensions\":{\"jupyterlab_git\":true}}}\n"
#define OFF "{\"ServerApp\":{\"jpserver_extensions\":{\"jupyterlab_git\":false}}}\n"
#define PAGE_OFF "{\"disabledExtensions\":{\"@jupyterlab/git\":true}}"
#define PAGE_ON "{\"disabledExtensions\":{\"@jupyterlab/git\":false}}"

static void test_states(void **state) {
    (void)state;
    static const struct {
        struct files files;
        const char *state;
    } rows[] = {
        {{{ON}, {NULL}, true, true}, "enabled"},
        {{{ON}, {PAGE_ON}, true, true}, "enabled"},
        {{{"{\"a\":1}\n" ON "\n{}"}, {NULL}, true, true}, "enabled"},
        {{{ON}, {PAGE_OFF}, true, true}, "enabled in part"},
        {{{ON}, {PAGE_OFF, PAGE_ON}, true, true}, "enabled"}, /* the user's own counts more */
        {{{OFF}, {PAGE_OFF}, true, true}, "disabled"},
        {{{ON OFF}, {PAGE_OFF}, true, true}, "disabled"}, /* and a later file */
        {{{ON, OFF}, {NULL}, true, true}, "enabled in part"},
        {{{NULL}, {NULL}, true, true}, "enabled in part"}, /* a server's has to be switched on */
        {{{ON}, {NULL}, true, false}, "enabled in part"},  /* its folder is gone */
        {{{ON}, {NULL}, false, true}, "another version than Jupyter was asked about"},
        {{{"nonsense"}, {"[[["}, true, true}, "enabled in part"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scene s;
        struct host_extensions_record r = {0};
        setup_scene(&s);
        read_files(&s, &rows[i].files, &r);
        const char *got = strmap_get(&r.extensions, "jupyterlab-git");
        if (got == NULL || strcmp(got, rows[i].state) != 0)
            fail_msg("row %zu: %s", i, got == NULL ? "nothing" : got);
        assert_int_equal(r.extensions.len, 1); /* `other` was never asked about: that differs */
        assert_string_equal(strmap_get(&r.requirements, "jupyterlab"), "4.*");
        arena_free(&s.arena);
    }
}

static void test_nothing_there(void **state) {
    (void)state;
    struct scene s;
    struct facts facts = {0};
    struct err err = {0};
    struct host_extensions_record r = {0};
    enum presence presence = LIVE_OURS;
    setup_scene(&s);
    assert_int_equal(facts_parse(STR(NODE "\tlab\t\n"), &facts, &err), 0);
    const struct host_node on = {.address = NODE, .desired = s.node->desired, .arena = &s.arena};
    assert_int_equal(host_extensions_host.read(&on, &facts, &r, &presence, &err), 0);
    assert_int_equal(presence, LIVE_NONE);
    facts_free(&facts);
    arena_free(&s.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_desire),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_nothing_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
