#include "providers/host/tunnel.h"

#include "providers/host/tunnel_flow.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
    KEEPALIVE_S = 10,   /* an idle connection says something this often */
    UNHEARD_MS = 25000, /* and is dead when that is not acknowledged */
    OPEN_S = 10,        /* for the channel that is never used */
    PAUSE_MS = 250,     /* before connecting again; doubled up to PAUSE_MAX_MS */
    PAUSE_MAX_MS = 5000,
    PORTS_MAX = 64,
};

static bool is_ended(const struct tunnel_in *in) {
    return in->ssh.cancel != NULL && atomic_load(in->ssh.cancel) > 1;
}

/* False when this process has no room for another: then those that wait are not looked at for a
 * while. */
static bool accept_all(const struct tunnel_in *in, struct flows *flows) {
    for (size_t i = 0; i < in->ports_len; i++) {
        while (flows->len < FLOWS_MAX) { /* the others wait in the kernel's queue */
            int fd = accept(in->ports[i].listener, NULL, NULL);
            if (fd < 0 &&
                (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
                return false;
            if (fd < 0)
                break;
            const int on = 1;
            fcntl(fd, F_SETFD, FD_CLOEXEC);
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            flows_add(flows, fd, in->ports[i].port);
        }
    }
    return true;
}

static int open_idle(struct flows *flows) {
    double until = monotonic_s() + OPEN_S;
    do {
        flows->idle = libssh2_channel_open_session(flows->ssh->session);
    } while (flows->idle == NULL &&
             libssh2_session_last_errno(flows->ssh->session) == LIBSSH2_ERROR_EAGAIN &&
             ssh_wait_io(flows->ssh, until));
    return flows->idle == NULL ? -ERRC_NET : 0;
}

static void tune(struct ssh *ssh) {
    const int unheard_ms = UNHEARD_MS;
    setsockopt(ssh->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard_ms, sizeof unheard_ms);
    libssh2_keepalive_config(ssh->session, 1, KEEPALIVE_S);
}

/* Until it breaks or is ended. */
static void serve(const struct tunnel_in *in, struct flows *flows) {
    struct pollfd fds[1 + FLOWS_MAX + PORTS_MAX];
    while (!is_ended(in)) {
        int next_s = KEEPALIVE_S;
        bool room = accept_all(in, flows);
        int moved = flows_step(flows);
        if (moved < 0)
            return;
        if (moved > 0)
            continue;
        /* Not while a packet is out by half. */
        if (flows->list == NULL && libssh2_keepalive_send(flows->ssh->session, &next_s) < 0)
            return;
        size_t n = flows_poll(flows, fds, 1 + FLOWS_MAX);
        room = room && flows->len < FLOWS_MAX && flows->stuck == NULL;
        for (size_t i = 0; room && i < in->ports_len; i++)
            fds[n++] = (struct pollfd){.fd = in->ports[i].listener, .events = POLLIN};
        if (poll(fds, (nfds_t)n, 1000) < 0 && errno != EINTR)
            return;
    }
}

static void pause_ms(const struct tunnel_in *in, int ms) {
    for (; ms > 0 && !is_ended(in); ms -= 50) {
        const struct timespec t = {0, 50000000};
        nanosleep(&t, NULL);
    }
}

/* Again and again, until it stands or never will. */
static int connect_again(const struct tunnel_in *in, struct ssh **ret, struct err *err) {
    char said[sizeof err->msg] = "";
    struct ssh_in ssh = in->ssh;
    for (int ms = PAUSE_MS; !is_ended(in); ms = ms * 2 < PAUSE_MAX_MS ? ms * 2 : PAUSE_MAX_MS) {
        size_t key;
        pause_ms(in, ms);
        ssh.endpoint = in->where == NULL ? in->ssh.endpoint : in->where(in->ctx);
        if (is_ended(in))
            break;
        if (ssh.endpoint == NULL)
            continue;
        int rc = ssh_connect(&ssh, ret, &key, err);
        if (rc == 0 && in->found != NULL)
            in->found(in->ctx);
        if (rc == 0 || rc == -ERRC_HOSTKEY || rc == -ERRC_AUTH)
            return rc;
        if (!is_ended(in) && strcmp(said, err->msg) != 0)
            in->say(in->ctx, err->msg);
        snprintf(said, sizeof said, "%s", err->msg);
    }
    return err_set(err, ERRC_CANCELLED, "interrupted");
}

int tunnel_run(const struct tunnel_in *in, struct err *err) {
    struct ssh *ssh = NULL;
    size_t key;
    if (in->ports_len > PORTS_MAX)
        return err_set(err, ERRC_LIMIT, "at most %d ports at once", PORTS_MAX);
    int rc = ssh_connect(&in->ssh, &ssh, &key, err);
    if (rc == 0)
        in->ready(in->ctx);
    while (rc == 0) {
        struct flows flows = {.ssh = ssh};
        tune(ssh);
        if (open_idle(&flows) == 0)
            serve(in, &flows);
        flows_free(&flows);
        ssh_close(ssh);
        if (is_ended(in))
            return 0;
        in->say(in->ctx, "the connection was lost; connecting again");
        rc = connect_again(in, &ssh, err);
        if (rc == 0)
            in->say(in->ctx, "connected again");
    }
    return rc == -ERRC_CANCELLED ? 0 : rc;
}

int tunnel_carry(struct ssh *ssh, int port, int fd, double until_s) {
    struct flows flows = {.ssh = ssh};
    struct pollfd fds[2];
    int moved = 0;
    bool opened = false;
    if (!flows_add(&flows, fd, port))
        return -ERRC_NOMEM;
    while (flows.list != NULL && moved >= 0 && monotonic_s() < until_s && !ssh_is_cancelled(ssh)) {
        moved = flows_step(&flows);
        opened = opened || (flows.list != NULL && flows.list->stage == FLOW_OPEN);
        if (moved == 0 && flows.list != NULL)
            poll(fds, (nfds_t)flows_poll(&flows, fds, 2), SSH_POLL_MS);
    }
    bool clean = flows.list == NULL;
    /* Also when time was short, the channel must not stay open on a connection that is used on. */
    for (struct flow *flow = flows.list; flow != NULL && moved >= 0; flow = flow->next)
        if (flow->channel != NULL) {
            int rc;
            SSH_RETRY(rc, ssh, monotonic_s() + 1, libssh2_channel_free(flow->channel));
        }
    flows_free(&flows);
    ssh->used_s = monotonic_s();
    return clean && opened ? 0 : -ERRC_NET;
}
