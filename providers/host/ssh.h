/* An SSH connection to a host, by libssh2. The host's key is verified from the first byte against
 * the keys that are accepted; there is no way to switch that off. One connection serves a whole
 * run; one command at a time. */
#pragma once

#include "providers/provider.h"
#include "specs/buf.h"
#include "specs/err.h"

#include <sys/types.h>

struct ssh;

struct ssh_route;

struct ssh_in {
    const struct endpoint *endpoint;
    const struct ssh_route *route;   /* of a server that berth did not make; else NULL */
    const struct strlist *host_keys; /* accepted: "ssh-ed25519 AAAA…" lines, or "SHA256:…" */
    const struct strlist *revoked;   /* lines that are never accepted; or NULL */
    bool authority;                  /* somebody signs host keys for it; only said in an error */
    double boot_s;                   /* how long to try again, for a server that boots; 0: once */
    bool (*abandoned)(void *ctx);    /* polled while waiting; NULL for never */
    void *ctx;
    atomic_int *cancel;
};

/* Connect, verify, log in. -ERRC_HOSTKEY when another key is shown, -ERRC_AUTH when the login is
 * refused, -ERRC_NET / -ERRC_TIMEOUT when there is no answer, -ERRC_CANCELLED. `ret_key` is the
 * index of the accepted key that the host showed. */
int ssh_connect(const struct ssh_in *in, struct ssh **ret, size_t *ret_key, struct err *err);
/* The host key that it showed, "ssh-ed25519 AAAA…"; lives as long as the connection. */
const char *ssh_host_key(const struct ssh *ssh);
void ssh_close(struct ssh *ssh);
/* Good for another command: the peer has not closed it, and it was in use a moment ago. */
bool ssh_is_alive(const struct ssh *ssh);

/* What is sent after `input`, made as it is needed: up to `size` bytes into `to`; how many, 0 at
 * the end, a negative code with `err` set when it cannot go on. */
struct ssh_source {
    ssize_t (*read)(void *ctx, char *to, size_t size, struct err *err);
    void *ctx;
};

/* A command and where its input comes from and its output goes to. */
struct ssh_command {
    const char *command;                         /* NULL: go on with the one that was kept */
    struct str input;                            /* streamed to it */
    const struct ssh_source *source;             /* and then this; NULL for nothing */
    void (*on_line)(void *ctx, struct str line); /* gets each line; NULL: `out` gets all */
    void *ctx;
    const bool *enough; /* set by on_line: nothing more needs to be heard; or NULL */
    /* When that is set the command is left running, to be given more input by a later one with no
     * command of its own: opening another would take two round trips. */
    bool keep;
    struct buf *out;    /* `max` bounds it; or NULL */
    struct buf *errors; /* the last part of its stderr; or NULL */
    /* A command that is run beside it at the first Ctrl-C, so that it ends early, once it is not ""
     * (on_line may set it); or NULL. */
    const char *stop;
    /* Nothing of the host's has come for that many seconds, not even that it has got what was sent;
     * told once, before the connection is taken for dead. NULL: nobody needs to know. */
    void (*on_silence)(void *ctx, int silent_s);
};

/* 0 with the exit status in *ret_status (0 when `enough` was heard), -ERRC_HOST when a signal ended
 * it, what the source said, or an error of the connection. */
int ssh_run_command(struct ssh *ssh, const struct ssh_command *command, int *ret_status,
                    struct err *err);
/* Is there a command to go on with? */
bool ssh_has_kept(const struct ssh *ssh);
/* The same for a command with no more than text in, and text or lines out. */
int ssh_run(struct ssh *ssh, const char *command, struct str input, struct buf *out,
            struct buf *errors, int *ret_status, struct err *err);
