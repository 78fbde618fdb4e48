/* The daemon: one process a world. It holds the world's lock, listens on loopback, keeps the world
 * on disk, and finds its guests again after a crash. */
#define _GNU_SOURCE
#include "providers/sandbox/api.h"
#include "providers/sandbox/faults.h"
#include "providers/sandbox/guest.h"
#include "providers/sandbox/http.h"
#include "providers/sandbox/instance.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/volume.h"
#include "specs/fs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 200, CONNECTIONS_MAX = 128 };

/* ---- Connections */

struct connection {
    struct sandbox *s;
    int fd;
};

static void *connection_thread(void *arg) {
    struct connection c = *(struct connection *)arg;
    struct http_request request;
    int rc;
    free(arg);
    while ((rc = http_read(c.fd, &request)) == 1) {
        _cleanup_buf_ struct buf body = BUF_INIT(BUF_LARGE);
        const char *type = "text/xml;charset=UTF-8";
        int status = api_handle(c.s, &request, &body, &type);
        http_free(&request);
        if (status == 0) /* a fault that was asked for: the answer is lost */
            break;
        if (http_write(c.fd, status, time(NULL) + atomic_load(&c.s->skew_s), type, buf_str(&body),
                       request.last) < 0 ||
            request.last)
            break;
    }
    if (rc < 0)
        http_write(c.fd, -rc, time(NULL), "text/plain", STR(""), true);
    http_free(&request);
    close(c.fd);
    atomic_fetch_sub(&c.s->connections, 1);
    return NULL;
}

static void accept_one(struct sandbox *s) {
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    bool room = atomic_load(&s->connections) < CONNECTIONS_MAX;
    struct connection *c = fd < 0 || !room ? NULL : calloc(1, sizeof *c);
    pthread_t thread;
    if (c == NULL) {
        if (fd >= 0)
            close(fd);
        else if (errno == EMFILE || errno == ENFILE) /* it would be tried again at once */
            sleep_ms(POLL_MS);
        return;
    }
    const struct timeval limit = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    *c = (struct connection){s, fd};
    atomic_fetch_add(&s->connections, 1);
    if (pthread_create(&thread, NULL, connection_thread, c) == 0) {
        pthread_detach(thread);
        return;
    }
    atomic_fetch_sub(&s->connections, 1);
    close(fd);
    free(c);
}

static int listen_loopback(struct sandbox *s, struct err *err) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* The same port again, for those who wrote it down. */
    address.sin_port = htons((uint16_t)number_of(s->world, "port"));
    int on = 1;
    setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(s->listen_fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        address.sin_port = 0;
        if (bind(s->listen_fd, (const struct sockaddr *)&address, sizeof address) < 0)
            return err_set_errno(err, ERRC_IO, errno, "listen on loopback");
    }
    if (listen(s->listen_fd, 64) < 0 ||
        getsockname(s->listen_fd, (struct sockaddr *)&address, &len) < 0)
        return err_set_errno(err, ERRC_IO, errno, "listen on loopback");
    set_number(s->world, "port", ntohs(address.sin_port));
    return 0;
}

/* ---- Guests over time */

static void guest_ended(struct sandbox *s, cJSON *instance) {
    bool again = guest_rebooted(instance);
    guest_kill(s, instance);
    cJSON_DeleteItemFromObject(instance, "rebooting");
    if (again) {
        cJSON_AddTrueToObject(instance, "rebooting");
        guest_start(s, instance);
        return;
    }
    static const char code[] = "Client.InstanceInitiatedShutdown";
    static const char reason[] = "Client.InstanceInitiatedShutdown: Instance initiated shutdown";
    if (strcmp(text_of(instance, "shutdown"), "terminate") == 0) {
        instance_end(s, instance, true, code, reason);
        return;
    }
    set_text(instance, "state", "stopped");
    set_text(instance, "reason_code", code);
    set_text(instance, "reason", reason);
}

/* Guests that ended by themselves are stopped, or start again; terminated ones are forgotten after
 * a while. */
static void look_after(struct sandbox *s) {
    struct err ignored;
    bool changed = false;
    cJSON *list = world_list(s, "instances");
    cJSON *instance = list->child;
    double now = (double)time(NULL);
    while (instance != NULL) {
        cJSON *next = instance->next;
        const char *state = text_of(instance, "state");
        if (strcmp(state, "running") == 0 && !guest_alive(instance)) {
            guest_ended(s, instance);
            changed = true;
        } else if (strcmp(state, "terminated") == 0 &&
                   now - number_of(instance, "terminated_at") > TERMINATED_S) {
            guest_remove(s, text_of(instance, "id")); /* a launch that failed left its console */
            cJSON_Delete(cJSON_DetachItemViaPointer(list, instance));
            changed = true;
        }
        instance = next;
    }
    guest_sweep(s);
    changed |= volumes_look_after(s);
    changed |= !s->ending && spot_look_after(s);
    if (changed)
        world_save(s, &ignored);
}

