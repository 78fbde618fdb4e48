#include "providers/sandbox/internal.h"
#include "specs/fs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- Addresses */

void instance_place(struct sandbox *s, cJSON *instance) {
    char text[64];
    int octet = (int)number_of(instance, "octet");
    for (int try = 2; octet == 0 && try < 255; try++) {
        bool used = false;
        const cJSON *other;
        cJSON_ArrayForEach(other, world_list(s, "instances")) used |=
            strcmp(text_of(other, "state"), "terminated") != 0 &&
            (int)number_of(other, "octet") == try;
        if (!used)
            octet = try;
    }
    set_number(instance, "octet", octet);
    snprintf(text, sizeof text, "10.213.%d.%d", s->subnet, octet);
    set_text(instance, "address", text);
    snprintf(text, sizeof text, "10.213.%d.1", s->subnet);
    set_text(instance, "host_address", text);
    snprintf(text, sizeof text, "bs%d-%d", s->subnet, octet);
    set_text(instance, "link", text);
    snprintf(text, sizeof text, "ip-10-213-%d-%d", s->subnet, octet);
    set_text(instance, "hostname", text);
}

/* ---- Showing */

static const struct {
    const char *name;
    int code;
} states[] = {{"pending", 0},     {"running", 16},  {"shutting-down", 32},
              {"terminated", 48}, {"stopping", 64}, {"stopped", 80}};

static void add_state(struct buf *out, const char *element, const char *state) {
    int code = 0;
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(states[i].name, state) == 0)
            code = states[i].code;
    buf_addf(out, "<%s><code>%d</code><name>%s</name></%s>", element, code, state, element);
}

static bool is_up(const cJSON *instance) {
    const char *state = text_of(instance, "state");
    return strcmp(state, "running") == 0 || strcmp(state, "pending") == 0;
}

static void add_instance(struct sandbox *s, struct buf *out, const cJSON *i) {
    bool gone = strcmp(text_of(i, "state"), "terminated") == 0;
    const cJSON *group;
    buf_adds(out, "<item>");
    xml_add(out, "instanceId", text_of(i, "id"));
    xml_add(out, "imageId", text_of(i, "image"));
    add_state(out, "instanceState", text_of(i, "state"));
    if (!gone)
        xml_add(out, "privateIpAddress", text_of(i, "address"));
    if (is_up(i))
        xml_add(out, "ipAddress", text_of(i, "address"));
    xml_add(out, "dnsName", "");
    xml_add(out, "keyName", text_of(i, "key_name"));
    xml_add_number(out, "amiLaunchIndex", number_of(i, "launch_index"));
    xml_add(out, "instanceType", text_of(i, "type"));
    xml_add(out, "launchTime", text_of(i, "launch_time"));
    buf_adds(out, "<placement><availabilityZone>sandbox-1a</availabilityZone>"
                  "<tenancy>default</tenancy></placement><monitoring><state>disabled</state>"
                  "</monitoring>");
    xml_add(out, "vpcId", "vpc-0sandbox");
    xml_add(out, "subnetId", "subnet-0sandbox");
    xml_add(out, "architecture", "x86_64");
    xml_add(out, "rootDeviceType", "ebs");
    xml_add(out, "rootDeviceName", "/dev/xvda");
    xml_add(out, "virtualizationType", "hvm");
    xml_add(out, "clientToken", text_of(i, "token"));
    if (text_of(i, "reason_code")[0] != '\0') {
        buf_adds(out, "<stateReason>");
        xml_add(out, "code", text_of(i, "reason_code"));
        xml_add(out, "message", text_of(i, "reason"));
        buf_adds(out, "</stateReason>");
    }
    buf_adds(out, "<groupSet>");
    cJSON_ArrayForEach(group, cJSON_GetObjectItem(i, "groups")) {
        const cJSON *g = find_by(world_list(s, "groups"), "id", cJSON_GetStringValue(group));
        buf_adds(out, "<item>");
        xml_add(out, "groupId", cJSON_GetStringValue(group));
        xml_add(out, "groupName", text_of(g, "name"));
        buf_adds(out, "</item>");
    }
    buf_adds(out, "</groupSet>");
    xml_add_tags(out, cJSON_GetObjectItem(i, "tags"));
    buf_addf(out,
             "<metadataOptions><state>applied</state><httpTokens>%s</httpTokens>"
             "<httpPutResponseHopLimit>1</httpPutResponseHopLimit><httpEndpoint>enabled"
             "</httpEndpoint></metadataOptions>",
             text_of(i, "http_tokens"));
    buf_adds(out, "</item>");
}

