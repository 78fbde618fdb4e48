/* One lock a state: `.berth/NAME/lock`, flock'ed, holding who has it (pid, host, verb, since). A
 * dead holder's lock is free by itself (the kernel drops it); its text tells who it was. */
#pragma once

#include "specs/err.h"

#include <stdbool.h>

struct lock;

enum { LOCK_NOTE_SIZE = 256 };

/* -ERRC_LOCKED with the holder in the message. `ret_note` says whose stale lock was taken over; ""
 * when none was. */
int lock_take(const char *project_dir, const char *verb, struct lock **ret,
              char ret_note[LOCK_NOTE_SIZE], struct err *err);
void lock_release(struct lock *lock);

struct lock_info {
    bool held;        /* by somebody who runs */
    char holder[200]; /* verb, process, host, since; "" when nobody is named */
};
/* Who holds the lock, and take it away: what a dead holder left always, a held one only with
 * `force`. -ERRC_LOCKED with the holder, where it is held; -ERRC_IO. No lock file is no error. */
int lock_break(const char *project_dir, bool force, struct lock_info *ret, struct err *err);
