/* A single file: appended to ".NAME.berth-part", which a copy that was cut leaves behind, and
 * renamed when it is whole. What is there already counts if its hash is that of our first bytes. */
#include "cmd/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* $1 where to, $2 its name here, $3 mode, $4 size. It says: size and hash of the part, of the file
 * (only if that is as large); it is told from where on. */
static const char script_up[] =
    "fail() { echo \"$*\" >&2; exit 3; }; sum() { sha256sum | cut -d\" \" -f1; }; "
    "d=$1; case $d in */) mkdir -p \"$d\";; esac; umask 077; "
    "if [ -d \"$d\" ]; then t=${d%/}/$2; else t=$d; fi; "
    "[ ! -d \"$t\" ] || fail \"$t is a folder there\"; "
    "f=${t##*/}; case $t in */*) p=${t%/*}/.$f" COPY_PART ";; *) p=.$f" COPY_PART ";; esac; "
    "n=0 h=- m=-1 g=-; "
    "if [ -f \"$p\" ]; then n=$(stat -c %s \"$p\"); h=$(sum <\"$p\"); fi; "
    "if [ -f \"$t\" ]; then m=$(stat -c %s \"$t\"); [ \"$m\" != \"$4\" ] || g=$(sum <\"$t\"); fi; "
    "echo \"$n $h $m $g\"; read -r from || exit 3; "
    "if [ \"$from\" = same ]; then chmod \"$3\" \"$t\"; rm -f \"$p\"; exit; fi; "
    "[ \"$from\" != 0 ] || : >\"$p\" || exit 3; "
    "cat >>\"$p\" || exit 3; "
    "[ \"$(stat -c %s \"$p\")\" = \"$4\" ] || fail \"the copy of $t is not whole yet\"; "
    "chmod \"$3\" \"$p\" && mv -f \"$p\" \"$t\"";

/* Of "SIZE HASH": are these our first bytes? */
static bool is_ours(int fd, int64_t size, struct str theirs, struct str hash) {
    char ours[65];
    int64_t n;
    struct err ignored;
    return str_to_i64(theirs, 0, size, &n) && copy_hash(fd, n, ours, &ignored) == 0 &&
           str_eqc(hash, ours);
}

static int agree_up(struct copy *c, int fd, int64_t size, int64_t *ret_from, bool *ret_same,
                    struct err *err) {
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    struct str part, part_hash, whole, whole_hash;
    char answer[32] = "same\n";
    int rc = copy_read_to(c, '\n', &line, err);
    if (rc < 0)
        return rc;
    whole_hash = buf_str(&line);
    if (!str_split(&whole_hash, ' ', &part) || !str_split(&whole_hash, ' ', &part_hash) ||
        !str_split(&whole_hash, ' ', &whole) || whole_hash.ptr == NULL)
        return err_set(err, ERRC_HOST, "%s: it answered something else than was asked",
                       c->server->address);
    *ret_same = is_ours(fd, size, whole, whole_hash);
    if (!*ret_same) {
        if (!is_ours(fd, size, part, part_hash) || !str_to_i64(part, 0, size, ret_from))
            *ret_from = 0;
        snprintf(answer, sizeof answer, "%lld\n", (long long)*ret_from);
    }
    return copy_send(c, answer, strlen(answer), err);
}

static int send_from(struct copy *c, int fd, int64_t from, struct err *err) {
    char *chunk = malloc(COPY_CHUNK);
    int rc = chunk == NULL ? err_no_memory(err) : 0;
    for (int64_t at = from; rc == 0 && at < c->total + from;) {
        ssize_t n = pread(fd, chunk, COPY_CHUNK, at);
        if (n == 0) {
            rc = err_set(err, ERRC_IO, "%s became shorter meanwhile", c->local);
        } else if (n < 0 && errno != EINTR) {
            rc = err_set_errno(err, ERRC_IO, errno, "read %s", c->local);
        } else if (n > 0) {
            if (n > c->total + from - at)
                n = (ssize_t)(c->total + from - at);
            rc = copy_send(c, chunk, (size_t)n, err);
            at += n;
            copy_progress(c, n);
        }
    }
    free(chunk);
    return rc;
}

int copy_file_up(struct copy *c, struct err *err) {
    struct stat st;
    int64_t from = 0;
    bool same = false;
    int fd = open(c->local, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int problem = errno;
        if (fd >= 0)
            close(fd);
        return err_set_errno(err, ERRC_IO, problem, "read %s", c->local);
    }
    char mode[8], size[24];
    snprintf(mode, sizeof mode, "%o", (unsigned)st.st_mode & 0777);
    snprintf(size, sizeof size, "%lld", (long long)st.st_size);
    const char *base = copy_base(&c->s->arena, c->local);
    const char *const args[] = {c->remote, base, mode, size, NULL};
    int rc = base == NULL ? err_no_memory(err) : copy_start(c, script_up, args, err);
    if (rc == 0)
        rc = agree_up(c, fd, st.st_size, &from, &same, err);
    if (rc == 0) {
        c->kept = same ? st.st_size : from;
        c->total = st.st_size - c->kept;
        c->started_s = monotonic_s();
        if (!same)
            rc = send_from(c, fd, from, err);
    }
    close(fd);
    return rc < 0 ? rc : copy_end(c, err);
}

