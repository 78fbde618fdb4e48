/* What a tar archive of regular files consists of: ustar with GNU's long names, which GNU tar and
 * bsdtar read. https://www.gnu.org/software/tar/manual/html_node/Standard.html */
#pragma once

#include "specs/buf.h"

#include <stdint.h>

enum { TAR_BLOCK = 512, TAR_END_BYTES = 2 * TAR_BLOCK /* of zeros */ };
#define TAR_FILE_MAX ((INT64_C(1) << 33) - 1) /* 11 octal digits */

/* Append what stands before a file's content; `path` without a leading slash. Owner root, time
 * zero: whoever unpacks decides. Failure is sticky in `out`. */
void tar_add_header(struct buf *out, const char *path, unsigned mode, int64_t size_bytes);
/* Zeros that follow content of that size. */
size_t tar_padding(int64_t size_bytes);
/* Of a file in all: header, content, padding. */
int64_t tar_file_bytes(const char *path, int64_t size_bytes);
