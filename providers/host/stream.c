#include "providers/host/stream.h"

#include "providers/host/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int stream_init(struct host_stream *s, struct arena *arena, size_t steps) {
    *s = (struct host_stream){
        .arena = arena, .steps = steps, .fd = -1, .between = BUF_INIT(BUF_SMALL)};
    s->bytes = arena_calloc(arena, steps + 1, sizeof *s->bytes);
    s->changed = arena_calloc(arena, steps + 1, sizeof *s->changed);
    s->digest = EVP_MD_CTX_new();
    return s->bytes == NULL || s->changed == NULL || s->digest == NULL ? -ERRC_NOMEM : 0;
}

void stream_free(struct host_stream *s) {
    if (s->fd >= 0)
        close(s->fd);
    EVP_MD_CTX_free(s->digest);
    buf_free(&s->between);
    free(s->items);
    *s = (struct host_stream){.fd = -1};
}

static int append(struct host_stream *s, struct stream_file file, struct err *err) {
    if (s->len == s->cap) {
        size_t cap = s->cap == 0 ? 64 : s->cap * 2;
        struct stream_file *items = realloc(s->items, cap * sizeof *items);
        if (items == NULL)
            return err_no_memory(err);
        s->items = items;
        s->cap = cap;
    }
    s->items[s->len++] = file;
    return 0;
}

int stream_add(struct host_stream *s, const struct stream_file *file, struct err *err) {
    if (file->size_bytes > TAR_FILE_MAX)
        return err_set(err, ERRC_LIMIT, "%s is larger than 8 GiB", file->local_path);
    s->bytes[file->step] += tar_file_bytes(file->path, file->size_bytes);
    return append(s, *file, err);
}

int stream_end(struct host_stream *s, size_t step, struct err *err) {
    if (s->bytes[step] == 0)
        return 0;
    s->bytes[step] += TAR_END_BYTES + 1;
    return append(s, (struct stream_file){.step = step}, err);
}

/* ---- Being sent */

static void spoil(struct host_stream *s, const struct stream_file *f) {
    s->changed[f->step] = f->local_path;
}

static void open_file(struct host_stream *s, const struct stream_file *f) {
    s->fd = open(f->local_path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0)
        spoil(s, f);
    s->left = f->size_bytes;
    EVP_DigestInit_ex(s->digest, EVP_sha256(), NULL);
}

/* After its last byte: was it what it was when it was planned? */
static void close_file(struct host_stream *s, const struct stream_file *f) {
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    _cleanup_buf_ struct buf hex = BUF_INIT(BUF_SMALL);
    EVP_DigestFinal_ex(s->digest, sum, &len);
    buf_add_hex(&hex, sum, len);
    char more;
    bool longer = s->fd >= 0 && read(s->fd, &more, 1) > 0;
    if (longer || strcmp(buf_cstr(&hex), f->sha256) != 0)
        spoil(s, f);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* Up to `size` bytes of content; what cannot be read is zeros, so that the archive stays whole. */
static size_t read_content(struct host_stream *s, const struct stream_file *f, char *to,
                           size_t size) {
    size_t n = (size_t)s->left < size ? (size_t)s->left : size;
    ssize_t got = -1;
    do
        got = s->fd < 0 ? -1 : read(s->fd, to, n);
    while (got < 0 && s->fd >= 0 && errno == EINTR);
    if (got <= 0) {
        spoil(s, f);
        memset(to, 0, n);
        got = (ssize_t)n;
    }
    EVP_DigestUpdate(s->digest, to, (size_t)got);
    s->left -= got;
    return (size_t)got;
}

/* What stands between contents: 0 and in s->between, or -ERRC_NOMEM. */
static int begin_item(struct host_stream *s) {
    const struct stream_file *f = &s->items[s->at];
    buf_reset(&s->between);
    s->between_sent = 0;
    if (f->path == NULL) {
        buf_addn(&s->between, '\0', TAR_END_BYTES);
        buf_addc(&s->between, STREAM_END);
    } else {
        tar_add_header(&s->between, f->path, f->mode, f->size_bytes);
        open_file(s, f);
    }
    return s->between.failed ? -ERRC_NOMEM : 0;
}

static void end_item(struct host_stream *s) {
    const struct stream_file *f = &s->items[s->at++];
    buf_reset(&s->between);
    s->between_sent = 0;
    if (f->path == NULL)
        return;
    close_file(s, f);
    buf_addn(&s->between, '\0', tar_padding(f->size_bytes));
}

static size_t take_between(struct host_stream *s, char *to, size_t size) {
    size_t n = s->between.len - s->between_sent;
    if (n > size)
        n = size;
    memcpy(to, s->between.ptr + s->between_sent, n);
    s->between_sent += n;
    return n;
}

static ssize_t read_stream(void *ctx, char *to, size_t size, struct err *err) {
    struct host_stream *s = ctx;
    size_t done = 0;
    while (done < size) {
        if (s->between_sent < s->between.len) {
            done += take_between(s, to + done, size - done);
        } else if (s->at == s->len) {
            break;
        } else if (!s->begun) {
            if (begin_item(s) < 0)
                return err_no_memory(err);
            s->begun = true;
        } else if (s->left > 0) {
            done += read_content(s, &s->items[s->at], to + done, size - done);
        } else {
            end_item(s);
            s->begun = false;
        }
    }
    return (ssize_t)done;
}

struct ssh_source stream_source(struct host_stream *s) {
    return (struct ssh_source){.read = read_stream, .ctx = s};
}