static bool matches(cJSON *i, const char *filter, const char *value) {
    static const struct {
        const char *filter, *member;
    } members[] = {{"instance-id", "id"},
                   {"instance-state-name", "state"},
                   {"client-token", "token"},
                   {"image-id", "image"},
                   {"instance-type", "type"},
                   {"key-name", "key_name"},
                   {"private-ip-address", "address"},
                   {"ip-address", "address"}};
    bool matched = false;
    if (tag_matches(cJSON_GetObjectItem(i, "tags"), filter, value, &matched))
        return matched;
    for (size_t m = 0; m < sizeof members / sizeof members[0]; m++)
        if (strcmp(members[m].filter, filter) == 0)
            return pattern_matches(value, text_of(i, members[m].member));
    const cJSON *group;
    if (strcmp(filter, "instance.group-id") == 0 || strcmp(filter, "group-id") == 0)
        cJSON_ArrayForEach(group, cJSON_GetObjectItem(i, "groups")) matched |=
            strcmp(cJSON_GetStringValue(group), value) == 0;
    return matched;
}

/* The instances of InstanceId.N; all that must exist do, or *e says which not. */
static int named(struct sandbox *s, const cJSON *form, bool required, cJSON **ret,
                 struct api_error *e) {
    cJSON *ids = form_list(form, "InstanceId");
    const cJSON *id;
    int rc = 0;
    if (required && cJSON_GetArraySize(ids) == 0)
        rc = api_fail(e, "MissingParameter", "The request must contain the parameter InstanceId");
    cJSON_ArrayForEach(id, ids) {
        const char *text = cJSON_GetStringValue(id);
        if (rc == 0 && strncmp(text, "i-", 2) != 0)
            rc = api_fail(e, "InvalidInstanceID.Malformed", "Invalid id: \"%.60s\"", text);
        else if (rc == 0 && find_by(world_list(s, "instances"), "id", text) == NULL)
            rc = api_fail(e, "InvalidInstanceID.NotFound", "The instance ID '%.60s' does not exist",
                          text);
    }
    if (rc < 0) {
        cJSON_Delete(ids);
        return rc;
    }
    *ret = ids;
    return 0;
}

static bool listed(const cJSON *ids, const char *id) {
    const cJSON *item;
    cJSON_ArrayForEach(item, ids) if (strcmp(cJSON_GetStringValue(item), id) == 0) return true;
    return false;
}

static int describe(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *ids;
    if (named(s, form, false, &ids, e) < 0)
        return -1;
    int64_t most = 1000000, from = 0, n = 0;
    const char *limit = text_of(form, "MaxResults");
    str_to_i64(str_of(text_of(form, "NextToken")), 0, 1000000, &from);
    if (limit[0] != '\0' && !str_to_i64(str_of(limit), 5, 1000, &most)) {
        cJSON_Delete(ids);
        return api_fail(e, "InvalidParameterValue", "MaxResults must be from 5 to 1000");
    }
    cJSON *i;
    buf_adds(out, "<reservationSet>");
    cJSON_ArrayForEach(i, world_list(s, "instances")) {
        if ((cJSON_GetArraySize(ids) > 0 && !listed(ids, text_of(i, "id"))) ||
            !form_filter(form, i, matches))
            continue;
        if (n++ < from || n > from + most)
            continue;
        buf_adds(out, "<item>");
        xml_add(out, "reservationId", text_of(i, "reservation"));
        xml_add(out, "ownerId", "000000000000");
        buf_adds(out, "<groupSet/><instancesSet>");
        add_instance(s, out, i);
        buf_adds(out, "</instancesSet></item>");
    }
    buf_adds(out, "</reservationSet>");
    if (n > from + most)
        xml_add_number(out, "nextToken", (double)(from + most));
    cJSON_Delete(ids);
    return 0;
}

