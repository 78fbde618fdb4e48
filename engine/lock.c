#include "engine/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

struct lock {
    int fd;
};

enum { HOLDER_SIZE = 200 };

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

int lock_take(const char *project_dir, const char *verb, struct lock **ret,
              char ret_note[LOCK_NOTE_SIZE], struct err *err) {
    char path[4096];
    snprintf(path, sizeof path, "%s/lock", project_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, ERRC_IO, errno, "open %s", path);
    char holder[HOLDER_SIZE];
    bool taken = flock(fd, LOCK_EX | LOCK_NB) < 0;
    int reason = errno;
    read_holder(fd, holder, sizeof holder); /* only now: the last one wipes it before it lets go */
    if (taken) {
        int rc = reason == EWOULDBLOCK
                     ? err_set(err, ERRC_LOCKED, "somebody else is at work here: %s",
                               holder[0] != '\0' ? holder : "a run that has only just begun")
                     : err_set_errno(err, ERRC_IO, reason, "lock %s", path);
        if (rc == -ERRC_LOCKED)
            err_hint(err, "wait for it to end, then run again");
        close(fd);
        return rc;
    }
    struct lock *lock = calloc(1, sizeof *lock);
    if (lock == NULL) {
        close(fd);
        return err_set(err, ERRC_NOMEM, "out of memory");
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
