/* The guests' root file systems: each made once by mmdebstrap, extracted inside a user namespace
 * (so that its files are stored already shifted), trimmed, and put in place by one rename. */
#define _GNU_SOURCE
#include "providers/sandbox/images.h"
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

/* What a guest must not try, and what only costs time. userns_run has gone to the root already: a
 * cd would walk there again by its whole path, which the mapped root may not. */
static const char trim_script[] =
    "set -e\nfor f in $0; do\n"
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

/* The first thing that mmdebstrap or apt-get called an error is why. */
static void tell_why(const char *output, struct err *err) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    struct err ignored;
    struct str line;
    if (fs_read(output, &text, &ignored) < 0)
        return;
    struct str rest = buf_str(&text);
    while (str_split(&rest, '\n', &line)) {
        if (!str_starts(line, STR("E: ")))
            continue;
        err_set(err, ERRC_IO, "%.*s", (int)line.len - 3, line.ptr + 3);
        return;
    }
}

/* exec: the program itself is told when we are gone. */
#define LOGGED "sh", "-c", "out=$1; shift; exec \"$@\" >\"$out\" 2>&1 </dev/null", "sh"

/* The archive's keys, where mmdebstrap's own user can read them; the hash vouches for them. */
static int fetch_keys(const struct archive_keys *keys, const char *folder, const char *output,
                      struct err *err) {
    static const char unpack[] = "cd \"$1\" && chmod 755 . && dpkg-deb --fsys-tarfile keys.deb | "
                                 "tar -xO \"$2\" >keys.gpg && test -s keys.gpg";
    char package[64], hash[96];
    snprintf(package, sizeof package, "%s/keys.deb", folder);
    snprintf(hash, sizeof hash, "SHA256:%s", keys->sha256);
    const char *const get[] = {
        LOGGED, output, "/usr/lib/apt/apt-helper", "-q", "download-file", keys->url, package,
        hash,   NULL};
    const char *const take[] = {"sh", "-c", unpack, "sh", folder, keys->file, NULL};
    int rc = run_command(get, NULL, err);
    return rc < 0 ? rc : run_command(take, NULL, err);
}

enum { ARGS_MAX = 24 };

static int run_mmdebstrap(const struct base *base, const char *tar, const char *output,
                          const char *keys, struct err *err) {
    _cleanup_buf_ struct buf include = BUF_INIT(BUF_SMALL), finish = BUF_INIT(BUF_MEDIUM),
                             keyring = BUF_INIT(BUF_SMALL);
    const char *argv[ARGS_MAX] = {LOGGED, output, "env"};
    size_t n = 6;
    buf_addf(&include, "--include=%s", base->include);
    if (base->finish != NULL) {
        buf_addf(&finish, "BERTH_FINISH=%s", base->finish);
        argv[n++] = buf_cstr(&finish);
    }
    argv[n++] = "mmdebstrap";
    argv[n++] = "--mode=unshare";
    argv[n++] = "--variant=minbase";
    argv[n++] = "--skip=output/dev";
    if (base->finish != NULL) {
        argv[n++] = "--skip=cleanup"; /* it is done, and there may be no apt any more */
        argv[n++] = "--customize-hook=chroot \"$1\" sh -ec \"$BERTH_FINISH\"";
    } else {
        argv[n++] = "--skip=cleanup/apt/lists";
    }
    if (keys != NULL) {
        buf_addf(&keyring, "--keyring=%s", keys);
        argv[n++] = buf_cstr(&keyring);
    }
    argv[n++] = buf_cstr(&include);
    argv[n++] = base->suite;
    argv[n++] = tar;
    for (size_t i = 0; base->sources[i] != NULL; i++)
        argv[n++] = base->sources[i];
    argv[n] = NULL;
    return run_command(argv, NULL, err);
}

