/* Files of requirements, with all that they name, as pip reads them
 * (https://pip.pypa.io/en/stable/reference/requirements-file-format/): lines with markers, hashes
 * and comments, joined by backslashes; further files by -r and -c. What would become an option of
 * an installer is refused. Pure. */
#pragma once

#include "providers/host/pep508.h"
#include "providers/provider.h"

/* What a line of a file says. */
struct requirement_line {
    const struct diag_source *file;
    struct mark mark;
    struct requirement q;  /* url is NULL */
    struct strlist hashes; /* "sha256:0a…" */
};

struct requirement_lines {
    struct requirement_line *items;
    size_t len, cap;
};

struct requirements {
    struct requirement_lines wanted;
    struct requirement_lines limits; /* of files of constraints: no extras, no hashes */
    bool hashed;                     /* what is wanted has hashes, all of it; and exact versions */
    struct strlist indexes;          /* besides the main one; only where `hashed` */
    const char *sha256;              /* of all the files */
};

/* Ask for the file at `path` and, when that is loaded, for those that it names. 0, -ERRC_LIMIT or
 * -ERRC_NOMEM. `field`: where the spec names it. */
int requirements_ask(struct inputs *inputs, const char *path, const char *field);
/* All of them. `index_url` of the spec, or NULL. Texts live in `arena` and in `inputs`; mistakes go
 * to `diags`, where they are in those files. 0 or -ERRC_NOMEM. */
int requirements_read(const struct inputs *inputs, const char *path, const char *index_url,
                      struct arena *arena, struct diags *diags, struct requirements *ret);
