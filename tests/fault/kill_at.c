/* Preloaded into berth (LD_PRELOAD): ends the process as kill -9 would, at the Nth call that
 * matters: the disk is told to keep something (fsync, rename), or something is sent to the API or a
 * host (send, connect). All threads count together, so that the points of a run are the same on a
 * slow machine and a fast one.
 *
 * KILL_AT=N: just before the Nth; KILL_AT=-N: just after it was done, so that its answer is lost.
 * KILL_COUNT=FILE: the number of calls is left there at the end. */
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int preloaded_fsync(int fd) __asm__("fsync");
int preloaded_rename(const char *from, const char *to) __asm__("rename");
ssize_t preloaded_send(int fd, const void *data, size_t len, int flags) __asm__("send");
int preloaded_connect(int fd, const struct sockaddr *to, socklen_t len) __asm__("connect");

static atomic_long calls;

static long wanted(void) {
    const char *text = getenv("KILL_AT");
    return text == NULL ? 0 : strtol(text, NULL, 10);
}

static void end_now(void) { kill(getpid(), SIGKILL); }

static long before(void) {
    long number = atomic_fetch_add(&calls, 1) + 1;
    if (number == wanted())
        end_now();
    return number;
}

static void after(long number) {
    if (number == -wanted())
        end_now();
}

__attribute__((destructor)) static void leave_count(void) {
    const char *path = getenv("KILL_COUNT");
    FILE *file = path == NULL ? NULL : fopen(path, "w");
    if (file == NULL)
        return;
    fprintf(file, "%ld\n", atomic_load(&calls));
    fclose(file);
}

/* POSIX's way from dlsym's object pointer to a function: through memory. */
#define REAL(name, pointer) *(void **)&(pointer) = dlsym(RTLD_NEXT, name)

int preloaded_fsync(int fd) {
    int (*real)(int);
    REAL("fsync", real);
    long number = before();
    int rc = real(fd);
    after(number);
    return rc;
}

int preloaded_rename(const char *from, const char *to) {
    int (*real)(const char *, const char *);
    REAL("rename", real);
    long number = before();
    int rc = real(from, to);
    after(number);
    return rc;
}

ssize_t preloaded_send(int fd, const void *data, size_t len, int flags) {
    ssize_t (*real)(int, const void *, size_t, int);
    REAL("send", real);
    long number = before();
    ssize_t rc = real(fd, data, len, flags);
    after(number);
    return rc;
}

int preloaded_connect(int fd, const struct sockaddr *to, socklen_t len) {
    int (*real)(int, const struct sockaddr *, socklen_t);
    REAL("connect", real);
    long number = before();
    int rc = real(fd, to, len);
    after(number);
    return rc;
}
