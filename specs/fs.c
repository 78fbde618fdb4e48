#define _GNU_SOURCE /* mkostemp */
#include "specs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static int read_all(int fd, const char *path, struct buf *out, struct err *err) {
    char chunk[16384];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, ERRC_IO, errno, "read %s", path);
        if (n == 0)
            return 0;
        buf_add(out, chunk, (size_t)n);
        if (out->failed)
            return err_set(err, ERRC_LIMIT, "%s is larger than %zu bytes", path, out->max);
    }
}

int fs_read(const char *path, struct buf *out, struct err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno == ENOENT ? ERRC_NOTFOUND : ERRC_IO, errno, "open %s",
                             path);
    int rc = read_all(fd, path, out, err);
    close(fd);
    return rc;
}

static int write_all(int fd, struct str content) {
    while (content.len > 0) {
        ssize_t n = write(fd, content.ptr, content.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        content.ptr += n;
        content.len -= (size_t)n;
    }
    return 0;
}

static int sync_folder_of(const char *path, struct err *err) {
    char copy[PATH_SIZE];
    snprintf(copy, sizeof copy, "%s", path);
    const char *folder = dirname(copy);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, ERRC_IO, errno, "open %s", folder);
    int rc = fsync(fd) < 0 ? err_set_errno(err, ERRC_IO, errno, "sync %s", folder) : 0;
    close(fd);
    return rc;
}

int fs_write(const char *path, struct str content, unsigned mode, struct err *err) {
    char temp[PATH_SIZE];
    struct stat there;
    /* A device or a pipe would be replaced by the rename, not written to. */
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode))
        return err_set(err, ERRC_IO, "%s is not a regular file", path);
    if ((size_t)snprintf(temp, sizeof temp, "%s.tmp-XXXXXX", path) >= sizeof temp)
        return err_set(err, ERRC_LIMIT, "path too long: %s", path);
    int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, ERRC_IO, errno, "create a file beside %s", path);
    int rc = 0;
    if (fchmod(fd, (mode_t)mode) < 0 || write_all(fd, content) < 0 || fsync(fd) < 0)
        rc = err_set_errno(err, ERRC_IO, errno, "write %s", path);
    if (close(fd) < 0 && rc == 0)
        rc = err_set_errno(err, ERRC_IO, errno, "write %s", path);
    if (rc == 0 && rename(temp, path) < 0)
        rc = err_set_errno(err, ERRC_IO, errno, "replace %s", path);
    if (rc < 0) {
        unlink(temp);
        return rc;
    }
    return sync_folder_of(path, err);
}

int fs_remove(const char *path, struct err *err) {
    if (unlink(path) < 0 && errno != ENOENT)
        return err_set_errno(err, ERRC_IO, errno, "remove %s", path);
    return 0;
}

bool fs_exists(const char *path) { return access(path, F_OK) == 0; }

int fs_mkdirs(const char *path, unsigned mode, struct err *err) {
    char copy[PATH_SIZE];
    if ((size_t)snprintf(copy, sizeof copy, "%s", path) >= sizeof copy)
        return err_set(err, ERRC_LIMIT, "path too long: %s", path);
    for (char *at = copy + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
            return err_set_errno(err, ERRC_IO, errno, "make folder %s", copy);
        *at = '/';
    }
    if (mkdir(copy, (mode_t)mode) < 0 && errno != EEXIST)
        return err_set_errno(err, ERRC_IO, errno, "make folder %s", copy);
    return 0;
}
