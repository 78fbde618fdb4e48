/* What the verbs call: is it there, start it, end it, remove it. */
#define _GNU_SOURCE
#include "providers/sandbox/guest.h"
#include "providers/sandbox/images.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/volume.h"
#include "specs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The process that holds the world's lock, without touching it; 0: none does. */
static pid_t lock_holder(const struct paths *paths) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/lock", paths->dir);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return 0;
    bool held = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(fd);
    return !held ? 0 : lock.l_pid != 0 ? lock.l_pid : -1;
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
    for (const struct image *i = images; i->name != NULL; i++) {
        char path[PATH_SIZE];
        base_path(paths, i->base, path, sizeof path);
        size_t len = strlen(ret->images);
        if (fs_exists(path))
            snprintf(ret->images + len, sizeof ret->images - len, "%s%s", len > 0 ? " " : "",
                     i->name);
    }
    cJSON *info = read_json(paths, "daemon.json");
    /* The file of a daemon that was killed says nothing of the one that starts now. */
    ret->running = info != NULL && number_of(info, "pid") > 0 &&
                   lock_holder(paths) == (pid_t)number_of(info, "pid");
    if (ret->running) {
        ret->pid = (long)number_of(info, "pid");
        snprintf(ret->endpoint, sizeof ret->endpoint, "%s", text_of(info, "endpoint"));
        snprintf(ret->access_key, sizeof ret->access_key, "%s", text_of(info, "access_key"));
        snprintf(ret->secret_key, sizeof ret->secret_key, "%s", text_of(info, "secret_key"));
        snprintf(ret->region, sizeof ret->region, "%s", text_of(info, "region"));
        snprintf(ret->version, sizeof ret->version, "%s", text_of(info, "version"));
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

enum { READY_FD = 3 };

static void exec_daemon(const struct paths *paths, int ready_fd) {
    char number[16], log[PATH_SIZE];
    snprintf(number, sizeof number, "%d", READY_FD);
    snprintf(log, sizeof log, "%s/log", paths->dir);
    if (fork() != 0)
        _exit(0); /* twice: the daemon is nobody's child and no session leader */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dup2(null, STDIN_FILENO);
    dup2(out >= 0 ? out : null, STDOUT_FILENO);
    dup2(out >= 0 ? out : null, STDERR_FILENO);
    /* It outlives whoever waits for the end of a pipe that the command was given. */
    if (ready_fd != READY_FD)
        dup2(ready_fd, READY_FD);
    else
        fcntl(ready_fd, F_SETFD, 0);
    syscall(SYS_close_range, (unsigned)READY_FD + 1, ~0u, 0u);
    setenv("BERTH_SANDBOX_READY_FD", number, 1);
    setenv("BERTH_SANDBOX_DIR", paths->dir, 1);
    setenv("BERTH_CACHE_DIR", paths->cache, 1);
    if (chdir("/") < 0)
        _exit(127);
    execl("/proc/self/exe", "berth", "sandbox", "serve", (char *)NULL);
    _exit(127);
}

/* Reads what the daemon tells until it is ready: R(eady), H(int), E(rror). */
static int await_ready(int fd, struct err *err) {
    FILE *in = fdopen(fd, "r");
    char line[1280], hint[512] = "";
    int rc = -1;
    if (in == NULL) {
        close(fd);
        return err_no_memory(err);
    }
    while (rc < 0 && fgets(line, sizeof line, in) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == 'R')
            rc = 0;
        if (line[0] == 'H')
            snprintf(hint, sizeof hint, "%.511s", line + 1);
        if (line[0] == 'E') {
            char *text = strchr(line, ' ');
            long code = strtol(line + 1, NULL, 10);
            bool known = code > 0 && code < ERRC_CODE_COUNT;
            fclose(in);
            err_set(err, known ? (enum err_code)code : ERRC_IO, "%s",
                    text == NULL ? "the sandbox did not start" : text + 1);
            if (hint[0] != '\0')
                err_hint(err, "%s", hint);
            return -err->code;
        }
    }
    fclose(in);
    return rc == 0 ? 0 : err_set(err, ERRC_IO, "the sandbox ended while it started");
}

static int start(const struct paths *paths, struct err *err) {
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
    rc = await_ready(fds[0], err);
    if (rc < 0 && err->code != ERRC_LOCKED && err->hint[0] == '\0')
        err_hint(err, "its log is %s/log", paths->dir);
    return rc;
}

enum { STARTS_MAX = 3, STEP_MS = 50, START_WAIT_MS = 15 * 60 * 1000, STOP_MS = 90000 };

static int ensure_daemon(const struct sandbox_options *options, const struct paths *paths,
                         struct sandbox_info *ret, struct err *err) {
    int rc = 0, starts = 0;
    for (long waited = 0; waited < START_WAIT_MS; waited += STEP_MS) {
        struct err why = {0};
        read_info(paths, ret);
        if (ret->running)
            return 0;
        if (lock_holder(paths) == 0) {
            rc = starts++ < STARTS_MAX ? start(paths, &why) : 0;
            if (rc < 0 && rc != -ERRC_LOCKED) {
                *err = why;
                return rc;
            }
            if (rc == 0 && starts > STARTS_MAX)
                return err_set(err, ERRC_IO,
                               "the sandbox ends as soon as it has started; its log "
                               "is %s/log",
                               paths->dir);
        } else {
            if (waited == 0 && options->progress != NULL)
                options->progress(options->progress_ctx,
                                  "waiting for another command that starts or ends the sandbox");
            sleep_ms(STEP_MS);
        }
    }
    return err_set(err, ERRC_TIMEOUT,
                   "another command (process %ld) starts the sandbox in %s and "
                   "does not come to an end",
                   (long)lock_holder(paths), paths->dir);
}

