/* A volume as a guest sees it, a block device: a node of its loop device (volume_loop.c) which
 * belongs to the guest's root, and a bind mount of the node into the guest's /dev, at boot or while
 * it runs.
 *
 * The node lies on a tmpfs of the instance's: a guest learns nothing of where that is mounted, the
 * file systems here may forbid devices, and a volume that is taken away again can be closed to a
 * guest that kept a second mount of it: the node's owner changes. What a guest still has open keeps
 * its loop device, so nobody else's volume ever comes to stand behind it; loops_forbid.c keeps
 * guests from changing loop devices themselves. */
#define _GNU_SOURCE
#include "providers/sandbox/guest.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/volume.h"
#include "specs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BY_ID "/dev/disk/by-id"

int sandbox_check_volumes(struct err *err) {
    static const char *const devices[] = {"/dev/loop-control", "/dev/fuse"};
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        if (access(devices[i], R_OK | W_OK) == 0)
            continue;
        err_set_errno(err, ERRC_UNSUPPORTED, errno, "the sandbox has no volumes here: %s",
                      devices[i]);
        err_hint(err, "modprobe loop fuse; a container must be started with --privileged; without "
                      "volumes: leave server.data out of the spec");
        return -ERRC_UNSUPPORTED;
    }
    return 0;
}

/* ---- The node */

static int node_make(const char *path, mode_t type, dev_t device, struct err *err) {
    unlink(path);
    if (mknod(path, type | 0600, device) < 0 || chown(path, GUEST_UID, GUEST_UID) < 0 ||
        chmod(path, type == S_IFCHR ? 0666 : 0660) < 0)
        return err_set_errno(err, ERRC_IO, errno, "make %s", path);
    return 0;
}

