/* What the verbs call: is it there, start it, end it, remove it. */
#define _GNU_SOURCE
#include "providers/sandbox/internal.h"
#include "providers/sandbox/userns.h"
#include "specs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int unsupported(struct err *err, const char *what, const char *hint) {
    err_set(err, ERRC_UNSUPPORTED, "the sandbox cannot run here: %s", what);
    err_hint(err, "%s", hint);
    return -ERRC_UNSUPPORTED;
}

static bool on_path(const char *name) {
    const char *path = getenv("PATH");
    struct str rest = str_of(path == NULL ? "/usr/sbin:/usr/bin:/sbin:/bin" : path);
    struct str folder;
    while (str_split(&rest, ':', &folder)) {
        char file[PATH_SIZE];
        snprintf(file, sizeof file, "%.*s/%s", STR_FMT(folder), name);
        if (access(file, X_OK) == 0)
            return true;
    }
    return false;
}

int sandbox_check(struct err *err) {
    static const char *const programs[] = {"ip", "nsenter", "tar", "mmdebstrap"};
    if (geteuid() != 0)
        return unsupported(err, "its guests need root", "run it with sudo");
    if (!fs_exists("/proc/self/ns/user"))
        return unsupported(err, "the kernel has no user namespaces", "use another machine");
    if (!fs_exists("/sys/fs/cgroup/cgroup.procs") &&
        !fs_exists("/sys/fs/cgroup/unified/cgroup.procs"))
        return unsupported(err, "there is no cgroup v2",
                           "mount it: mount -t cgroup2 none /sys/fs/cgroup/unified");
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        if (on_path(programs[i]))
            continue;
        char text[64];
        snprintf(text, sizeof text, "%s is not installed", programs[i]);
        return unsupported(err, text, "apt-get install mmdebstrap iproute2 util-linux tar");
    }
    const char *const probe[] = {"true", "/", NULL};
    struct err why = {0};
    if (userns_run(probe, &why) < 0)
        return unsupported(err, why.msg,
                           "user namespaces are switched off here: see sysctl "
                           "user.max_user_namespaces and kernel.unprivileged_userns_clone");
    return 0;
}

/* Does a daemon hold the world's lock? */
static bool is_locked(const struct paths *paths) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/lock", paths->dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool locked = flock(fd, LOCK_EX | LOCK_NB) < 0;
    close(fd);
    return locked;
}

static cJSON *read_json(const struct paths *paths, const char *name) {
    char path[PATH_SIZE];
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    struct err ignored;
    snprintf(path, sizeof path, "%s/%s", paths->dir, name);
    return fs_read(path, &text, &ignored) < 0 ? NULL : cJSON_ParseWithLength(text.ptr, text.len);
}

static void read_info(const struct paths *paths, struct sandbox_info *ret) {
    memset(ret, 0, sizeof *ret);
    snprintf(ret->dir, sizeof ret->dir, "%s", paths->dir);
    ret->base_ready = fs_exists(paths->base);
    cJSON *info = read_json(paths, "daemon.json");
    ret->running = info != NULL && is_locked(paths);
    if (ret->running) {
        ret->pid = (long)number_of(info, "pid");
        snprintf(ret->endpoint, sizeof ret->endpoint, "%s", text_of(info, "endpoint"));
        snprintf(ret->access_key, sizeof ret->access_key, "%s", text_of(info, "access_key"));
        snprintf(ret->secret_key, sizeof ret->secret_key, "%s", text_of(info, "secret_key"));
        snprintf(ret->region, sizeof ret->region, "%s", text_of(info, "region"));
        snprintf(ret->client_address, sizeof ret->client_address, "%s",
                 text_of(info, "client_address"));
    }
    cJSON_Delete(info);
}

int sandbox_status(const struct sandbox_options *options, struct sandbox_info *ret,
                   struct err *err) {
    struct paths paths;
    int rc = paths_find(options, &paths, err);
    if (rc < 0)
        return rc;
    read_info(&paths, ret);
    cJSON *world = read_json(&paths, "world.json");
    const cJSON *instance;
    cJSON_ArrayForEach(instance, cJSON_GetObjectItem(world, "instances")) ret->instances +=
        strcmp(text_of(instance, "state"), "terminated") != 0;
    cJSON_Delete(world);
    return 0;
}

/* ---- Starting */

static void exec_daemon(const struct paths *paths, int ready_fd) {
    char number[16], log[PATH_SIZE];
    snprintf(number, sizeof number, "%d", ready_fd);
    snprintf(log, sizeof log, "%s/log", paths->dir);
    if (fork() != 0)
        _exit(0); /* twice: the daemon is nobody's child and no session leader */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dup2(null, STDIN_FILENO);
    dup2(out >= 0 ? out : null, STDOUT_FILENO);
    dup2(out >= 0 ? out : null, STDERR_FILENO);
    fcntl(ready_fd, F_SETFD, 0);
    setenv("BERTH_SANDBOX_READY_FD", number, 1);
    setenv("BERTH_SANDBOX_DIR", paths->dir, 1);
    setenv("BERTH_CACHE_DIR", paths->cache, 1);
    if (chdir("/") < 0)
        _exit(127);
    execl("/proc/self/exe", "berth", "sandbox", "serve", (char *)NULL);
    _exit(127);
}

