/* Golden plans: every tests/scenario/plan/NN-NAME.case is named after a row of docs/decisions.md.
 *     @SPEC   a spec, compiled by the real kinds; or
 *     @NODES  JSON: nodes of the simulated kinds of tests/scenario/sim.h
 *     @STATE  JSON: recorded nodes as they stand in a state file (optional)
 *     @LIVE   JSON: what the world says; what is not named is not there (optional)
 *     @ARGS   "destroy", "-data", "stop", "start", "-target ADDRESS", "-replace ADDRESS"; or
 * nothing
 *     @EXPECT what was decided, a line each, and the plan as people see it
 * BERTH_UPDATE=1 rewrites @EXPECT; read the diff by eye. */
#include "cmd/show_plan.h"
#include "engine/graph.h"
#include "engine/inputs.h"
#include "specs/fs.h"
#include "specs/record.h"
#include "tests/scenario/sim_run.h"
#include "tests/unit/cm.h"

#include <dirent.h>

static const char *env(void *ctx, const char *name) {
    (void)ctx;
    return strcmp(name, "JUPYTER_PASSWORD") == 0 ? "opensesame" : NULL;
}

static int my_ip(void *ctx, char *ret, size_t size, struct err *err) {
    (void)ctx;
    (void)err;
    snprintf(ret, size, "203.0.113.7/32");
    return 0;
}

static int not_random(void *buffer, size_t len) {
    memset(buffer, 0x5a, len);
    return 0;
}

/* The text of "@NAME\n…" up to the next section; empty when there is none. */
static struct str section(struct str file, const char *name) {
    char head[16];
    snprintf(head, sizeof head, "\n@%s\n", name);
    const char *from = strstr(file.ptr, head);
    if (from == NULL)
        return (struct str){"", 0};
    from += strlen(head);
    const char *end = strstr(from - 1, "\n@");
    return (struct str){from, end == NULL ? strlen(from) : (size_t)(end + 1 - from)};
}

struct scene {
    struct arena arena;
    const struct kind *const *kinds;
    struct diags diags;
    struct inputs inputs;
    struct desired desired;
    struct state state;
    struct observed world;
    struct live_world live;
    struct err err;
};

static void compile_spec(struct scene *s, struct str text) {
    static const char examples[] = TESTS_DIR "/../examples";
    s->kinds = registry_kinds;
    s->inputs.arena = &s->arena;
    s->diags = (struct diags){.arena = &s->arena, .file = "berth.yaml", .source = text};
    struct spec *spec = spec_compile(&s->arena, &s->diags);
    assert_non_null(spec);
    const struct inputs_source source = {
        .spec_dir = examples, .project_dir = "/nonexistent", .env = env, .my_ip = my_ip};
    assert_int_equal(inputs_gather(&s->inputs, s->kinds, spec, &source, &s->err), 0);
    assert_int_equal(compile_nodes(s->kinds, spec, &s->inputs, "lineage", &s->arena, &s->diags,
                                   &s->desired, &s->err),
                     0);
}

static const char *text_of(const cJSON *json, const char *name) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
}

static void want_node(struct scene *s, const cJSON *item) {
    const cJSON *record = cJSON_GetObjectItemCaseSensitive(item, "record");
    char *json = record == NULL ? NULL : cJSON_PrintUnformatted(record);
    struct node *node = sim_want(&s->desired.nodes, registry_find(sim_kinds, text_of(item, "kind")),
                                 text_of(item, "address"), text_of(item, "parent"), NULL, json);
    cJSON_free(json);
    node->protect = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "protect"));
    if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(item, "unknown")))
        node->unknown = 0;
    const cJSON *dep;
    cJSON_ArrayForEach(dep, cJSON_GetObjectItemCaseSensitive(item, "deps"))
        assert_int_equal(strlist_add(&s->arena, &node->deps, dep->valuestring), 0);
}

static void want_nodes(struct scene *s, struct str text) {
    s->kinds = sim_kinds;
    s->desired = (struct desired){.arena = &s->arena, .nodes = {.arena = &s->arena}};
    cJSON *json = cJSON_ParseWithLength(text.ptr, text.len);
    assert_true(text.len == 0 || json != NULL);
    const cJSON *item;
    cJSON_ArrayForEach(item, json) want_node(s, item);
    cJSON_Delete(json);
    assert_int_equal(graph_sort_nodes(&s->desired.nodes, &s->err), 0);
}

