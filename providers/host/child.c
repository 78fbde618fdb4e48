#define _GNU_SOURCE /* memfd_create(2) */
#include "providers/host/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SAID_MAX = 4096, END_MS = 1000, POLL_MS = 10, CAPTURE_MS = 30000, CAPTURE_POLL_MS = 1 };

/* Files that become its 0, 1, 2 and 3; in < 0 is /dev/null, more < 0 none. */
static int start(const char *const *argv, int in, int out, int errors, int more, pid_t *ret) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t signals;
    if (posix_spawn_file_actions_init(&files) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&how) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return ENOMEM;
    }
    if (in < 0)
        posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    else
        posix_spawn_file_actions_adddup2(&files, in, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_adddup2(&files, errors, 2);
    if (more >= 0)
        posix_spawn_file_actions_adddup2(&files, more, 3);
    sigfillset(&signals);
    sigdelset(&signals, SIGKILL);
    sigdelset(&signals, SIGSTOP);
    posix_spawnattr_setsigdefault(&how, &signals);
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&how, &signals);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                       POSIX_SPAWN_SETSIGMASK);
    int problem = posix_spawnp(ret, argv[0], &files, &how, (char *const *)argv, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return problem;
}

static int cannot(const char *program, int problem, struct err *err) {
    return err_set_errno(err, problem == ENOENT ? ERRC_NOTFOUND : ERRC_IO, problem, "start %s",
                         program);
}

static void take_file(int fd, struct buf *out) {
    char chunk[4096];
    off_t at = 0;
    for (ssize_t n; out != NULL && (n = pread(fd, chunk, sizeof chunk, at)) > 0; at += n)
        buf_add(out, chunk, (size_t)n);
}

/* Has it ended within that time? Its wait(2) status goes to *ret_status. */
static bool ends(pid_t pid, int most_ms, int poll_ms, int *ret_status) {
    const struct timespec pause = {0, poll_ms * 1000000L};
    for (int ms = 0; ms < most_ms; ms += poll_ms) {
        if (waitpid(pid, ret_status, WNOHANG) != 0)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* With all that it started. */
static void kill_all(pid_t pid) {
    kill(-pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

int child_capture(const char *const *argv, struct buf *out, struct buf *errors, int *ret_status,
                  struct err *err) {
    int said = memfd_create("out", MFD_CLOEXEC), wrong = memfd_create("errors", MFD_CLOEXEC);
    pid_t pid = 0;
    int problem = said < 0 || wrong < 0 ? errno : start(argv, -1, said, wrong, -1, &pid);
    int status = 0;
    bool ended = problem == 0 && ends(pid, CAPTURE_MS, CAPTURE_POLL_MS, &status);
    if (ended) {
        *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        take_file(said, out);
        take_file(wrong, errors);
    } else if (problem == 0) {
        kill_all(pid);
    }
    if (said >= 0)
        close(said);
    if (wrong >= 0)
        close(wrong);
    if (problem != 0)
        return cannot(argv[0], problem, err);
    return ended ? 0
                 : err_set(err, ERRC_TIMEOUT, "%s did not end within %d s", argv[0],
                           CAPTURE_MS / 1000);
}

/* Its process group ends when nobody holds the other end of file 3 any more: a program that waits
 * for a network would not notice that berth is gone. */
static const char guard[] = "exec 4<&0 5>&1 </dev/null >/dev/null\n"
                            "{ read -r x <&3; kill 0; } 4<&- 5>&- &\n"
                            "exec 3<&-\n"
                            "\"$@\" <&4 4<&- >&5 5>&-\n"
                            "s=$?; kill $!; exit $s\n";

enum { WORDS_MAX = 32 };

/* What a connection is made of: both ends of its stream, of the guard's pipe, and its stderr. */
enum { OURS, ITS, PIPE_ITS, PIPE_OURS, ERRORS, FILES };

static void close_files(const int files[FILES]) {
    for (size_t i = 0; i < FILES; i++)
        if (files[i] >= 0)
            close(files[i]);
}

static int open_files(int files[FILES]) {
    for (size_t i = 0; i < FILES; i++)
        files[i] = -1;
    files[ERRORS] = memfd_create("errors", MFD_CLOEXEC);
    bool good = files[ERRORS] >= 0 &&
                socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, &files[OURS]) == 0 &&
                pipe2(&files[PIPE_ITS], O_CLOEXEC) == 0;
    int problem = errno;
    if (!good)
        close_files(files);
    return good ? 0 : problem;
}

int child_connect(const char *const *argv, struct child *ret, int *ret_fd, struct err *err) {
    const char *words[WORDS_MAX] = {"/bin/sh", "-c", guard, "sh"};
    size_t n = 4;
    int files[FILES];
    pid_t pid = 0;
    for (size_t i = 0; argv[i] != NULL && n + 1 < WORDS_MAX; i++)
        words[n++] = argv[i];
    int problem = open_files(files);
    if (problem != 0)
        return cannot(argv[0], problem, err);
    problem = start(words, files[ITS], files[ITS], files[ERRORS], files[PIPE_ITS], &pid);
    if (problem != 0) {
        close_files(files);
        return cannot(argv[0], problem, err);
    }
    close(files[ITS]);
    close(files[PIPE_ITS]);
    fcntl(files[OURS], F_SETFL, O_NONBLOCK);
    *ret = (struct child){.pid = pid, .errors = files[ERRORS], .alive = files[PIPE_OURS]};
    *ret_fd = files[OURS];
    return 0;
}

void child_add_lines(struct str rest, struct buf *out) {
    struct str line;
    while (rest.len > 0 && str_split(&rest, '\n', &line)) {
        line = str_trim(line);
        if (line.len == 0)
            continue;
        buf_adds(out, out->len > 0 ? "; " : "");
        for (size_t i = 0; i < line.len; i++)
            buf_addc(out, (unsigned char)line.ptr[i] < 0x20 ? ' ' : line.ptr[i]);
    }
}

void child_said(const struct child *child, struct buf *out) {
    char text[SAID_MAX];
    ssize_t n = child->pid == 0 ? 0 : pread(child->errors, text, sizeof text, 0);
    child_add_lines((struct str){text, n > 0 ? (size_t)n : 0}, out);
}

void child_end(struct child *child) {
    if (child->pid == 0)
        return;
    int status = 0;
    bool ended = ends(child->pid, END_MS, POLL_MS, &status);
    close(child->alive);
    if (!ended && !ends(child->pid, END_MS, POLL_MS, &status))
        kill_all(child->pid);
    close(child->errors);
    *child = (struct child){0};
}