int device_tree(const char *path) {
    return open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

static void device_path(const struct sandbox *s, const char *instance, char *ret, size_t size) {
    snprintf(ret, size, "%s/i/%s/dev", s->paths.dir, instance);
}

static int device_folder(const struct sandbox *s, const char *instance, char *ret, size_t size,
                         struct err *err) {
    char parent[PATH_SIZE * 2];
    struct stat inner, outer;
    device_path(s, instance, ret, size);
    snprintf(parent, sizeof parent, "%s/i", s->paths.dir);
    int rc = fs_mkdirs(ret, 0700, err);
    if (rc < 0)
        return rc;
    if (stat(ret, &inner) < 0 || stat(parent, &outer) < 0)
        return err_set_errno(err, ERRC_IO, errno, "look at %s", ret);
    if (inner.st_dev == outer.st_dev &&
        mount("tmpfs", ret, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=700,size=64k") < 0)
        return err_set_errno(err, ERRC_IO, errno, "mount a tmpfs at %s", ret);
    return 0;
}

/* Its loop device and node, when it has none yet. */
static int volume_ready(struct sandbox *s, cJSON *volume, char *node, size_t size,
                        struct err *err) {
    char folder[PATH_SIZE * 2];
    dev_t device = 0;
    int rc = device_folder(s, text_of(volume, "instance"), folder, sizeof folder, err);
    if (rc == 0)
        rc = volume_loop_take(s, volume, err);
    if (rc == 0)
        rc = volume_loop_device(volume, &device, err);
    if (rc < 0)
        return rc;
    snprintf(node, size, "%s/loop%d", folder, volume_loop(volume));
    return node_make(node, S_IFBLK, device, err);
}

void volume_release(struct sandbox *s, cJSON *volume) {
    char folder[PATH_SIZE], node[PATH_SIZE * 2];
    if (volume_loop(volume) < 0)
        return;
    device_path(s, text_of(volume, "instance"), folder, sizeof folder);
    snprintf(node, sizeof node, "%s/loop%d", folder, volume_loop(volume));
    if (chown(node, 0, 0) == 0 && chmod(node, 0) == 0)
        unlink(node);
    volume_loop_give_back(volume);
}

/* ---- In a guest that runs */

/* What a process does there as the guest's root: names below /dev. */
struct hotplug {
    int tree; /* -1: take it out */
    char node[32], nvme[48], link[96];
};

static void names_of(const cJSON *volume, struct hotplug *ret) {
    snprintf(ret->node, sizeof ret->node, "/dev/loop%d", volume_loop(volume));
    snprintf(ret->nvme, sizeof ret->nvme, "/dev/nvme%dn1", (int)number_of(volume, "nvme"));
    snprintf(ret->link, sizeof ret->link, BY_ID "/nvme-Amazon_Elastic_Block_Store_vol%s",
             text_of(volume, "id") + strlen("vol-"));
}

int device_place(int tree, const char *root, const char *node, const char *nvme, const char *link) {
    char path[256];
    static const char *const folders[] = {"/dev/disk", BY_ID};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        snprintf(path, sizeof path, "%s%s", root, folders[i]);
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return -1;
    }
    snprintf(path, sizeof path, "%s%s", root, node);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    close(fd);
    if (move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -1;
    /* Named as on a machine with NVMe. The node itself has the kernel's own name, by which blkid(8)
     * finds devices where no udev is. */
    snprintf(path, sizeof path, "%s%s", root, nvme);
    if (symlink(strrchr(node, '/') + 1, path) < 0)
        return -1;
    snprintf(path, sizeof path, "%s%s", root, link);
    char target[64];
    snprintf(target, sizeof target, "../../%s", strrchr(nvme, '/') + 1);
    return symlink(target, path);
}

static int take_out(const struct hotplug *h) {
    unlink(h->link);
    unlink(h->nvme);
    if (umount2(h->node, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
        return -1;
    return unlink(h->node);
}

/* Forked off a process with threads: system calls only. */
static void work_inside(int user, int mounts, const struct hotplug *h) {
    if (setns(user, CLONE_NEWUSER) < 0 || setns(mounts, CLONE_NEWNS) < 0 ||
        setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        _exit(errno);
    int rc = h->tree >= 0 ? device_place(h->tree, "", h->node, h->nvme, h->link) : take_out(h);
    _exit(rc < 0 ? errno : 0);
}

static int hotplug(const cJSON *instance, const struct hotplug *h, struct err *err) {
    char path[64];
    long guest = (long)number_of(instance, "pid");
    int status = 0;
    snprintf(path, sizeof path, "/proc/%ld/ns/user", guest);
    int user = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%ld/ns/mnt", guest);
    int mounts = open(path, O_RDONLY | O_CLOEXEC);
    int problem = errno;
    pid_t pid = user < 0 || mounts < 0 ? -1 : fork();
    if (pid == 0)
        work_inside(user, mounts, h);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (user >= 0)
        close(user);
    if (mounts >= 0)
        close(mounts);
    if (pid > 0 && status == 0)
        return 0;
    if (pid > 0)
        problem = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
    return err_set_errno(err, ERRC_IO, problem, "%s %s in the guest",
                         h->tree >= 0 ? "place" : "remove", h->node);
}

int volume_plug(struct sandbox *s, cJSON *volume, const cJSON *instance, struct err *err) {
    char node[PATH_SIZE * 2 + 32];
    struct hotplug h = {.tree = -1};
    int rc = sandbox_check_volumes(err);
    if (rc == 0)
        rc = volume_ready(s, volume, node, sizeof node, err);
    if (rc == 0 && (h.tree = device_tree(node)) < 0)
        rc = err_set_errno(err, ERRC_IO, errno, "mount %s", node);
    names_of(volume, &h);
    if (rc == 0)
        rc = hotplug(instance, &h, err);
    if (h.tree >= 0)
        close(h.tree);
    if (rc < 0)
        volume_release(s, volume);
    return rc;
}

void volume_unplug(struct sandbox *s, cJSON *volume, const cJSON *instance) {
    struct hotplug h = {.tree = -1};
    struct err err = {0};
    names_of(volume, &h);
    if (volume_loop(volume) >= 0 && guest_alive(instance) && hotplug(instance, &h, &err) < 0)
        sandbox_log("%s: %s", text_of(volume, "id"), err.msg);
    volume_release(s, volume);
}

void devices_remove(struct sandbox *s, const char *instance) {
    char folder[PATH_SIZE];
    device_path(s, instance, folder, sizeof folder);
    if (umount2(folder, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
        sandbox_log("cannot unmount %s: %s", folder, strerror(errno));
    rmdir(folder);
}

/* ---- At boot */

static cJSON *describe(const char *node, const struct hotplug *h) {
    cJSON *device = cJSON_CreateObject();
    set_text(device, "node", node);
    set_text(device, "name", h->node);
    set_text(device, "nvme", h->nvme);
    set_text(device, "link", h->link);
    return device;
}

int volumes_boot(struct sandbox *s, const cJSON *instance, cJSON *boot, struct err *err) {
    char folder[PATH_SIZE * 2], node[PATH_SIZE * 2 + 32];
    cJSON *list = cJSON_AddArrayToObject(boot, "devices");
    cJSON *v;
    struct stat fuse;
    int rc = device_folder(s, text_of(instance, "id"), folder, sizeof folder, err);
    snprintf(node, sizeof node, "%s/fuse", folder);
    /* Where there is none, only a spec with data is told of it. */
    if (rc == 0 && stat("/dev/fuse", &fuse) == 0 && S_ISCHR(fuse.st_mode)) {
        rc = node_make(node, S_IFCHR, fuse.st_rdev, err);
        set_text(boot, "fuse", node);
    }
    cJSON_ArrayForEach(v, world_list(s, "volumes")) {
        struct hotplug h = {.tree = -1};
        if (rc < 0 || cJSON_IsTrue(cJSON_GetObjectItem(v, "root")) ||
            strcmp(text_of(v, "instance"), text_of(instance, "id")) != 0)
            continue;
        rc = volume_ready(s, v, node, sizeof node, err);
        names_of(v, &h);
        if (rc == 0)
            cJSON_AddItemToArray(list, describe(node, &h));
    }
    return rc;
}
