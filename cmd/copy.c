#define _GNU_SOURCE /* F_SETPIPE_SZ */
#include "cmd/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIPE_BYTES = 1024 * 1024, NAME_BYTES = 8192, LIST_BYTES = 256 * 1024 * 1024 };
#define SHOW_EVERY_S 0.2

int copy_start(struct copy *c, const char *script, const char *const *args, struct err *err) {
    _cleanup_buf_ struct buf command = BUF_INIT(BUF_SMALL);
    buf_adds(&command, "exec sh -c ");
    buf_add_quoted(&command, str_of(script));
    buf_adds(&command, " berth-cp");
    for (; *args != NULL; args++) {
        buf_addc(&command, ' ');
        buf_add_quoted(&command, str_of(*args));
    }
    if (c->bytes == NULL)
        c->bytes = malloc(COPY_CHUNK);
    if (command.failed || c->bytes == NULL)
        return err_no_memory(err);
    int rc = ssh_child_start(c->s, c->list, c->server, buf_cstr(&command), &c->child, err);
    if (rc == 0) {
        fcntl(c->child.in, F_SETPIPE_SZ, PIPE_BYTES);
        fcntl(c->child.out, F_SETPIPE_SZ, PIPE_BYTES);
    }
    return rc;
}

int copy_check(const struct copy *c, struct err *err) {
    if (atomic_load(&c->s->cancel) == 0)
        return 0;
    err_set(err, ERRC_CANCELLED, "interrupted");
    err_hint(err, "the same command goes on from there");
    return -ERRC_CANCELLED;
}

int copy_end(struct copy *c, struct err *err) {
    int status = 0;
    int rc = ssh_child_end(&c->child, &status, err);
    if (copy_check(c, err) < 0)
        return -ERRC_CANCELLED;
    if (rc == 0 && status != 0)
        rc = ssh_child_failed(&c->child, status, c->server->address, err);
    if (rc == -ERRC_NET)
        err_hint(err, "the same command goes on from there");
    return rc;
}

/* The session ended before it should: it has said why. */
static int broken(struct copy *c, struct err *err) {
    int rc = copy_end(c, err);
    return rc < 0 ? rc : err_set(err, ERRC_HOST, "%s: it ended too early", c->server->address);
}

int copy_send(struct copy *c, const void *bytes, size_t len, struct err *err) {
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = write(c->child.in, at, len);
        if (copy_check(c, err) < 0)
            return -ERRC_CANCELLED;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return broken(c, err);
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static void end_post(struct copy *c) {
    c->post = (struct str){NULL, 0};
    fcntl(c->child.in, F_SETFL, 0);
    if (c->post_ends) {
        close(c->child.in);
        c->child.in = -1;
    }
}

void copy_post(struct copy *c, struct str bytes, bool ends) {
    c->post = bytes;
    c->post_ends = ends;
    fcntl(c->child.in, F_SETFL, O_NONBLOCK);
    if (bytes.len == 0)
        end_post(c);
}

/* Sends until there is something to read, or nothing more to send. */
static int send_post(struct copy *c, struct err *err) {
    while (c->post.len > 0) {
        struct pollfd fds[] = {{.fd = c->child.in, .events = POLLOUT},
                               {.fd = c->child.out, .events = POLLIN}};
        int ready = poll(fds, 2, -1);
        if (copy_check(c, err) < 0)
            return -ERRC_CANCELLED;
        if (ready < 0)
            continue;
        ssize_t n = fds[0].revents == 0 ? 0 : write(c->child.in, c->post.ptr, c->post.len);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return broken(c, err);
        c->post.ptr += n > 0 ? n : 0;
        c->post.len -= n > 0 ? (size_t)n : 0;
        if (c->post.len == 0)
            end_post(c);
        if (fds[1].revents != 0)
            break;
    }
    return 0;
}

static ssize_t refill(struct copy *c, struct err *err) {
    for (;;) {
        int rc = send_post(c, err);
        if (rc < 0)
            return rc;
        ssize_t n = read(c->child.out, c->bytes, COPY_CHUNK);
        if (copy_check(c, err) < 0)
            return -ERRC_CANCELLED;
        if (n < 0 && errno == EINTR)
            continue;
        c->at = 0;
        c->len = n > 0 ? (size_t)n : 0;
        return n < 0 ? broken(c, err) : n;
    }
}

int copy_read_to(struct copy *c, char end, struct buf *out, struct err *err) {
    buf_reset(out);
    for (;;) {
        if (c->at == c->len) {
            ssize_t n = refill(c, err);
            if (n <= 0)
                return n < 0 ? (int)n : broken(c, err);
        }
        const char *from = c->bytes + c->at;
        const char *found = memchr(from, end, c->len - c->at);
        size_t len = found != NULL ? (size_t)(found - from) : c->len - c->at;
        buf_add(out, from, len);
        c->at += len + (found != NULL);
        if (out->failed)
            return err_set(err, ERRC_LIMIT, "%s: the answer is too long", c->server->address);
        if (found != NULL)
            return 0;
    }
}

ssize_t copy_read(struct copy *c, void *bytes, size_t size, struct err *err) {
    if (c->at == c->len) {
        ssize_t n = refill(c, err);
        if (n <= 0)
            return n;
    }
    size_t n = c->len - c->at < size ? c->len - c->at : size;
    memcpy(bytes, c->bytes + c->at, n);
    c->at += n;
    return (ssize_t)n;
}

int copy_keep(int fd, const char *name, const char *bytes, size_t len, struct err *err) {
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno != EINTR)
            return err_set_errno(err, ERRC_IO, errno, "write %s", name);
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

void copy_progress(struct copy *c, int64_t moved) {
    const struct cmd *cmd = c->s->cmd;
    c->done += moved;
    double now = monotonic_s();
    if (!cmd->err_look.tty || (now - c->shown_s < SHOW_EVERY_S && c->done < c->total))
        return;
    c->shown_s = now;
    double mb = (double)c->done / 1e6, all = (double)c->total / 1e6;
    double speed = now > c->started_s ? mb / (now - c->started_s) : 0;
    fprintf(cmd->err, "\r%3.0f %%  %.1f of %.1f MB  %.1f MB/s   ",
            c->total > 0 ? 100.0 * mb / all : 100.0, mb, all, speed);
    fflush(cmd->err);
}

int copy_hash(int fd, int64_t size, char ret[65], struct err *err) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char *chunk = malloc(COPY_CHUNK);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = chunk != NULL && ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
    for (int64_t at = 0; good && at < size;) {
        size_t most = size - at < COPY_CHUNK ? (size_t)(size - at) : COPY_CHUNK;
        ssize_t n = pread(fd, chunk, most, at);
        good = n > 0 && EVP_DigestUpdate(ctx, chunk, (size_t)n) == 1;
        at += n;
    }
    good = good && EVP_DigestFinal_ex(ctx, digest, &len) == 1;
    EVP_MD_CTX_free(ctx);
    free(chunk);
    if (!good)
        return err_set(err, ERRC_IO, "a file cannot be read");
    for (unsigned i = 0; i < 32; i++)
        snprintf(ret + (size_t)i * 2, 3, "%02x", digest[i]);
    return 0;
}

