/* The daemon's side of a guest's start: its files, its seed, its boot. */
#define _GNU_SOURCE
#include "providers/sandbox/faults.h"
#include "providers/sandbox/guest.h"
#include "providers/sandbox/images.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/volume.h"
#include "specs/fs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { READY_TRIES = 1200, READY_STEP_MS = 25, SSH_PORT = 22 };

void guest_dir(const struct sandbox *s, const char *id, char *ret, size_t size) {
    snprintf(ret, size, "%s/i/%s", s->paths.dir, id);
}

/* ---- Files */

static int write_files(struct sandbox *s, cJSON *instance, const char *dir, struct err *err) {
    char path[PATH_SIZE * 2], cache[PATH_SIZE], base[PATH_SIZE];
    _cleanup_buf_ struct buf seed = BUF_INIT(BUF_LARGE);
    int rc = fs_mkdirs(dir, 0711, err);
    snprintf(cache, sizeof cache, "%s/packages", s->paths.cache);
    if (rc == 0)
        rc = fs_mkdirs(cache, 0755, err);
    if (rc == 0 && chown(cache, GUEST_UID, GUEST_UID) < 0)
        rc = err_set_errno(err, ERRC_IO, errno, "give %s to the guests", cache);
    cJSON *boot = cJSON_CreateObject();
    base_path(&s->paths, image_of(instance)->base, base, sizeof base);
    set_text(boot, "base", base);
    set_text(boot, "cache", cache);
    set_text(boot, "hostname", text_of(instance, "hostname"));
    set_text(boot, "address", text_of(instance, "address"));
    set_text(boot, "host_address", text_of(instance, "host_address"));
    set_text(boot, "link", text_of(instance, "link"));
    snprintf(path, sizeof path, "%s/%s", s->cgroup, text_of(instance, "id"));
    set_text(boot, "cgroup", path);
    if (rc == 0)
        rc = volumes_boot(s, instance, boot, err);
    char *text = cJSON_PrintUnformatted(boot);
    cJSON_Delete(boot);
    snprintf(path, sizeof path, "%s/boot.json", dir);
    if (rc == 0)
        rc = text == NULL ? err_no_memory(err) : fs_write(path, str_of(text), 0600, err);
    cJSON_free(text);
    snprintf(path, sizeof path, "%s/seed.sh", dir);
    if (rc == 0 && !cJSON_IsTrue(cJSON_GetObjectItem(instance, "seeded"))) {
        seed_compose(instance, &seed);
        rc = fs_write(path, buf_str(&seed), 0600, err);
    } else if (rc == 0) {
        rc = fs_remove(path, err);
    }
    return rc;
}

/* ---- Start */

struct starting {
    struct sandbox *s;
    char id[32], dir[PATH_SIZE], address[64];
    const struct base *base;
    bool again; /* it has a disk that must outlive a failure */
};

/* What it says on its way is kept in memory: a full disk is one of the things it may say. */
static int boot_process(const char *dir, struct err *err) {
    char text[512] = "";
    int said = memfd_create("boot", MFD_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0) {
        if (said >= 0)
            dup2(said, STDERR_FILENO);
        setenv("BERTH_SANDBOX_BOOT", dir, 1);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a guest that no daemon knows must not come up */
        execl("/proc/self/exe", "berth", "sandbox", "serve", (char *)NULL);
        _exit(127);
    }
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    ssize_t len = said < 0 ? 0 : pread(said, text, sizeof text - 1, 0);
    if (said >= 0)
        close(said);
    if (pid > 0 && status == 0)
        return 0;
    text[len < 0 ? 0 : len] = '\0';
    if (text[0] == '\0' && WIFSIGNALED(status))
        snprintf(text, sizeof text, "it was ended by signal %d", WTERMSIG(status));
    text[strcspn(text, "\n")] = '\0'; /* what came first is why */
    return err_set(err, ERRC_IO, "the guest did not boot: %s", text);
}