/* ---- To here */

struct part {
    int fd;
    int64_t size;
    const char *path;
};

/* The server's hash of the first bytes, and ours. */
static int same_start(struct copy *c, int fd, int64_t size, bool *ret, struct err *err) {
    _cleanup_buf_ struct buf theirs = BUF_INIT(BUF_SMALL);
    char ours[65], question[40];
    snprintf(question, sizeof question, "hash %lld\n", (long long)size);
    int rc = copy_send(c, question, strlen(question), err);
    if (rc == 0)
        rc = copy_hash(fd, size, ours, err);
    if (rc == 0)
        rc = copy_read_to(c, '\n', &theirs, err);
    if (rc == 0)
        *ret = str_eqc(buf_str(&theirs), ours);
    return rc;
}

static int is_there(struct copy *c, const char *target, int64_t size, bool *ret, struct err *err) {
    struct stat st;
    *ret = false;
    int fd = open(target, O_RDONLY | O_CLOEXEC);
    int rc = 0;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == size)
        rc = same_start(c, fd, size, ret, err);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int open_part(struct copy *c, const char *target, int64_t size, struct part *ret,
                     struct err *err) {
    struct stat st;
    const char *base = copy_base(&c->s->arena, target);
    const char *slash = strrchr(target, '/');
    ret->path = base == NULL
                    ? NULL
                    : arena_printf(&c->s->arena, "%.*s.%s" COPY_PART,
                                   slash == NULL ? 0 : (int)(slash - target + 1), target, base);
    if (ret->path == NULL)
        return err_no_memory(err);
    ret->fd = open(ret->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (ret->fd < 0 || fstat(ret->fd, &st) < 0)
        return err_set_errno(err, ERRC_IO, errno, "write %s", ret->path);
    bool good = false;
    int rc =
        st.st_size > 0 && st.st_size <= size ? same_start(c, ret->fd, st.st_size, &good, err) : 0;
    ret->size = good ? st.st_size : 0;
    if (rc == 0 && !good && ftruncate(ret->fd, 0) < 0)
        rc = err_set_errno(err, ERRC_IO, errno, "write %s", ret->path);
    if (rc == 0 && lseek(ret->fd, ret->size, SEEK_SET) < 0)
        rc = err_set_errno(err, ERRC_IO, errno, "write %s", ret->path);
    return rc;
}

static int receive(struct copy *c, const struct part *part, int64_t size, struct err *err) {
    char question[40];
    char *chunk = malloc(COPY_CHUNK);
    int64_t at = part->size;
    snprintf(question, sizeof question, "from %lld\n", (long long)at);
    int rc = chunk == NULL ? err_no_memory(err) : copy_send(c, question, strlen(question), err);
    c->total = size - at;
    c->kept = at;
    c->started_s = monotonic_s();
    while (rc == 0) {
        ssize_t n = copy_read(c, chunk, COPY_CHUNK, err);
        if (n <= 0) {
            rc = (int)n;
            break;
        }
        rc = copy_keep(part->fd, part->path, chunk, (size_t)n, err);
        at += n;
        copy_progress(c, n);
        if (at > size) /* it may have no end */
            break;
    }
    free(chunk);
    if (rc == 0 && at <= size)
        rc = copy_end(c, err);
    if (rc == 0 && at != size) {
        err_set(err, ERRC_HOST, "%s became %s than %lld bytes meanwhile", c->remote,
                at > size ? "longer" : "shorter", (long long)size);
        err_hint(err, "it changes while it is copied; the same command tries again");
        return -ERRC_HOST;
    }
    return rc;
}

int copy_file_down(struct copy *c, const char *size_and_mode, struct err *err) {
    struct str rest = str_of(size_and_mode), first;
    int64_t size;
    bool same = false;
    char *end = NULL;
    struct part part = {.fd = -1};
    const char *target = copy_local_target(c, err);
    if (target == NULL)
        return -err->code;
    if (!str_split(&rest, ' ', &first) || rest.ptr == NULL ||
        !str_to_i64(first, 0, INT64_MAX, &size))
        return err_set(err, ERRC_HOST, "%s: it answered something else than was asked",
                       c->server->address);
    unsigned mode = (unsigned)strtoul(rest.ptr, &end, 8) & 0777;
    int rc = is_there(c, target, size, &same, err);
    if (rc == 0 && same) {
        c->kept = size;
        return chmod(target, mode) < 0 ? err_set_errno(err, ERRC_IO, errno, "write %s", target)
                                       : copy_end(c, err);
    }
    if (rc == 0)
        rc = open_part(c, target, size, &part, err);
    if (rc == 0)
        rc = receive(c, &part, size, err);
    if (rc == 0 && (fchmod(part.fd, mode) < 0 || rename(part.path, target) < 0))
        rc = err_set_errno(err, ERRC_IO, errno, "write %s", target);
    if (part.fd >= 0)
        close(part.fd);
    return rc;
}
