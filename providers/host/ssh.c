#include "providers/host/ssh.h"

#include "providers/sshkey.h"

#include <errno.h>
#include <fcntl.h>
#include <libssh2.h>
#include <netdb.h>
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
    CONNECT_MS = 4000, /* one try */
    HANDSHAKE_MS = 15000,
    TRY_S = 8,         /* one try, connection and keys; and as much for the login */
    REFUSED_S = 30,    /* that logins are refused while a server boots */
    RELOAD_S = 2,      /* that nobody listens while sshd reads its new key */
    IDLE_MS = 3600000, /* a step that says nothing for that long is stuck */
    POLL_MS = 100,
    FRESH_S = 45,     /* firewalls forget idle connections after a minute or more */
    KEEPALIVE_S = 30, /* a step may be silent for longer than that */
    ASIDE_S = 10,
    KEEPALIVES = 4,     /* unanswered ones until the peer is gone */
    UNSENT_MS = 120000, /* so are bytes that nobody acknowledges */
    ERRORS_MAX = 16384
};

struct ssh {
    int fd;
    LIBSSH2_SESSION *session;
    atomic_int *cancel;
    double used_s;   /* when something was last heard */
    char where[300]; /* "admin@203.0.113.7" */
};

static bool stopped(const struct ssh_in *in) {
    return (in->cancel != NULL && atomic_load(in->cancel) > 1) ||
           (in->abandoned != NULL && in->abandoned(in->ctx));
}

/* ---- TCP */

static int connect_address(const struct addrinfo *a, const struct ssh_in *in) {
    int problem = 0;
    int fd = socket(a->ai_family, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (connect(fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
        goto failed;
    for (int waited = 0; waited < CONNECT_MS; waited += POLL_MS) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        int n = poll(&p, 1, POLL_MS);
        if (n > 0) {
            socklen_t len = sizeof problem;
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &len);
            if (problem == 0)
                return fd;
            errno = problem;
            goto failed;
        }
        if (stopped(in)) {
            errno = ECANCELED;
            goto failed;
        }
    }
    errno = ETIMEDOUT;
failed:
    problem = errno;
    close(fd);
    errno = problem;
    return -1;
}

/* Keeps routers in between from forgetting a silent connection, and finds out when it is dead. */
static void tune(int fd) {
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVES},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, UNSENT_MS},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

static int connect_any(const struct addrinfo *list, const struct ssh_in *in) {
    int fd = -1;
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next)
        fd = connect_address(a, in);
    return fd;
}

static int connect_tcp(const struct ssh_in *in, struct err *err) {
    char port[16];
    snprintf(port, sizeof port, "%d", in->endpoint->port);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(in->endpoint->address, port, &hints, &list);
    if (rc != 0)
        return err_set(err, ERRC_NET, "cannot find %s: %s", in->endpoint->address,
                       gai_strerror(rc));
    int fd = connect_any(list, in);
    double until = monotonic_s() + RELOAD_S;
    while (fd < 0 && errno == ECONNREFUSED && monotonic_s() < until && !stopped(in)) {
        const struct timespec pause = {0, 50000000};
        nanosleep(&pause, NULL);
        fd = connect_any(list, in);
    }
    int problem = errno;
    freeaddrinfo(list);
    if (fd >= 0) {
        tune(fd);
        return fd;
    }
    if (problem == ECANCELED)
        return err_set(err, ERRC_CANCELLED, "interrupted");
    rc = err_set_errno(err, problem == ETIMEDOUT ? ERRC_TIMEOUT : ERRC_NET, problem,
                       "cannot reach %s port %s", in->endpoint->address, port);
    err_hint(err,
             "it may be stopped or still boot, or access.ssh may not hold your address of now: "
             "berth status, berth apply");
    return rc;
}

/* ---- libssh2 without blocking */

static int cancel_level(const struct ssh *s) {
    return s->cancel == NULL ? 0 : atomic_load(s->cancel);
}

static bool is_cancelled(const struct ssh *s) { return cancel_level(s) > 1; }

/* The host's next packet may wait until this one is acknowledged (sshd leaves Nagle's algorithm on
 * until a session starts): not 40 ms later. The kernel forgets it again. */
static void acknowledge_at_once(int fd) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

/* Waits until libssh2 can go on, or the user wants less than before; false on a time-out or a
 * stop. */
