/* What every verb gets: the registry, the terminal, the parsed options. Made once by main.c. */
#pragma once

#include "providers/provider.h"
#include "specs/buf.h"
#include "specs/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Exit codes: docs/exit-codes.md. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,       /* an error; nothing was changed */
    EXIT_CHANGES = 2,      /* plan -detailed-exitcode: there is something to do */
    EXIT_PARTIAL = 3,      /* stopped part-way; what was done is recorded */
    EXIT_USAGE = 64,       /* the command line is wrong (sysexits.h EX_USAGE) */
    EXIT_INTERRUPTED = 130 /* Ctrl-C, as shells report it */
};

/* How text may look on a stream. */
struct look {
    size_t width; /* columns */
    bool tty;     /* lines may be redrawn */
    bool color;   /* ANSI colours */
    bool utf8;    /* else ASCII stand-ins */
    bool each;    /* like things one by one, not as one entry (-v) */
};

enum { POSITIONAL_MAX = 64, ARG_LIST_MAX = 64, WIDTH_PLAIN = 100 };

/* The values of an option that may be given more than once. */
struct arg_list {
    const char *items[ARG_LIST_MAX];
    size_t len;
};

/* All options of all verbs; a verb sees those that its table row lists, the rest stay zero. */
struct args {
    const char *file;
    const char *out;
    const char *name;
    const char *provider;
    const char *profile;
    const char *region;
    const char *dir;
    const char *cache_dir;
    struct arg_list targets, replaces;
    const char *format;
    const char *lines;
    const char *local;
    const char *passphrase_file;
    bool json;
    bool policy;
    bool detailed_exitcode;
    bool auto_approve;
    bool no_color;
    bool verbose;
    bool destroy;
    bool data;
    bool all;
    bool install;
    bool follow;
    bool force;
    bool help;
    const char *positional[POSITIONAL_MAX];
    size_t positional_len;
    char **rest; /* what stands after "--", ends with NULL; or NULL */
};

struct verb;

struct cmd {
    const struct kind *const *kinds; /* the registry */
    const struct verb *const *verbs;
    const struct verb *verb; /* the one that runs */
    struct args args;
    FILE *out, *err;
    struct look out_look, err_look;
};

/* Print a finished buffer. EXIT_OK, or EXIT_FAILED with a word on stderr when it is incomplete or
 * the stream does not take it (a full disk, a closed pipe). */
int cmd_print(const struct cmd *cmd, const struct buf *text);
/* The same for JSON, indented; deletes it. NULL means that memory ran out. */
struct cJSON;
int cmd_print_json(const struct cmd *cmd, struct cJSON *json);
/* Show the error on stderr, and the exit code that belongs to it. */
int cmd_fail(const struct cmd *cmd, const struct err *err);
/* A mistake on the command line: the message, and where help is. EXIT_USAGE. */
__attribute__((format(printf, 2, 3))) int cmd_usage(const struct cmd *cmd, const char *fmt, ...);
/* A calm remark on stderr. */
__attribute__((format(printf, 2, 3))) void cmd_note(const struct cmd *cmd, const char *fmt, ...);