static void read_state(struct scene *s, struct str nodes) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    buf_addf(&text, "{\"version\":1,\"serial\":3,\"lineage\":\"lineage\",\"nodes\":%.*s}",
             nodes.len == 0 ? 2 : (int)nodes.len, nodes.len == 0 ? "[]" : nodes.ptr);
    int rc = state_parse(&s->arena, s->kinds, buf_str(&text), &s->state, &s->err);
    if (rc < 0)
        fprintf(stderr, "%s\n", s->err.msg);
    assert_int_equal(rc, 0);
    /* The state took the arena over; one of the two frees it. */
    s->arena = s->state.arena;
    s->state.arena = (struct arena){0};
}

static void read_live(struct scene *s, const cJSON *item) {
    static const char *const names[] = {"none", "ours", "foreign", "unreadable"};
    const struct kind *kind = registry_find(s->kinds, text_of(item, "kind"));
    const char *presence = text_of(item, "presence"), *error = text_of(item, "error");
    const cJSON *record = cJSON_GetObjectItemCaseSensitive(item, "record"), *field;
    assert_non_null(kind);
    size_t p = LIVE_OURS;
    for (size_t i = 0; presence != NULL && i < 4; i++)
        if (strcmp(names[i], presence) == 0)
            p = i;
    struct live *live = observed_add(&s->world, kind, text_of(item, "address"), (enum presence)p);
    live->id = arena_dup(&s->world.arena, text_of(item, "id"));
    live->token = arena_dup(&s->world.arena, text_of(item, "token"));
    live->note = arena_dup(&s->world.arena, text_of(item, "note"));
    live->same_as = arena_dup(&s->world.arena, text_of(item, "same_as"));
    if (error != NULL)
        err_set(&live->err, ERRC_HOST, "%s", error);
    if (p == LIVE_OURS) {
        live->record = arena_alloc(&s->world.arena, kind->size);
        assert_int_equal(
            record_from_json(&s->world.arena, kind->fields, record, live->record, &s->err), 0);
    }
    cJSON_ArrayForEach(field, cJSON_GetObjectItemCaseSensitive(item, "unread")) {
        size_t i = 0;
        assert_non_null(fields_find(kind->fields, field->valuestring, &i));
        live->unread |= (uint64_t)1 << i;
    }
}

static void read_lives(struct scene *s, struct str text) {
    cJSON *json = cJSON_ParseWithLength(text.ptr, text.len);
    assert_true(text.len == 0 || json != NULL);
    const cJSON *item;
    cJSON_ArrayForEach(item, json) read_live(s, item);
    cJSON_Delete(json);
    s->live = (struct live_world){.worlds = &s->world, .len = 1};
}

static void list_fields(const struct change *c, struct buf *out) {
    for (size_t i = 0; i < c->fields_len; i++) {
        const struct field_change *f = &c->fields[i];
        buf_addf(out, " %s(%s%s%s)", f->field->name, why_name(f->why),
                 f->replaces ? ", replaces" : "", f->after_unknown ? ", unknown" : "");
    }
}

/* Case numbers and reasons do not show in the text for people. */
static void list_decisions(const struct plan *plan, struct buf *out) {
    for (size_t i = 0; i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        buf_addf(out, "%2d %s %s: %s", c->case_number, action_name(c->action), c->address,
                 why_name(c->why));
        list_fields(c, out);
        if (c->action == ACTION_RESUME)
            buf_addf(out, " token=%s", c->token);
        if (c->with_parent)
            buf_adds(out, " with parent");
        if (plan_noop_moves_state(c))
            buf_adds(out, " (news for the state)");
        buf_addc(out, '\n');
    }
    for (size_t i = 0; i < plan->warnings_len; i++)
        buf_addf(out, "warning %s\n", plan->warnings[i].text);
    for (size_t i = 0; i < plan->blockers_len; i++)
        buf_addf(out, "blocked %s\n", plan->blockers[i].address);
    buf_addc(out, '\n');
}

