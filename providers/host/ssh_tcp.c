/* TCP to a host: one try at each of its addresses, and what keeps the connection alive. */
#include "providers/host/ssh_internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECT_MS = 4000,  /* one try */
    RELOAD_S = 2,       /* that nobody listens while sshd reads its new key */
    KEEPALIVE_S = 30,   /* a step may be silent for longer than that */
    KEEPALIVES = 4,     /* unanswered ones until the peer is gone */
    UNSENT_MS = 120000, /* so are bytes that nobody acknowledges */
};

bool ssh_is_stopped(const struct ssh_in *in) {
    return (in->cancel != NULL && atomic_load(in->cancel) > 1) ||
           (in->abandoned != NULL && in->abandoned(in->ctx));
}

static int connect_address(const struct addrinfo *a, const struct ssh_in *in) {
    int problem = 0;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
        goto failed;
    for (int waited = 0; waited < CONNECT_MS; waited += SSH_POLL_MS) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        int n = poll(&p, 1, SSH_POLL_MS);
        if (n > 0) {
            socklen_t len = sizeof problem;
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &len);
            if (problem == 0)
                return fd;
            errno = problem;
            goto failed;
        }
        if (ssh_is_stopped(in)) {
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

double ssh_unheard_s(int fd) {
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || info.tcpi_unacked == 0)
        return 0;
    return info.tcpi_last_ack_recv / 1000.0;
}

static int connect_any(const struct addrinfo *list, const struct ssh_in *in) {
    int fd = -1;
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next)
        fd = connect_address(a, in);
    return fd;
}

int ssh_connect_tcp(const struct ssh_in *in, struct err *err) {
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
    while (fd < 0 && errno == ECONNREFUSED && monotonic_s() < until && !ssh_is_stopped(in)) {
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
             in->route != NULL
                 ? "does it run, and is that its address? ssh -v says more"
                 : "it may be stopped or still boot, or access.ssh may not hold your address of "
                   "now: berth status, berth apply");
    return rc;
}
