#include "providers/host/ssh_internal.h"

#include "providers/sshkey.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    TRY_S = 8,      /* one try, connection and keys; and as much for the login */
    REFUSED_S = 30, /* that logins are refused while a server boots */
    FRESH_S = 45,   /* firewalls forget idle connections after a minute or more */
};

/* ---- libssh2 without blocking */

int ssh_cancel_level(const struct ssh *s) { return s->cancel == NULL ? 0 : atomic_load(s->cancel); }

bool ssh_is_cancelled(const struct ssh *s) { return ssh_cancel_level(s) > 1; }

/* The host's next packet may wait until this one is acknowledged (sshd leaves Nagle's algorithm on
 * until a session starts): not 40 ms later. The kernel forgets it again. */
static void acknowledge_at_once(int fd) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

bool ssh_wait_io(struct ssh *s, double until_s) {
    int directions = libssh2_session_block_directions(s->session);
    struct pollfd p = {.fd = s->fd};
    if (directions & LIBSSH2_SESSION_BLOCK_INBOUND || directions == 0)
        p.events |= POLLIN;
    if (directions & LIBSSH2_SESSION_BLOCK_OUTBOUND)
        p.events |= POLLOUT;
    int level = ssh_cancel_level(s);
    acknowledge_at_once(s->fd);
    while (monotonic_s() < until_s) {
        if (poll(&p, 1, SSH_POLL_MS) > 0)
            return true;
        if (level == 0 && ssh_cancel_level(s) == 1)
            return true;
        if (ssh_is_cancelled(s))
            return false;
    }
    return false;
}

int ssh_error(struct ssh *s, enum err_code code, const char *what, struct err *err) {
    char *text = NULL;
    libssh2_session_last_error(s->session, &text, NULL, 0);
    if (ssh_is_cancelled(s))
        return err_set(err, ERRC_CANCELLED, "interrupted");
    return err_set(err, code, "%s: %s: %s", s->where, what,
                   text == NULL || text[0] == '\0' ? "the connection broke" : text);
}

