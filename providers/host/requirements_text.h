/* The lines of a file of requirements, and where in it something stands. Pure. */
#pragma once

#include "specs/arena.h"
#include "specs/diag.h"

struct requirement_text {
    struct diag_source source;
    char *copy;      /* of source.text, with blanks for what joins lines */
    size_t at;       /* what was read of it */
    struct str line; /* in `copy`: without its comment and white space around it */
    bool is_utf_8;
    size_t marked; /* the place of the last mark */
    struct mark mark;
};

/* `text` outlives the marks that are shown. 0 or -ERRC_NOMEM. */
int requirement_text_begin(struct requirement_text *t, const char *file, struct str text,
                           struct arena *arena);
/* The next line that says something; false at the end. */
bool requirement_text_next(struct requirement_text *t);
/* Where a part of the line is in the file; quick when asked in the order of the file. */
struct mark requirement_text_mark(struct requirement_text *t, struct str part);

/* "pandas>=2 --hash=x" → "pandas>=2", and the options behind it. */
struct str requirement_text_split(struct str line, struct str *ret_options);

struct requirement_option {
    struct str name;  /* "--hash", "-r" */
    struct str value; /* or empty; without the quotes that stood around it */
    bool broken;      /* the value has quotes or backslashes in it, or its quotes do not end */
};
/* Cuts the first option off; false when there is none. */
bool requirement_text_option(struct str *rest, struct requirement_option *ret);
