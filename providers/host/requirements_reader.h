/* What the parts of the reader of files of requirements share. */
#pragma once

#include "providers/host/requirements.h"
#include "providers/host/requirements_text.h"

/* What a file is read for. */
enum requirement_role { WANTED, LIMITS };

struct requirement_reader {
    const struct inputs *inputs;
    struct inputs *ask; /* further files are asked for, and nothing else is read; or NULL */
    const char *field;
    const char *index_url;
    struct arena *arena;
    struct diags *diags;
    size_t errors; /* that were there before */
    struct requirements *ret;
    struct strlist done[2]; /* by role */
    struct strlist open;    /* the file that is read, and those that led to it */
    struct buf hashes;      /* of the files */
    bool require_hashes;
    const struct diag_source *index_file; /* of the first index besides the main one */
    struct mark index_mark;
};

/* A mistake at a part of the line; what may be a login is not shown. */
__attribute__((format(printf, 5, 6))) void requirement_tell(struct requirement_reader *r,
                                                            struct requirement_text *t,
                                                            struct str part, const char *help,
                                                            const char *fmt, ...);
/* Has a URL in it a user or password? */
bool requirement_has_login(struct str text);
/* The line as a requirement. 0, -ERRC_LIMIT when there are too many, which is told, or -ERRC_NOMEM.
 */
int requirement_read(struct requirement_reader *r, struct requirement_text *t,
                     enum requirement_role role);
