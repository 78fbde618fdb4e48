/* The process that a guest is: its init, as this machine sees it. */
#include "providers/sandbox/guest.h"
#include "providers/sandbox/internal.h"
#include "specs/fs.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* A pid alone may have become somebody else's. */
double process_start_time(pid_t pid) {
    char path[64];
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    struct err ignored;
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    if (fs_read(path, &text, &ignored) < 0)
        return 0;
    /* The name, in brackets, may hold anything; the 20th field behind it is the start. */
    const char *end = strrchr(buf_cstr(&text), ')');
    struct str rest = str_of(end == NULL ? "" : end + 1);
    struct str word = {NULL, 0};
    int64_t value = 0;
    rest = str_trim(rest);
    if (rest.len == 0 || rest.ptr[0] == 'Z') /* dead, and not yet buried */
        return 0;
    for (int i = 0; i < 20; i++)
        if (!str_split(&rest, ' ', &word))
            return 0;
    return str_to_i64(word, 0, INT64_MAX, &value) ? (double)value : 0;
}

bool guest_alive(const cJSON *instance) {
    pid_t pid = (pid_t)number_of(instance, "pid");
    double then = number_of(instance, "pid_start");
    double now = pid > 0 ? process_start_time(pid) : 0;
    return now > 0 && !(now < then) && !(now > then);
}

bool guests_alive(struct sandbox *s) {
    const cJSON *instance;
    cJSON_ArrayForEach(instance, world_list(s, "instances")) if (guest_alive(instance)) return true;
    return false;
}

void guest_power_off(const cJSON *instance) {
    kill((pid_t)number_of(instance, "pid"), SIGRTMIN + 4);
}

bool guest_rebooted(cJSON *instance) {
    int status = 0;
    pid_t pid = (pid_t)number_of(instance, "pid");
    if (pid > 0 && waitpid(pid, &status, WNOHANG) == pid && WIFSIGNALED(status))
        return WTERMSIG(status) == SIGHUP;
    return cJSON_IsTrue(cJSON_GetObjectItem(instance, "rebooting")); /* asked for by the API */
}