static bool answers(const char *address, int port) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, address, &in.sin_addr) != 1)
        return false;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int problem = 0;
    socklen_t len = sizeof problem;
    bool good = connect(fd, (const struct sockaddr *)&in, sizeof in) == 0 ||
                (errno == EINPROGRESS && poll(&p, 1, 200) == 1 &&
                 getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &len) == 0 && problem == 0);
    close(fd);
    return good;
}

static pid_t read_pid(const char *dir) {
    char path[PATH_SIZE + 8];
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    struct err ignored;
    int64_t pid = 0;
    snprintf(path, sizeof path, "%s/pid", dir);
    if (fs_read(path, &text, &ignored) < 0 ||
        !str_to_i64(str_trim(buf_str(&text)), 1, INT32_MAX, &pid))
        return 0;
    return (pid_t)pid;
}

/* Mutex held: the instance as it is now, unless it was ended meanwhile. */
static cJSON *still_pending(struct starting *x) {
    cJSON *instance = find_by(world_list(x->s, "instances"), "id", x->id);
    return !x->s->ending && instance != NULL && strcmp(text_of(instance, "state"), "pending") == 0
               ? instance
               : NULL;
}

/* As on EC2: what cannot be launched is terminated, what cannot be started again is stopped. */
static void set_failed(struct sandbox *s, cJSON *instance, bool again, const char *code,
                       const char *why) {
    set_text(instance, "state", again ? "stopped" : "terminated");
    set_text(instance, "reason_code", code);
    set_text(instance, "reason", why);
    cJSON_DeleteItemFromObject(instance, "rebooting");
    if (!again) {
        set_number(instance, "terminated_at", (double)time(NULL));
        volumes_end(s, instance);
    }
}

static void fail_start(struct starting *x, const char *code, const char *why) {
    struct err ignored;
    pthread_mutex_lock(&x->s->mutex);
    cJSON *instance = still_pending(x);
    if (instance != NULL) {
        sandbox_log("%s: %s", x->id, why);
        guest_kill(x->s, instance);
        set_failed(x->s, instance, x->again, code, why);
        world_save(x->s, &ignored);
    }
    pthread_mutex_unlock(&x->s->mutex);
}

/* Its process is known from here on, whatever has become of the instance meanwhile: who ended it
 * waits for that. */
static bool take_process(struct starting *x, bool booted) {
    struct err ignored;
    pthread_mutex_lock(&x->s->mutex);
    cJSON *instance = find_by(world_list(x->s, "instances"), "id", x->id);
    cJSON_DeleteItemFromObject(instance, "booting");
    pid_t pid = booted && instance != NULL ? read_pid(x->dir) : 0;
    if (pid > 0) {
        set_number(instance, "pid", pid);
        set_number(instance, "pid_start", process_start_time(pid));
    }
    bool pending = pid > 0 && still_pending(x) != NULL;
    if (pending) {
        cJSON_DeleteItemFromObject(instance, "seeded");
        cJSON_AddTrueToObject(instance, "seeded");
        struct proxy *proxy = proxy_start(pid, x->id);
        if (proxy == NULL)
            sandbox_log("%s: no way out: its proxy did not start", x->id);
        proxies_add(x->s, proxy);
        guest_set_public(x->s, instance);
        world_save(x->s, &ignored);
    }
    pthread_mutex_unlock(&x->s->mutex);
    return pending;
}

/* Until its sshd answers. Once the guest is gone its address may be somebody else's. */
static int await_sshd(struct starting *x, struct err *err) {
    for (int i = 0; i < READY_TRIES; i++) {
        pthread_mutex_lock(&x->s->mutex);
        const cJSON *instance = still_pending(x);
        bool alive = instance != NULL && guest_alive(instance);
        pthread_mutex_unlock(&x->s->mutex);
        if (!alive)
            return err_set(err, ERRC_IO, "the guest ended before its sshd answered");
        if (answers(x->address, SSH_PORT))
            return 0;
        sleep_ms(READY_STEP_MS);
    }
    return err_set(err, ERRC_TIMEOUT, "its sshd did not answer in time");
}