static bool is_closed(int fd) {
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

/* ---- The session */

static int verify_key(struct ssh *s, const struct ssh_in *in, size_t *ret_key, struct err *err) {
    size_t len = 0;
    int type = 0;
    const char *key = libssh2_session_hostkey(s->session, &len, &type);
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf shown = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf expected = BUF_INIT(BUF_SMALL);
    buf_adds(&line, "ssh-ed25519 ");
    if (key != NULL)
        buf_add_base64(&line, key, len);
    for (size_t i = 0; i < in->host_keys->len; i++) {
        if (cstr_eq(in->host_keys->items[i], buf_cstr(&line))) {
            *ret_key = i;
            return 0;
        }
    }
    sshkey_fingerprint(buf_str(&line), &shown);
    for (size_t i = 0; i < in->host_keys->len; i++) {
        buf_adds(&expected, i == 0 ? "" : " or ");
        sshkey_fingerprint(str_of(in->host_keys->items[i]), &expected);
    }
    err_set(err, ERRC_HOSTKEY, "%s shows the host key %s, expected was %s", s->where,
            buf_cstr(&shown), buf_cstr(&expected));
    err_hint(err, "if the server was not made anew by hand, somebody may be in between: do not go "
                  "on. Else destroy and apply again");
    return -ERRC_HOSTKEY;
}

static int log_in(struct ssh *s, const struct endpoint *e, double until, struct err *err) {
    int rc;
    SSH_RETRY(rc, s, until,
              libssh2_userauth_publickey_fromfile_ex(s->session, e->user, (unsigned)strlen(e->user),
                                                     NULL, e->key_path, ""));
    if (rc == 0)
        return 0;
    if (rc == LIBSSH2_ERROR_EAGAIN && monotonic_s() >= until)
        return err_set(err, ERRC_TIMEOUT, "%s: the login is not answered", s->where);
    if (is_closed(s->fd)) /* a host that is busy or about to go down */
        return ssh_error(s, ERRC_NET, "the connection was lost at login", err);
    ssh_error(s, ERRC_AUTH, "the login was refused", err);
    err_hint(err,
             "the key is %s; keys with a passphrase cannot be used, nor RSA keys with libssh2 "
             "before 1.11",
             e->key_path);
    return -err->code;
}

/* A peer that accepts and says nothing gets the time that is left. */
static int handshake(struct ssh *s, const struct ssh_in *in, double deadline, size_t *ret_key,
                     struct err *err) {
    double until = deadline;
    int rc;
    s->session = libssh2_session_init();
    if (s->session == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    libssh2_session_set_blocking(s->session, 0);
    libssh2_session_method_pref(s->session, LIBSSH2_METHOD_HOSTKEY, "ssh-ed25519");
    SSH_RETRY(rc, s, until, libssh2_session_handshake(s->session, s->fd));
    if (rc == LIBSSH2_ERROR_EAGAIN && monotonic_s() >= until)
        return err_set(err, ERRC_TIMEOUT, "%s: connected, but SSH does not answer", s->where);
    if (rc != 0)
        return ssh_error(s, ERRC_NET, "the SSH handshake failed", err);
    rc = verify_key(s, in, ret_key, err);
    return rc < 0 ? rc : log_in(s, in->endpoint, monotonic_s() + TRY_S, err);
}

static int try_once(const struct ssh_in *in, double deadline, struct ssh **ret, size_t *ret_key,
                    struct err *err) {
    struct ssh *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    s->cancel = in->cancel;
    snprintf(s->where, sizeof s->where, "%s@%s", in->endpoint->user, in->endpoint->address);
    s->fd = ssh_connect_tcp(in, err);
    int rc = s->fd < 0 ? -err->code : handshake(s, in, deadline, ret_key, err);
    if (rc < 0) {
        ssh_close(s);
        return rc;
    }
    s->used_s = monotonic_s();
    *ret = s;
    return 0;
}

/* A host that boots refuses, is silent, closes early, or does not know its login user yet; a wrong
 * key will not get right. */
static bool may_come(int rc, double now, double *first_refusal) {
    if (rc == -ERRC_AUTH && *first_refusal == 0)
        *first_refusal = now;
    if (rc == -ERRC_AUTH)
        return now - *first_refusal < REFUSED_S;
    return rc == -ERRC_NET || rc == -ERRC_TIMEOUT;
}

int ssh_connect(const struct ssh_in *in, struct ssh **ret, size_t *ret_key, struct err *err) {
    double until = monotonic_s() + in->boot_s;
    int pause_ms = 50;
    double first_refusal = 0;
    if (access(in->endpoint->key_path, R_OK) < 0) {
        err_set_errno(err, ERRC_AUTH, errno, "the private key %s cannot be read",
                      in->endpoint->key_path);
        err_hint(err, "the key pair was made on another machine? Copy it here, mode 0600");
        return -ERRC_AUTH;
    }
    for (;;) {
        int rc = try_once(in, monotonic_s() + TRY_S, ret, ret_key, err);
        if (rc == 0 || monotonic_s() + pause_ms / 1000.0 > until ||
            !may_come(rc, monotonic_s(), &first_refusal))
            return rc;
        for (int slept_ms = 0; slept_ms < pause_ms; slept_ms += 50) {
            const struct timespec t = {0, 50000000};
            nanosleep(&t, NULL);
            if (ssh_is_stopped(in))
                return err_set(err, ERRC_CANCELLED, "interrupted");
        }
        pause_ms = pause_ms < 1000 ? pause_ms * 3 / 2 : 1500;
    }
}

void ssh_close(struct ssh *s) {
    if (s == NULL)
        return;
    if (s->session != NULL) {
        libssh2_session_disconnect(s->session, "done");
        shutdown(s->fd, SHUT_RDWR); /* else it would wait for channels that are open, and give up */
        libssh2_session_free(s->session);
    }
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}

bool ssh_is_alive(const struct ssh *s) {
    return !is_closed(s->fd) && monotonic_s() - s->used_s < FRESH_S;
}
