/* What a server sends as an archive is looked through before tar(1) gets it: a server that somebody
 * else has taken over must not write anywhere but into the folder that was named, nor what is not a
 * plain file, folder or link. */
#pragma once

#include "cmd/copy.h"

enum { GUARD_BLOCK = 512, GUARD_NAME_MAX = 8192 };

struct copy_guard {
    const struct copy_entries *listed; /* that the server said it has; sorted by path */
    char block[GUARD_BLOCK];
    size_t have;           /* of a block */
    int64_t skip;          /* content and padding still to come */
    struct buf *long_name; /* that such content goes to; NULL: it is a file's */
    struct buf name, link; /* of the next entry, where they are longer than a header has room for */
    bool ended;
};

void copy_guard_init(struct copy_guard *guard, const struct copy_entries *listed);
void copy_guard_free(struct copy_guard *guard);
/* The next bytes of the archive, in GNU tar's format; -ERRC_HOST when they may not be passed on.
 * Each entry has to be one of those that were listed, of the type that was listed, in folders that
 * were listed as such: so none goes through a link. */
int copy_guard_look(struct copy_guard *guard, const char *bytes, size_t len, struct err *err);
/* What the server lists as folders are no links here any more, so that what it sends stays below
 * `root`; tar(1) would put folders in their place as well. -ERRC_HOST for a name listed twice. */
int copy_guard_folders(const char *root, const struct copy_entries *listed, struct err *err);