/* ---- Running */

static int answer_launch(struct sandbox *s, const char *reservation, struct buf *out) {
    const cJSON *i;
    xml_add(out, "reservationId", reservation);
    xml_add(out, "ownerId", "000000000000");
    buf_adds(out, "<groupSet/><instancesSet>");
    cJSON_ArrayForEach(
        i, world_list(s, "instances")) if (strcmp(text_of(i, "reservation"), reservation) == 0)
        add_instance(s, out, i);
    buf_adds(out, "</instancesSet>");
    return 0;
}

/* What a repeated token must repeat. */
static char *request_print(const cJSON *form) { return cJSON_PrintUnformatted(form); }

/* 1: the token was seen, and the answer is written; 0: it is new. */
static int seen_token(struct sandbox *s, const cJSON *form, struct buf *out, struct api_error *e) {
    const char *token = text_of(form, "ClientToken");
    const cJSON *launch = find_by(world_list(s, "launches"), "token", token);
    if (token[0] == '\0' || launch == NULL)
        return 0;
    char *print = request_print(form);
    bool same = print != NULL && strcmp(print, text_of(launch, "request")) == 0;
    cJSON_free(print);
    if (!same)
        return api_fail(e, "IdempotentParameterMismatch",
                        "The client token was used with other parameters");
    const cJSON *first =
        find_by(world_list(s, "instances"), "reservation", text_of(launch, "reservation"));
    if (first == NULL || strcmp(text_of(first, "state"), "terminated") == 0)
        return api_fail(e, "IdempotentInstanceTerminated",
                        "The instance of this client token was terminated");
    answer_launch(s, text_of(launch, "reservation"), out);
    return 1;
}

static int check_launch(struct sandbox *s, const cJSON *form, int64_t *ret_count,
                        const cJSON **ret_key, struct api_error *e) {
    const char *image = text_of(form, "ImageId");
    const char *key = text_of(form, "KeyName");
    if (strcmp(image, SANDBOX_AMI) != 0)
        return api_fail(
            e, strncmp(image, "ami-", 4) == 0 ? "InvalidAMIID.NotFound" : "InvalidAMIID.Malformed",
            "The image id '[%.60s]' does not exist", image);
    if (!str_to_i64(str_of(text_of(form, "MaxCount")), 1, 200, ret_count))
        return api_fail(e, "InvalidParameterValue", "MaxCount must be from 1 to 200 here");
    *ret_key = find_by(world_list(s, "key_pairs"), "name", key);
    if (key[0] != '\0' && *ret_key == NULL)
        return api_fail(e, "InvalidKeyPair.NotFound", "The key pair '%.80s' does not exist", key);
    cJSON *groups = form_list(form, "SecurityGroupId");
    const cJSON *g;
    int rc = 0;
    cJSON_ArrayForEach(
        g, groups) if (find_by(world_list(s, "groups"), "id", cJSON_GetStringValue(g)) == NULL) rc =
        api_fail(e, "InvalidGroup.NotFound", "The security group '%.80s' does not exist",
                 cJSON_GetStringValue(g));
    cJSON_Delete(groups);
    return rc;
}

