#define _GNU_SOURCE
#include "providers/sandbox/userns.h"
#include "providers/sandbox/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_map(pid_t pid, const char *name, struct err *err) {
    char path[64], map[64];
    snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, name);
    int len = snprintf(map, sizeof map, "0 %d %d\n", GUEST_UID, GUEST_UIDS);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, map, (size_t)len) != len) {
        int problem = errno;
        if (fd >= 0)
            close(fd);
        return err_set_errno(err, ERRC_UNSUPPORTED, problem, "write %s", path);
    }
    close(fd);
    return 0;
}

int userns_map(pid_t pid, struct err *err) {
    int rc = write_map(pid, "uid_map", err);
    return rc < 0 ? rc : write_map(pid, "gid_map", err);
}

/* Folders of root's own (0700) would stop the mapped root on its way: it goes where its last
 * argument's folder is while it is still the caller, and names it "." from then on. */
int userns_run(const char *const argv[], struct err *err) {
    int sync[2] = {-1, -1};
    if (pipe2(sync, O_CLOEXEC) < 0)
        return err_set_errno(err, ERRC_IO, errno, "pipe");
    pid_t pid =
        (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_NEWUSER | SIGCHLD), NULL, NULL, NULL, NULL);
    if (pid == 0) {
        char go;
        const char *args[16] = {NULL};
        size_t n = 0;
        int archive = -1;
        while (n < 15 && argv[n] != NULL) {
            args[n] = argv[n];
            n++;
        }
        args[n] = NULL;
        close(sync[1]);
        if (n == 0)
            _exit(126);
        for (size_t i = 1; i + 1 < n; i++)
            if (strcmp(args[i], "-f") == 0 && (archive = open(args[i + 1], O_RDONLY)) >= 0)
                args[i + 1] = "-";
        if (read(sync[0], &go, 1) != 1 || chdir(args[n - 1]) < 0)
            _exit(126);
        args[n - 1] = ".";
        if (archive >= 0)
            dup2(archive, STDIN_FILENO);
        if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
            _exit(126);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp(args[0], (char *const *)(uintptr_t)args);
        _exit(127);
    }
    close(sync[0]);
    int rc = pid < 0 ? err_set_errno(err, ERRC_UNSUPPORTED, errno, "make a user namespace")
                     : userns_map(pid, err);
    if (rc == 0 && write(sync[1], "g", 1) != 1)
        rc = err_set_errno(err, ERRC_IO, errno, "start %s", argv[0]);
    close(sync[1]);
    int status = 0;
    if (pid > 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    if (rc == 0 && status != 0)
        rc = err_set(err, ERRC_IO, "%s ended with %d", argv[0],
                     WIFEXITED(status) ? WEXITSTATUS(status) : 128);
    return rc;
}
