/* Golden diagnostics: every tests/scenario/diag/NAME.case has an @SPEC and the @EXPECT that
 * compiling it renders. BERTH_UPDATE=1 rewrites them; read the diff by eye. In @SPEC, \xNN, \t, \r
 * and \\ stand for bytes that an editor would lose. */
#include "specs/fs.h"
#include "specs/spec.h"
#include "tests/unit/cm.h"

#include <dirent.h>

static int hex_value(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void unescape(struct str text, struct buf *out) {
    for (size_t i = 0; i < text.len; i++) {
        char next = i + 1 < text.len ? text.ptr[i + 1] : '\0';
        if (text.ptr[i] != '\\' || strchr("xtr\\", next) == NULL || next == '\0') {
            buf_addc(out, text.ptr[i]);
            continue;
        }
        i++;
        if (next == 'x' && i + 2 < text.len) {
            buf_addc(out, (char)(hex_value(text.ptr[i + 1]) * 16 + hex_value(text.ptr[i + 2])));
            i += 2;
        } else {
            buf_addc(out, next == 't' ? '\t' : next == 'r' ? '\r' : '\\');
        }
    }
}

static void compile(struct str source, struct buf *out) {
    struct arena arena = {0};
    struct diags diags = {.arena = &arena, .file = "berth.yaml", .source = source};
    const struct spec *spec = spec_compile(&arena, &diags);
    assert_true((spec == NULL) == (diags.errors > 0));
    diags_render(&diags, false, 80, out);
    if (out->len == 0)
        buf_adds(out, "good\n");
    arena_free(&arena);
}

static bool run_case(const char *path, bool update) {
    _cleanup_buf_ struct buf file = BUF_INIT(BUF_MEDIUM);
    _cleanup_buf_ struct buf source = BUF_INIT(BUF_MEDIUM);
    _cleanup_buf_ struct buf got = BUF_INIT(BUF_MEDIUM);
    struct err err = {0};
    assert_int_equal(fs_read(path, &file, &err), 0);
    const char *text = buf_cstr(&file);
    const char *spec = strstr(text, "@SPEC\n");
    const char *expect = strstr(text, "@EXPECT\n");
    assert_true(spec != NULL && expect != NULL && spec < expect);
    spec += strlen("@SPEC\n");
    unescape((struct str){spec, (size_t)(expect - spec)}, &source);
    compile(buf_str(&source), &got);
    expect += strlen("@EXPECT\n");
    if (strcmp(expect, buf_cstr(&got)) == 0)
        return true;
    if (!update) {
        fprintf(stderr, "%s\n--- expected\n%s--- got\n%s", path, expect, buf_cstr(&got));
        return false;
    }
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_MEDIUM);
    buf_add(&out, text, (size_t)(expect - text));
    buf_addstr(&out, buf_str(&got));
    assert_int_equal(fs_write(path, buf_str(&out), 0644, &err), 0);
    return true;
}

static void test_cases(void **state) {
    (void)state;
    static const char folder[] = TESTS_DIR "/scenario/diag";
    const char *update = getenv("BERTH_UPDATE");
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    size_t cases = 0, bad = 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (!str_ends(str_of(entry->d_name), STR(".case")))
            continue;
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        cases++;
        if (!run_case(path, update != NULL && strcmp(update, "1") == 0))
            bad++;
    }
    closedir(dir);
    assert_int_equal(bad, 0);
    assert_true(cases >= 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
