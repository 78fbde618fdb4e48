/* OpenSSH's client as a child process, for verbs that stream much: it moves more bytes for the same
 * work of the processor than libssh2 does (measured: twice as many), and takes every kind of key.
 */
#pragma once

#include "cmd/login.h"

#include <sys/types.h>

struct ssh_child {
    pid_t pid;
    int in, out; /* pipes to and from the command; -1 once closed */
    int errors;  /* a file without a name that holds what it said on stderr */
    bool given;  /* to a server that berth did not make */
};

/* The words for execvp: ssh, the options that hold it to the pinned key, `extra` ("Compression=no",
 * ends with NULL; or NULL), "--", the host, then `rest` (ends with NULL; or NULL). In the session's
 * arena. Writes known_hosts. */
int ssh_command(struct session *s, const struct server_list *list, const struct server_view *v,
                const char *const *extra, const char *const *rest, const char ***ret_argv,
                struct err *err);
/* Become that ssh. Returns only when that failed: -ERRC_… */
int ssh_exec(struct session *s, const struct server_list *list, const struct server_view *v,
             const char *const *rest, struct err *err);
/* Start it with one remote command; nobody is asked for a passphrase. */
int ssh_child_start(struct session *s, const struct server_list *list, const struct server_view *v,
                    const char *command, struct ssh_child *ret, struct err *err);
/* Close the pipes and wait for its end. 0 and the exit status (ssh's own 255 when the connection
 * failed), or -ERRC_HOST. */
int ssh_child_end(struct ssh_child *child, int *ret_status, struct err *err);
/* Sets `err` from what it said, after ssh_child_end: -ERRC_NET for status 255, else -ERRC_HOST. */
int ssh_child_failed(struct ssh_child *child, int status, const char *what, struct err *err);
/* For every way out; may be called again. Ends the process if it still runs. */
void ssh_child_free(struct ssh_child *child);
