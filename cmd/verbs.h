/* The verbs: one row each, one file each. */
#pragma once

#include "cmd/cmd.h"
#include "cmd/options.h"

enum { VERB_OPTIONS_MAX = 12 };

struct verb {
    const char *name;
    const char *args;    /* "[FILE]", for the usage line; "" when there are none */
    const char *summary; /* one line for `berth help` */
    const char *details; /* a paragraph for `berth VERB --help`, or NULL */
    const struct option_row *options[VERB_OPTIONS_MAX + 1];
    size_t positional_max;
    bool rest;                   /* takes what stands after "--" */
    int (*run)(struct cmd *cmd); /* the exit code */
};

extern const struct verb verb_init, verb_validate, verb_schema, verb_plan, verb_apply, verb_start,
    verb_stop, verb_destroy, verb_status, verb_cost, verb_show, verb_output, verb_ssh,
    verb_ssh_config, verb_open, verb_sandbox, verb_version, verb_help;

extern const struct verb verb_key, verb_logs;

/* Ends with NULL. */
extern const struct verb *const verbs_table[];
const struct verb *verbs_find(const struct verb *const *verbs, const char *name);
/* The nearest name to a mistyped one, or NULL. */
const char *verbs_nearest(const struct verb *const *verbs, const char *name);

/* `berth help` and `berth VERB --help`, out of the tables. Pure. */
void help_all(const struct verb *const *verbs, struct buf *out);
void help_verb(const struct verb *verb, struct buf *out);
/* docs/commands.md. */
void help_markdown(const struct verb *const *verbs, struct buf *out);
