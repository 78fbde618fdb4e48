/* From one state to another: stop, start, reboot, terminate, and what needs a stopped instance. */
#include "providers/sandbox/internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void add_change(struct buf *out, const cJSON *i, const char *before) {
    buf_adds(out, "<item>");
    xml_add(out, "instanceId", text_of(i, "id"));
    instance_state_xml(out, "currentState", text_of(i, "state"));
    instance_state_xml(out, "previousState", before);
    buf_adds(out, "</item>");
}

struct ending {
    struct sandbox *s;
    char id[32];
    bool terminate;
};

/* A stop is a clean power-off, as EC2's is; a terminate does not wait for one. */
static void *end_thread(void *arg) {
    struct ending *x = arg;
    struct err ignored;
    pthread_mutex_lock(&x->s->mutex);
    cJSON *i = find_by(world_list(x->s, "instances"), "id", x->id);
    if (i != NULL && !x->terminate && guest_alive(i)) {
        pid_t pid = (pid_t)number_of(i, "pid");
        /* systemd(1): SIGRTMIN+4 powers off. */
        pthread_mutex_unlock(&x->s->mutex);
        kill(pid, SIGRTMIN + 4);
        for (int n = 0; n < 500; n++) {
            const struct timespec t = {0, 20000000};
            nanosleep(&t, NULL);
            pthread_mutex_lock(&x->s->mutex);
            i = find_by(world_list(x->s, "instances"), "id", x->id);
            bool alive = i != NULL && guest_alive(i);
            pthread_mutex_unlock(&x->s->mutex);
            if (!alive)
                break;
        }
        pthread_mutex_lock(&x->s->mutex);
        i = find_by(world_list(x->s, "instances"), "id", x->id);
    }
    if (i != NULL) {
        guest_kill(x->s, i);
        if (x->terminate) {
            guest_remove(x->s, x->id);
            set_number(i, "terminated_at", (double)time(NULL));
        }
        set_text(i, "state", x->terminate ? "terminated" : "stopped");
        world_save(x->s, &ignored);
    }
    pthread_mutex_unlock(&x->s->mutex);
    free(x);
    return NULL;
}

static void begin_end(struct sandbox *s, cJSON *i, bool terminate) {
    struct ending *x = calloc(1, sizeof *x);
    pthread_t thread;
    if (x == NULL)
        return;
    *x = (struct ending){.s = s, .terminate = terminate};
    snprintf(x->id, sizeof x->id, "%s", text_of(i, "id"));
    set_text(i, "state", terminate ? "shutting-down" : "stopping");
    set_text(i, "reason_code", "Client.UserInitiatedShutdown");
    set_text(i, "reason", "Client.UserInitiatedShutdown: User initiated shutdown");
    if (pthread_create(&thread, NULL, end_thread, x) == 0)
        pthread_detach(thread);
    else
        free(x);
}

static int change(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e,
                  const char *from_a, const char *from_b,
                  void (*act)(struct sandbox *s, cJSON *i)) {
    cJSON *ids;
    const cJSON *id;
    if (instances_named(s, form, true, &ids, e) < 0)
        return -1;
    int rc = 0;
    cJSON_ArrayForEach(id, ids) {
        const cJSON *i = find_by(world_list(s, "instances"), "id", cJSON_GetStringValue(id));
        const char *state = text_of(i, "state");
        if (from_a != NULL && strcmp(state, from_a) != 0 && strcmp(state, from_b) != 0 && rc == 0)
            rc = api_fail(e, "IncorrectInstanceState",
                          "The instance '%s' is not in a state from which this can be done: %s",
                          cJSON_GetStringValue(id), state);
    }
    buf_adds(out, "<instancesSet>");
    cJSON_ArrayForEach(id, ids) {
        if (rc < 0)
            break;
        cJSON *i = find_by(world_list(s, "instances"), "id", cJSON_GetStringValue(id));
        char before[24];
        snprintf(before, sizeof before, "%s", text_of(i, "state"));
        act(s, i);
        add_change(out, i, before);
    }
    buf_adds(out, "</instancesSet>");
    cJSON_Delete(ids);
    return rc;
}

static void act_terminate(struct sandbox *s, cJSON *i) {
    if (strcmp(text_of(i, "state"), "terminated") != 0 &&
        strcmp(text_of(i, "state"), "shutting-down") != 0)
        begin_end(s, i, true);
}

static void act_stop(struct sandbox *s, cJSON *i) {
    if (strcmp(text_of(i, "state"), "running") == 0)
        begin_end(s, i, false);
}

/* A new public address at each start, as EC2 gives; here there is but one address, so both move. */
static void act_start(struct sandbox *s, cJSON *i) {
    if (strcmp(text_of(i, "state"), "stopped") != 0)
        return;
    set_number(i, "octet", 0);
    instance_place(s, i);
    set_text(i, "reason_code", "");
    guest_start(s, i);
}

static int terminate(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    return change(s, form, out, e, NULL, NULL, act_terminate);
}

static int stop(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    return change(s, form, out, e, "running", "stopped", act_stop);
}

static int start(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    return change(s, form, out, e, "stopped", "running", act_start);
}

static void act_reboot(struct sandbox *s, cJSON *i) {
    (void)s;
    if (guest_alive(i)) /* systemd(1): SIGRTMIN+5 reboots */
        kill((pid_t)number_of(i, "pid"), SIGRTMIN + 5);
}

static int reboot(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    _cleanup_buf_ struct buf ignored = BUF_INIT(BUF_MEDIUM);
    int rc = change(s, form, &ignored, e, "running", "running", act_reboot);
    xml_add(out, "return", "true");
    return rc;
}

static int modify(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *i = find_by(world_list(s, "instances"), "id", text_of(form, "InstanceId"));
    const char *type = text_of(form, "InstanceType.Value");
    if (i == NULL)
        return api_fail(e, "InvalidInstanceID.NotFound", "The instance ID '%.60s' does not exist",
                        text_of(form, "InstanceId"));
    if (type[0] != '\0' && strcmp(text_of(i, "state"), "stopped") != 0)
        return api_fail(e, "IncorrectInstanceState",
                        "The instance '%s' is not in the 'stopped' state.", text_of(i, "id"));
    if (type[0] != '\0')
        set_text(i, "type", type);
    cJSON *groups = form_list(form, "GroupId");
    if (cJSON_GetArraySize(groups) > 0)
        cJSON_ReplaceItemInObject(i, "groups", groups);
    else
        cJSON_Delete(groups);
    xml_add(out, "return", "true");
    return 0;
}

const struct action state_actions[] = {
    {"TerminateInstances", terminate, true},   {"StopInstances", stop, true},
    {"StartInstances", start, true},           {"RebootInstances", reboot, false},
    {"ModifyInstanceAttribute", modify, true}, {NULL, NULL, false},
};