/* After a start: those that live on are found again, those that were to run run again, and what had
 * begun to end ends. */
static void resume_guests(struct sandbox *s) {
    cJSON *instance;
    volume_loops_sweep(&s->paths, s->world);
    cJSON_ArrayForEach(instance, world_list(s, "instances")) {
        const char *state = text_of(instance, "state");
        bool running = strcmp(state, "running") == 0;
        cJSON_DeleteItemFromObject(instance, "booting");
        if (number_of(instance, "public") < 1 && (running || strcmp(state, "pending") == 0))
            instance_new_public(s, instance);
        if (running && guest_alive(instance)) {
            proxies_add(s, proxy_start((pid_t)number_of(instance, "pid"), text_of(instance, "id")));
            guest_set_public(s, instance);
        } else if (running || strcmp(state, "pending") == 0) {
            guest_kill(s, instance);
            instance_place(s, instance);
            guest_start(s, instance);
        } else if (strcmp(state, "stopping") == 0) {
            guest_kill(s, instance);
            set_text(instance, "state", "stopped");
        } else if (strcmp(state, "shutting-down") == 0 || strcmp(state, "terminated") == 0) {
            guest_kill(s, instance);
            guest_remove(s, text_of(instance, "id"));
            volumes_end(s, instance);
            set_text(instance, "state", "terminated");
            set_number(instance, "terminated_at", (double)time(NULL));
            addresses_forget(s, text_of(instance, "id"));
        }
    }
}

/* Boots that are under way are waited for: their guests must be known to be ended. */
static void end_guests(struct sandbox *s, bool cleanly) {
    struct err ignored;
    cJSON *instance;
    pthread_mutex_lock(&s->mutex);
    s->ending = true;
    cJSON_ArrayForEach(instance, world_list(s, "instances"))
        guest_await_boot(s, text_of(instance, "id"));
    cJSON_ArrayForEach(instance, world_list(s, "instances")) if (cleanly && guest_alive(instance))
        guest_power_off(instance);
    for (int waited = 0; cleanly && waited < POWER_OFF_MS && guests_alive(s); waited += POLL_MS)
        sleep_ms(POLL_MS);
    cJSON_ArrayForEach(instance, world_list(s, "instances")) if (number_of(instance, "pid") > 0)
        guest_kill(s, instance);
    for (int waited = 0; waited < SWEEP_MS && !guest_sweep(s); waited += POLL_MS)
        sleep_ms(POLL_MS);
    world_save(s, &ignored);
    rmdir(s->cgroup);
    pthread_mutex_unlock(&s->mutex);
}

/* ---- Life */

static int stop_pipe = -1; /* for the signal handler: the only way to reach it */

/* SIGTERM: guests are powered off; SIGINT: nobody will miss what is in them. */
static void on_stop(int sig) {
    ssize_t ignored = write(stop_pipe, sig == SIGINT ? "i" : "t", 1);
    (void)ignored;
}

static int write_info(struct sandbox *s, struct err *err) {
    char path[PATH_SIZE], text[64];
    cJSON *info = cJSON_CreateObject();
    snprintf(text, sizeof text, "http://127.0.0.1:%d", (int)number_of(s->world, "port"));
    set_number(info, "pid", getpid());
    set_text(info, "endpoint", text);
    set_text(info, "access_key", text_of(s->world, "access_key"));
    set_text(info, "secret_key", text_of(s->world, "secret_key"));
    set_text(info, "region", SANDBOX_REGION);
    set_text(info, "version", BERTH_VERSION);
    snprintf(text, sizeof text, SANDBOX_NET ".%d.1", s->subnet);
    set_text(info, "client_address", text);
    char *json = cJSON_Print(info);
    cJSON_Delete(info);
    world_path(s, "daemon.json", path, sizeof path);
    int rc = json == NULL ? err_no_memory(err) : fs_write(path, str_of(json), 0600, err);
    cJSON_free(json);
    return rc;
}

/* Tells the command that started us how it goes: a line each, P(rogress), R(eady), H(int),
 * E(rror). */
