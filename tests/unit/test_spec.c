/* Specs as a whole: defaults, round trip, order of keys, the template, running out of memory. */
#include "specs/fs.h"
#include "specs/json_text.h"
#include "specs/record.h"
#include "specs/sections/sections.h"
#include "specs/template.h"
#include "tests/unit/cm.h"
#include "tests/unit/fail_alloc.h"

static const char *const examples[] = {"quickstart", "plain-server", "team"};
enum { EXAMPLES = sizeof examples / sizeof examples[0] };

static void load(size_t index, struct buf *out) {
    char path[1024];
    struct err err = {0};
    snprintf(path, sizeof path, "%s/../examples/%s.yaml", TESTS_DIR, examples[index]);
    assert_int_equal(fs_read(path, out, &err), 0);
}

static struct spec *compile(struct arena *a, struct str source) {
    struct diags d = {.arena = a, .file = "t.yaml", .source = source};
    struct spec *spec = spec_compile(a, &d);
    if (spec == NULL) {
        _cleanup_buf_ struct buf out = BUF_INIT(BUF_MEDIUM);
        diags_render(&d, false, 100, &out);
        fail_msg("%s", buf_cstr(&out));
    }
    return spec;
}

static void assert_same(const struct spec *x, const struct spec *y) {
    for (size_t i = 0; sections[i] != NULL; i++) {
        if (sections[i]->later)
            continue;
        assert_int_equal(x->present[i], y->present[i]);
        const struct field list[] = {{.name = "items",
                                      .type = FIELD_RECORDS,
                                      .sub = sections[i]->item_fields,
                                      .sub_size = sections[i]->size},
                                     FIELD_END};
        const struct field *f = sections[i]->item_fields != NULL ? list : sections[i]->fields;
        for (; f->name != NULL; f++)
            if (!(f->flags & (FIELD_LATER | FIELD_REFUSED)) &&
                !record_field_equal(f, x->records[i], y->records[i]))
                fail_msg("%s.%s differs", sections[i]->name, f->name);
    }
}

static void test_defaults(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    const struct spec *spec = compile(
        &a, STR("berth: 1\nname: a\nprovider: ec2\nserver: {image: debian-12, type: t3.small}\n"));
    const struct server_section *server = spec_server(spec);
    assert_true(server->count == 1 && server->disk.size_gib == 30 && server->disk.encrypted);
    assert_string_equal(server->disk.type, "gp3");
    assert_string_equal(((const struct access_item *)spec_access(spec)->ssh.items)->cidr, "my-ip");
    assert_string_equal(((const struct access_item *)spec_access(spec)->jupyter.items)->cidr,
                        "my-ip");
    assert_string_equal(spec_key_pair(spec)->type, "ed25519");
    assert_true(spec_jupyter(spec)->port == 8888);
    assert_string_equal(spec_jupyter(spec)->root_dir, "~");
    assert_int_equal(spec_files(spec)->len, 0);
    assert_false(spec_has(spec, &section_jupyter));
    assert_false(spec_has_python(spec));
    assert_int_equal(spec_mark(spec, "server.type").line, 4);
    assert_int_equal(spec_mark(spec, "server.count").line, 0);
}

static void test_values(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    const struct spec *spec =
        compile(&a, STR("berth: 1\nname: a\nprovider: ec2\nserver: {image: debian-12, type: "
                        "t3.small, disk: {size: 2 TiB}}\naccess: {ssh: []}\npackages: {python: "
                        "{version: 3.10}}\njupyter: {password: {file: p.txt}, settings: {B: {x: "
                        "1e999, t: true, q: \"true\", n: null, f: 1.50}, A: {l: [1, a]}}}\n"));
    assert_true(spec_server(spec)->disk.size_gib == 2048);
    assert_int_equal(spec_access(spec)->ssh.len, 0); /* nobody, not the default */
    assert_string_equal(spec_packages(spec)->python.version, "3.10");
    assert_string_equal(spec_jupyter(spec)->password, "file:p.txt");
    assert_string_equal(spec_jupyter(spec)->settings,
                        "{\"A\":{\"l\":[1,\"a\"]},\"B\":{\"f\":1.5,\"n\":null,\"q\":\"true\","
                        "\"t\":true,\"x\":\"1e999\"}}");
    _cleanup_buf_ struct buf print = BUF_INIT(BUF_MEDIUM);
    spec_print(spec, &print);
    assert_same(spec, compile(&a, buf_str(&print)));
}

/* A word, or a map: what it says, and that it says the same when it is printed. */
static void test_spot(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool enabled;
        const char *max_price, *interruption;
    } cases[] = {
        {"", false, NULL, "stop"},
        {", spot: false", false, NULL, "stop"},
        {", spot: true", true, NULL, "stop"},
        {", spot: {}", true, NULL, "stop"},
        {", spot: {max_price: 0.010}", true, "0.010", "stop"},
        {", spot: {max_price: 2, interruption: terminate}", true, "2", "terminate"},
        {", spot: {enabled: false, max_price: 1.5}", false, "1.5", "stop"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _cleanup_arena_ struct arena a = {0};
        _cleanup_buf_ struct buf print = BUF_INIT(BUF_MEDIUM);
        const char *text = arena_printf(&a,
                                        "berth: 1\nname: a\nprovider: ec2\nserver: {image: "
                                        "debian-12, type: t3.small%s}\n",
                                        cases[i].text);
        const struct spec *spec = compile(&a, str_of(text));
        const struct server_spot *spot = &spec_server(spec)->spot;
        assert_int_equal(spot->enabled, cases[i].enabled);
        assert_true(cstr_eq(spot->max_price, cases[i].max_price));
        assert_string_equal(spot->interruption, cases[i].interruption);
        spec_print(spec, &print);
        assert_same(spec, compile(&a, buf_str(&print)));
    }
}

