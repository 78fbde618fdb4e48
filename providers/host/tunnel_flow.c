#include "providers/host/tunnel_flow.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BROKEN = -1, NOTHING = 0, MOVED = 1 };

bool flows_add(struct flows *flows, int fd, int port) {
    struct flow *flow = calloc(1, sizeof *flow);
    if (flow == NULL) {
        close(fd);
        return false;
    }
    flow->fd = fd;
    flow->port = port;
    struct flow **end = &flows->list;
    while (*end != NULL) /* in their turn */
        end = &(*end)->next;
    *end = flow;
    flows->len++;
    return true;
}

static bool is_fatal(int rc) {
    return rc == LIBSSH2_ERROR_SOCKET_SEND || rc == LIBSSH2_ERROR_SOCKET_RECV ||
           rc == LIBSSH2_ERROR_SOCKET_DISCONNECT || rc == LIBSSH2_ERROR_SOCKET_TIMEOUT ||
           rc == LIBSSH2_ERROR_BAD_USE || rc == LIBSSH2_ERROR_DECRYPT ||
           rc == LIBSSH2_ERROR_INVALID_MAC || rc == LIBSSH2_ERROR_PROTO;
}

/* After a call that would block: is it to be made again before all others? */
static int would_block(struct flows *f, struct flow *flow,
                       int (*call)(struct flows *flows, struct flow *flow)) {
    bool out =
        (libssh2_session_block_directions(f->ssh->session) & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0;
    f->stuck = out ? flow : NULL;
    f->stuck_call = out ? call : NULL;
    return NOTHING;
}

static void close_socket(struct flow *flow) {
    if (flow->fd >= 0)
        close(flow->fd);
    flow->fd = -1;
}

static void give_up(struct flow *flow) {
    close_socket(flow);
    flow->stage = flow->channel == NULL ? FLOW_CLOSED : FLOW_CLOSING;
}

/* ---- The calls into libssh2 that send */

static int open_channel(struct flows *f, struct flow *flow) {
    f->opening = flow;
    flow->channel =
        libssh2_channel_direct_tcpip_ex(f->ssh->session, "127.0.0.1", flow->port, "127.0.0.1", 0);
    int rc = flow->channel != NULL ? 0 : libssh2_session_last_errno(f->ssh->session);
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return would_block(f, flow, open_channel);
    f->opening = NULL;
    if (is_fatal(rc))
        return BROKEN;
    if (flow->channel == NULL)
        give_up(flow); /* nobody listens there: so it is for whoever asked */
    else
        flow->stage = FLOW_OPEN;
    return MOVED;
}

static int send_up(struct flows *f, struct flow *flow) {
    ssize_t n = libssh2_channel_write(flow->channel, flow->up.bytes + flow->up.at, flow->up.len);
    if (n == LIBSSH2_ERROR_EAGAIN)
        return would_block(f, flow, send_up);
    if (n < 0) {
        give_up(flow);
        return is_fatal((int)n) ? BROKEN : MOVED;
    }
    flow->up.at += (size_t)n;
    flow->up.len -= (size_t)n;
    return n > 0 ? MOVED : NOTHING;
}

static int send_end(struct flows *f, struct flow *flow) {
    int rc = libssh2_channel_send_eof(flow->channel);
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return would_block(f, flow, send_end);
    flow->up.passed = true;
    return is_fatal(rc) ? BROKEN : MOVED;
}

static int receive(struct flows *f, struct flow *flow) {
    ssize_t n = libssh2_channel_read(flow->channel, flow->down.bytes, FLOW_BYTES);
    if (n == LIBSSH2_ERROR_EAGAIN) /* it may send as well: that more can be taken */
        return would_block(f, flow, receive);
    if (n < 0) {
        give_up(flow);
        return is_fatal((int)n) ? BROKEN : MOVED;
    }
    if (n == 0) {
        flow->down.ended = libssh2_channel_eof(flow->channel) != 0;
        return flow->down.ended ? MOVED : NOTHING;
    }
    flow->down.at = 0;
    flow->down.len = (size_t)n;
    return MOVED;
}

static int free_channel(struct flows *f, struct flow *flow) {
    int rc = libssh2_channel_free(flow->channel);
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return would_block(f, flow, free_channel);
    flow->channel = NULL;
    flow->stage = FLOW_CLOSED;
    return is_fatal(rc) ? BROKEN : MOVED;
}

/* ---- The socket's side */

static int read_socket(struct flow *flow) {
    ssize_t n = recv(flow->fd, flow->up.bytes, FLOW_BYTES, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return NOTHING;
    if (n < 0) { /* reset: the host need not go on */
        give_up(flow);
        return MOVED;
    }
    flow->up.at = 0;
    flow->up.len = (size_t)n;
    flow->up.ended = n == 0;
    return MOVED;
}

static int write_socket(struct flow *flow) {
    ssize_t n = send(flow->fd, flow->down.bytes + flow->down.at, flow->down.len,
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return NOTHING;
    if (n < 0) {
        give_up(flow);
        return MOVED;
    }
    flow->down.at += (size_t)n;
    flow->down.len -= (size_t)n;
    return n > 0 ? MOVED : NOTHING;
}

/* ---- Steps */

static int step_up(struct flows *f, struct flow *flow) {
    if (flow->up.len == 0 && !flow->up.ended) {
        int rc = read_socket(flow);
        if (rc != MOVED || flow->stage != FLOW_OPEN)
            return rc;
    }
    if (flow->up.len > 0)
        return send_up(f, flow);
    return flow->up.ended && !flow->up.passed ? send_end(f, flow) : NOTHING;
}

static int step_down(struct flows *f, struct flow *flow) {
    if (flow->down.len == 0 && !flow->down.ended) {
        int rc = receive(f, flow);
        if (rc != MOVED || flow->stage != FLOW_OPEN)
            return rc;
    }
    if (flow->down.len > 0)
        return write_socket(flow);
    if (flow->down.ended && !flow->down.passed) {
        flow->down.passed = true;
        shutdown(flow->fd, SHUT_WR);
        return MOVED;
    }
    return NOTHING;
}

static int step_flow(struct flows *f, struct flow *flow) {
    int moved = NOTHING;
    if (flow->stage == FLOW_WAITING)
        return f->opening == NULL || f->opening == flow ? open_channel(f, flow) : NOTHING;
    if (flow->stage == FLOW_CLOSING)
        return free_channel(f, flow);
    int rc = step_up(f, flow);
    if (rc != NOTHING)
        moved = rc;
    if (rc >= 0 && f->stuck == NULL && flow->stage == FLOW_OPEN) {
        rc = step_down(f, flow);
        if (rc != NOTHING)
            moved = rc;
    }
    if (flow->stage == FLOW_OPEN && flow->up.passed && flow->down.passed)
        give_up(flow);
    return moved;
}

static void sweep(struct flows *f) {
    for (struct flow **at = &f->list; *at != NULL;) {
        struct flow *flow = *at;
        if (flow->stage != FLOW_CLOSED) {
            at = &flow->next;
            continue;
        }
        *at = flow->next;
        close_socket(flow);
        free(flow);
        f->len--;
    }
}

/* Nothing ever comes for this channel, but what does come in is taken off the socket by it. */
static int step_idle(struct flows *f) {
    char byte;
    if (f->idle == NULL)
        return NOTHING;
    ssize_t n = libssh2_channel_read(f->idle, &byte, 1);
    if (n == LIBSSH2_ERROR_EAGAIN || n > 0)
        return NOTHING;
    return n == 0 && !libssh2_channel_eof(f->idle) ? NOTHING : BROKEN;
}

int flows_step(struct flows *f) {
    if (f->stuck != NULL) {
        struct flow *flow = f->stuck;
        int (*call)(struct flows *, struct flow *) = f->stuck_call;
        f->stuck = NULL;
        int rc = call(f, flow);
        if (rc != MOVED)
            return rc;
    }
    int moved = NOTHING;
    for (struct flow *flow = f->list; flow != NULL && f->stuck == NULL; flow = flow->next) {
        int rc = step_flow(f, flow);
        if (rc == BROKEN)
            return BROKEN;
        moved |= rc;
    }
    if (f->stuck == NULL && step_idle(f) == BROKEN)
        return BROKEN;
    if (f->stuck == NULL)
        sweep(f);
    return moved;
}

size_t flows_poll(const struct flows *f, struct pollfd *fds, size_t max) {
    size_t n = 0;
    fds[n++] = (struct pollfd){.fd = f->ssh->fd, .events = f->stuck != NULL ? POLLOUT : POLLIN};
    if (f->stuck != NULL) /* nothing else can be done until then */
        return n;
    for (const struct flow *flow = f->list; flow != NULL && n < max; flow = flow->next) {
        short events = 0;
        if (flow->stage != FLOW_OPEN)
            continue;
        if (flow->up.len == 0 && !flow->up.ended)
            events |= POLLIN;
        if (flow->down.len > 0)
            events |= POLLOUT;
        if (events != 0)
            fds[n++] = (struct pollfd){.fd = flow->fd, .events = events};
    }
    return n;
}

void flows_free(struct flows *f) {
    while (f->list != NULL) {
        struct flow *flow = f->list;
        f->list = flow->next;
        close_socket(flow);
        free(flow);
    }
    *f = (struct flows){0};
}
