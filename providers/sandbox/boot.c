/* One guest, from nothing to its init, in the order that works. This runs in a process of its own:
 * `berth sandbox serve` with BERTH_SANDBOX_BOOT set. It ends when the guest's init has been
 * started; the guest outlives it and the daemon. */
#define _GNU_SOURCE
#include "providers/sandbox/guest.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/userns.h"
#include "providers/sandbox/volume.h"
#include "specs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEVICES_MAX = 32 };
enum { BOOT_S = 60 }; /* the parent ends then, and so does a guest whose init has not begun */

#define ROOT "/tmp" /* where the guest's root is put together, in its own mount namespace */

struct boot {
    const char *dir; /* of the instance */
    cJSON *config;
    int base, upper, work, cache, seed, console;
    int sync; /* the child's end */
    int fuse; /* mounts to be placed, as of device_tree(); -1: none */
    struct boot_device {
        int tree;
        const cJSON *names;
    } devices[DEVICES_MAX];
    size_t devices_len;
};

static void die(const char *what) {
    fprintf(stderr, "guest: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static void must(long result, const char *what) {
    if (result < 0)
        die(what);
}

static void mount_at(const char *source, const char *path, const char *type, unsigned long flags,
                     const char *data) {
    char target[128];
    snprintf(target, sizeof target, ROOT "%s", path);
    if (mount(source, target, type, flags, data) < 0)
        die(target);
}

/* Volumes, and what mounts them: fuse2fs(1), since the kernel takes no ext4 from a guest (what lies
 * on a volume is the guest's own, and the kernel's ext4 trusts what it reads). */
static void place_devices(const struct boot *b) {
    if (b->fuse >= 0) {
        close(open(ROOT "/dev/fuse", O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
        must(move_mount(b->fuse, "", AT_FDCWD, ROOT "/dev/fuse", MOVE_MOUNT_F_EMPTY_PATH),
             "/dev/fuse");
    }
    for (size_t i = 0; i < b->devices_len; i++) {
        const cJSON *names = b->devices[i].names;
        must(device_place(b->devices[i].tree, ROOT, text_of(names, "name"), text_of(names, "nvme"),
                          text_of(names, "link")),
             text_of(names, "name"));
    }
}

static void make_dev(const struct boot *b) {
    static const char *const nodes[] = {"null", "zero", "full", "random", "urandom", "tty"};
    char path[64], target[64];
    mount_at("tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=755,size=16m");
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        snprintf(path, sizeof path, "/dev/%s", nodes[i]);
        snprintf(target, sizeof target, ROOT "/dev/%s", nodes[i]);
        close(open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
        must(mount(path, target, NULL, MS_BIND, NULL), target);
    }
    mkdir(ROOT "/dev/pts", 0755);
    mount_at("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
             "newinstance,ptmxmode=0666,mode=620,gid=5");
    must(symlink("pts/ptmx", ROOT "/dev/ptmx"), "ptmx");
    must(symlink("/proc/self/fd", ROOT "/dev/fd"), "fd");
    must(symlink("/proc/self/fd/0", ROOT "/dev/stdin"), "stdin");
    must(symlink("/proc/self/fd/1", ROOT "/dev/stdout"), "stdout");
    must(symlink("/proc/self/fd/2", ROOT "/dev/stderr"), "stderr");
    mkdir(ROOT "/dev/shm", 01777);
    mount_at("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
    place_devices(b);
}

static void make_root(const struct boot *b) {
    char options[256], cache[64];
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private mounts");
    /* By descriptor: the folders may lie where the mapped root could not walk to. */
    snprintf(options, sizeof options,
             "lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d,"
             "userxattr",
             b->base, b->upper, b->work);
    if (mount("overlay", ROOT, "overlay", 0, options) < 0)
        die("overlay (the world's folder must lie on ext4, xfs, btrfs or the like, not on an "
            "overlay itself)");
    mount_at("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_at("sysfs", "/sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_at("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    make_dev(b);
    mount_at("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
    mount_at("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
    snprintf(cache, sizeof cache, "/proc/self/fd/%d", b->cache);
    must(mount(cache, ROOT "/var/cache/berth", NULL, MS_BIND, NULL), "package cache");
}

static void loopback_up(void) {
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq r = {.ifr_flags = IFF_UP};
    memcpy(r.ifr_name, "lo", 3);
    must(ioctl(s, SIOCSIFFLAGS, &r), "lo");
    close(s);
}

static void enter_root(void) {
    must(chdir(ROOT), "root");
    if (mkdir(".old", 0700) < 0 && errno != EEXIST)
        die(".old");
    must(syscall(SYS_pivot_root, ".", ".old"), "pivot_root");
    must(chroot("."), "chroot");
    must(chdir("/"), "/");
    must(umount2("/.old", MNT_DETACH), "old root");
    rmdir("/.old");
    /* Services have mount namespaces of their own: what is unmounted must go from all of them.
     * systemd itself sees to that on machines only. */
    must(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), "shared mounts");
}

static void run_seed(int seed) {
    pid_t pid = fork();
    if (pid == 0) {
        dup2(seed, STDIN_FILENO);
        execl("/bin/sh", "sh", "-s", (char *)NULL);
        _exit(127);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (status != 0) { /* nobody could log in to such a guest, and nobody would know why */
        fprintf(stderr, "guest: its first boot's script ended with %d\n",
                WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        _exit(1);
    }
}

static int open_at(const char *dir, const char *name, int flags) {
    char path[PATH_SIZE * 2];
    snprintf(path, sizeof path, "%s%s%s", dir, name[0] == '\0' ? "" : "/", name);
    return open(path, flags | O_CLOEXEC, 0600);
}

/* In the child, since overlayfs takes only mounts of its own namespace; and before it becomes the
 * mapped root, who may not be able to walk to these folders. */
static void open_folders(struct boot *b) {
    b->base = open_at(text_of(b->config, "base"), "", O_PATH | O_DIRECTORY);
    b->upper = open_at(b->dir, "u", O_PATH | O_DIRECTORY);
    b->work = open_at(b->dir, "w", O_PATH | O_DIRECTORY);
    b->cache = open_at(text_of(b->config, "cache"), "", O_PATH | O_DIRECTORY);
    if (b->base < 0 || b->upper < 0 || b->work < 0 || b->cache < 0)
        die("open the guest's folders");
}

static void child(struct boot *b) {
    char c;
    if (read(b->sync, &c, 1) != 1)
        _exit(1);
    open_folders(b);
    must(setgroups(0, NULL), "setgroups");
    must(setresgid(0, 0, 0), "setresgid");
    must(setresuid(0, 0, 0), "setresuid");
    must(unshare(CLONE_NEWCGROUP), "cgroup namespace");
    make_root(b);
    const char *name = text_of(b->config, "hostname");
    must(sethostname(name, strlen(name)), "hostname");
    loopback_up();
    enter_root();
    if (b->seed >= 0)
        run_seed(b->seed);
    if (write(b->sync, "R", 1) != 1 || read(b->sync, &c, 1) != 1)
        _exit(1);
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    dup2(b->console, STDOUT_FILENO);
    dup2(b->console, STDERR_FILENO);
    must(loops_forbid(), "seccomp");
    setsid();
    syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL); /* not the one of who started us */
    /* Nothing of the outside may stay open in the guest. */
    syscall(SYS_close_range, 3u, ~0u, 0u);
    char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "container=berth", "TERM=dumb",
                         "LANG=C.UTF-8", NULL};
    execle("/lib/systemd/systemd", "systemd", "--log-target=console", "--show-status=1",
           (char *)NULL, env);
    die("systemd");
}

static int join_cgroup(const char *folder, pid_t pid, struct err *err) {
    static const char *const files[] = {"", "/cgroup.procs", "/cgroup.subtree_control",
                                        "/cgroup.threads"};
    char path[PATH_SIZE + 32], text[32];
    int rc = fs_mkdirs(folder, 0755, err);
    for (size_t i = 0; rc == 0 && i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s%s", folder, files[i]);
        if (chown(path, GUEST_UID, GUEST_UID) < 0 && errno != ENOENT)
            rc = err_set_errno(err, ERRC_UNSUPPORTED, errno, "give %s to the guest", path);
    }
    snprintf(path, sizeof path, "%s/cgroup.procs", folder);
    int fd = rc < 0 ? -1 : open(path, O_WRONLY | O_CLOEXEC);
    int len = snprintf(text, sizeof text, "%ld", (long)pid);
    if (rc == 0 && (fd < 0 || write(fd, text, (size_t)len) != len))
        rc = err_set_errno(err, ERRC_UNSUPPORTED, errno, "put the guest into %s", folder);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int set_up_network(const cJSON *config, pid_t pid, struct err *err) {
    char pair[512], outside[512], inside[512], target[64];
    const char *link = text_of(config, "link"), *host = text_of(config, "host_address"),
               *guest = text_of(config, "address");
    snprintf(pair, sizeof pair, "link add %s type veth peer name eth0 netns %ld\n", link,
             (long)pid);
    snprintf(outside, sizeof outside, "addr add %s peer %s dev %s\nlink set %s up\n", host, guest,
             link, link);
    snprintf(inside, sizeof inside,
             "addr add %s peer %s dev eth0\nlink set eth0 up\nroute add default via %s\n", guest,
             host, host);
    const char *const out[] = {"ip", "-batch", "-", NULL};
    snprintf(target, sizeof target, "--net=/proc/%ld/ns/net", (long)pid);
    const char *const in[] = {"nsenter", target, "ip", "-batch", "-", NULL};
    const char *const old[] = {"ip", "link", "del", link, NULL};
    struct err ignored;
    char path[64];
    snprintf(path, sizeof path, "/sys/class/net/%s", link);
    if (fs_exists(path))
        run_command(old, NULL, &ignored); /* of a guest that has just died */
    int rc = run_command(out, pair, err);
    if (rc == 0)
        rc = guard_link(link, err);
    if (rc == 0)
        rc = run_command(out, outside, err);
    return rc < 0 ? rc : run_command(in, inside, err);
}

static int write_pid(const char *dir, pid_t pid, struct err *err) {
    char path[PATH_SIZE], text[32];
    snprintf(path, sizeof path, "%s/pid", dir);
    snprintf(text, sizeof text, "%ld\n", (long)pid);
    return fs_write(path, str_of(text), 0600, err);
}

/* Before the guest's namespaces are made: its root could not walk to these files. */
static int open_devices(struct boot *b, struct err *err) {
    const char *fuse = text_of(b->config, "fuse");
    const cJSON *d;
    b->fuse = fuse[0] == '\0' ? -1 : device_tree(fuse);
    if (fuse[0] != '\0' && b->fuse < 0)
        return err_set_errno(err, ERRC_IO, errno, "mount %s", fuse);
    cJSON_ArrayForEach(d, cJSON_GetObjectItem(b->config, "devices")) {
        int tree = b->devices_len < DEVICES_MAX ? device_tree(text_of(d, "node")) : -1;
        if (tree < 0)
            return err_set_errno(err, ERRC_IO, errno, "mount %s", text_of(d, "node"));
        b->devices[b->devices_len++] = (struct boot_device){tree, d};
    }
    return 0;
}

static int prepare(struct boot *b, struct err *err) {
    static const char *const owned[] = {"u", "w"};
    char path[PATH_SIZE];
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", b->dir, owned[i]);
        if ((mkdir(path, 0755) < 0 && errno != EEXIST) || chown(path, GUEST_UID, GUEST_UID) < 0)
            return err_set_errno(err, ERRC_IO, errno, "make %s", path);
    }
    int rc = open_devices(b, err);
    if (rc < 0)
        return rc;
    b->console = open_at(b->dir, "console.log", O_WRONLY | O_CREAT | O_APPEND);
    b->seed = open_at(b->dir, "seed.sh", O_RDONLY); /* first boot only */
    return b->console < 0 ? err_set_errno(err, ERRC_IO, errno, "open the guest's console") : 0;
}

static int start(struct boot *b, struct err *err) {
    int pair[2];
    char c;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_set_errno(err, ERRC_IO, errno, "socketpair");
    unsigned long flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC |
                          CLONE_NEWNET | SIGCHLD;
    pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        close(pair[0]);
        b->sync = pair[1];
        child(b);
    }
    close(pair[1]);
    if (pid < 0)
        return err_set_errno(err, ERRC_UNSUPPORTED, errno, "make the guest's namespaces");
    int rc = userns_map(pid, err);
    if (rc == 0)
        rc = join_cgroup(text_of(b->config, "cgroup"), pid, err);
    if (rc == 0 && (write(pair[0], "g", 1) != 1 || read(pair[0], &c, 1) != 1))
        rc = err_set(err, ERRC_IO, "the guest did not come up");
    /* Both ends are up before anybody connects: a lost ARP request would cost a second. */
    if (rc == 0)
        rc = set_up_network(b->config, pid, err);
    if (rc == 0)
        rc = write_pid(b->dir, pid, err);
    if (rc == 0 && write(pair[0], "g", 1) != 1)
        rc = err_set(err, ERRC_IO, "the guest ended early");
    if (rc < 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    close(pair[0]);
    return rc;
}

int guest_boot(const char *instance_dir) {
    struct err err = {0};
    struct boot b = {.dir = instance_dir};
    alarm(BOOT_S);
    char path[PATH_SIZE];
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    snprintf(path, sizeof path, "%s/boot.json", instance_dir);
    int rc = fs_read(path, &text, &err);
    b.config = rc < 0 ? NULL : cJSON_ParseWithLength(text.ptr, text.len);
    if (rc == 0 && b.config == NULL)
        rc = err_set(&err, ERRC_STATE, "%s is not JSON", path);
    if (rc == 0)
        rc = prepare(&b, &err);
    if (rc == 0)
        rc = start(&b, &err);
    cJSON_Delete(b.config);
    if (rc < 0)
        fprintf(stderr, "%s\n", err.msg);
    return rc < 0 ? 1 : 0;
}
