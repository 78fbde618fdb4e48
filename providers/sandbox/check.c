/* Can guests run here? */
#include "providers/sandbox/internal.h"
#include "providers/sandbox/userns.h"
#include "specs/fs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int unsupported(struct err *err, const char *what, const char *hint) {
    err_set(err, ERRC_UNSUPPORTED, "the sandbox cannot run here: %s", what);
    err_hint(err, "%s", hint);
    return -ERRC_UNSUPPORTED;
}

static bool on_path(const char *name) {
    const char *path = getenv("PATH");
    struct str rest = str_of(path == NULL ? "/usr/sbin:/usr/bin:/sbin:/bin" : path);
    struct str folder;
    while (str_split(&rest, ':', &folder)) {
        char file[PATH_SIZE];
        snprintf(file, sizeof file, "%.*s/%s", STR_FMT(folder), name);
        if (access(file, X_OK) == 0)
            return true;
    }
    return false;
}

/* In a container the hierarchy is often there, but read-only. */
static int check_cgroup(struct err *err) {
    char path[PATH_SIZE], what[PATH_SIZE + 128];
    const char *root = cgroup_root();
    if (root == NULL)
        return unsupported(err, "there is no cgroup v2",
                           "mount it: mount -t cgroup2 none /sys/fs/cgroup/unified");
    snprintf(path, sizeof path, "%s/berth-check-%ld", root, (long)getpid());
    if (mkdir(path, 0755) < 0) {
        snprintf(what, sizeof what, "no cgroup can be made in %s: %s", root, strerror(errno));
        return unsupported(err, what,
                           "a container must be started with --privileged --cgroupns=private");
    }
    rmdir(path);
    return 0;
}

int sandbox_check(struct err *err) {
    static const char *const programs[] = {"ip", "nsenter", "tar", "mmdebstrap"};
    if (geteuid() != 0)
        return unsupported(err, "its guests need root", "run it with sudo");
    if (!fs_exists("/proc/self/ns/user"))
        return unsupported(err, "the kernel has no user namespaces", "use another machine");
    int rc = check_cgroup(err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        if (on_path(programs[i]) ||
            (strcmp(programs[i], "mmdebstrap") == 0 && getenv("BERTH_SANDBOX_BASE_TAR") != NULL))
            continue;
        char text[64];
        snprintf(text, sizeof text, "%s is not installed", programs[i]);
        return unsupported(err, text, "apt-get install mmdebstrap iproute2 util-linux tar");
    }
    const char *const probe[] = {"true", "/", NULL};
    struct err why = {0};
    if (userns_run(probe, &why) < 0)
        return unsupported(err, why.msg,
                           "user namespaces are switched off here: see sysctl "
                           "user.max_user_namespaces and kernel.unprivileged_userns_clone; a "
                           "container must be started with --privileged");
    return 0;
}
