/* What the parts of an SSH connection share: TCP below it (ssh_tcp.c), the session (ssh.c), and the
 * commands that are run over it (ssh_run.c). */
#pragma once

#include "providers/host/child.h"
#include "providers/host/ssh.h"

#include <libssh2.h>

enum { SSH_POLL_MS = 100 };

struct ssh {
    int fd;
    LIBSSH2_SESSION *session;
    atomic_int *cancel;
    double used_s;         /* when something was last heard */
    bool broken;           /* an error of the connection has been met */
    LIBSSH2_CHANNEL *kept; /* of a command that waits for more input; or NULL */
    char where[300];       /* "admin@203.0.113.7" */
    struct buf host_key;
    struct child proxy; /* that the connection goes through */
};

/* Has the peer closed it? */
bool ssh_is_closed(int fd);
/* After the host key was verified, until `until` (monotonic seconds). 0, -ERRC_AUTH when it is
 * refused, -ERRC_NET, -ERRC_TIMEOUT, -ERRC_CANCELLED: ssh_login.c. RFC 4252. */
int ssh_log_in(struct ssh *s, const struct ssh_in *in, double until, struct err *err);
/* The second Ctrl-C, or nobody wants the connection any more. */
bool ssh_is_stopped(const struct ssh_in *in);
/* A connected socket that does not block, or -1 with `err` set. connect(2), tcp(7). */
int ssh_connect_tcp(const struct ssh_in *in, struct err *err);

/* Seconds since the host's end acknowledged anything, while something is to be acknowledged; else
 * 0. Its kernel does so, also for a process that is stopped or starved: tcp(7), TCP_INFO. */
double ssh_unheard_s(int fd);

/* How often Ctrl-C was pressed, and whether often enough to stop at once. */
int ssh_cancel_level(const struct ssh *s);
bool ssh_is_cancelled(const struct ssh *s);
/* Waits until libssh2 can go on, or the user wants less than before; false on a time-out (monotonic
 * seconds) or a stop. */
bool ssh_wait_io(struct ssh *s, double until_s);
/* Sets `err` from libssh2's last error, or to ERRC_CANCELLED; returns -err->code. */
int ssh_error(struct ssh *s, enum err_code code, const char *what, struct err *err);

/* Calls again until it no longer would block. */
#define SSH_RETRY(rc, s, until, call)                                                              \
    do {                                                                                           \
        (rc) = (call);                                                                             \
    } while ((rc) == LIBSSH2_ERROR_EAGAIN && ssh_wait_io((s), (until)))
