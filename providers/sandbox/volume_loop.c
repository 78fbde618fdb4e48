/* What stands behind a volume's device: a sparse file, and a loop device over it (loop(4)), whose
 * number the volume's record has. */
#include "providers/sandbox/internal.h"
#include "providers/sandbox/volume.h"
#include "specs/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { LOOP_TRIES = 20, GIB_SHIFT = 30 }; /* 2^30 bytes are a GiB */

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
    if (rc == 0 && (fd < 0 || ftruncate(fd, (off_t)number_of(volume, "size") << GIB_SHIFT) < 0))
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

int volume_loop(const cJSON *volume) {
    const cJSON *loop = cJSON_GetObjectItem(volume, "loop");
    return cJSON_IsNumber(loop) ? loop->valueint : -1;
}

/* Takes a free one; its number, or -1 with *err set. */
static int take_free(const char *path, struct err *err) {
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

int volume_loop_take(struct sandbox *s, cJSON *volume, struct err *err) {
    char path[PATH_SIZE * 2];
    if (volume_loop(volume) >= 0)
        return 0;
    volume_path(s, text_of(volume, "id"), path, sizeof path);
    int number = take_free(path, err);
    if (number < 0)
        return -ERRC_UNSUPPORTED;
    set_number(volume, "loop", number);
    return 0;
}

int volume_loop_device(const cJSON *volume, dev_t *ret, struct err *err) {
    char path[64];
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    int64_t major_number = 0, minor_number = 0;
    snprintf(path, sizeof path, "/sys/block/loop%d/dev", volume_loop(volume));
    int rc = fs_read(path, &text, err);
    if (rc < 0)
        return rc;
    struct str rest = str_trim(buf_str(&text)), first = {NULL, 0};
    if (!str_split(&rest, ':', &first) || !str_to_i64(first, 0, UINT32_MAX, &major_number) ||
        !str_to_i64(rest, 0, UINT32_MAX, &minor_number))
        return err_set(err, ERRC_IO, "%s says nothing", path);
    *ret = makedev((unsigned)major_number, (unsigned)minor_number);
    return 0;
}

/* Once nobody has it open any more. */
static void give_back(int number) {
    char name[32];
    snprintf(name, sizeof name, "/dev/loop%d", number);
    int fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0 || (ioctl(fd, LOOP_CLR_FD) < 0 && errno != ENXIO))
        sandbox_log("cannot free %s: %s", name, strerror(errno));
    if (fd >= 0)
        close(fd);
}

void volume_loop_give_back(cJSON *volume) {
    give_back(volume_loop(volume));
    cJSON_DeleteItemFromObject(volume, "loop");
}

int volume_capacity(const cJSON *volume, struct err *err) {
    char name[32];
    if (volume_loop(volume) < 0)
        return 0;
    snprintf(name, sizeof name, "/dev/loop%d", volume_loop(volume));
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
    if (volume_loop(volume) < 0)
        return false;
    snprintf(name, sizeof name, "/dev/loop%d", volume_loop(volume));
    int fd = open(name, O_RDONLY | O_EXCL | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd < 0 && errno == EBUSY;
}

/* Is it over a file below this folder? */
static bool is_below(int number, const char *folder, const char **ret_name, char *path,
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

static bool is_known(const cJSON *world, int number, const char *id) {
    return volume_loop(find_by(cJSON_GetObjectItem(world, "volumes"), "id", id)) == number;
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
            is_below((int)number, real, &id, path, sizeof path) &&
            !is_known(world, (int)number, id))
            give_back((int)number);
    }
    if (blocks != NULL)
        closedir(blocks);
}
