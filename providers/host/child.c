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

extern char **environ;

enum { SAID_MAX = 4096, END_MS = 1000, POLL_MS = 10 };

/* Files that become its 0, 1 and 2; in < 0 is /dev/null. */
static int start(const char *const *argv, int in, int out, int errors, pid_t *ret) {
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

static int wait_for(pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 255;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int child_capture(const char *const *argv, struct buf *out, struct buf *errors, int *ret_status,
                  struct err *err) {
    int said = memfd_create("out", MFD_CLOEXEC), wrong = memfd_create("errors", MFD_CLOEXEC);
    pid_t pid = 0;
    int problem = said < 0 || wrong < 0 ? errno : start(argv, -1, said, wrong, &pid);
    if (problem == 0) {
        *ret_status = wait_for(pid);
        take_file(said, out);
        take_file(wrong, errors);
    }
    if (said >= 0)
        close(said);
    if (wrong >= 0)
        close(wrong);
    return problem == 0 ? 0 : cannot(argv[0], problem, err);
}

int child_connect(const char *const *argv, struct child *ret, int *ret_fd, struct err *err) {
    int ends[2];
    struct child child = {.errors = memfd_create("errors", MFD_CLOEXEC)};
    if (child.errors < 0)
        return cannot(argv[0], errno, err);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        int problem = errno;
        close(child.errors);
        return cannot(argv[0], problem, err);
    }
    int problem = start(argv, ends[1], ends[1], child.errors, &child.pid);
    close(ends[1]);
    if (problem != 0) {
        close(ends[0]);
        close(child.errors);
        return cannot(argv[0], problem, err);
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    *ret = child;
    *ret_fd = ends[0];
    return 0;
}

void child_said(const struct child *child, struct buf *out) {
    char text[SAID_MAX];
    ssize_t n = child->pid == 0 ? 0 : pread(child->errors, text, sizeof text, 0);
    struct str rest = {text, n > 0 ? (size_t)n : 0}, line;
    while (rest.len > 0 && str_split(&rest, '\n', &line)) {
        line = str_trim(line);
        if (line.len == 0)
            continue;
        buf_adds(out, out->len > 0 ? "; " : "");
        for (size_t i = 0; i < line.len; i++)
            buf_addc(out, (unsigned char)line.ptr[i] < 0x20 ? ' ' : line.ptr[i]);
    }
}

void child_end(struct child *child) {
    const struct timespec pause = {0, POLL_MS * 1000000L};
    if (child->pid == 0)
        return;
    pid_t ended = 0;
    for (int ms = 0; ms < END_MS && ended == 0; ms += POLL_MS) {
        ended = waitpid(child->pid, NULL, WNOHANG);
        if (ended == 0)
            nanosleep(&pause, NULL);
    }
    if (ended == 0) {
        kill(-child->pid, SIGTERM); /* its group: also what a ProxyCommand began */
        wait_for(child->pid);
    }
    close(child->errors);
    *child = (struct child){0};
}
