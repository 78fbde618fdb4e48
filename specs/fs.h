/* Files: reading whole ones with a cap, and replacing them so that a crash at any instant leaves
 * either the old content or the new. */
#pragma once

#include "specs/buf.h"
#include "specs/err.h"

#include <stdbool.h>

/* Append the file's bytes to `out`. -ERRC_NOTFOUND when it is absent, -ERRC_LIMIT past out->max. */
int fs_read(const char *path, struct buf *out, struct err *err);
/* Temp file beside it, fsync, rename, fsync of the folder. `mode` is exact, whatever the umask.
 * -ERRC_IO also where something stands that is no regular file (/dev/null). */
int fs_write(const char *path, struct str content, unsigned mode, struct err *err);
/* Remove; absence is success. */
int fs_remove(const char *path, struct err *err);
bool fs_exists(const char *path);
/* Make a folder and its parents, the last with `mode`; existing is success. */
int fs_mkdirs(const char *path, unsigned mode, struct err *err);