static void read_args(struct scene *s, struct str args, struct plan_options *options,
                      struct strlist *targets, struct strlist *replaces) {
    struct str word, line = {args.ptr, strcspn(args.ptr, "\n")};
    struct strlist *list = NULL;
    while (str_split(&line, ' ', &word)) {
        if (list != NULL)
            assert_int_equal(strlist_add(&s->arena, list, arena_dup_str(&s->arena, word)), 0);
        list = str_eqc(word, "-target") ? targets : str_eqc(word, "-replace") ? replaces : NULL;
        options->destroy |= str_eqc(word, "destroy");
        options->data |= str_eqc(word, "-data");
        if (str_eqc(word, "stop"))
            options->power = "stopped";
        else if (str_eqc(word, "start"))
            options->power = "running";
    }
}

static void run_scene(struct str file, struct buf *out) {
    struct scene s = {0};
    struct plan plan;
    struct str spec = section(file, "SPEC");
    if (spec.len > 0)
        compile_spec(&s, spec);
    else
        want_nodes(&s, section(file, "NODES"));
    read_state(&s, section(file, "STATE"));
    read_lives(&s, section(file, "LIVE"));
    struct strlist targets = {0}, replaces = {0};
    struct plan_options options = {.targets = &targets, .replaces = &replaces};
    read_args(&s, section(file, "ARGS"), &options, &targets, &replaces);
    if (options.destroy)
        s.desired.nodes.len = 0;
    int rc = plan_make(&s.desired, &s.state, &s.live, &options, not_random, &plan, &s.err);
    if (rc < 0)
        fprintf(stderr, "%s\n", s.err.msg);
    assert_int_equal(rc, 0);
    list_decisions(&plan, out);
    show_plan(&plan, "berth.yaml", &(struct look){.width = 80, .utf8 = true}, out);
    assert_false(out->failed);
    plan_free(&plan);
    inputs_free(&s.inputs);
    arena_free(&s.world.arena);
    arena_free(&s.arena);
}

static bool run_case(const char *path, bool update, bool *seen) {
    _cleanup_buf_ struct buf file = BUF_INIT(BUF_MEDIUM);
    _cleanup_buf_ struct buf got = BUF_INIT(BUF_MEDIUM);
    struct err err = {0};
    buf_addc(&file, '\n'); /* so that each section starts a line */
    assert_int_equal(fs_read(path, &file, &err), 0);
    const char *expect = strstr(buf_cstr(&file), "\n@EXPECT\n");
    assert_non_null(expect);
    expect += strlen("\n@EXPECT\n");
    run_scene(buf_str(&file), &got);
    int64_t number = 0;
    char wanted[8];
    const char *name = strrchr(path, '/') + 1;
    assert_true(str_to_i64((struct str){name, 2}, 1, 19, &number));
    snprintf(wanted, sizeof wanted, "%2d ", (int)number);
    if (strncmp(buf_cstr(&got), wanted, 3) != 0 && strstr(buf_cstr(&got), "\n") != NULL) {
        char line[8];
        snprintf(line, sizeof line, "\n%2d ", (int)number);
        if (strstr(buf_cstr(&got), line) == NULL) {
            fprintf(stderr, "%s does not show its case\n%s", path, buf_cstr(&got));
            return false;
        }
    }
    seen[number] = true;
    if (strcmp(expect, buf_cstr(&got)) == 0)
        return true;
    if (!update) {
        fprintf(stderr, "%s\n--- expected\n%s--- got\n%s", path, expect, buf_cstr(&got));
        return false;
    }
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_MEDIUM);
    buf_add(&out, buf_cstr(&file) + 1, (size_t)(expect - buf_cstr(&file) - 1));
    buf_addstr(&out, buf_str(&got));
    assert_int_equal(fs_write(path, buf_str(&out), 0644, &err), 0);
    return true;
}

static void test_cases(void **state) {
    (void)state;
    static const char folder[] = TESTS_DIR "/scenario/plan";
    const char *update = getenv("BERTH_UPDATE");
    bool seen[20] = {true};
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    size_t bad = 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (!str_ends(str_of(entry->d_name), STR(".case")))
            continue;
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        bad += !run_case(path, update != NULL && strcmp(update, "1") == 0, seen);
    }
    closedir(dir);
    assert_int_equal(bad, 0);
    for (size_t i = 1; i < sizeof seen; i++)
        if (!seen[i])
            fail_msg("row %zu of the table has no scenario", i);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