static int make_archive(const struct base *base, const char *tar, const char *output,
                        struct err *err) {
    char folder[] = "/tmp/berth-keys-XXXXXX", file[sizeof folder + 16];
    bool ours = base->keys != NULL && !fs_exists(base->keys->local);
    const char *keys = base->keys == NULL ? NULL : base->keys->local;
    int rc = 0;
    if (ours && mkdtemp(folder) == NULL)
        return err_set_errno(err, ERRC_IO, errno, "make a folder in /tmp");
    if (ours) {
        snprintf(file, sizeof file, "%s/keys.gpg", folder);
        keys = file;
        rc = fetch_keys(base->keys, folder, output, err);
    }
    if (rc == 0)
        rc = run_mmdebstrap(base, tar, output, keys, err);
    if (ours)
        remove_tree(folder);
    if (rc == 0)
        return 0;
    tell_why(output, err);
    err_wrap(err, "the root file system of %s cannot be made", base->name);
    err_hint(err,
             "it is made of %s's packages: is their mirror to be reached from here (by "
             "http_proxy, if there is one)? BERTH_SANDBOX_BASE_TAR takes one made elsewhere; all "
             "that was said is in %s",
             base->keys == NULL ? "Debian" : "Ubuntu", output);
    return rc;
}

/* The archive that the user made beforehand, if there is one: a file is Debian's, a folder has one
 * for each image that it is to serve. */
static int find_given(const struct base *base, char *ret, size_t size, struct err *err) {
    const char *given = getenv("BERTH_SANDBOX_BASE_TAR");
    struct stat st;
    ret[0] = '\0';
    if (given == NULL || given[0] == '\0')
        return 0;
    if (stat(given, &st) < 0)
        return err_set_errno(err, ERRC_NOTFOUND, errno, "BERTH_SANDBOX_BASE_TAR: %s", given);
    if (S_ISDIR(st.st_mode))
        snprintf(ret, size, "%s/%s.tar", given, base->name);
    else if (base == images[0].base)
        snprintf(ret, size, "%s", given);
    if (!fs_exists(ret))
        ret[0] = '\0'; /* that one is built */
    return 0;
}

static int build(const struct paths *paths, const struct base *base, const char *temp,
                 struct err *err) {
    char tar[PATH_SIZE + 64], root[PATH_SIZE + 16], output[PATH_SIZE + 16], path[PATH_SIZE];
    int rc = find_given(base, tar, sizeof tar, err);
    bool given = tar[0] != '\0';
    if (rc < 0)
        return rc;
    if (!given)
        snprintf(tar, sizeof tar, "%s/base.tar", temp);
    snprintf(root, sizeof root, "%s/root", temp);
    snprintf(output, sizeof output, "%s/%s.log", paths->cache, base->name);
    base_path(paths, base, path, sizeof path);
    if (mkdir(root, 0755) < 0 || chown(root, GUEST_UID, GUEST_UID) < 0)
        return err_set_errno(err, ERRC_IO, errno, "make %s", root);
    rc = given ? 0 : make_archive(base, tar, output, err);
    if (rc < 0)
        return rc;
    const char *const extract[] = {"tar", "-xp", "--numeric-owner", "-f", tar, "-C", root, NULL};
    if (userns_run(extract, err) < 0)
        return err_wrap(err, "the root file system of %s cannot be extracted", base->name);
    const char *const trim[] = {"sh", "-c", trim_script, base->holds, root, NULL};
    if (userns_run(trim, err) < 0)
        return err_wrap(err, "%s does not hold what a guest needs", tar);
    /* It must not be there by name before it is there in full, a power cut or not. */
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) < 0)
        rc = err_set_errno(err, ERRC_IO, errno, "write %s", root);
    if (fd >= 0)
        close(fd);
    if (rc == 0 && rename(root, path) < 0)
        rc = err_set_errno(err, ERRC_IO, errno, "put %s in place", path);
    return rc;
}