static bool wait_io(struct ssh *s, double until_s) {
    int directions = libssh2_session_block_directions(s->session);
    struct pollfd p = {.fd = s->fd};
    if (directions & LIBSSH2_SESSION_BLOCK_INBOUND || directions == 0)
        p.events |= POLLIN;
    if (directions & LIBSSH2_SESSION_BLOCK_OUTBOUND)
        p.events |= POLLOUT;
    int level = cancel_level(s);
    acknowledge_at_once(s->fd);
    while (monotonic_s() < until_s) {
        if (poll(&p, 1, POLL_MS) > 0)
            return true;
        if (level == 0 && cancel_level(s) == 1)
            return true;
        if (is_cancelled(s))
            return false;
    }
    return false;
}

static int ssh_error(struct ssh *s, enum err_code code, const char *what, struct err *err) {
    char *text = NULL;
    libssh2_session_last_error(s->session, &text, NULL, 0);
    if (is_cancelled(s))
        return err_set(err, ERRC_CANCELLED, "interrupted");
    return err_set(err, code, "%s: %s: %s", s->where, what,
                   text == NULL || text[0] == '\0' ? "the connection broke" : text);
}

#define RETRY(rc, s, until, call)                                                                  \
    do {                                                                                           \
        (rc) = (call);                                                                             \
    } while ((rc) == LIBSSH2_ERROR_EAGAIN && wait_io((s), (until)))

