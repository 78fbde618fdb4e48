#include "cmd/options.h"

#include <stddef.h>
#include <string.h>

#define MANY(id, spelling, placeholder, member, text)                                              \
    const struct option_row id = {.name = spelling,                                                \
                                  .value = placeholder,                                            \
                                  .doc = text,                                                     \
                                  .offset = offsetof(struct args, member),                         \
                                  .many = true}
#define ROW(id, spelling, placeholder, member, other, text)                                        \
    const struct option_row id = {.name = spelling,                                                \
                                  .value = placeholder,                                            \
                                  .doc = text,                                                     \
                                  .offset = offsetof(struct args, member),                         \
                                  .alias = other}

ROW(option_file, "file", "SPEC", file, "f", "the spec (default: berth.yaml)");
ROW(option_out, "out", "FILE", out, NULL, "write the plan to FILE, for berth apply FILE");
ROW(option_out_config, "out", "FILE", out, NULL, "write FILE instead of printing");
ROW(option_follow, "follow", NULL, follow, "f", "go on with what comes, until Ctrl-C");
ROW(option_lines, "n", "LINES", lines, "lines", "how many of the last lines (default: 100)");
ROW(option_local, "local", "PORT", local, NULL, "the port on this machine, for one port");
ROW(option_file_only, "file", "SPEC", file, NULL, "the spec (default: berth.yaml)");
ROW(option_out_key, "out", "FILE", out, NULL, "the file to write (default: NAME.FORMAT here)");
ROW(option_format, "format", "FORMAT", format, NULL, "pem, ppk, ppk2 or openssh");
ROW(option_force_write, "force", NULL, force, NULL, "replace a file that is there already");
ROW(option_passphrase_file, "passphrase-file", "FILE", passphrase_file, NULL,
    "encrypt it with FILE's first line");
ROW(option_install, "install", NULL, install, NULL, "make it part of ~/.ssh/config");
ROW(option_name, "name", "NAME", name, NULL, "the name in the spec (default: this folder's)");
ROW(option_by_name, "name", "NAME", name, NULL, "without a spec: what .berth/NAME here records");
ROW(option_provider, "provider", "NAME", provider, NULL, "ec2, sandbox or host (default: sandbox)");
ROW(option_policy, "policy", NULL, policy, NULL,
    "print the least IAM policy for the spec, and no more");
ROW(option_profile, "profile", "NAME", profile, NULL, "a profile of the AWS files, not the spec's");
ROW(option_region, "region", "NAME", region, NULL, "a region, not the spec's");
ROW(option_json, "json", NULL, json, NULL, "print JSON");
ROW(option_detailed_exitcode, "detailed-exitcode", NULL, detailed_exitcode, NULL,
    "exit 0: no changes, 1: error, 2: changes");
ROW(option_auto_approve, "auto-approve", NULL, auto_approve, NULL, "do not ask");
ROW(option_data, "data", NULL, data, NULL, "destroy also what is to be kept (data volumes)");
MANY(option_target, "target", "ADDRESS", targets,
     "only this node, and what it needs; may be given again");
MANY(option_replace, "replace", "ADDRESS", replaces,
     "destroy this node and create it anew; may be given again");
ROW(option_force, "force", NULL, force, NULL, "do it all the same");
ROW(option_no_color, "no-color", NULL, no_color, NULL, "no colours (as with NO_COLOR set)");
ROW(option_verbose, "v", NULL, verbose, "verbose", "say what is being done, on stderr");
ROW(option_destroy, "destroy", NULL, destroy, NULL, "plan to destroy everything");
ROW(option_all, "all", NULL, all, NULL, "reset: the cached root file systems too");
ROW(option_dir, "dir", "FOLDER", dir, NULL, "the world's folder (or BERTH_SANDBOX_DIR)");
ROW(option_cache_dir, "cache-dir", "FOLDER", cache_dir, NULL, "the cache (or BERTH_CACHE_DIR)");
ROW(option_help, "help", NULL, help, "h", "this text");

const struct option_row *const options_common[] = {&option_no_color, &option_verbose, &option_help,
                                                   NULL};

static bool row_is(const struct option_row *row, struct str name) {
    return str_eqc(name, row->name) || (row->alias != NULL && str_eqc(name, row->alias));
}

static const struct option_row *find_row(const struct option_row *const *rows, struct str name) {
    for (; *rows != NULL; rows++)
        if (row_is(*rows, name))
            return *rows;
    return NULL;
}

static int unknown(const struct option_row *const *options, struct str name, struct err *err) {
    enum { NAMES_MAX = 32 };
    const char *names[NAMES_MAX + 1] = {0};
    size_t n = 0;
    for (; *options != NULL && n < NAMES_MAX; options++)
        names[n++] = (*options)->name;
    for (size_t i = 0; options_common[i] != NULL && n < NAMES_MAX; i++)
        names[n++] = options_common[i]->name;
    const char *nearest = str_nearest(name, names);
    err_set(err, ERRC_INVALID, "unknown option -%.*s", STR_FMT(name));
    if (nearest != NULL)
        err_hint(err, "did you mean -%s?", nearest);
    return -ERRC_INVALID;
}

static int set(const struct option_row *row, struct str value, bool has_value, int argc,
               char **argv, int *at, struct args *args, struct err *err) {
    void *member = (char *)args + row->offset;
    if (row->value == NULL) {
        if (has_value)
            return err_set(err, ERRC_INVALID, "option -%s takes no value", row->name);
        *(bool *)member = true;
        return 0;
    }
    if (!has_value) {
        if (*at + 1 >= argc)
            return err_set(err, ERRC_INVALID, "option -%s needs %s", row->name, row->value);
        value = str_of(argv[++*at]);
    }
    if (value.len == 0)
        return err_set(err, ERRC_INVALID, "option -%s needs %s, not an empty text", row->name,
                       row->value);
    /* argv's strings end with NUL, and so do their tails. */
    if (!row->many) {
        *(const char **)member = value.ptr;
        return 0;
    }
    struct arg_list *list = member;
    if (list->len == ARG_LIST_MAX)
        return err_set(err, ERRC_LIMIT, "option -%s is given more than %d times", row->name,
                       ARG_LIST_MAX);
    list->items[list->len++] = value.ptr;
    return 0;
}

int options_parse(const struct option_row *const *options, int argc, char **argv, struct args *ret,
                  struct err *err) {
    struct args args = {0};
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--") == 0) {
            args.rest = argv + i + 1;
            break;
        }
        if (arg[0] != '-' || arg[1] == '\0') {
            if (args.positional_len == POSITIONAL_MAX)
                return err_set(err, ERRC_LIMIT, "too many arguments");
            args.positional[args.positional_len++] = arg;
            continue;
        }
        struct str rest = str_of(arg + (arg[1] == '-' ? 2 : 1));
        const char *equals = memchr(rest.ptr, '=', rest.len);
        struct str name = rest, value = {0};
        if (equals != NULL) {
            name.len = (size_t)(equals - rest.ptr);
            value = str_of(equals + 1);
        }
        const struct option_row *row = find_row(options, name);
        if (row == NULL)
            row = find_row(options_common, name);
        int rc = row == NULL ? unknown(options, name, err)
                             : set(row, value, equals != NULL, argc, argv, &i, &args, err);
        if (rc < 0)
            return rc;
    }
    *ret = args;
    return 0;
}
