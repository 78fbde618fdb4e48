/* OpenSSH's programs as children: asked for something, or as what a connection goes through. */
#pragma once

#include "specs/buf.h"
#include "specs/err.h"

#include <sys/types.h>

struct child {
    pid_t pid;  /* 0: there is none */
    int errors; /* a file without a name that holds what it said on stderr */
    int alive;  /* closed, also by the end of this process, it ends whatever it waits for */
};

/* Run it to its end with no input; `argv` ends with NULL and is looked up in PATH. Its exit status
 * (128 and more for a signal) goes to *ret_status. -ERRC_NOTFOUND when there is no such program,
 * -ERRC_TIMEOUT when it does not end within half a minute: then it is ended. */
int child_capture(const char *const *argv, struct buf *out, struct buf *errors, int *ret_status,
                  struct err *err);
/* Start it with one end of a stream as its input and output; the other, non-blocking, goes to
 * *ret_fd. It is in a process group of its own: Ctrl-C at the terminal is berth's to handle. */
int child_connect(const char *const *argv, struct child *ret, int *ret_fd, struct err *err);
/* What programs say, as part of an error: one line, with "; " between those that it had. */
void child_add_lines(struct str text, struct buf *out);
/* The same of what it said on stderr so far. */
void child_said(const struct child *child, struct buf *out);
/* Wait for it, its stream being closed; one that does not end is ended. Good for a zeroed one. */
void child_end(struct child *child);