static int begin(struct sandbox *s, struct err *err) {
    char path[PATH_SIZE];
    int rc = fs_mkdirs(s->paths.dir, 0700, err);
    world_path(s, "lock", path, sizeof path);
    if (rc == 0 && (s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0)
        rc = err_set_errno(err, ERRC_IO, errno, "open %s", path);
    /* fcntl's lock, since that can be looked at without taking it, and says whose it is. */
    const struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (rc == 0 && fcntl(s->lock_fd, F_SETLK, &lock) < 0)
        rc = err_set(err, ERRC_LOCKED, "a sandbox runs already in %s", s->paths.dir);
    world_path(s, "daemon.json", path, sizeof path);
    if (rc == 0)
        rc = fs_remove(path, err); /* of a daemon that was killed */
    if (rc == 0)
        rc = cache_hold(&s->paths, &s->cache_fd, err);
    if (rc == 0)
        rc = world_load(s, err);
    if (rc == 0)
        faults_begin(s);
    if (rc == 0)
        rc = world_take_subnet(s, err);
    if (rc == 0)
        rc = listen_loopback(s, err);
    if (rc < 0)
        return rc;
    cgroup_of_subnet(s->subnet, s->cgroup, sizeof s->cgroup);
    pthread_mutex_lock(&s->mutex); /* guests that start are at work from here on */
    groups_begin(s);
    resume_guests(s);
    rc = world_save(s, err);
    if (rc == 0)
        rc = write_info(s, err);
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static void loop(struct sandbox *s, int stop_fd) {
    struct pollfd p[2] = {{.fd = s->listen_fd, .events = POLLIN},
                          {.fd = stop_fd, .events = POLLIN}};
    for (;;) {
        int n = poll(p, 2, TICK_MS);
        if (n > 0 && p[1].revents)
            return;
        if (n > 0 && p[0].revents)
            accept_one(s);
        pthread_mutex_lock(&s->mutex);
        look_after(s);
        pthread_mutex_unlock(&s->mutex);
    }
}

int sandbox_serve(const struct sandbox_options *options, struct err *err) {
    const char *boot = getenv("BERTH_SANDBOX_BOOT");
    if (boot != NULL)
        return guest_boot(boot) == 0 ? 0 : err_set(err, ERRC_IO, "the guest did not boot");
    struct sandbox s = {
        .mutex = PTHREAD_MUTEX_INITIALIZER, .lock_fd = -1, .subnet_fd = -1, .cache_fd = -1};
    const char *ready_text = getenv("BERTH_SANDBOX_READY_FD");
    int64_t ready = -1;
    int pipe_fds[2] = {-1, -1};
    if (ready_text != NULL && !str_to_i64(str_of(ready_text), 0, 1000, &ready))
        ready = -1;
    int ready_fd = (int)ready;
    if (ready_fd >= 0)
        fcntl(ready_fd, F_SETFD, FD_CLOEXEC);
    unsetenv("BERTH_SANDBOX_READY_FD");
    int rc = paths_find(options, &s.paths, err);
    if (rc == 0)
        rc = sandbox_check(err);
    if (rc == 0 && pipe2(pipe_fds, O_CLOEXEC) < 0)
        rc = err_set_errno(err, ERRC_IO, errno, "pipe");
    if (rc == 0) {
        stop_pipe = pipe_fds[1];
        const struct sigaction stop = {.sa_handler = on_stop};
        const struct sigaction ignore = {.sa_handler = SIG_IGN};
        sigset_t none;
        sigemptyset(&none);
        pthread_sigmask(SIG_SETMASK, &none, NULL);
        sigaction(SIGTERM, &stop, NULL);
        sigaction(SIGINT, &stop, NULL);
        sigaction(SIGPIPE, &ignore, NULL);
        sigaction(SIGHUP, &ignore, NULL);
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        umask(022);
        rc = begin(&s, err);
    }
    if (ready_fd >= 0) {
        if (rc == 0)
            dprintf(ready_fd, "R\n");
        else {
            for (char *c = err->msg; *c != '\0'; c++)
                *c = *c == '\n' ? ' ' : *c;
            dprintf(ready_fd, "H%s\nE%d %s\n", err->hint, -rc, err->msg);
        }
        close(ready_fd);
    }
    if (rc < 0)
        return rc;
    sandbox_log("ready: %s, " SANDBOX_NET ".%d.0/24", s.paths.dir, s.subnet);
    loop(&s, pipe_fds[0]);
    char how = 't';
    if (read(pipe_fds[0], &how, 1) != 1)
        how = 't';
    end_guests(&s, how == 't');
    char path[PATH_SIZE];
    world_path(&s, "daemon.json", path, sizeof path);
    fs_remove(path, err);
    sandbox_log("ended");
    /* Threads may still be about; nothing is left to lose. */
    _exit(0);
}