static void test_round_trip(void **state) {
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        _cleanup_arena_ struct arena a = {0};
        _cleanup_buf_ struct buf source = BUF_INIT(BUF_MEDIUM);
        _cleanup_buf_ struct buf print = BUF_INIT(BUF_MEDIUM);
        load(i, &source);
        const struct spec *spec = compile(&a, buf_str(&source));
        spec_print(spec, &print);
        assert_false(print.failed);
        assert_same(spec, compile(&a, buf_str(&print)));
    }
}

/* Reverses the top-level blocks of a printed spec. */
static void reverse_blocks(const char *text, struct buf *out) {
    size_t end = strlen(text);
    for (size_t i = end; i > 0; i--) {
        bool starts = (i == 1 || text[i - 2] == '\n') && text[i - 1] != ' ';
        if (!starts)
            continue;
        buf_add(out, text + i - 1, end - (i - 1));
        end = i - 1;
    }
}

static void test_order(void **state) {
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        _cleanup_arena_ struct arena a = {0};
        _cleanup_buf_ struct buf source = BUF_INIT(BUF_MEDIUM);
        _cleanup_buf_ struct buf print = BUF_INIT(BUF_MEDIUM);
        _cleanup_buf_ struct buf reversed = BUF_INIT(BUF_MEDIUM);
        load(i, &source);
        const struct spec *spec = compile(&a, buf_str(&source));
        spec_print(spec, &print);
        reverse_blocks(buf_cstr(&print), &reversed);
        assert_int_equal(reversed.len, print.len);
        assert_string_not_equal(buf_cstr(&reversed), buf_cstr(&print));
        assert_same(spec, compile(&a, buf_str(&reversed)));
    }
}

/* Takes "# " off every line that starts with it, behind its indent. */
static void uncomment(const char *text, struct buf *out) {
    struct str rest = str_of(text);
    struct str line;
    bool first = true;
    while (str_split(&rest, '\n', &line)) {
        size_t indent = 0;
        while (indent < line.len && line.ptr[indent] == ' ')
            indent++;
        struct str body = {line.ptr + indent, line.len - indent};
        if (!first && str_starts(body, STR("# "))) {
            buf_addn(out, ' ', indent);
            buf_add(out, body.ptr + 2, body.len - 2);
        } else {
            buf_addstr(out, line);
        }
        buf_addc(out, '\n');
        first = false;
    }
}

static void test_template(void **state) {
    (void)state;
    static const char *const providers[] = {"ec2", "sandbox", "host"};
    for (size_t i = 0; i < 3; i++) {
        _cleanup_arena_ struct arena a = {0};
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
        _cleanup_buf_ struct buf whole = BUF_INIT(BUF_MEDIUM);
        spec_template(&text, "my-lab", providers[i]);
        const struct spec *spec = compile(&a, buf_str(&text));
        assert_string_equal(spec->name, "my-lab");
        assert_string_equal(spec->provider, providers[i]);
        assert_true(spec_has(spec, &section_jupyter));
        uncomment(buf_cstr(&text), &whole);
        spec = compile(&a, buf_str(&whole));
        assert_int_equal(spec_files(spec)->len, 1);
        assert_true(spec_has(spec, &section_key_pair) == (i < 2));
        assert_true((spec_server(spec)->jump != NULL) == (i == 2));
    }
}

static void test_no_memory(void **state) {
    (void)state;
    if (!fail_alloc_possible()) {
        skip();
        return;
    }
    _cleanup_buf_ struct buf source = BUF_INIT(BUF_MEDIUM);
    load(EXAMPLES - 1, &source);
    size_t nth = 1;
    bool hit = true;
    for (; hit && nth < 100000; nth++) {
        struct arena a = {0};
        struct diags d = {.arena = &a, .file = "t", .source = buf_str(&source)};
        long live = fail_alloc_live();
        fail_alloc_at(nth);
        const struct spec *spec = spec_compile(&a, &d);
        hit = fail_alloc_hit();
        fail_alloc_at(0);
        arena_free(&a);
        assert_int_equal(fail_alloc_live(), live); /* nothing leaks */
        /* Either it was refused, with an error to show, or it did without that memory. */
        if ((spec == NULL) != (d.errors > 0))
            fail_msg("allocation %zu: %zu errors", nth, d.errors);
    }
    assert_true(nth > 10 && nth < 100000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_values),
        cmocka_unit_test(test_spot),     cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_order),    cmocka_unit_test(test_template),
        cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
