/* The end of a guest: its processes, its cgroup, what it was made with, its files. */
#define _GNU_SOURCE
#include "providers/sandbox/guest.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/volume.h"
#include "specs/fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    KILL_WAIT_MS = 10000,
    CGROUP_TRIES = 200,
    CGROUP_STEP_MS = 10,
    BOOT_WAIT_MS = 70000 /* more than a boot may take */
};

static int remove_group(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)ftw;
    if (type == FTW_DP)
        rmdir(path);
    return 0;
}

/* The folder of its cgroup, and those that systemd made in it, from the leaves up. What still runs
 * in it, known by its process id or not, ends. False when it is still there. */
static bool end_cgroup(const char *folder) {
    char path[PATH_SIZE * 2 + 16];
    snprintf(path, sizeof path, "%s/cgroup.kill", folder);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "1", 1) != 1)
        sandbox_log("cannot end what runs in %s", folder);
    if (fd >= 0)
        close(fd);
    nftw(folder, remove_group, 16, FTW_DEPTH | FTW_PHYS);
    return !fs_exists(folder);
}

/* What takes longer (a process that waits for a disk does not die before) is left to the sweep. */
static void remove_cgroup(const char *folder) {
    for (int i = 0; fs_exists(folder) && i < CGROUP_TRIES && !end_cgroup(folder); i++)
        sleep_ms(CGROUP_STEP_MS);
}

bool guest_sweep(struct sandbox *s) {
    char path[PATH_SIZE * 2 + 16];
    const struct dirent *entry;
    bool clean = true;
    DIR *dir = opendir(s->cgroup);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        const cJSON *instance = find_by(world_list(s, "instances"), "id", entry->d_name);
        const char *state = text_of(instance, "state");
        if (strncmp(entry->d_name, "i-", 2) != 0 || number_of(instance, "pid") > 0 ||
            cJSON_IsTrue(cJSON_GetObjectItem(instance, "booting")) ||
            strcmp(state, "pending") == 0 || strcmp(state, "running") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", s->cgroup, entry->d_name);
        clean = end_cgroup(path) && clean;
    }
    if (dir != NULL)
        closedir(dir);
    return clean;
}

void guest_await_boot(struct sandbox *s, const char *id) {
    for (int waited = 0; waited < BOOT_WAIT_MS; waited += POLL_MS) {
        const cJSON *instance = find_by(world_list(s, "instances"), "id", id);
        if (!cJSON_IsTrue(cJSON_GetObjectItem(instance, "booting")))
            return;
        pthread_mutex_unlock(&s->mutex);
        sleep_ms(POLL_MS);
        pthread_mutex_lock(&s->mutex);
    }
}

/* A terminated instance is remembered for a while, with the name of a link that another one has
 * by then. */
static bool link_is_taken(struct sandbox *s, const cJSON *instance) {
    const char *link = text_of(instance, "link");
    for (const cJSON *o = world_list(s, "instances")->child; o != NULL; o = o->next)
        if (o != instance && strcmp(text_of(o, "link"), link) == 0 && guest_alive(o))
            return true;
    return false;
}

void guest_kill(struct sandbox *s, cJSON *instance) {
    pid_t pid = (pid_t)number_of(instance, "pid");
    char path[PATH_SIZE * 2];
    proxies_remove(s, text_of(instance, "id"));
    if (guest_alive(instance)) {
        int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        kill(pid, SIGKILL); /* of init: the kernel ends everything in its namespace */
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (fd >= 0)
            poll(&p, 1, KILL_WAIT_MS);
        close(fd);
    }
    if (pid > 0)
        waitpid(pid, NULL, WNOHANG);
    set_number(instance, "pid", 0);
    volumes_release(s, instance);
    devices_remove(s, text_of(instance, "id"));
    snprintf(path, sizeof path, "%s/%s", s->cgroup, text_of(instance, "id"));
    remove_cgroup(path);
    /* The veth pair goes with the namespace, but a little later; a new one must not wait for it. */
    snprintf(path, sizeof path, "/sys/class/net/%s", text_of(instance, "link"));
    if (fs_exists(path) && !link_is_taken(s, instance)) {
        const char *const argv[] = {"ip", "link", "del", text_of(instance, "link"), NULL};
        struct err ignored;
        run_command(argv, NULL, &ignored);
    }
}

void guest_remove(struct sandbox *s, const char *id) {
    char dir[PATH_SIZE];
    guest_dir(s, id, dir, sizeof dir);
    remove_tree(dir);
}