/* Reads what the daemon tells until it is ready: P(rogress), R(eady), E(rror). */
static int await_ready(int fd, const struct sandbox_options *options, struct err *err) {
    FILE *in = fdopen(fd, "r");
    char line[1024];
    int rc = -1;
    if (in == NULL) {
        close(fd);
        return err_set(err, ERRC_NOMEM, "out of memory");
    }
    while (rc < 0 && fgets(line, sizeof line, in) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == 'P' && options->progress != NULL)
            options->progress(options->progress_ctx, line + 1);
        if (line[0] == 'R')
            rc = 0;
        if (line[0] == 'E') {
            char *text = strchr(line, ' ');
            long code = strtol(line + 1, NULL, 10);
            bool known = code > 0 && code < ERRC_CODE_COUNT;
            fclose(in);
            return err_set(err, known ? (enum err_code)code : ERRC_IO, "%s",
                           text == NULL ? "the sandbox did not start" : text + 1);
        }
    }
    fclose(in);
    return rc == 0 ? 0 : err_set(err, ERRC_IO, "the sandbox ended while it started");
}

static int start(const struct paths *paths, const struct sandbox_options *options,
                 struct err *err) {
    int fds[2];
    int rc = sandbox_check(err);
    if (rc == 0)
        rc = fs_mkdirs(paths->dir, 0700, err);
    if (rc < 0)
        return rc;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_set_errno(err, ERRC_IO, errno, "pipe");
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        exec_daemon(paths, fds[1]);
    }
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return err_set_errno(err, ERRC_IO, errno, "start the sandbox");
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    rc = await_ready(fds[0], options, err);
    if (rc < 0 && err->code != ERRC_LOCKED && err->hint[0] == '\0')
        err_hint(err, "its log is %s/log", paths->dir);
    return rc == -ERRC_LOCKED ? 0 : rc; /* somebody else was faster */
}

int sandbox_ensure(const struct sandbox_options *options, struct sandbox_info *ret,
                   struct err *err) {
    struct paths paths;
    int rc = paths_find(options, &paths, err);
    if (rc < 0)
        return rc;
    read_info(&paths, ret);
    if (!ret->running) {
        rc = start(&paths, options, err);
        read_info(&paths, ret);
    }
    if (rc == 0 && !ret->running)
        rc = err_set(err, ERRC_IO, "the sandbox is starting or ending; try again");
    return rc;
}

/* ---- Ending */

enum { STOP_MS = 60000 };

static int stop(const struct paths *paths, struct err *err) {
    struct sandbox_info info;
    read_info(paths, &info);
    if (!info.running)
        return 0;
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)info.pid, 0);
    if (fd < 0)
        return 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0);
    int n = poll(&p, 1, STOP_MS);
    close(fd);
    return n == 1 ? 0
                  : err_set(err, ERRC_TIMEOUT, "the sandbox (process %ld) does not end", info.pid);
}

int sandbox_stop(const struct sandbox_options *options, struct err *err) {
    struct paths paths;
    int rc = paths_find(options, &paths, err);
    return rc < 0 ? rc : stop(&paths, err);
}

/* Guests of a daemon that was killed are still about: ended by what the world remembers of them. */
static void end_orphans(const struct paths *paths) {
    cJSON *world = read_json(paths, "world.json");
    struct sandbox s = {.paths = *paths, .world = world, .mutex = PTHREAD_MUTEX_INITIALIZER};
    cJSON *instance;
    const char *root =
        fs_exists("/sys/fs/cgroup/cgroup.procs") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
    snprintf(s.cgroup, sizeof s.cgroup, "%s/berth-sandbox-%d", root,
             (int)number_of(world, "subnet"));
    cJSON_ArrayForEach(instance, cJSON_GetObjectItem(world, "instances")) guest_kill(&s, instance);
    if (world != NULL)
        rmdir(s.cgroup);
    cJSON_Delete(world);
}

int sandbox_reset(const struct sandbox_options *options, bool cache, struct err *err) {
    struct paths paths;
    int rc = paths_find(options, &paths, err);
    if (rc == 0)
        rc = stop(&paths, err);
    if (rc < 0)
        return rc;
    if (is_locked(&paths))
        return err_set(err, ERRC_LOCKED, "the sandbox in %s does not end", paths.dir);
    end_orphans(&paths);
    if (remove_tree(paths.dir) < 0)
        return err_set_errno(err, ERRC_IO, errno, "remove %s", paths.dir);
    if (cache && remove_tree(paths.cache) < 0)
        return err_set_errno(err, ERRC_IO, errno, "remove %s", paths.cache);
    return 0;
}
