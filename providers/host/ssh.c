#include "providers/host/ssh_internal.h"

#include "providers/host/route.h"
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

bool ssh_is_closed(int fd) {
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

/* ---- The session */

/* Type and base64, as in known_hosts; RFC 4253, 6.6: the type stands in the key itself. */
static void take_host_key(struct ssh *s) {
    size_t len = 0;
    int type = 0;
    const char *key = libssh2_session_hostkey(s->session, &len, &type);
    const unsigned char *b = (const unsigned char *)key;
    size_t name = key == NULL || len < 4 ? 0 : (size_t)b[2] << 8 | b[3];
    buf_reset(&s->host_key);
    if (name == 0 || name > len - 4)
        return;
    buf_add(&s->host_key, key + 4, name);
    buf_addc(&s->host_key, ' ');
    buf_add_base64(&s->host_key, key, len);
}

static bool is_key(const char *accepted, const char *line, const char *fingerprint) {
    return cstr_eq(accepted, line) || cstr_eq(accepted, fingerprint);
}

/* Nothing vouches for the key that is shown. */
static int say_unknown(const struct ssh *s, const struct ssh_in *in, const char *shown,
                       struct err *err) {
    const char *host = in->endpoint->given.host;
    err_set(err, ERRC_HOSTKEY, "%s shows the host key %s, and known_hosts knows none for it%s",
            s->where, shown, in->authority ? " but a @cert-authority, which berth cannot use" : "");
    err_hint(err,
             "compare it with what the server says of itself (ssh-keygen -lf "
             "/etc/ssh/ssh_host_ed25519_key.pub); then ssh to %s once, or write server.host_key "
             "into the spec",
             host == NULL ? "it" : host);
    return -ERRC_HOSTKEY;
}

static int say_other(const struct ssh *s, const struct ssh_in *in, const char *shown,
                     struct err *err) {
    _cleanup_buf_ struct buf expected = BUF_INIT(BUF_SMALL);
    for (size_t i = 0; i < in->host_keys->len; i++) {
        buf_adds(&expected, i == 0 ? "" : " or ");
        if (!sshkey_fingerprint(str_of(in->host_keys->items[i]), &expected))
            buf_adds(&expected, in->host_keys->items[i]);
    }
    err_set(err, ERRC_HOSTKEY, "%s shows the host key %s, expected was %s", s->where, shown,
            buf_cstr(&expected));
    err_hint(err,
             in->route == NULL
                 ? "if the server was not made anew by hand, somebody may be in between: do not "
                   "go on. Else destroy and apply again"
                 : "if nobody set the server up anew, somebody may be in between: do not go on. "
                   "Else write its new key into the spec: server.host_key");
    return -ERRC_HOSTKEY;
}

static int verify_key(struct ssh *s, const struct ssh_in *in, size_t *ret_key, struct err *err) {
    _cleanup_buf_ struct buf shown = BUF_INIT(BUF_SMALL);
    take_host_key(s);
    const char *line = buf_cstr(&s->host_key);
    sshkey_fingerprint(buf_str(&s->host_key), &shown);
    for (size_t i = 0; in->revoked != NULL && i < in->revoked->len; i++) {
        if (!cstr_eq(in->revoked->items[i], line))
            continue;
        err_set(err, ERRC_HOSTKEY, "%s shows the host key %s, which known_hosts marks @revoked",
                s->where, buf_cstr(&shown));
        err_hint(err, "somebody else may have that key: do not go on; give the server another one");
        return -ERRC_HOSTKEY;
    }
    for (size_t i = 0; i < in->host_keys->len; i++) {
        if (is_key(in->host_keys->items[i], line, buf_cstr(&shown))) {
            *ret_key = i;
            return 0;
        }
    }
    return in->host_keys->len == 0 ? say_unknown(s, in, buf_cstr(&shown), err)
                                   : say_other(s, in, buf_cstr(&shown), err);
}

/* Appends those of the kinds ("a,b") that this libssh2 has: what libssh2_session_method_pref(3) is
 * to leave out, it copies over itself (memcpy(3)), up to 1.11. */
static void add_kinds(struct str kinds, const char *const *has, int has_len, struct buf *out) {
    struct str kind;
    while (str_split(&kinds, ',', &kind))
        for (int i = 0; i < has_len; i++)
            if (str_eqc(kind, has[i])) {
                buf_adds(out, out->len > 0 ? "," : "");
                buf_addstr(out, kind);
            }
}

/* Which kinds of host key to ask for: those that are known, as OpenSSH does; else all that libssh2
 * has (1.10 has no rsa-sha2). */
static void prefer_keys(struct ssh *s, const struct ssh_in *in, const char *first) {
    static const char all[] = "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"
                              "ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256,ssh-rsa";
    static const char rsa[] = "rsa-sha2-512,rsa-sha2-256,ssh-rsa";
    _cleanup_buf_ struct buf kinds = BUF_INIT(BUF_SMALL);
    const char **has = NULL;
    int len = libssh2_session_supported_algs(s->session, LIBSSH2_METHOD_HOSTKEY, &has);
    if (first != NULL)
        add_kinds(str_of(first), has, len, &kinds);
    for (size_t i = 0; first == NULL && i < in->host_keys->len; i++) {
        struct str rest = str_of(in->host_keys->items[i]), type = {NULL, 0};
        if (strchr(in->host_keys->items[i], ' ') != NULL && str_split(&rest, ' ', &type))
            add_kinds(str_eqc(type, "ssh-rsa") ? STR(rsa) : type, has, len, &kinds);
    }
    if (kinds.len == 0)
        add_kinds(STR(all), has, len, &kinds);
    if (len > 0)
        libssh2_free(s->session, has);
    libssh2_session_method_pref(s->session, LIBSSH2_METHOD_HOSTKEY, buf_cstr(&kinds));
}

/* A peer that accepts and says nothing gets the time that is left. */
static int handshake(struct ssh *s, const struct ssh_in *in, const char *kind, double deadline,
                     size_t *ret_key, struct err *err) {
    double until = deadline;
    int rc;
    s->session = libssh2_session_init();
    if (s->session == NULL)
        return err_no_memory(err);
    libssh2_session_set_blocking(s->session, 0);
    prefer_keys(s, in, kind);
    SSH_RETRY(rc, s, until, libssh2_session_handshake(s->session, s->fd));
    if (rc == LIBSSH2_ERROR_EAGAIN && monotonic_s() >= until)
        return err_set(err, ERRC_TIMEOUT, "%s: connected, but SSH does not answer", s->where);
    if (rc != 0)
        return ssh_error(s, ERRC_NET, "the SSH handshake failed", err);
    rc = verify_key(s, in, ret_key, err);
    return rc < 0 ? rc : ssh_log_in(s, in, monotonic_s() + TRY_S, err);
}

/* TCP, or a program that is the connection. A socket that does not block, or -1. */
static int open_way(struct ssh *s, const struct ssh_in *in, struct err *err) {
    int fd = -1;
    if (in->route == NULL || in->route->proxy.len == 0)
        return ssh_connect_tcp(in, err);
    int rc = child_connect(in->route->proxy.items, &s->proxy, &fd, err);
    return rc < 0 ? -1 : fd;
}

/* Why a connection through a program failed, only that knows. */
static int explain_proxy(struct ssh *s, const struct ssh_in *in, int rc, struct err *err) {
    _cleanup_buf_ struct buf said = BUF_INIT(BUF_SMALL);
    const struct ssh_route *r = in->route;
    child_said(&s->proxy, &said);
    if (s->proxy.pid == 0 || said.len == 0 || rc == -ERRC_HOSTKEY || rc == -ERRC_AUTH ||
        rc == -ERRC_CANCELLED)
        return rc;
    const char *by = r->proxy_jump != NULL ? r->proxy_jump : r->proxy_command;
    err_set(err, (enum err_code) - rc, "%s: no way there by %s: %s", s->where,
            by == NULL ? "its proxy" : by, buf_cstr(&said));
    err_hint(err, "try it by hand: ssh %s", in->endpoint->given.host);
    return rc;
}

static int try_once(const struct ssh_in *in, const char *kind, double deadline, struct ssh **ret,
                    size_t *ret_key, struct err *err) {
    struct ssh *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_no_memory(err);
    s->cancel = in->cancel;
    s->host_key = BUF_INIT(BUF_SMALL);
    snprintf(s->where, sizeof s->where, "%s@%s", in->endpoint->user, in->endpoint->address);
    s->fd = open_way(s, in, err);
    int rc = s->fd < 0 ? -err->code : handshake(s, in, kind, deadline, ret_key, err);
    if (rc < 0) {
        rc = explain_proxy(s, in, rc, err);
        ssh_close(s);
        return rc;
    }
    s->used_s = monotonic_s();
    *ret = s;
    return 0;
}

/* A fingerprint does not say of which kind of key it is: each kind is asked for. */
static int try_kinds(const struct ssh_in *in, struct ssh **ret, size_t *ret_key, struct err *err) {
    static const char *const kinds[] = {
        "ssh-ed25519", "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
        "rsa-sha2-512,rsa-sha2-256,ssh-rsa"};
    bool bare = in->host_keys->len > 0 && strchr(in->host_keys->items[0], ' ') == NULL;
    int rc = try_once(in, bare ? kinds[0] : NULL, monotonic_s() + TRY_S, ret, ret_key, err);
    for (size_t i = 1; bare && rc < 0 && i < sizeof kinds / sizeof kinds[0]; i++) {
        struct err why = {0};
        if (rc != -ERRC_HOSTKEY && rc != -ERRC_NET)
            break;
        int next = try_once(in, kinds[i], monotonic_s() + TRY_S, ret, ret_key, &why);
        if (next == 0)
            return 0;
        if (rc == -ERRC_NET || next == -ERRC_AUTH) { /* what was said of a key is worth more */
            *err = why;
            rc = next;
        }
    }
    return rc;
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
    if (in->route == NULL && access(in->endpoint->key_path, R_OK) < 0) {
        err_set_errno(err, ERRC_AUTH, errno, "the private key %s cannot be read",
                      in->endpoint->key_path);
        err_hint(err, "the key pair was made on another machine? Copy it here, mode 0600");
        return -ERRC_AUTH;
    }
    for (;;) {
        int rc = try_kinds(in, ret, ret_key, err);
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
    child_end(&s->proxy);
    buf_free(&s->host_key);
    free(s);
}

const char *ssh_host_key(const struct ssh *s) { return buf_cstr(&s->host_key); }

bool ssh_is_alive(const struct ssh *s) {
    return !s->broken && !ssh_is_closed(s->fd) && monotonic_s() - s->used_s < FRESH_S;
}
