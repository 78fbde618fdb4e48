/* A folder: what either side has with the same size and hash stays; the rest travels as one tar
 * stream, with modes, times and links. */
#include "cmd/copy_guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEPTH_MAX = 64, LIST_BYTES = 256 * 1024 * 1024 };

#define FIND "find . -mindepth 1 -printf \"%y %s %P\\0\"; printf \"e -1 \\0\"; "
#define SUMS "read -r n || exit 3; head -c \"$n\" | xargs -0 -r sha256sum -- || exit 3; echo end; "

/* $1 where to, $2 its name here. */
static const char script_up[] =
    "d=$1; case $d in */) mkdir -p \"$d\";; esac; "
    "if [ -d \"$d\" ]; then t=${d%/}/$2; else t=$d; fi; "
    "if [ -e \"$t\" ] && [ ! -d \"$t\" ]; then echo \"$t is no folder there\" >&2; exit 3; fi; "
    "mkdir -p \"$t\" && cd \"$t\" || exit 3; " FIND SUMS "exec tar -x -p --no-same-owner -f -";

/* $1 from where. Of a file: its size and mode; "hash N" is answered, "from N" streams. */
static const char script_down[] =
    "if [ -d \"$1\" ]; then cd \"$1\" || exit 3; echo dir; " FIND SUMS
    "exec tar -c --format=gnu --null --no-recursion -T - -f -; fi; "
    "[ -f \"$1\" ] || { echo \"there is no $1\" >&2; exit 3; }; "
    "[ -r \"$1\" ] || { echo \"$1 cannot be read\" >&2; exit 3; }; "
    "stat -L -c \"%s %a\" \"$1\"; "
    "while read -r w n; do case $w in "
    "hash) head -c \"$n\" \"$1\" | sha256sum | cut -d\" \" -f1;; "
    "from) [ \"$n\" != 0 ] || exec cat \"$1\"; exec tail -c \"+$((n + 1))\" \"$1\";; "
    "esac; done";

static int walk(const char *root, const char *relative, int depth, struct copy_entries *out,
                struct err *err) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", root, relative);
    DIR *dir = depth == DEPTH_MAX ? NULL : opendir(path);
    if (dir == NULL)
        return depth == DEPTH_MAX ? err_set(err, ERRC_LIMIT, "%s is nested too deep", path)
                                  : err_set_errno(err, ERRC_IO, errno, "open %s", path);
    int rc = 0;
    const struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        char name[PATH_MAX];
        struct stat st = {0};
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int len = snprintf(name, sizeof name, "%s%s%s", relative, relative[0] == '\0' ? "" : "/",
                           entry->d_name);
        if (len >= (int)sizeof name)
            rc = err_set(err, ERRC_LIMIT, "a path in %s is too long", root);
        else if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            rc = err_set_errno(err, ERRC_IO, errno, "read %s/%s", root, name);
        else if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
            rc = copy_add_entry(out,
                                S_ISDIR(st.st_mode)   ? 'd'
                                : S_ISREG(st.st_mode) ? 'f'
                                                      : 'l',
                                st.st_size, name) < 0
                     ? err_no_memory(err)
                     : 0;
        if (rc == 0 && S_ISDIR(st.st_mode))
            rc = walk(root, name, depth + 1, out, err);
    }
    closedir(dir);
    return rc;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct copy_entry *)a)->path, ((const struct copy_entry *)b)->path);
}

static void sort(struct copy_entries *e) {
    if (e->len > 1)
        qsort(e->items, e->len, sizeof *e->items, by_path);
}

/* Regular files of one size on both sides; `same` marks them until the hashes say otherwise. */
static void mark_candidates(struct copy_entries *source, const struct copy_entries *target) {
    for (size_t i = 0, k = 0; i < source->len && k < target->len;) {
        int order = strcmp(source->items[i].path, target->items[k].path);
        if (order == 0)
            source->items[i].same = source->items[i].type == 'f' && target->items[k].type == 'f' &&
                                    source->items[i].size == target->items[k].size;
        i += order <= 0;
        k += order >= 0;
    }
}

static int send_list(struct copy *c, const struct buf *names, struct err *err) {
    char head[32];
    if (names->failed)
        return err_no_memory(err);
    snprintf(head, sizeof head, "%zu\n", names->len);
    int rc = copy_send(c, head, strlen(head), err);
    if (rc == 0)
        copy_post(c, buf_str(names), false);
    return rc;
}

