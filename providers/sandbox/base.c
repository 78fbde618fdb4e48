/* The guests' root file system: made once by mmdebstrap, extracted inside a user namespace (so that
 * its files are stored already shifted), trimmed, and put in place by one rename. */
#define _GNU_SOURCE
#include "providers/sandbox/internal.h"
#include "providers/sandbox/userns.h"
#include "specs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char include[] =
    "--include=systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,"
    "sudo,ca-certificates,python3,python3-venv,iproute2,procps,curl,fuse2fs";

/* Free space that making it needs: it and the archive that it comes from. */
enum { BASE_MIB = 800 };

/* What a guest must not try, and what only costs time. userns_run has gone to the root already: a
 * cd would walk there again by its whole path, which the mapped root may not. */
static const char trim_script[] =
    "set -e\nfor f in lib/systemd/systemd usr/sbin/sshd usr/bin/python3 usr/bin/sudo "
    "usr/bin/fuse2fs; do\n"
    "test -e $f || test -L $f || { echo \"no $f in it\" >&2; exit 1; }; done\nmkdir -p dev proc "
    "sys run tmp var/cache/berth\nchmod 1777 tmp\n"
    "for u in sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount "
    "systemd-modules-load.service systemd-sysctl.service systemd-remount-fs.service "
    "systemd-journal-flush.service getty.target apt-daily.timer apt-daily-upgrade.timer "
    "fstrim.timer e2scrub_all.timer dpkg-db-backup.timer systemd-networkd-wait-online.service "
    "systemd-timesyncd.service; do ln -sf /dev/null etc/systemd/system/$u; done\n"
    "rm -f etc/ssh/ssh_host_* etc/machine-id etc/hostname\n"
    "mkdir -p etc/systemd/journald.conf.d\n"
    "printf '[Journal]\\nStorage=volatile\\n' >etc/systemd/journald.conf.d/berth.conf\n";

/* The first thing that mmdebstrap or apt-get called an error is why; all they said is in the log.
 */
static void tell_why(const char *output, struct err *err) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    struct err ignored;
    struct str line;
    if (fs_read(output, &text, &ignored) < 0)
        return;
    fputs(buf_cstr(&text), stderr);
    struct str rest = buf_str(&text);
    while (str_split(&rest, '\n', &line)) {
        if (!str_starts(line, STR("E: ")))
            continue;
        err_set(err, ERRC_IO, "%.*s", (int)line.len - 3, line.ptr + 3);
        return;
    }
}

static int make_archive(const char *tar, const char *output, struct err *err) {
    static const char script[] = "out=$1; shift; exec \"$@\" >\"$out\" 2>&1 </dev/null";
    const char *const make[] = {"sh",
                                "-c",
                                script,
                                "sh",
                                output,
                                "mmdebstrap",
                                "--mode=unshare",
                                "--variant=minbase",
                                "--skip=output/dev",
                                "--skip=cleanup/apt/lists",
                                include,
                                "bookworm",
                                tar,
                                NULL};
    int rc = run_command(make, NULL, err);
    if (rc == 0)
        return 0;
    tell_why(output, err);
    err_wrap(err, "the root file system cannot be made");
    err_hint(err, "it is made of Debian's packages: is their mirror to be reached from here (by "
                  "http_proxy, if there is one)? BERTH_SANDBOX_BASE_TAR takes one made elsewhere");
    return rc;
}

