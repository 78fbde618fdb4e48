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

/* All of them, in the order of `berth help`; each is `verb_NAME` in a file of its own. */
#define VERBS(X)                                                                                   \
    X(init)                                                                                        \
    X(validate)                                                                                    \
    X(plan)                                                                                        \
    X(apply)                                                                                       \
    X(status)                                                                                      \
    X(cost)                                                                                        \
    X(doctor)                                                                                      \
    X(start)                                                                                       \
    X(stop)                                                                                        \
    X(keep)                                                                                        \
    X(open)                                                                                        \
    X(ssh)                                                                                         \
    X(ssh_config)                                                                                  \
    X(key)                                                                                         \
    X(logs)                                                                                        \
    X(tunnel)                                                                                      \
    X(cp)                                                                                          \
    X(jupyter)                                                                                     \
    X(output)                                                                                      \
    X(show)                                                                                        \
    X(destroy)                                                                                     \
    X(refresh)                                                                                     \
    X(import)                                                                                      \
    X(state)                                                                                       \
    X(unlock)                                                                                      \
    X(schema)                                                                                      \
    X(sandbox)                                                                                     \
    X(version)                                                                                     \
    X(help)

#define X(name) extern const struct verb verb_##name;
VERBS(X)
#undef X

/* Ends with NULL. */
extern const struct verb *const verbs_table[];
const struct verb *verbs_find(const struct verb *const *verbs, const char *name);
/* The nearest name to a mistyped one, or NULL. */
const char *verbs_nearest(const struct verb *const *verbs, const char *name);

/* `berth VERB --help`, out of the tables. Pure. */
void help_verb(const struct verb *verb, struct buf *out);
/* docs/commands.md. */
void help_markdown(const struct verb *const *verbs, struct buf *out);
