/* From one state to another: stop, start, reboot, terminate, and what needs a stopped instance. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/faults.h"
#include "providers/sandbox/guest.h"
#include "providers/sandbox/instance.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"
#include "providers/sandbox/volume.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void add_change(struct buf *out, const cJSON *i, const char *before) {
    buf_adds(out, "<item>");
    xml_add(out, "instanceId", text_of(i, "id"));
    instance_state_xml(out, "currentState", instance_state(i));
    instance_state_xml(out, "previousState", before);
    buf_adds(out, "</item>");
}

struct ending {
    struct sandbox *s;
    char id[32];
    bool terminate;
};

/* Mutex held: the instance, while this is still what happens to it. */
static cJSON *still_ending(struct ending *x) {
    cJSON *i = find_by(world_list(x->s, "instances"), "id", x->id);
    const char *state = x->terminate ? "shutting-down" : "stopping";
    return i != NULL && strcmp(text_of(i, "state"), state) == 0 ? i : NULL;
}

/* Mutex held, but not while it waits. */
static void power_off(struct ending *x) {
    cJSON *i = still_ending(x);
    if (i != NULL && guest_alive(i))
        guest_power_off(i);
    for (int waited = 0; waited < POWER_OFF_MS && i != NULL && guest_alive(i); waited += POLL_MS) {
        pthread_mutex_unlock(&x->s->mutex);
        sleep_ms(POLL_MS);
        pthread_mutex_lock(&x->s->mutex);
        i = still_ending(x);
    }
}

/* A stop is a clean power-off, as EC2's is; a terminate does not wait for one. A boot that is under
 * way ends first: it works in the instance's folder. */
static void *end_thread(void *arg) {
    struct ending *x = arg;
    struct err ignored;
    pthread_mutex_lock(&x->s->mutex);
    guest_await_boot(x->s, x->id);
    const cJSON *instance = still_ending(x);
    if (!x->terminate || (instance != NULL && volumes_in_guest(x->s, instance)))
        power_off(x); /* what it still holds in memory is for a volume that outlives it */
    cJSON *i = still_ending(x);
    if (i != NULL)
        guest_kill(x->s, i);
    if (i != NULL) {
        fault_await_slow(x->s, x->id, text_of(i, "state"));
        i = still_ending(x);
    }
    if (i != NULL && x->terminate) {
        /* A large disk takes its time; nobody else must wait for that. */
        pthread_mutex_unlock(&x->s->mutex);
        guest_remove(x->s, x->id);
        pthread_mutex_lock(&x->s->mutex);
        i = still_ending(x);
    }
    if (i != NULL) {
        if (x->terminate) {
            set_number(i, "terminated_at", (double)time(NULL));
            volumes_end(x->s, i);
            addresses_forget(x->s, x->id);
        }
        set_text(i, "state", x->terminate ? "terminated" : "stopped");
        world_save(x->s, &ignored);
    }
    pthread_mutex_unlock(&x->s->mutex);
    free(x);
    return NULL;
}

void instance_end(struct sandbox *s, cJSON *i, bool terminate, const char *code,
                  const char *reason) {
    struct ending *x = calloc(1, sizeof *x);
    pthread_t thread;
    if (x == NULL)
        return;
    *x = (struct ending){.s = s, .terminate = terminate};
    snprintf(x->id, sizeof x->id, "%s", text_of(i, "id"));
    if (pthread_create(&thread, NULL, end_thread, x) != 0) {
        free(x); /* it goes on as it was, and the answer says so */
        return;
    }
    pthread_detach(thread);
    set_text(i, "state", terminate ? "shutting-down" : "stopping");
    set_text(i, "reason_code", code);
    set_text(i, "reason", reason);
    cJSON_DeleteItemFromObject(i, "rebooting");
    fault_transition(s, i, text_of(i, "state"));
}

static int change(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e,
                  const char *const from[], void (*act)(struct sandbox *s, cJSON *i)) {
    cJSON *ids;
    const cJSON *id;
    if (instances_named(s, form, true, &ids, e) < 0)
        return -1;
    int rc = 0;
    cJSON_ArrayForEach(id, ids) {
        const cJSON *i = find_by(world_list(s, "instances"), "id", cJSON_GetStringValue(id));
        const char *state = instance_state(i);
        bool good = from == NULL;
        for (size_t n = 0; from != NULL && from[n] != NULL; n++)
            good |= strcmp(state, from[n]) == 0;
        if (!good && rc == 0)
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
        snprintf(before, sizeof before, "%s", instance_state(i));
        act(s, i);
        add_change(out, i, before);
    }
    buf_adds(out, "</instancesSet>");
    cJSON_Delete(ids);
    return rc;
}

