/* One lock a state: `.berth/NAME/lock`, flock'ed, holding who has it (pid, host, verb, since). A
 * dead holder's lock is free by itself (the kernel drops it); its text tells who it was. */
#pragma once

#include "specs/err.h"

struct lock;

enum { LOCK_NOTE_SIZE = 256 };

/* -ERRC_LOCKED with the holder in the message. `ret_note` says whose stale lock was taken over; ""
 * when none was. */
int lock_take(const char *project_dir, const char *verb, struct lock **ret,
              char ret_note[LOCK_NOTE_SIZE], struct err *err);
void lock_release(struct lock *lock);
