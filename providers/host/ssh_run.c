/* One command over an SSH connection: its input streamed, its output by the line. */
#include "providers/host/ssh_internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPEN_MS = 15000,   /* until the channel stands, and until it is closed */
    IDLE_MS = 3600000, /* a step that says nothing for that long is stuck */
    ASIDE_S = 10,      /* for a command beside another */
    /* Of a silent host: */
    ASK_S = 5,     /* after that, and that often, it is sent something to acknowledge */
    SILENT_S = 10, /* without an acknowledgement the user is told */
    DEAD_S = 15,   /* the link is down, or the host is */
    ERRORS_MAX = 16384,
    LINE_MAX_BYTES = 24 * 1024 * 1024,
    SOURCE_BYTES = 256 * 1024, /* of a source at once */
    SEND_BROKEN = INT_MIN,     /* told apart from the codes of a source */
};

struct exchange {
    const struct ssh_command *command;
    LIBSSH2_CHANNEL *channel;
    struct str input; /* still to be sent */
    char *chunk;      /* of the source; SOURCE_BYTES */
    bool input_ended;
    struct buf line;  /* the unfinished last one */
    const char *stop; /* still to be run aside at the first Ctrl-C, or NULL */
    struct err *err;
};

static void take_output(struct exchange *r, const char *bytes, size_t len) {
    const struct ssh_command *c = r->command;
    if (c->on_line == NULL) {
        if (c->out != NULL)
            buf_add(c->out, bytes, len);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        bool full = r->line.len == r->line.max; /* it may have no end: it is handed on in parts */
        if (bytes[i] != '\n' && !full) {
            buf_addc(&r->line, bytes[i]);
            continue;
        }
        i -= full;
        c->on_line(c->ctx, buf_str(&r->line));
        buf_reset(&r->line);
    }
}

/* Keeps the end: that is where programs say why they stopped. */
static void take_errors(struct exchange *r, const char *bytes, size_t len) {
    struct buf *errors = r->command->errors;
    if (errors == NULL)
        return;
    if (errors->len + len > ERRORS_MAX && errors->len > 0) {
        size_t drop = errors->len / 2;
        memmove(errors->ptr, errors->ptr + drop, errors->len - drop);
        errors->len -= drop;
    }
    buf_add(errors, bytes, len < ERRORS_MAX ? len : ERRORS_MAX);
}

/* What is to be sent next, when all before has been. 0, or what the source said. */
static int refill(struct exchange *r) {
    const struct ssh_source *source = r->command->source;
    if (r->input.len > 0 || source == NULL || r->input_ended)
        return 0;
    ssize_t n = source->read(source->ctx, r->chunk, SOURCE_BYTES, r->err);
    if (n < 0)
        return (int)n;
    r->input = (struct str){r->chunk, (size_t)n};
    return 0;
}

/* As much as can be sent now: 1 something was, 0 nothing, SEND_BROKEN, or what the source said. */
static int send_input(struct exchange *r) {
    int moved = 0;
    while (!r->input_ended) {
        int rc = refill(r);
        if (rc < 0)
            return rc;
        if (r->input.len == 0 && r->command->keep) {
            r->input_ended = true;
            break;
        }
        ssize_t n = r->input.len > 0 ? libssh2_channel_write(r->channel, r->input.ptr, r->input.len)
                                     : libssh2_channel_send_eof(r->channel);
        if (n == LIBSSH2_ERROR_EAGAIN)
            return moved;
        if (n < 0)
            return SEND_BROKEN;
        moved = 1;
        r->input_ended = r->input.len == 0;
        r->input.ptr += n;
        r->input.len -= (size_t)n;
    }
    return moved;
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
        return SEND_BROKEN;
    }
    n = libssh2_channel_read_stderr(r->channel, chunk, sizeof chunk);
    if (n > 0) {
        take_errors(r, chunk, (size_t)n);
        moved = 1;
    } else if (n < 0 && n != LIBSSH2_ERROR_EAGAIN) {
        return SEND_BROKEN;
    }
    int sent = send_input(r);
    return sent < 0 ? sent : moved | sent;
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

/* Something for the host's kernel to acknowledge, unless a packet is half sent. */
static void ask(struct ssh *s) {
    int next_s = 0;
    if ((libssh2_session_block_directions(s->session) & LIBSSH2_SESSION_BLOCK_OUTBOUND) == 0)
        libssh2_keepalive_send(s->session, &next_s); /* no more often than configured */
}

/* Waits until the command says something, or can be sent more; false as ssh_wait_io, or with
 * *ret_dead when the link is dead. A silent host is asked; its kernel acknowledges that at once,
 * however busy it is. While it still is to be sent something, the limit is TCP's own (ssh_tcp.c),
 * which lets longer outages pass: what is cut then cannot be joined again. */
