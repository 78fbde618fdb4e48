/* Diagnostics for what a user wrote: file:line:col, the source line, a caret, what was expected and
 * the nearest valid name. They are collected, all of them up to a cap, and rendered by the caller.
 */
#pragma once

#include "specs/arena.h"
#include "specs/buf.h"
#include "specs/str.h"

#include <stdbool.h>
#include <stddef.h>

/* A place in a source text. Line and column count from 1; columns count code points. len is how
 * many columns to underline (at least 1). line 0 means "no place". */
struct mark {
    size_t line;
    size_t col;
    size_t len;
};

enum diag_level { DIAG_ERROR, DIAG_WARNING };

/* A text besides the spec that the user wrote. Kept by pointer: it outlives the rendering. */
struct diag_source {
    const char *file; /* shown name */
    struct str text;  /* not owned */
};

struct diag {
    enum diag_level level;
    const struct diag_source *source; /* that the mark is in; NULL: the spec */
    struct mark mark;
    const char *msg;  /* what is wrong */
    const char *help; /* expected, nearest name, what to do; or NULL */
    bool hidden;      /* what stands at the mark may be a secret: its line is shown up to there */
};

enum { DIAG_MAX = 50 };

struct diags {
    struct arena *arena; /* where the texts live; not owned */
    const char *file;    /* shown name, e.g. "berth.yaml" */
    struct str source;   /* the whole text; not owned */
    struct diag items[DIAG_MAX];
    size_t len;
    size_t dropped; /* how many more there were */
    size_t errors;
};

/* Add one. `help` may be NULL. Never fails: past the cap, or without memory, it counts. */
__attribute__((format(printf, 4, 5))) void diag_add(struct diags *d, struct mark mark,
                                                    const char *help, const char *fmt, ...);
__attribute__((format(printf, 4, 5))) void diag_warn(struct diags *d, struct mark mark,
                                                     const char *help, const char *fmt, ...);

/* An error whose source text from the mark on is shown nowhere, as it may be a secret. */
__attribute__((format(printf, 4, 5))) void diag_add_hidden(struct diags *d, struct mark mark,
                                                           const char *help, const char *fmt, ...);

/* An error in another text than the spec, listed once; hidden as by diag_add_hidden. */
__attribute__((format(printf, 6, 7))) void diag_add_in(struct diags *d,
                                                       const struct diag_source *source,
                                                       struct mark mark, bool hidden,
                                                       const char *help, const char *fmt, ...);

/* Help for a word that is none of `names` (ends with NULL): "did you mean `image`?", else "expected
 * one of image, type, …". Cut to `size`. */
enum { DIAG_HELP_SIZE = 512 };
void diag_suggest(struct str word, const char *const *names, char *ret, size_t size);

/* Render in order of place, those in the spec first, each as
 *     berth.yaml:7:9: error: unknown key `imgae` in `server`
 *         imgae: debian-12
 *         ^~~~~
 *         did you mean `image`?
 * `color` adds ANSI colours. Long source lines are cut around the caret to `width` columns, and
 * the help is wrapped to them. */
void diags_render(const struct diags *d, bool color, size_t width, struct buf *out);
