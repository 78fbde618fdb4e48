/* A volume as a guest sees it, a block device: a sparse file, a loop device over it (loop(4)), a
 * node for that which belongs to the guest's root, and a bind mount of the node into the guest's
 * /dev, at boot or while it runs.
 *
 * The node lies on a tmpfs of the instance's: a guest learns nothing of where that is mounted, the
 * file systems here may forbid devices, and a volume that is taken away again can be closed to a
 * guest that kept a second mount of it: the node's owner changes. What a guest still has open keeps
 * its loop device, so nobody else's volume ever comes to stand behind it; loops_forbid.c keeps
 * guests from changing loop devices themselves. */
#define _GNU_SOURCE
#include "providers/sandbox/internal.h"
#include "specs/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOP_TRIES = 20, SECTORS_GIB = 30 }; /* 2^30 bytes are a GiB */

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

/* ---- The file */

static void volume_path(const struct sandbox *s, const char *id, char *ret, size_t size) {
    snprintf(ret, size, "%s/v/%s", s->paths.dir, id);
}

int volume_file_size(struct sandbox *s, const cJSON *volume, struct err *err) {
    char folder[PATH_SIZE], path[PATH_SIZE * 2];
    world_path(s, "v", folder, sizeof folder);
    volume_path(s, text_of(volume, "id"), path, sizeof path);
    int rc = fs_mkdirs(folder, 0700, err);
    int fd = rc < 0 ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (rc == 0 && (fd < 0 || ftruncate(fd, (off_t)number_of(volume, "size") << SECTORS_GIB) < 0))
        rc = err_set_errno(err, ERRC_IO, errno, "make %s", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

void volume_file_remove(struct sandbox *s, const char *id) {
    char path[PATH_SIZE * 2];
    volume_path(s, id, path, sizeof path);
    unlink(path);
}

/* ---- The loop device */

/* Takes a free one; its number, or -1 with *err set. */
static int loop_take(const char *path, struct err *err) {
    int file = open(path, O_RDWR | O_CLOEXEC);
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int number = -1, device = -1;
    struct err why = {0};
    if (file < 0 || control < 0)
        err_set_errno(&why, ERRC_UNSUPPORTED, errno, "open %s",
                      file < 0 ? path : "/dev/loop-control");
    for (int i = 0; file >= 0 && control >= 0 && i < LOOP_TRIES; i++) {
        char name[32];
        struct loop_config config = {.fd = (__u32)file};
        snprintf((char *)config.info.lo_file_name, sizeof config.info.lo_file_name, "%.60s", path);
        int free_one = ioctl(control, LOOP_CTL_GET_FREE);
        snprintf(name, sizeof name, "/dev/loop%d", free_one);
        device = free_one < 0 ? -1 : open(name, O_RDWR | O_CLOEXEC);
        if (device >= 0 && ioctl(device, LOOP_CONFIGURE, &config) == 0) {
            number = free_one;
            break;
        }
        bool taken = device >= 0 && errno == EBUSY; /* by another, just now */
        err_set_errno(&why, ERRC_UNSUPPORTED, errno, "take the loop device %s", name);
        if (device >= 0)
            close(device);
        device = -1;
        if (!taken)
            break;
    }
    if (device >= 0)
        close(device);
    if (file >= 0)
        close(file);
    if (control >= 0)
        close(control);
    if (number < 0)
        *err = why;
    return number;
}

/* Once nobody has it open any more. */
static void loop_give_back(int number) {
    char name[32];
    snprintf(name, sizeof name, "/dev/loop%d", number);
    int fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0 || (ioctl(fd, LOOP_CLR_FD) < 0 && errno != ENXIO))
        sandbox_log("cannot free %s: %s", name, strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* Is it over a file below this folder? */
static bool loop_is_below(int number, const char *folder, const char **ret_name, char *path,
                          size_t size) {
    char name[64];
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    struct err ignored;
    size_t len = strlen(folder);
    snprintf(name, sizeof name, "/sys/block/loop%d/loop/backing_file", number);
    if (fs_read(name, &text, &ignored) < 0)
        return false;
    struct str file = str_trim(buf_str(&text));
    snprintf(path, size, "%.*s", STR_FMT(file));
    if (strncmp(path, folder, len) != 0 || path[len] != '/')
        return false;
    *ret_name = path + len + 1;
    return true;
}

static bool loop_known(const cJSON *world, int number, const char *id) {
    cJSON *volumes = cJSON_GetObjectItem(world, "volumes");
    const cJSON *v = find_by(volumes, "id", id);
    const cJSON *loop = cJSON_GetObjectItem(v, "loop");
    return cJSON_IsNumber(loop) && loop->valueint == number;
}

void volume_loops_sweep(const struct paths *paths, const cJSON *world) {
    char folder[PATH_SIZE], path[PATH_SIZE * 2], real[4096];
    DIR *blocks = opendir("/sys/block");
    const struct dirent *entry;
    snprintf(folder, sizeof folder, "%s/v", paths->dir);
    while (blocks != NULL && realpath(folder, real) != NULL && (entry = readdir(blocks)) != NULL) {
        int64_t number;
        const char *id;
        struct str name = str_of(entry->d_name);
        if (!str_starts(name, STR("loop")))
            continue;
        name.ptr += 4;
        name.len -= 4;
        if (str_to_i64(name, 0, INT32_MAX, &number) &&
            loop_is_below((int)number, real, &id, path, sizeof path) &&
            !loop_known(world, (int)number, id))
            loop_give_back((int)number);
    }
    if (blocks != NULL)
        closedir(blocks);
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

static int loop_number(const cJSON *volume) {
    const cJSON *loop = cJSON_GetObjectItem(volume, "loop");
    return cJSON_IsNumber(loop) ? loop->valueint : -1;
}

/* Its loop device and node, when it has none yet. */
static int volume_ready(struct sandbox *s, cJSON *volume, char *node, size_t size,
                        struct err *err) {
    char folder[PATH_SIZE * 2], path[PATH_SIZE * 2], sys[64];
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    int64_t major_number = 0, minor_number = 0;
    int rc = device_folder(s, text_of(volume, "instance"), folder, sizeof folder, err);
    volume_path(s, text_of(volume, "id"), path, sizeof path);
    if (rc == 0 && loop_number(volume) < 0) {
        int number = loop_take(path, err);
        if (number < 0)
            return -ERRC_UNSUPPORTED;
        set_number(volume, "loop", number);
    }
    snprintf(sys, sizeof sys, "/sys/block/loop%d/dev", loop_number(volume));
    if (rc == 0)
        rc = fs_read(sys, &text, err);
    struct str rest = str_trim(buf_str(&text)), first = {NULL, 0};
    if (rc == 0 &&
        (!str_split(&rest, ':', &first) || !str_to_i64(first, 0, UINT32_MAX, &major_number) ||
         !str_to_i64(rest, 0, UINT32_MAX, &minor_number)))
        rc = err_set(err, ERRC_IO, "%s says nothing", sys);
    snprintf(node, size, "%s/loop%d", folder, loop_number(volume));
    return rc < 0 ? rc
                  : node_make(node, S_IFBLK,
                              makedev((unsigned)major_number, (unsigned)minor_number), err);
}

void volume_release(struct sandbox *s, cJSON *volume) {
    char node[PATH_SIZE * 2];
    if (loop_number(volume) < 0)
        return;
    char folder[PATH_SIZE];
    device_path(s, text_of(volume, "instance"), folder, sizeof folder);
    snprintf(node, sizeof node, "%s/loop%d", folder, loop_number(volume));
    if (chown(node, 0, 0) == 0 && chmod(node, 0) == 0)
        unlink(node);
    loop_give_back(loop_number(volume));
    cJSON_DeleteItemFromObject(volume, "loop");
}

int volume_capacity(const cJSON *volume, struct err *err) {
    char name[32];
    if (loop_number(volume) < 0)
        return 0;
    snprintf(name, sizeof name, "/dev/loop%d", loop_number(volume));
    int fd = open(name, O_RDWR | O_CLOEXEC);
    int rc = fd < 0 || ioctl(fd, LOOP_SET_CAPACITY) < 0
                 ? err_set_errno(err, ERRC_IO, errno, "grow %s", name)
                 : 0;
    if (fd >= 0)
        close(fd);
    return rc;
}

/* A mounted file system holds it alone, as open(2) has it of block devices. */
bool volume_mounted(const cJSON *volume) {
    char name[32];
    if (loop_number(volume) < 0)
        return false;
    snprintf(name, sizeof name, "/dev/loop%d", loop_number(volume));
    int fd = open(name, O_RDONLY | O_EXCL | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd < 0 && errno == EBUSY;
}

/* ---- In a guest that runs */

/* What a process does there as the guest's root: names below /dev. */
struct hotplug {
    int tree; /* -1: take it out */
    char node[32], nvme[48], link[96];
};

static void names_of(const cJSON *volume, struct hotplug *ret) {
    snprintf(ret->node, sizeof ret->node, "/dev/loop%d", loop_number(volume));
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
    if (loop_number(volume) >= 0 && guest_alive(instance) && hotplug(instance, &h, &err) < 0)
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