/* ---- Lists of files */

int copy_add_entry(struct copy_entries *e, char type, int64_t size, const char *path) {
    if (e->len == e->cap) {
        size_t cap = e->cap == 0 ? 256 : e->cap * 2;
        struct copy_entry *items = realloc(e->items, cap * sizeof *items);
        if (items == NULL)
            return -ERRC_NOMEM;
        e->items = items;
        e->cap = cap;
    }
    const char *copy = arena_dup(&e->arena, path);
    if (copy == NULL)
        return -ERRC_NOMEM;
    e->items[e->len++] = (struct copy_entry){.type = type, .size = size, .path = copy};
    return 0;
}

void copy_entries_free(struct copy_entries *e) {
    free(e->items);
    arena_free(&e->arena);
    *e = (struct copy_entries){0};
}

static bool leads_out(const char *path) {
    struct str rest = str_of(path), part;
    if (path[0] == '/' || path[0] == '\0')
        return true;
    while (str_split(&rest, '/', &part))
        if (part.len == 0 || str_eqc(part, ".") || str_eqc(part, ".."))
            return true;
    return false;
}

int copy_read_entries(struct copy *c, struct copy_entries *ret, struct err *err) {
    _cleanup_buf_ struct buf record = BUF_INIT(NAME_BYTES);
    for (size_t total = 0;; total += record.len + 1) {
        struct str rest, type, size;
        int64_t bytes;
        int rc = copy_read_to(c, '\0', &record, err);
        if (rc < 0)
            return rc;
        rest = buf_str(&record);
        if (!str_split(&rest, ' ', &type) || type.len != 1 || !str_split(&rest, ' ', &size) ||
            rest.ptr == NULL || !str_to_i64(size, -1, INT64_MAX, &bytes))
            return err_set(err, ERRC_HOST, "%s: it answered something else than was asked",
                           c->server->address);
        if (type.ptr[0] == 'e')
            return 0;
        if (total > LIST_BYTES)
            return err_set(err, ERRC_LIMIT, "%s: there are too many files", c->server->address);
        if (leads_out(rest.ptr))
            return err_set(err, ERRC_HOST, "%s: a name that leads out of the folder",
                           c->server->address);
        if (copy_add_entry(ret, type.ptr[0], bytes, rest.ptr) < 0)
            return err_no_memory(err);
    }
}

const char *copy_base(struct arena *arena, const char *path) {
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    size_t from = len;
    while (from > 0 && path[from - 1] != '/')
        from--;
    return arena_dup_str(arena, (struct str){path + from, len - from});
}

const char *copy_local_target(struct copy *c, struct err *err) {
    struct stat st;
    const char *base = copy_base(&c->s->arena, c->remote);
    size_t len = strlen(c->local);
    bool slash = len > 0 && c->local[len - 1] == '/';
    const char *target = c->local;
    if (base != NULL && strcmp(base, "..") == 0)
        base = "."; /* its name is not known here: what is in it goes to where it was to go */
    if (stat(c->local, &st) == 0 && S_ISDIR(st.st_mode))
        target = base == NULL
                     ? NULL
                     : arena_printf(&c->s->arena, "%s%s%s", c->local, slash ? "" : "/", base);
    else if (slash) {
        err_set(err, ERRC_NOTFOUND, "there is no folder %s here", c->local);
        err_hint(err, "make it first, or leave the slash at its end out");
        return NULL;
    }
    if (target == NULL)
        err_no_memory(err);
    return target;
}