#define USER "Client.UserInitiatedShutdown"

static void act_terminate(struct sandbox *s, cJSON *i) {
    if (strcmp(text_of(i, "state"), "terminated") != 0 &&
        strcmp(text_of(i, "state"), "shutting-down") != 0) {
        spot_changed(s, i, SPOT_TERMINATED);
        instance_end(s, i, true, USER, USER ": User initiated shutdown");
    }
}

static void act_stop(struct sandbox *s, cJSON *i) {
    if (strcmp(instance_state(i), "running") != 0)
        return;
    spot_changed(s, i, SPOT_STOPPED);
    instance_end(s, i, false, USER, USER ": User initiated shutdown");
}

/* A new public address at each start, as EC2 gives. */
void instance_start(struct sandbox *s, cJSON *i) {
    if (strcmp(text_of(i, "state"), "stopped") != 0)
        return;
    instance_place(s, i);
    instance_new_public(s, i);
    set_text(i, "reason_code", "");
    spot_changed(s, i, SPOT_STARTED);
    fault_transition(s, i, "pending");
    guest_start(s, i);
}

static int protected(const cJSON *i, const char *what, const char *attribute, struct api_error *e) {
    return api_fail(e, "OperationNotPermitted",
                    "The instance '%s' may not be %s. Modify its '%s' instance attribute and try "
                    "again.",
                    text_of(i, "id"), what, attribute);
}

static int may_terminate(struct sandbox *s, const cJSON *i, struct api_error *e) {
    (void)s;
    return cJSON_IsTrue(cJSON_GetObjectItem(i, "no_termination"))
               ? protected(i, "terminated", "disableApiTermination", e)
               : 0;
}

static int may_stop(struct sandbox *s, const cJSON *i, struct api_error *e) {
    return cJSON_IsTrue(cJSON_GetObjectItem(i, "no_stop"))
               ? protected(i, "stopped", "disableApiStop", e)
               : spot_may_stop(s, i, e);
}

static int may_start(struct sandbox *s, const cJSON *i, struct api_error *e) {
    if (strcmp(text_of(i, "state"), "stopped") == 0 &&
        fault_no_capacity(s, "StartInstances", i, zone_of(i))) {
        api_fail(e, "InsufficientInstanceCapacity",
                 "Insufficient capacity for %s in the Availability Zone %s.", text_of(i, "type"),
                 zone_of(i)->name);
        e->status = 500;
        return -1;
    }
    return spot_may_start(s, i, e);
}

/* Nothing of a request is done when one of its instances may not. */
static int check_all(struct sandbox *s, const cJSON *form,
                     int (*may)(struct sandbox *s, const cJSON *i, struct api_error *e),
                     struct api_error *e) {
    cJSON *ids = form_list(form, "InstanceId");
    const cJSON *id;
    int rc = 0;
    cJSON_ArrayForEach(id, ids) {
        const cJSON *i = find_by(world_list(s, "instances"), "id", cJSON_GetStringValue(id));
        if (rc == 0 && i != NULL)
            rc = may(s, i, e);
    }
    cJSON_Delete(ids);
    return rc;
}

static int terminate(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    if (check_all(s, form, may_terminate, e) < 0)
        return -1;
    return change(s, form, out, e, NULL, act_terminate);
}

static int stop(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const char *const from[] = {"running", "stopping", "stopped", NULL};
    if (check_all(s, form, may_stop, e) < 0)
        return -1;
    return change(s, form, out, e, from, act_stop);
}

static int start(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const char *const from[] = {"stopped", "pending", "running", NULL};
    if (check_all(s, form, may_start, e) < 0)
        return -1;
    return change(s, form, out, e, from, instance_start);
}

static void act_reboot(struct sandbox *s, cJSON *i) {
    (void)s;
    if (cJSON_IsTrue(cJSON_GetObjectItem(i, "rebooting")) || !guest_alive(i))
        return;
    kill((pid_t)number_of(i, "pid"), SIGRTMIN + 5); /* systemd(1): reboot */
    cJSON_AddTrueToObject(i, "rebooting");
}

static int reboot(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    _cleanup_buf_ struct buf ignored = BUF_INIT(BUF_MEDIUM);
    static const char *const from[] = {"running", NULL};
    int rc = change(s, form, &ignored, e, from, act_reboot);
    xml_add(out, "return", "true");
    return rc;
}

const struct action state_actions[] = {
    {"TerminateInstances", terminate, true},
    {"StopInstances", stop, true},
    {"StartInstances", start, true},
    {"RebootInstances", reboot, true},
    {NULL, NULL, false},
};