/* A start that a test wants to fail does not boot. True: it has failed. */
static bool fail_as_asked(struct starting *x) {
    char code[96], reason[512];
    pthread_mutex_lock(&x->s->mutex);
    cJSON *instance = find_by(world_list(x->s, "instances"), "id", x->id);
    snprintf(code, sizeof code, "%s", text_of(instance, "fail_code"));
    snprintf(reason, sizeof reason, "%s", text_of(instance, "fail_reason"));
    if (code[0] != '\0') {
        cJSON_DeleteItemFromObject(instance, "fail_code");
        cJSON_DeleteItemFromObject(instance, "booting");
        fault_await_slow(x->s, x->id, "pending");
    }
    pthread_mutex_unlock(&x->s->mutex);
    if (code[0] != '\0')
        fail_start(x, code, reason);
    if (code[0] != '\0' && !x->again)
        guest_remove(x->s, x->id);
    return code[0] != '\0';
}

static void log_progress(void *ctx, const char *text) {
    const struct starting *x = ctx;
    sandbox_log("%s: %s", x->id, text);
}

/* Mostly it is there: berth has it built before it launches. What was ended meanwhile does not
 * boot. */
static int ensure_base(struct starting *x, struct err *err) {
    int rc = base_ensure(&x->s->paths, x->base, log_progress, x, err);
    pthread_mutex_lock(&x->s->mutex);
    if (rc == 0 && still_pending(x) == NULL)
        rc = err_set(err, ERRC_CANCELLED, "ended before it booted");
    pthread_mutex_unlock(&x->s->mutex);
    return rc;
}

static void *start_thread(void *arg) {
    struct starting *x = arg;
    struct err err = {0};
    if (fail_as_asked(x)) {
        free(x);
        return NULL;
    }
    int rc = ensure_base(x, &err);
    if (rc == 0)
        rc = boot_process(x->dir, &err);
    if (take_process(x, rc == 0))
        rc = await_sshd(x, &err);
    else if (rc == 0)
        rc = err_set(&err, ERRC_CANCELLED, "ended while it booted");
    if (rc < 0) {
        fail_start(x, "Server.InternalError", err.msg);
        free(x);
        return NULL;
    }
    pthread_mutex_lock(&x->s->mutex);
    fault_await_slow(x->s, x->id, "pending");
    cJSON *instance = still_pending(x);
    if (instance != NULL) {
        set_text(instance, "state", "running");
        cJSON_DeleteItemFromObject(instance, "rebooting");
        world_save(x->s, &err);
    }
    pthread_mutex_unlock(&x->s->mutex);
    free(x);
    return NULL;
}

void guest_start(struct sandbox *s, cJSON *instance) {
    struct err err = {0};
    struct starting *x = calloc(1, sizeof *x);
    pthread_t thread;
    if (x == NULL)
        return;
    x->s = s;
    snprintf(x->id, sizeof x->id, "%s", text_of(instance, "id"));
    snprintf(x->address, sizeof x->address, "%s", text_of(instance, "address"));
    guest_dir(s, x->id, x->dir, sizeof x->dir);
    x->base = image_of(instance)->base;
    x->again = cJSON_IsTrue(cJSON_GetObjectItem(instance, "seeded"));
    set_text(instance, "state", "pending");
    int rc = write_files(s, instance, x->dir, &err);
    if (rc == 0 && pthread_create(&thread, NULL, start_thread, x) == 0) {
        pthread_detach(thread);
        cJSON_AddTrueToObject(instance, "booting"); /* the thread waits for the mutex */
        return;
    }
    const char *why = rc < 0 ? err.msg : "no thread to be had";
    sandbox_log("%s: %s", x->id, why);
    set_failed(s, instance, x->again, "Server.InternalError", why);
    free(x);
}
