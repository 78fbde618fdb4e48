/* The command line by its tables. */
#include "cmd/options.h"
#include "cmd/verbs.h"
#include "tests/unit/cm.h"

static const struct option_row *const options[] = {&option_file, &option_json,
                                                   &option_detailed_exitcode, &option_target, NULL};

static int parse(struct args *args, struct err *err, int argc, const char *const *words) {
    return options_parse(options, argc, (char **)words, args, err);
}
#define PARSE(...)                                                                                 \
    parse(&args, &err, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),              \
          (const char *[]){__VA_ARGS__})

static void test_spellings(void **state) {
    (void)state;
    struct args args;
    struct err err = {0};
    static const char *const spellings[] = {"-file", "--file", "-f", "--f"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(PARSE(spellings[i], "x.yaml", "-json"), 0);
        assert_string_equal(args.file, "x.yaml");
        assert_true(args.json);
        assert_false(args.detailed_exitcode);
    }
    assert_int_equal(PARSE("--file=a=b", "word", "-v", "--no-color"), 0);
    assert_string_equal(args.file, "a=b");
    assert_true(args.verbose && args.no_color);
    assert_int_equal(args.positional_len, 1);
    assert_string_equal(args.positional[0], "word");
}

static void test_many(void **state) {
    (void)state;
    struct args args;
    struct err err = {0};
    assert_int_equal(PARSE("-target", "access", "--target=server[0..2]"), 0);
    assert_int_equal(args.targets.len, 2);
    assert_string_equal(args.targets.items[0], "access");
    assert_string_equal(args.targets.items[1], "server[0..2]");
    const char *words[2 * ARG_LIST_MAX + 2];
    for (size_t i = 0; i < 2 * ARG_LIST_MAX + 2; i += 2) {
        words[i] = "-target";
        words[i + 1] = "access";
    }
    assert_int_equal(parse(&args, &err, 2 * ARG_LIST_MAX, words), 0);
    assert_int_equal(parse(&args, &err, 2 * ARG_LIST_MAX + 2, words), -ERRC_LIMIT);
    assert_int_equal(PARSE("-target"), -ERRC_INVALID);
}

static void test_rest(void **state) {
    (void)state;
    struct args args;
    struct err err = {0};
    const char *words[] = {"one", "--", "-json", "ls", NULL};
    assert_int_equal(parse(&args, &err, 4, words), 0);
    assert_false(args.json);
    assert_string_equal(args.rest[0], "-json");
    assert_string_equal(args.rest[1], "ls");
    assert_null(args.rest[2]);
    assert_int_equal(PARSE("-"), 0);
    assert_null(args.rest);
    assert_string_equal(args.positional[0], "-");
}

static void test_mistakes(void **state) {
    (void)state;
    struct args args = {.file = "untouched"};
    struct err err = {0};
    assert_int_equal(PARSE("-jsno"), -ERRC_INVALID);
    assert_string_equal(err.msg, "unknown option -jsno");
    assert_string_equal(err.hint, "did you mean -json?");
    assert_int_equal(PARSE("--detailed-exitcod"), -ERRC_INVALID);
    assert_string_equal(err.hint, "did you mean -detailed-exitcode?");
    assert_int_equal(PARSE("-whatever"), -ERRC_INVALID);
    assert_string_equal(err.hint, "");
    assert_int_equal(PARSE("-file"), -ERRC_INVALID);
    assert_string_equal(err.msg, "option -file needs SPEC");
    assert_int_equal(PARSE("-file="), -ERRC_INVALID);
    assert_int_equal(PARSE("-json=yes"), -ERRC_INVALID);
    assert_string_equal(err.msg, "option -json takes no value");
    assert_string_equal(args.file, "untouched");
}

static void test_too_many(void **state) {
    (void)state;
    const char *words[POSITIONAL_MAX + 1];
    struct args args;
    struct err err = {0};
    for (size_t i = 0; i <= POSITIONAL_MAX; i++)
        words[i] = "x";
    assert_int_equal(parse(&args, &err, POSITIONAL_MAX, words), 0);
    assert_int_equal(parse(&args, &err, POSITIONAL_MAX + 1, words), -ERRC_LIMIT);
}

/* Each row of the tables is complete, and no spelling stands for two options of a verb. */
static void test_tables(void **state) {
    (void)state;
    for (const struct verb *const *v = verbs_table; *v != NULL; v++) {
        assert_non_null((*v)->run);
        assert_non_null((*v)->summary);
        assert_non_null((*v)->args);
        assert_ptr_equal(verbs_find(verbs_table, (*v)->name), *v);
        for (size_t i = 0; (*v)->options[i] != NULL; i++) {
            assert_non_null((*v)->options[i]->doc);
            for (size_t j = 0; j < i; j++)
                assert_string_not_equal((*v)->options[i]->name, (*v)->options[j]->name);
        }
    }
    assert_null(verbs_find(verbs_table, "aply"));
    assert_string_equal(verbs_nearest(verbs_table, "aply"), "apply");
    assert_null(verbs_nearest(verbs_table, "frobnicate"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings), cmocka_unit_test(test_many),
        cmocka_unit_test(test_rest),      cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_too_many),  cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
