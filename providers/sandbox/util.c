#define _GNU_SOURCE
#include "providers/sandbox/internal.h"
#include "specs/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *env_or(const char *name) {
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

static void choose(char *ret, size_t size, const char *given, const char *variable, const char *xdg,
                   const char *below_home, const char *tail) {
    const char *value = given != NULL ? given : env_or(variable);
    const char *home = env_or("HOME");
    if (value != NULL)
        snprintf(ret, size, "%s", value);
    else if (env_or(xdg) != NULL)
        snprintf(ret, size, "%s/%s", env_or(xdg), tail);
    else
        snprintf(ret, size, "%s/%s/%s", home == NULL ? "/root" : home, below_home, tail);
}

int paths_find(const struct sandbox_options *options, struct paths *ret, struct err *err) {
    choose(ret->dir, sizeof ret->dir, options->dir, "BERTH_SANDBOX_DIR", "XDG_STATE_HOME",
           ".local/state", "berth/sandbox");
    choose(ret->cache, sizeof ret->cache, options->cache_dir, "BERTH_CACHE_DIR", "XDG_CACHE_HOME",
           ".cache", "berth");
    if (strlen(ret->dir) >= sizeof ret->dir - 1 || strlen(ret->cache) >= sizeof ret->cache - 1)
        return err_set(err, ERRC_LIMIT, "the sandbox's folders must have shorter names");
    if (ret->dir[0] != '/' || ret->cache[0] != '/')
        return err_set(err, ERRC_INVALID, "the sandbox's folders must be absolute paths");
    return 0;
}

void sandbox_log(const char *fmt, ...) {
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    time_t now = time(NULL);
    struct tm tm;
    char date[32] = "";
    if (gmtime_r(&now, &tm) != NULL)
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    fprintf(stderr, "%s %s\n", date, text);
}

int hex_value(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

void sleep_ms(long ms) {
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

int64_t wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

const char *text_of(const cJSON *json, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
    return text == NULL ? "" : text;
}

void set_text(cJSON *json, const char *name, const char *value) {
    cJSON_DeleteItemFromObjectCaseSensitive(json, name);
    cJSON_AddStringToObject(json, name, value);
}

double number_of(const cJSON *json, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

void set_number(cJSON *json, const char *name, double value) {
    cJSON_DeleteItemFromObjectCaseSensitive(json, name);
    cJSON_AddNumberToObject(json, name, value);
}

void make_id(const char *prefix, char *ret, size_t size) {
    unsigned char bytes[9] = {0};
    RAND_bytes(bytes, sizeof bytes);
    int used = snprintf(ret, size, "%s-", prefix);
    for (size_t i = 0; i < 8; i++)
        used += snprintf(ret + used, size - (size_t)used, "%02x", bytes[i]);
    snprintf(ret + used, size - (size_t)used, "%x", bytes[8] & 15);
}

cJSON *find_by(cJSON *list, const char *name, const char *value) {
    cJSON *item;
    cJSON_ArrayForEach(item, list) if (strcmp(text_of(item, name), value) == 0) return item;
    return NULL;
}

const char *cgroup_root(void) {
    if (fs_exists("/sys/fs/cgroup/cgroup.procs"))
        return "/sys/fs/cgroup";
    return fs_exists("/sys/fs/cgroup/unified/cgroup.procs") ? "/sys/fs/cgroup/unified" : NULL;
}

void cgroup_of_subnet(int subnet, char *ret, size_t size) {
    const char *root = cgroup_root();
    snprintf(ret, size, "%s/berth-sandbox-%d", root == NULL ? "/sys/fs/cgroup" : root, subnet);
}

int run_command(const char *const argv[], const char *input, struct err *err) {
    int in[2] = {-1, -1};
    if (input != NULL && pipe2(in, O_CLOEXEC) < 0)
        return err_set_errno(err, ERRC_IO, errno, "pipe");
    pid_t pid = fork();
    if (pid == 0) {
        if (input != NULL)
            dup2(in[0], STDIN_FILENO);
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* it would work on in what the next daemon makes anew */
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    if (input != NULL) {
        close(in[0]);
        size_t len = strlen(input);
        while (pid > 0 && len > 0) {
            ssize_t n = write(in[1], input, len);
            if (n <= 0)
                break;
            input += n;
            len -= (size_t)n;
        }
        close(in[1]);
    }
    if (pid < 0)
        return err_set_errno(err, ERRC_IO, errno, "start %s", argv[0]);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return err_set(err, ERRC_UNSUPPORTED, "%s is not installed", argv[0]);
    return err_set(err, ERRC_IO, "%s ended with %d", argv[0],
                   WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

int remove_tree(const char *path) {
    if (!fs_exists(path))
        return 0;
    return nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

int remove_made(const char *dir, const char *const patterns[], struct err *err) {
    char path[PATH_SIZE + 256];
    int rc = 0;
    for (size_t i = 0; patterns[i] != NULL && rc == 0; i++) {
        DIR *folder = opendir(dir);
        const struct dirent *entry;
        while (rc == 0 && folder != NULL && (entry = readdir(folder)) != NULL) {
            if (fnmatch(patterns[i], entry->d_name, FNM_PERIOD) != 0)
                continue;
            snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
            if (remove_tree(path) < 0)
                rc = err_set_errno(err, ERRC_IO, errno, "remove %s", path);
        }
        if (folder != NULL)
            closedir(folder);
    }
    return rc;
}