static bool await(struct ssh *s, struct exchange *r, double until, bool *ret_dead) {
    const struct ssh_command *c = r->command;
    double began = monotonic_s(), now = began;
    bool told = c->on_silence == NULL;
    while (now < until) {
        if (ssh_wait_io(s, now + 1 < until ? now + 1 : until))
            return true;
        now = monotonic_s();
        if (ssh_is_cancelled(s))
            return false;
        if (now - began < ASK_S)
            continue;
        ask(s);
        double unheard_s = ssh_unheard_s(s->fd);
        *ret_dead = r->input_ended && now - began > DEAD_S && unheard_s > DEAD_S;
        if (*ret_dead)
            return false;
        if (!told && now - began > SILENT_S && unheard_s > SILENT_S) {
            c->on_silence(c->ctx, (int)unheard_s);
            told = true;
        }
    }
    return false;
}

static int link_is_dead(struct ssh *s, struct err *err) {
    return err_set(err, ERRC_NET,
                   "%s: the link is dead: the host has acknowledged nothing for %d s", s->where,
                   (int)ssh_unheard_s(s->fd));
}

static bool is_enough(const struct exchange *r) {
    return r->command->enough != NULL && *r->command->enough;
}

static int run_channel(struct ssh *s, struct exchange *r, int *ret_status, struct err *err) {
    const struct ssh_command *c = r->command;
    int ended;
    bool dead = false;
    libssh2_keepalive_config(s->session, 0, ASK_S);
    int rc = 0;
    if (c->command != NULL) {
        rc = open_channel(s, c->command, monotonic_s() + OPEN_MS / 1000.0, &r->channel, err);
    } else {
        r->channel = s->kept;
        s->kept = NULL;
    }
    if (rc < 0)
        return rc;
    double until = monotonic_s() + IDLE_MS / 1000.0;
    while (!libssh2_channel_eof(r->channel) && !is_enough(r)) {
        int moved = pump(r);
        if (moved < 0 && moved != SEND_BROKEN)
            return moved;
        if (moved < 0 || ssh_is_cancelled(s))
            return ssh_error(s, ERRC_NET, "the connection was lost", err);
        if (c->out != NULL && c->out->failed)
            return err_set(err, ERRC_LIMIT, "%s: the output is too long", s->where);
        if (r->stop != NULL && r->stop[0] != '\0' && r->input_ended && ssh_cancel_level(s) > 0) {
            run_aside(s, r->stop);
            r->stop = NULL;
        }
        if (moved > 0)
            until = monotonic_s() + IDLE_MS / 1000.0;
        else if (!is_queued(r->channel) && !await(s, r, until, &dead))
            return dead ? link_is_dead(s, err)
                        : ssh_error(s, ERRC_TIMEOUT, "the host said nothing for a long time", err);
    }
    if (is_enough(r)) {
        *ret_status = 0;
        if (c->keep)
            s->kept = r->channel;
        else /* the host's own "closed" takes a round trip; libssh2 takes it when it comes */
            libssh2_channel_close(r->channel);
        r->channel = NULL; /* freed with the session */
        return 0;
    }
    until = monotonic_s() + OPEN_MS / 1000.0;
    SSH_RETRY(ended, s, until, libssh2_channel_close(r->channel));
    if (c->on_line != NULL && r->line.len > 0)
        c->on_line(c->ctx, buf_str(&r->line));
    return take_status(s, r->channel, ret_status, err);
}

int ssh_run_command(struct ssh *s, const struct ssh_command *command, int *ret_status,
                    struct err *err) {
    struct exchange r = {.command = command,
                         .input = command->input,
                         .line = BUF_INIT(LINE_MAX_BYTES),
                         .stop = command->stop,
                         .err = err};
    if (command->source != NULL && (r.chunk = malloc(SOURCE_BYTES)) == NULL)
        return err_no_memory(err);
    int rc = run_channel(s, &r, ret_status, err);
    s->used_s = monotonic_s();
    s->broken = s->broken || rc == -ERRC_NET;
    free_channel(s, r.channel);
    buf_free(&r.line);
    free(r.chunk);
    if (rc == 0 && command->out != NULL && command->out->failed)
        return err_set(err, ERRC_LIMIT, "%s: the output is too long", s->where);
    return rc;
}

bool ssh_has_kept(const struct ssh *s) { return s->kept != NULL; }

int ssh_run(struct ssh *s, const char *command, struct str input, struct buf *out,
            struct buf *errors, int *ret_status, struct err *err) {
    const struct ssh_command c = {.command = command, .input = input, .out = out, .errors = errors};
    return ssh_run_command(s, &c, ret_status, err);
}
