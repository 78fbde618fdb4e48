/* An SSH connection to a host, by libssh2. The host's key is verified from the first byte against
 * the keys that are accepted; there is no way to switch that off. One connection serves a whole
 * run; one command at a time. */
#pragma once

#include "providers/provider.h"
#include "specs/buf.h"
#include "specs/err.h"

struct ssh;

struct ssh_in {
    const struct endpoint *endpoint;
    const struct strlist *host_keys; /* accepted: "ssh-ed25519 AAAA…" lines */
    double boot_s;                   /* how long to try again, for a server that boots; 0: once */
    bool (*abandoned)(void *ctx);    /* polled while waiting; NULL for never */
    void *ctx;
    atomic_int *cancel;
};

/* Connect, verify, log in. -ERRC_HOSTKEY when another key is shown, -ERRC_AUTH when the login is
 * refused, -ERRC_NET / -ERRC_TIMEOUT when there is no answer, -ERRC_CANCELLED. `ret_key` is the
 * index of the accepted key that the host showed. */
int ssh_connect(const struct ssh_in *in, struct ssh **ret, size_t *ret_key, struct err *err);
void ssh_close(struct ssh *ssh);
/* Good for another command: the peer has not closed it, and it was in use a moment ago. */
bool ssh_is_alive(const struct ssh *ssh);

/* Run a command; `input` is streamed to it. Each line of its output goes to on_line (NULL: to
 * `out`); its stderr's last part to `errors`. `stop`: a command that is run beside it at the first
 * Ctrl-C, so that it ends early; NULL for none. 0 with the exit status in *ret_status, -ERRC_HOST
 * when a signal ended it, or an error of the connection. `out->max` bounds the output. */
int ssh_run(struct ssh *ssh, const char *command, struct str input,
            void (*on_line)(void *line_ctx, struct str line), void *line_ctx, struct buf *out,
            struct buf *errors, const char *stop, int *ret_status, struct err *err);