static cJSON *new_instance(struct sandbox *s, const cJSON *form, const cJSON *key,
                           const char *reservation, int64_t index) {
    cJSON *i = cJSON_CreateObject();
    char id[32], date[40] = "";
    _cleanup_buf_ struct buf data = BUF_INIT(BUF_SMALL);
    time_t now = time(NULL);
    struct tm tm;
    make_id("i", id, sizeof id);
    if (gmtime_r(&now, &tm) != NULL)
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
    set_text(i, "id", id);
    set_text(i, "reservation", reservation);
    set_text(i, "image", text_of(form, "ImageId"));
    set_text(i, "type",
             text_of(form, "InstanceType")[0] == '\0' ? "m1.small" : text_of(form, "InstanceType"));
    set_text(i, "key_name", text_of(form, "KeyName"));
    set_text(i, "public_key", text_of(key, "public_key"));
    set_text(i, "token", text_of(form, "ClientToken"));
    set_text(i, "http_tokens",
             text_of(form, "MetadataOptions.HttpTokens")[0] == '\0'
                 ? "optional"
                 : text_of(form, "MetadataOptions.HttpTokens"));
    set_text(i, "launch_time", date);
    set_number(i, "launch_index", (double)index);
    if (buf_add_base64_decoded(&data, str_of(text_of(form, "UserData"))))
        set_text(i, "user_data", buf_cstr(&data));
    cJSON_AddItemToObject(i, "groups", form_list(form, "SecurityGroupId"));
    cJSON_AddItemToObject(i, "tags", form_tags(form, "instance"));
    cJSON_AddItemToArray(world_list(s, "instances"), i);
    instance_place(s, i);
    return i;
}

static int run(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    int seen = seen_token(s, form, out, e);
    int64_t count = 0;
    const cJSON *key = NULL;
    if (seen != 0)
        return seen < 0 ? -1 : 0;
    if (check_launch(s, form, &count, &key, e) < 0)
        return -1;
    char reservation[32];
    make_id("r", reservation, sizeof reservation);
    for (int64_t n = 0; n < count; n++)
        guest_start(s, new_instance(s, form, key, reservation, n));
    if (text_of(form, "ClientToken")[0] != '\0') {
        cJSON *launch = cJSON_CreateObject();
        char *print = request_print(form);
        set_text(launch, "token", text_of(form, "ClientToken"));
        set_text(launch, "request", print == NULL ? "" : print);
        set_text(launch, "reservation", reservation);
        cJSON_free(print);
        cJSON_AddItemToArray(world_list(s, "launches"), launch);
    }
    return answer_launch(s, reservation, out);
}

/* ---- Changing state */

static void add_change(struct buf *out, const cJSON *i, const char *before) {
    buf_adds(out, "<item>");
    xml_add(out, "instanceId", text_of(i, "id"));
    add_state(out, "currentState", text_of(i, "state"));
    add_state(out, "previousState", before);
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
    if (named(s, form, true, &ids, e) < 0)
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

static int console(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    const char *id = text_of(form, "InstanceId");
    char path[PATH_SIZE];
    struct err ignored;
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    _cleanup_buf_ struct buf base64 = BUF_INIT(BUF_LARGE);
    if (find_by(world_list(s, "instances"), "id", id) == NULL)
        return api_fail(e, "InvalidInstanceID.NotFound", "The instance ID '%.60s' does not exist",
                        id);
    snprintf(path, sizeof path, "%s/i/%s/console.log", s->paths.dir, id);
    fs_read(path, &text, &ignored);
    buf_add_base64(&base64, buf_cstr(&text), text.len);
    xml_add(out, "instanceId", id);
    xml_add(out, "output", buf_cstr(&base64));
    return 0;
}

const struct action instance_actions[] = {
    {"RunInstances", run, true},
    {"DescribeInstances", describe, false},
    {"TerminateInstances", terminate, true},
    {"StopInstances", stop, true},
    {"StartInstances", start, true},
    {"RebootInstances", reboot, false},
    {"ModifyInstanceAttribute", modify, true},
    {"GetConsoleOutput", console, false},
    {NULL, NULL, false},
};