static bool is_closed(int fd) {
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

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
    RETRY(rc, s, until,
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
    RETRY(rc, s, until, libssh2_session_handshake(s->session, s->fd));
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
    s->fd = connect_tcp(in, err);
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
            if (stopped(in))
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

/* ---- One command */

struct exchange {
    LIBSSH2_CHANNEL *channel;
    struct str input;
    bool input_ended;
    struct buf line; /* the unfinished last one */
    void (*on_line)(void *ctx, struct str line);
    void *ctx;
    struct buf *out, *errors;
    const char *stop; /* still to be run aside at the first Ctrl-C, or NULL */
};

static void take_output(struct exchange *r, const char *bytes, size_t len) {
    if (r->on_line == NULL) {
        if (r->out != NULL)
            buf_add(r->out, bytes, len);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != '\n') {
            if (r->line.len < r->line.max)
                buf_addc(&r->line, bytes[i]);
            continue;
        }
        r->on_line(r->ctx, buf_str(&r->line));
        buf_reset(&r->line);
    }
}

/* Keeps the end: that is where programs say why they stopped. */
static void take_errors(struct exchange *r, const char *bytes, size_t len) {
    if (r->errors == NULL)
        return;
    if (r->errors->len + len > ERRORS_MAX && r->errors->len > 0) {
        size_t drop = r->errors->len / 2;
        memmove(r->errors->ptr, r->errors->ptr + drop, r->errors->len - drop);
        r->errors->len -= drop;
    }
    buf_add(r->errors, bytes, len < ERRORS_MAX ? len : ERRORS_MAX);
}

/* One pass over what can be read and written now: 1 something moved, 0 nothing did, < 0 broken. */
static int pump(struct exchange *r) {
    char chunk[32768];
    int moved = 0;
    ssize_t n = libssh2_channel_read(r->channel, chunk, sizeof chunk);
    if (n > 0) {
        take_output(r, chunk, (size_t)n);
        moved = 1;
    } else if (n < 0 && n != LIBSSH2_ERROR_EAGAIN) {
        return -1;
    }
    n = libssh2_channel_read_stderr(r->channel, chunk, sizeof chunk);
    if (n > 0) {
        take_errors(r, chunk, (size_t)n);
        moved = 1;
    } else if (n < 0 && n != LIBSSH2_ERROR_EAGAIN) {
        return -1;
    }
    if (r->input.len > 0) {
        n = libssh2_channel_write(r->channel, r->input.ptr, r->input.len);
        if (n > 0) {
            r->input.ptr += n;
            r->input.len -= (size_t)n;
            moved = 1;
        } else if (n < 0 && n != LIBSSH2_ERROR_EAGAIN) {
            return -1;
        }
    } else if (!r->input_ended) {
        int rc = libssh2_channel_send_eof(r->channel);
        if (rc == 0) {
            r->input_ended = true;
            moved = 1;
        } else if (rc != LIBSSH2_ERROR_EAGAIN) {
            return -1;
        }
    }
    return moved;
}

/* Every call into libssh2 takes all that the socket has, also for other streams than its own: what
 * is queued already must not be waited for. */
static bool is_queued(LIBSSH2_CHANNEL *channel) {
    unsigned long queued = 0;
    libssh2_channel_window_read_ex(channel, &queued, NULL);
    return queued > 0 || libssh2_channel_eof(channel);
}

static int open_channel(struct ssh *s, const char *command, double until, LIBSSH2_CHANNEL **ret,
                        struct err *err) {
    int rc;
    do {
        *ret = libssh2_channel_open_session(s->session);
    } while (*ret == NULL && libssh2_session_last_errno(s->session) == LIBSSH2_ERROR_EAGAIN &&
             wait_io(s, until));
    if (*ret == NULL)
        return ssh_error(s, ERRC_NET, "cannot open a channel", err);
    RETRY(rc, s, until, libssh2_channel_exec(*ret, command));
    return rc == 0 ? 0 : ssh_error(s, ERRC_NET, "cannot run a command", err);
}

static void free_channel(struct ssh *s, LIBSSH2_CHANNEL *channel) {
    int rc;
    double until = monotonic_s() + 1;
    if (channel != NULL)
        RETRY(rc, s, until, libssh2_channel_free(channel));
}

/* The exit status; a command that a signal ended has none, and did not succeed. */
static int take_status(struct ssh *s, LIBSSH2_CHANNEL *channel, int *ret_status, struct err *err) {
    char *name = NULL;
    libssh2_channel_get_exit_signal(channel, &name, NULL, NULL, NULL, NULL, NULL);
    if (name != NULL) {
        err_set(err, ERRC_HOST, "%s: the command was ended by SIG%s", s->where, name);
        libssh2_free(s->session, name);
        return -ERRC_HOST;
    }
    *ret_status = libssh2_channel_get_exit_status(channel);
    return 0;
}

/* Beside the command that runs. Best effort: it is the user's hurry, not the world's. */
static void run_aside(struct ssh *s, const char *command) {
    LIBSSH2_CHANNEL *channel = NULL;
    struct err ignored;
    double until = monotonic_s() + ASIDE_S;
    if (open_channel(s, command, until, &channel, &ignored) == 0)
        while (!libssh2_channel_eof(channel) && wait_io(s, until)) {
            char text[512];
            if (libssh2_channel_read(channel, text, sizeof text) < 0 &&
                libssh2_session_last_errno(s->session) != LIBSSH2_ERROR_EAGAIN)
                break;
        }
    free_channel(s, channel);
}

static int run_channel(struct ssh *s, const char *command, struct exchange *r, int *ret_status,
                       struct err *err) {
    int ended;
    int rc = open_channel(s, command, monotonic_s() + HANDSHAKE_MS / 1000.0, &r->channel, err);
    if (rc < 0)
        return rc;
    double until = monotonic_s() + IDLE_MS / 1000.0;
    while (!libssh2_channel_eof(r->channel)) {
        int moved = pump(r);
        if (moved < 0 || is_cancelled(s))
            return ssh_error(s, ERRC_NET, "the connection was lost", err);
        if (r->out != NULL && r->out->failed)
            return err_set(err, ERRC_LIMIT, "%s: the output is too long", s->where);
        if (r->stop != NULL && r->input_ended && cancel_level(s) > 0) {
            run_aside(s, r->stop);
            r->stop = NULL;
        }
        if (moved > 0)
            until = monotonic_s() + IDLE_MS / 1000.0;
        else if (!is_queued(r->channel) && !wait_io(s, until))
            return ssh_error(s, ERRC_TIMEOUT, "the host said nothing for a long time", err);
    }
    until = monotonic_s() + HANDSHAKE_MS / 1000.0;
    RETRY(ended, s, until, libssh2_channel_close(r->channel));
    if (r->on_line != NULL && r->line.len > 0)
        r->on_line(r->ctx, buf_str(&r->line));
    return take_status(s, r->channel, ret_status, err);
}

enum { LINE_MAX_BYTES = 24 * 1024 * 1024 };

int ssh_run(struct ssh *s, const char *command, struct str input,
            void (*on_line)(void *line_ctx, struct str line), void *line_ctx, struct buf *out,
            struct buf *errors, const char *stop, int *ret_status, struct err *err) {
    struct exchange r = {.input = input,
                         .line = BUF_INIT(LINE_MAX_BYTES),
                         .on_line = on_line,
                         .ctx = line_ctx,
                         .out = out,
                         .errors = errors,
                         .stop = stop};
    int rc = run_channel(s, command, &r, ret_status, err);
    s->used_s = monotonic_s();
    free_channel(s, r.channel);
    buf_free(&r.line);
    if (rc == 0 && out != NULL && out->failed)
        return err_set(err, ERRC_LIMIT, "%s: the output is too long", s->where);
    return rc;
}