/* Before its instances are launched, while there is somebody to tell how long that takes. */
static int ensure_image(const struct sandbox_options *options, const struct paths *paths,
                        struct err *err) {
    const struct image *image = image_named(options->image);
    char path[PATH_SIZE];
    int fd = -1;
    if (image == NULL)
        return 0;
    base_path(paths, image->base, path, sizeof path);
    if (fs_exists(path))
        return 0;
    int rc = sandbox_check(err);
    if (rc == 0)
        rc = cache_hold(paths, &fd, err);
    if (rc < 0)
        return rc;
    rc = base_ensure(paths, image->base, options->progress, options->progress_ctx, err);
    close(fd);
    return rc;
}

int sandbox_ensure(const struct sandbox_options *options, struct sandbox_info *ret,
                   struct err *err) {
    struct paths paths;
    int rc = paths_find(options, &paths, err);
    if (rc == 0)
        rc = ensure_image(options, &paths, err);
    return rc < 0 ? rc : ensure_daemon(options, &paths, ret, err);
}

/* ---- Ending */

/* Guests of a daemon that was killed are still about: ended by what the world remembers of them. */
static void end_orphans(const struct paths *paths) {
    cJSON *world = read_json(paths, "world.json");
    struct sandbox s = {.paths = *paths, .world = world, .mutex = PTHREAD_MUTEX_INITIALIZER};
    cJSON *instance;
    if (cJSON_IsNumber(cJSON_GetObjectItem(world, "subnet"))) {
        cgroup_of_subnet((int)number_of(world, "subnet"), s.cgroup, sizeof s.cgroup);
        cJSON_ArrayForEach(instance, cJSON_GetObjectItem(world, "instances"))
            guest_kill(&s, instance);
        rmdir(s.cgroup);
    }
    volume_loops_sweep(paths, NULL);
    cJSON_Delete(world);
}

/* Ends the daemon (SIGTERM: guests first in peace; SIGINT: at once), and holds the world's lock
 * afterwards (*ret_fd; -1 when there is no world). */
static int stop(const struct paths *paths, int sig, int *ret_fd, struct err *err) {
    char path[PATH_SIZE];
    long told = 0;
    struct sandbox_info info;
    snprintf(path, sizeof path, "%s/lock", paths->dir);
    *ret_fd = -1;
    if (!fs_exists(path))
        return 0;
    for (long waited = 0; waited < STOP_MS; waited += STEP_MS) {
        read_info(paths, &info);
        if (info.running && info.pid != told)
            kill((pid_t)info.pid, sig);
        if (info.running)
            told = info.pid;
        int fd = lock_holder(paths) != 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
        const struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0) {
            end_orphans(paths);
            *ret_fd = fd;
            return 0;
        }
        if (fd >= 0)
            close(fd);
        sleep_ms(STEP_MS);
    }
    return err_set(err, ERRC_TIMEOUT, "the sandbox (process %ld) does not end",
                   (long)lock_holder(paths));
}

int sandbox_stop(const struct sandbox_options *options, struct err *err) {
    struct paths paths;
    int lock = -1;
    int rc = paths_find(options, &paths, err);
    if (rc == 0)
        rc = stop(&paths, SIGTERM, &lock, err);
    if (lock >= 0)
        close(lock);
    return rc;
}

static int remove_world(const struct paths *paths, struct err *err) {
    /* The lock goes last. */
    static const char *const made[] = {
        "world.json", "world.json.tmp-*", "daemon.json", "daemon.json.tmp-*", "log", "lock", NULL};
    char path[PATH_SIZE];
    static const char *const folders[] = {"i", "v"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", paths->dir, folders[i]);
        if (remove_tree(path) < 0)
            return err_set_errno(err, ERRC_IO, errno, "remove %s", path);
    }
    int rc = remove_made(paths->dir, made, err);
    rmdir(paths->dir); /* unless there is more in it */
    return rc;
}

static int remove_cache(const struct paths *paths, struct err *err) {
    static const char *const made[] = {"packages", "building-*", CACHE_LOCK, NULL};
    int fd = cache_lock(paths, CACHE_LOCK, LOCK_EX);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return errno == EWOULDBLOCK
                   ? err_set(err, ERRC_LOCKED, "another sandbox uses %s; stop it first",
                             paths->cache)
                   : err_set_errno(err, ERRC_IO, errno, "lock %s", paths->cache);
    int rc = 0;
    for (const struct image *i = images; i->name != NULL && rc == 0; i++) {
        char folders[64], log[64];
        snprintf(folders, sizeof folders, "%s-*", i->base->name); /* older ones too */
        snprintf(log, sizeof log, "%s.log", i->base->name);
        const char *const of_base[] = {folders, log, NULL};
        rc = remove_made(paths->cache, of_base, err);
    }
    if (rc == 0)
        rc = remove_made(paths->cache, made, err);
    rmdir(paths->cache);
    close(fd);
    return rc;
}

int sandbox_reset(const struct sandbox_options *options, bool cache, struct err *err) {
    struct paths paths;
    int lock = -1;
    int rc = paths_find(options, &paths, err);
    if (rc == 0)
        rc = stop(&paths, SIGINT, &lock, err);
    if (rc == 0 && lock >= 0)
        rc = remove_world(&paths, err);
    if (lock >= 0)
        close(lock);
    return rc == 0 && cache ? remove_cache(&paths, err) : rc;
}