static int compare_one(struct copy *c, const char *root, struct copy_entry *e, struct buf *line,
                       struct err *err) {
    char path[PATH_MAX], ours[65];
    struct err why;
    int rc = copy_read_to(c, '\n', line, err);
    if (rc < 0)
        return rc;
    struct str theirs = buf_str(line); /* "HASH  NAME", with a backslash before odd names */
    if (theirs.len > 0 && theirs.ptr[0] == '\\')
        theirs = (struct str){theirs.ptr + 1, theirs.len - 1};
    if (theirs.len < 64)
        return err_set(err, ERRC_HOST, "%s: it answered something else than was asked",
                       c->server->address);
    theirs.len = 64;
    snprintf(path, sizeof path, "%s/%s", root, e->path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    e->same = fd >= 0 && copy_hash(fd, e->size, ours, &why) == 0 && str_eqc(theirs, ours);
    if (fd >= 0)
        close(fd);
    return copy_check(c, err);
}

/* Asks for the hashes of what may be the same, compares with the files below `root` here. */
static int compare(struct copy *c, const char *root, struct copy_entries *source, struct err *err) {
    _cleanup_buf_ struct buf names = BUF_INIT(LIST_BYTES);
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    for (size_t i = 0; i < source->len; i++)
        if (source->items[i].same)
            buf_add(&names, source->items[i].path, strlen(source->items[i].path) + 1);
    int rc = send_list(c, &names, err);
    for (size_t i = 0; rc == 0 && i < source->len; i++) {
        struct copy_entry *e = &source->items[i];
        if (e->same)
            rc = compare_one(c, root, e, &line, err);
        if (e->type == 'f' && e->same)
            c->kept += e->size;
        else if (e->type == 'f')
            c->total += e->size;
    }
    return rc < 0 ? rc : copy_read_to(c, '\n', &line, err); /* "end" */
}

/* Sockets, pipes and devices stay where they are. */
static void list_wanted(const struct copy_entries *source, struct buf *out) {
    for (size_t i = 0; i < source->len; i++)
        if (!source->items[i].same && strchr("fdl", source->items[i].type) != NULL)
            buf_add(out, source->items[i].path, strlen(source->items[i].path) + 1);
}

/* ---- tar(1) here */

struct tar {
    pid_t pid;
    int fd; /* its output, or its input */
};

/* `list`: what to read, by its descriptor; -1 to write what comes. */
static int start_tar(const char *folder, int list, struct tar *ret, struct err *err) {
    int ends[2];
    bool reads = list >= 0;
    if (pipe(ends) < 0)
        return err_set_errno(err, ERRC_IO, errno, "make a pipe");
    fcntl(ends[reads ? 0 : 1], F_SETFD, FD_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0) {
        int other = reads ? 1 : 0;
        if (dup2(ends[other], other) < 0 || (reads && dup2(list, 0) < 0))
            _exit(127);
        close(ends[other]);
        unsetenv("TAR_OPTIONS"); /* --absolute-names, say */
        if (reads)
            execlp("tar", "tar", "-C", folder, "-c", "--null", "--no-recursion",
                   "--verbatim-files-from", "-T", "-", "-f", "-", (char *)NULL);
        umask(0); /* modes as they come, but nothing that runs as its owner */
        if (!reads)
            execlp("tar", "tar", "-C", folder, "-x", "--no-same-permissions", "--no-same-owner",
                   "-f", "-", (char *)NULL);
        _exit(127);
    }
    int problem = errno;
    close(ends[reads ? 1 : 0]);
    *ret = (struct tar){pid, ends[reads ? 0 : 1]};
    if (pid > 0)
        return 0;
    close(ret->fd);
    return err_set_errno(err, ERRC_IO, problem, "start tar");
}

static int end_tar(struct tar *t, struct err *err) {
    int status = 0;
    close(t->fd);
    while (waitpid(t->pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_set_errno(err, ERRC_IO, errno, "wait for tar");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    err_set(err, ERRC_IO, "tar here stopped with %d",
            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    err_hint(err, "it said why above");
    return -ERRC_IO;
}

/* Headers and padding of the stream do not count. */
static void count(struct copy *c, ssize_t n) {
    copy_progress(c, c->done + n <= c->total ? n : c->total - c->done);
}

static int pump_up(struct copy *c, const struct tar *t, struct err *err) {
    char *chunk = malloc(COPY_CHUNK);
    int rc = chunk == NULL ? err_no_memory(err) : 0;
    while (rc == 0) {
        ssize_t n = read(t->fd, chunk, COPY_CHUNK);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            rc = err_set_errno(err, ERRC_IO, errno, "read from tar");
        if (n > 0) {
            rc = copy_send(c, chunk, (size_t)n, err);
            count(c, n);
        }
    }
    free(chunk);
    return rc;
}

static int pump_down(struct copy *c, const struct tar *t, const struct copy_entries *listed,
                     struct err *err) {
    struct copy_guard guard;
    char *chunk = malloc(COPY_CHUNK);
    int rc = chunk == NULL ? err_no_memory(err) : 0;
    copy_guard_init(&guard, listed);
    while (rc == 0) {
        ssize_t n = copy_read(c, chunk, COPY_CHUNK, err);
        if (n <= 0) {
            rc = (int)n;
            break;
        }
        rc = copy_guard_look(&guard, chunk, (size_t)n, err);
        if (rc == 0)
            rc = copy_keep(t->fd, "to tar", chunk, (size_t)n, err);
        count(c, n);
    }
    copy_guard_free(&guard);
    free(chunk);
    return rc;
}

/* ---- Both ways */

static int send_tar(struct copy *c, const struct copy_entries *source, struct err *err) {
    _cleanup_buf_ struct buf names = BUF_INIT(LIST_BYTES);
    struct tar tar = {.pid = -1, .fd = -1};
    list_wanted(source, &names);
    FILE *file = tmpfile();
    bool good = file != NULL && !names.failed &&
                (names.len == 0 || fwrite(names.ptr, 1, names.len, file) == names.len) &&
                fflush(file) == 0 && fseek(file, 0, SEEK_SET) == 0;
    int rc = good ? start_tar(c->local, fileno(file), &tar, err)
                  : err_set(err, ERRC_IO, "the list of files cannot be written");
    c->started_s = monotonic_s();
    if (rc == 0) {
        struct err why = {0};
        rc = pump_up(c, &tar, err);
        if (end_tar(&tar, &why) < 0 && rc == 0) {
            *err = why;
            rc = -why.code;
        }
    }
    if (file != NULL)
        fclose(file);
    return rc;
}

int copy_folder_up(struct copy *c, struct err *err) {
    struct copy_entries here = {0}, there = {0};
    const char *base = copy_base(&c->s->arena, c->local);
    const char *const args[] = {c->remote, base, NULL};
    int rc = base == NULL ? err_no_memory(err) : walk(c->local, "", 0, &here, err);
    if (rc == 0)
        rc = copy_start(c, script_up, args, err);
    if (rc == 0)
        rc = copy_read_entries(c, &there, err);
    if (rc == 0) {
        sort(&here);
        sort(&there);
        mark_candidates(&here, &there);
        rc = compare(c, c->local, &here, err);
    }
    if (rc == 0)
        rc = send_tar(c, &here, err);
    if (rc == 0)
        rc = copy_end(c, err);
    copy_entries_free(&here);
    copy_entries_free(&there);
    return rc;
}

static int folder_down(struct copy *c, struct err *err) {
    struct copy_entries here = {0}, there = {0};
    _cleanup_buf_ struct buf names = BUF_INIT(LIST_BYTES);
    struct tar tar = {.pid = -1, .fd = -1};
    const char *target = copy_local_target(c, err);
    if (target == NULL)
        return -err->code;
    int rc = mkdir(target, 0755) < 0 && errno != EEXIST
                 ? err_set_errno(err, ERRC_IO, errno, "make the folder %s", target)
                 : walk(target, "", 0, &here, err);
    if (rc == 0)
        rc = copy_read_entries(c, &there, err);
    if (rc == 0) {
        sort(&here);
        sort(&there);
        mark_candidates(&there, &here);
        rc = compare(c, target, &there, err);
    }
    if (rc == 0) {
        list_wanted(&there, &names);
        rc = names.failed ? err_no_memory(err) : copy_guard_folders(target, &there, err);
    }
    if (rc == 0) {
        copy_post(c, buf_str(&names), true);
        rc = start_tar(target, -1, &tar, err);
    }
    c->started_s = monotonic_s();
    if (rc == 0) {
        struct err why = {0};
        rc = pump_down(c, &tar, &there, err);
        if (rc == 0)
            rc = copy_end(c, err);
        if (end_tar(&tar, &why) < 0 && rc == 0) {
            *err = why;
            rc = -why.code;
        }
    }
    copy_entries_free(&here);
    copy_entries_free(&there);
    return rc;
}

int copy_down(struct copy *c, struct err *err) {
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    const char *const args[] = {c->remote, NULL};
    int rc = copy_start(c, script_down, args, err);
    if (rc == 0)
        rc = copy_read_to(c, '\n', &line, err);
    if (rc < 0)
        return rc;
    return str_eqc(buf_str(&line), "dir") ? folder_down(c, err)
                                          : copy_file_down(c, buf_cstr(&line), err);
}
