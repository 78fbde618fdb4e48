/* A tar archive in memory: regular files, ustar with GNU's long names, which GNU tar and bsdtar
 * read. https://www.gnu.org/software/tar/manual/html_node/Standard.html */
#pragma once

#include "specs/buf.h"

/* Append a file; `path` without a leading slash. Owner root, time zero: whoever unpacks decides.
 * Failure is sticky in `out`. */
void tar_add(struct buf *out, const char *path, unsigned mode, struct str content);
/* The two empty blocks at the end. */
void tar_end(struct buf *out);
