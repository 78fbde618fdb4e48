/* One command over an SSH connection: its input streamed, its output by the line. */
#include "providers/host/ssh_internal.h"

#include <string.h>

enum {
    OPEN_MS = 15000,   /* until the channel stands, and until it is closed */
    IDLE_MS = 3600000, /* a step that says nothing for that long is stuck */
    ASIDE_S = 10,      /* for a command beside another */
    ERRORS_MAX = 16384
};

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
             ssh_wait_io(s, until));
    if (*ret == NULL)
        return ssh_error(s, ERRC_NET, "cannot open a channel", err);
    SSH_RETRY(rc, s, until, libssh2_channel_exec(*ret, command));
    return rc == 0 ? 0 : ssh_error(s, ERRC_NET, "cannot run a command", err);
}

static void free_channel(struct ssh *s, LIBSSH2_CHANNEL *channel) {
    int rc;
    double until = monotonic_s() + 1;
    if (channel != NULL)
        SSH_RETRY(rc, s, until, libssh2_channel_free(channel));
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
        while (!libssh2_channel_eof(channel) && ssh_wait_io(s, until)) {
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
    int rc = open_channel(s, command, monotonic_s() + OPEN_MS / 1000.0, &r->channel, err);
    if (rc < 0)
        return rc;
    double until = monotonic_s() + IDLE_MS / 1000.0;
    while (!libssh2_channel_eof(r->channel)) {
        int moved = pump(r);
        if (moved < 0 || ssh_is_cancelled(s))
            return ssh_error(s, ERRC_NET, "the connection was lost", err);
        if (r->out != NULL && r->out->failed)
            return err_set(err, ERRC_LIMIT, "%s: the output is too long", s->where);
        if (r->stop != NULL && r->input_ended && ssh_cancel_level(s) > 0) {
            run_aside(s, r->stop);
            r->stop = NULL;
        }
        if (moved > 0)
            until = monotonic_s() + IDLE_MS / 1000.0;
        else if (!is_queued(r->channel) && !ssh_wait_io(s, until))
            return ssh_error(s, ERRC_TIMEOUT, "the host said nothing for a long time", err);
    }
    until = monotonic_s() + OPEN_MS / 1000.0;
    SSH_RETRY(ended, s, until, libssh2_channel_close(r->channel));
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