static int check_space(const char *folder, const struct base *base, struct err *err) {
    struct statvfs st;
    if (statvfs(folder, &st) < 0)
        return err_set_errno(err, ERRC_IO, errno, "look at %s", folder);
    unsigned long long free_mib = (unsigned long long)st.f_bavail * st.f_frsize >> 20;
    if (free_mib >= (unsigned long long)base->mib)
        return 0;
    err_set(err, ERRC_IO, "%s has %llu MiB left; the root file system of %s needs %d to be made",
            folder, free_mib, base->name, base->mib);
    err_hint(err, "make room, or name another folder: BERTH_CACHE_DIR");
    return -ERRC_IO;
}

int cache_lock(const struct paths *paths, const char *name, int how) {
    char lock[PATH_SIZE];
    snprintf(lock, sizeof lock, "%s/%s", paths->cache, name);
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, how | LOCK_NB) == 0)
        return fd;
    int problem = errno;
    if (fd >= 0)
        close(fd);
    errno = problem;
    return -1;
}

int cache_hold(const struct paths *paths, int *ret_fd, struct err *err) {
    int rc = fs_mkdirs(paths->cache, 0700, err);
    while (rc == 0) {
        int fd = cache_lock(paths, CACHE_LOCK, LOCK_SH);
        if (fd >= 0) {
            *ret_fd = fd;
            return 0;
        }
        if (errno != EWOULDBLOCK) /* somebody removes it just now */
            rc = err_set_errno(err, ERRC_IO, errno, "use %s", paths->cache);
        sleep_ms(POLL_MS);
    }
    return rc;
}

void base_path(const struct paths *paths, const struct base *base, char *ret, size_t size) {
    snprintf(ret, size, "%s/%s-%d", paths->cache, base->name, base->version);
}

/* Nobody else builds it: its lock is held. What builders left that were killed is removed first. */
static int build_alone(const struct paths *paths, const struct base *base, struct err *err) {
    char temp[PATH_SIZE], left[64];
    struct err ignored;
    /* A name of its own: what a killed builder started may still write into its folder. */
    snprintf(left, sizeof left, "building-%s-*", base->name);
    snprintf(temp, sizeof temp, "%s/building-%s-%ld", paths->cache, base->name, (long)getpid());
    const char *const patterns[] = {left, NULL};
    (void)remove_made(paths->cache, patterns, &ignored); /* no room is what would tell */
    int rc = check_space(paths->cache, base, err);
    if (rc < 0)
        return rc;
    rc = mkdir(temp, 0711) < 0 ? err_set_errno(err, ERRC_IO, errno, "make %s", temp)
                               : build(paths, base, temp, err);
    remove_tree(temp);
    return rc;
}

int base_ensure(const struct paths *paths, const struct base *base,
                void (*progress)(void *ctx, const char *text), void *ctx, struct err *err) {
    char path[PATH_SIZE], lock[64], text[160];
    bool told = false;
    base_path(paths, base, path, sizeof path);
    snprintf(lock, sizeof lock, "building-%s.lock", base->name);
    while (!fs_exists(path)) {
        int fd = cache_lock(paths, lock, LOCK_EX);
        if (fd < 0 && errno != EWOULDBLOCK)
            return err_set_errno(err, ERRC_IO, errno, "use %s", paths->cache);
        if (fd < 0) { /* another process builds it */
            snprintf(text, sizeof text,
                     "waiting for another sandbox that builds the root file system of %s",
                     base->name);
            if (!told && progress != NULL)
                progress(ctx, text);
            told = true;
            sleep_ms(200);
            continue;
        }
        int rc = 0;
        if (!fs_exists(path)) {
            snprintf(text, sizeof text,
                     "building the root file system: %s (once, about %d seconds)", base->title,
                     base->seconds);
            if (progress != NULL)
                progress(ctx, text);
            rc = build_alone(paths, base, err);
        }
        close(fd);
        if (rc < 0)
            return rc;
    }
    return 0;
}
