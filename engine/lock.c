#include "engine/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct lock {
    int fd;
};

enum { HOLDER_SIZE = sizeof((struct lock_info *)0)->holder };

static void read_holder(int fd, char *ret, size_t size) {
    ssize_t n = pread(fd, ret, size - 1, 0);
    ret[n > 0 ? n : 0] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
}

static void write_holder(int fd, const char *verb) {
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    time_t now = time(NULL);
    struct tm tm;
    char since[32] = "";
    if (gmtime_r(&now, &tm) != NULL)
        strftime(since, sizeof since, "%Y-%m-%d %H:%M:%S UTC", &tm);
    char text[HOLDER_SIZE];
    int len = snprintf(text, sizeof text, "berth %s, process %ld on %s, since %s\n", verb,
                       (long)getpid(), host, since);
    if (len > 0 && ftruncate(fd, 0) == 0) {
        ssize_t ignored = pwrite(fd, text, (size_t)len, 0); /* a courtesy: the flock is the lock */
        (void)ignored;
    }
}

/* Somebody may have taken the file away (berth unlock -force) since it was opened. */
static bool is_there_still(const char *path, int fd) {
    struct stat named, opened;
    return stat(path, &named) == 0 && fstat(fd, &opened) == 0 && named.st_ino == opened.st_ino &&
           named.st_dev == opened.st_dev;
}

/* Open and locked; -1 with errno, which is EWOULDBLOCK when it is held. */
static int open_locked(const char *path, int *ret_opened) {
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        *ret_opened = fd;
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
            return -1;
        if (is_there_still(path, fd))
            return fd;
        close(fd);
    }
}

int lock_take(const char *project_dir, const char *verb, struct lock **ret,
              char ret_note[LOCK_NOTE_SIZE], struct err *err) {
    char path[4096];
    snprintf(path, sizeof path, "%s/lock", project_dir);
    int fd;
    bool taken = open_locked(path, &fd) < 0;
    int reason = errno;
    if (fd < 0)
        return err_set_errno(err, ERRC_IO, reason, "open %s", path);
    char holder[HOLDER_SIZE];
    read_holder(fd, holder, sizeof holder); /* only now: the last one wipes it before it lets go */
    if (taken) {
        int rc = reason == EWOULDBLOCK
                     ? err_set(err, ERRC_LOCKED, "somebody else is at work here: %s",
                               holder[0] != '\0' ? holder : "a run that has only just begun")
                     : err_set_errno(err, ERRC_IO, reason, "lock %s", path);
        if (rc == -ERRC_LOCKED)
            err_hint(err, "wait for it to end, then run again; berth unlock says more");
        close(fd);
        return rc;
    }
    struct lock *lock = calloc(1, sizeof *lock);
    if (lock == NULL) {
        close(fd);
        return err_no_memory(err);
    }
    lock->fd = fd;
    /* A holder that ended well leaves the file empty. */
    if (holder[0] != '\0')
        snprintf(ret_note, LOCK_NOTE_SIZE, "took over the lock of a run that did not end well (%s)",
                 holder);
    else
        ret_note[0] = '\0';
    write_holder(fd, verb);
    *ret = lock;
    return 0;
}

void lock_release(struct lock *lock) {
    if (lock == NULL)
        return;
    if (ftruncate(lock->fd, 0) < 0) {
        /* The text is a courtesy; closing drops the lock. */
    }
    close(lock->fd);
    free(lock);
}

static int break_held(const char *path, bool force, const struct lock_info *info, struct err *err) {
    if (force)
        return unlink(path) == 0 || errno == ENOENT
                   ? 0
                   : err_set_errno(err, ERRC_IO, errno, "remove %s", path);
    err_set(err, ERRC_LOCKED, "the lock is held by somebody who is at work: %s",
            info->holder[0] != '\0' ? info->holder : "a run that has only just begun");
    err_hint(err, "wait for it to end, or end that process; -force takes the lock away from a "
                  "machine that is gone");
    return -ERRC_LOCKED;
}

int lock_break(const char *project_dir, bool force, struct lock_info *ret, struct err *err) {
    char path[4096];
    struct lock_info info = {0};
    snprintf(path, sizeof path, "%s/lock", project_dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return err_set_errno(err, ERRC_IO, errno, "open %s", path);
    if (fd < 0) {
        *ret = info;
        return 0;
    }
    info.held = flock(fd, LOCK_EX | LOCK_NB) < 0;
    read_holder(fd, info.holder, sizeof info.holder);
    int rc = info.held               ? break_held(path, force, &info, err)
             : ftruncate(fd, 0) == 0 ? 0
                                     : err_set_errno(err, ERRC_IO, errno, "clear %s", path);
    close(fd);
    if (rc == 0)
        *ret = info;
    return rc;
}