static int build(const struct paths *paths, const char *temp, const char *given, struct err *err) {
    char tar[PATH_SIZE + 16], root[PATH_SIZE + 16], output[PATH_SIZE + 16];
    snprintf(tar, sizeof tar, "%s/base.tar", temp);
    snprintf(root, sizeof root, "%s/root", temp);
    snprintf(output, sizeof output, "%s/output", temp);
    if (mkdir(root, 0755) < 0 || chown(root, GUEST_UID, GUEST_UID) < 0)
        return err_set_errno(err, ERRC_IO, errno, "make %s", root);
    if (given != NULL && access(given, R_OK) < 0)
        return err_set_errno(err, ERRC_NOTFOUND, errno, "BERTH_SANDBOX_BASE_TAR: %s", given);
    int rc = given != NULL ? 0 : make_archive(tar, output, err);
    if (rc < 0)
        return rc;
    const char *const extract[] = {
        "tar", "-xp", "--numeric-owner", "-f", given != NULL ? given : tar, "-C", root, NULL};
    if (userns_run(extract, err) < 0)
        return err_wrap(err, "the root file system cannot be extracted");
    const char *const trim[] = {"sh", "-c", trim_script, "sh", root, NULL};
    if (userns_run(trim, err) < 0)
        return err_wrap(err, "%s does not hold what a guest needs", given != NULL ? given : tar);
    /* It must not be there by name before it is there in full, a power cut or not. */
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) < 0)
        rc = err_set_errno(err, ERRC_IO, errno, "write %s", root);
    if (fd >= 0)
        close(fd);
    if (rc == 0 && rename(root, paths->base) < 0)
        rc = err_set_errno(err, ERRC_IO, errno, "put %s in place", paths->base);
    return rc;
}

static int check_space(const char *folder, struct err *err) {
    struct statvfs st;
    if (statvfs(folder, &st) < 0)
        return err_set_errno(err, ERRC_IO, errno, "look at %s", folder);
    unsigned long long free_mib = (unsigned long long)st.f_bavail * st.f_frsize >> 20;
    if (free_mib >= BASE_MIB)
        return 0;
    err_set(err, ERRC_IO, "%s has %llu MiB left; the root file system needs %d to be made", folder,
            free_mib, BASE_MIB);
    err_hint(err, "make room, or name another folder: BERTH_CACHE_DIR");
    return -ERRC_IO;
}

int base_lock(const struct paths *paths, int how) {
    char lock[PATH_SIZE];
    snprintf(lock, sizeof lock, "%s/base.lock", paths->cache);
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, how | LOCK_NB) == 0)
        return fd;
    int problem = errno;
    if (fd >= 0)
        close(fd);
    errno = problem;
    return -1;
}

/* Nobody else builds it and nobody uses it: the lock is held. What builders left that were killed
 * is removed first. */
static int build_alone(const struct paths *paths, struct err *err) {
    char temp[PATH_SIZE];
    const char *given = getenv("BERTH_SANDBOX_BASE_TAR");
    /* A name of its own: what a killed builder started may still write into its folder. */
    snprintf(temp, sizeof temp, "%s/building-%ld", paths->cache, (long)getpid());
    static const char *const left[] = {"building-*", NULL};
    remove_made(paths->cache, left, err);
    int rc = check_space(paths->cache, err);
    if (rc < 0)
        return rc;
    rc = mkdir(temp, 0711) < 0 ? err_set_errno(err, ERRC_IO, errno, "make %s", temp)
                               : build(paths, temp, given, err);
    remove_tree(temp);
    return rc;
}

int base_ensure(const struct paths *paths, void (*progress)(void *ctx, const char *text), void *ctx,
                int *ret_fd, struct err *err) {
    int rc = fs_mkdirs(paths->cache, 0700, err);
    bool told = false;
    if (rc < 0)
        return rc;
    for (;;) {
        int fd = base_lock(paths, LOCK_SH);
        if (fd >= 0 && fs_exists(paths->base)) {
            *ret_fd = fd;
            return 0;
        }
        if (fd >= 0)
            close(fd);
        fd = base_lock(paths, LOCK_EX);
        if (fd < 0) { /* another daemon builds it */
            if (errno != EWOULDBLOCK)
                return err_set_errno(err, ERRC_IO, errno, "use %s", paths->cache);
            if (!told)
                progress(ctx, "waiting for another sandbox that builds the root file system");
            told = true;
            sleep_ms(200);
            continue;
        }
        if (!fs_exists(paths->base)) {
            progress(ctx, "building the Debian root file system (once, about half a minute)");
            rc = build_alone(paths, err);
        }
        close(fd);
        if (rc < 0)
            return rc;
    }
}
