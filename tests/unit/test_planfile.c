/* A saved plan is good only for what it was made from; what moved since is named. */
#include "engine/planfile.h"
#include "tests/scenario/sim_run.h"
#include "tests/unit/cm.h"

#include <sys/stat.h>

struct wish {
    size_t groups;
};

static void fill(struct nodes *nodes, void *ctx) {
    const struct wish *wish = ctx;
    for (size_t i = 0; i < wish->groups; i++) {
        char address[32];
        snprintf(address, sizeof address, "group%zu", i);
        sim_want(nodes, &sim_group_kind, address, NULL, NULL, "{\"rules\":[\"all\"]}");
    }
}

/* Plans for so many groups; writes the plan to `out`, or checks it against `against`. */
static int plan(struct sim *sim, const char *dir, size_t groups, const char *out,
                const char *against, struct err *err) {
    struct wish wish = {groups};
    struct sim_run run;
    struct planfile file = {0};
    assert_int_equal(
        sim_run_plan(&run, sim, dir, &(struct sim_wish){fill, &wish, NULL}, false, err), 0);
    run.plan.state_sha256[0] = 'x'; /* without a state each run has a lineage of its own */
    const struct plan_options options = {0};
    int rc = out == NULL ? 0 : planfile_write(out, &run.plan, &options, "berth.yaml", err);
    if (against != NULL) {
        assert_int_equal(planfile_read(against, &file, err), 0);
        snprintf(run.plan.state_sha256, sizeof run.plan.state_sha256, "%s",
                 cJSON_GetObjectItem(file.json, "state_sha256")->valuestring);
        rc = planfile_check(&file, &run.plan, err);
        if (rc == 0)
            assert_string_equal(
                run.plan.changes[0].token,
                cJSON_GetObjectItem(
                    cJSON_GetArrayItem(cJSON_GetObjectItem(file.json, "changes"), 0), "token")
                    ->valuestring);
        planfile_free(&file);
    }
    sim_run_end(&run);
    return rc;
}

static void test_check(void **unused) {
    (void)unused;
    char dir[64], path[96];
    struct err err = {0};
    struct stat st;
    struct sim *sim = sim_new();
    sim_dir_make(dir);
    snprintf(path, sizeof path, "%s/x.plan", dir);
    assert_int_equal(plan(sim, dir, 1, path, NULL, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(plan(sim, dir, 1, NULL, path, &err), 0);

    assert_int_equal(plan(sim, dir, 3, NULL, path, &err), -ERRC_STALE);
    assert_string_equal(err.msg, "the spec, the live world moved since the plan was made\n"
                                 "  group1: was no-op, is now create\n"
                                 "  group2: was no-op, is now create");

    /* More than an error can hold: whole lines, and a number. */
    assert_int_equal(plan(sim, dir, 300, NULL, path, &err), -ERRC_STALE);
    const char *last = strrchr(err.msg, '\n');
    size_t lines = 0;
    for (const char *c = err.msg; *c != '\0'; c++)
        lines += *c == '\n';
    int64_t more = 0;
    struct str tail = str_of(last);
    assert_true(str_starts(tail, STR("\n  and ")) && str_ends(tail, STR(" more")));
    assert_true(str_to_i64((struct str){tail.ptr + 7, tail.len - 12}, 1, 300, &more));
    assert_int_equal((int64_t)lines - 1 + more, 299);
    sim_dir_remove(dir);
    sim_free(sim);
}

static void test_no_plan(void **unused) {
    (void)unused;
    char dir[64], path[96];
    struct planfile file;
    struct err err = {0};
    static const char *const texts[] = {"", "{}", "berth: 1\n", "{\"format_version\": 2}",
                                        "{\"format_version\": 1, \"spec_path\": \"x\"}"};
    sim_dir_make(dir);
    snprintf(path, sizeof path, "%s/x.plan", dir);
    assert_int_equal(planfile_read(path, &file, &err), -ERRC_NOTFOUND);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(texts[i], f);
        fclose(f);
        assert_int_equal(planfile_read(path, &file, &err), -ERRC_INVALID);
    }
    sim_dir_remove(dir);
}

/* What was asked of the plan is asked again when it is applied. */
static void test_options(void **unused) {
    (void)unused;
    _cleanup_arena_ struct arena arena = {0};
    char dir[64], path[96];
    const char *names[] = {"group0", "group[1..2]"}, *anew[] = {"group1"};
    struct strlist targets = {.items = names, .len = 2}, replaces = {.items = anew, .len = 1}, t, r;
    struct plan_options options = {.data = true, .targets = &targets, .replaces = &replaces}, back;
    struct plan plan = {.destroy = true};
    struct planfile file;
    struct err err = {0};
    sim_dir_make(dir);
    snprintf(path, sizeof path, "%s/x.plan", dir);
    assert_int_equal(planfile_write(path, &plan, &options, "berth.yaml", &err), 0);
    assert_int_equal(planfile_read(path, &file, &err), 0);
    assert_int_equal(planfile_options(&file, &arena, &back, &t, &r, &err), 0);
    planfile_free(&file);
    assert_true(back.destroy && back.data);
    assert_true(strlist_equal(back.targets, &targets) && strlist_equal(back.replaces, &replaces));
    options = (struct plan_options){0};
    plan.destroy = false;
    assert_int_equal(planfile_write(path, &plan, &options, "berth.yaml", &err), 0);
    assert_int_equal(planfile_read(path, &file, &err), 0);
    assert_int_equal(planfile_options(&file, &arena, &back, &t, &r, &err), 0);
    planfile_free(&file);
    assert_false(back.destroy || back.data || t.len > 0 || r.len > 0);
    sim_dir_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_check), cmocka_unit_test(test_no_plan),
                                       cmocka_unit_test(test_options)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
