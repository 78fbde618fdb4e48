/* User namespaces in which the guests' uids are mapped: root there is GUEST_UID here. */
#pragma once

#include "specs/err.h"

#include <sys/types.h>

/* Map a new process's user namespace; it must not have gone on yet. */
int userns_map(pid_t pid, struct err *err);
/* Run a command as root of such a namespace, with nothing else unshared. The paths in it need not
 * be reachable by that root: it starts out as the caller. */
int userns_run(const char *const argv[], struct err *err);
