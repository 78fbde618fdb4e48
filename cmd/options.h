/* The command line, by tables: one row an option, a list of rows a verb. Pure. */
#pragma once

#include "cmd/cmd.h"

struct option_row {
    const char *name;  /* without dashes; one or two are taken */
    const char *value; /* placeholder of its value, or NULL for a switch */
    const char *doc;   /* one line */
    size_t offset;     /* in struct args: bool for a switch, else const char *, or a list of them */
    const char *alias; /* another spelling, or NULL */
    bool many;         /* may be given again: a struct arg_list */
};

extern const struct option_row option_file, option_out, option_name, option_by_name,
    option_provider, option_policy, option_profile, option_region, option_json,
    option_detailed_exitcode, option_auto_approve, option_no_color, option_verbose, option_destroy,
    option_data, option_target, option_replace, option_force, option_all, option_dir,
    option_cache_dir, option_help, option_out_config, option_install;

extern const struct option_row option_out_key, option_format, option_force_write,
    option_passphrase_file, option_follow, option_lines, option_file_only, option_local;

/* Fill `ret` from argv[0..argc), which starts after the verb. `options` ends with NULL; those that
 * every verb has (help, no-color, v) are added. -ERRC_INVALID with the nearest name in the hint. */
int options_parse(const struct option_row *const *options, int argc, char **argv, struct args *ret,
                  struct err *err);
/* The options that every verb has; ends with NULL. */
extern const struct option_row *const options_common[];
