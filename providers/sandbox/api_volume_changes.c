/* Volumes over time: attached, detached, modified, and gone with their instance. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/guest.h"
#include "providers/sandbox/images.h"
#include "providers/sandbox/instance.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"
#include "providers/sandbox/volume.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { NVME_MAX = 26 };

/* ---- Attaching */

static void detached(cJSON *v) {
    static const char *const members[] = {"instance",    "device", "attachment",
                                          "attached_at", "nvme",   "delete"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        cJSON_DeleteItemFromObject(v, members[i]);
}

/* The first number that no other volume of this instance has. */
static int free_nvme(struct sandbox *s, const char *instance) {
    for (int n = 1; n <= NVME_MAX; n++) {
        const cJSON *v;
        bool used = false;
        cJSON_ArrayForEach(v, world_list(s, "volumes")) used |=
            strcmp(text_of(v, "instance"), instance) == 0 && (int)number_of(v, "nvme") == n;
        if (!used)
            return n;
    }
    return 0;
}

static void attach_to(cJSON *volume, const char *instance, const char *device, int nvme) {
    set_text(volume, "instance", instance);
    set_text(volume, "device", device);
    set_text(volume, "attachment", "attaching");
    set_number(volume, "attached_at", (double)time(NULL));
    set_number(volume, "nvme", nvme);
}

static int check_attach(struct sandbox *s, const cJSON *v, const cJSON *form, const cJSON **ret,
                        struct api_error *e) {
    const char *device = text_of(form, "Device"), *id = text_of(form, "InstanceId");
    const cJSON *i = find_by(world_list(s, "instances"), "id", id);
    const cJSON *other;
    if (device[0] == '\0')
        return api_fail(e, "MissingParameter", "The request must contain the parameter device");
    if (i == NULL)
        return api_fail(e, "InvalidInstanceID.NotFound", "The instance ID '%.60s' does not exist",
                        id);
    if (text_of(v, "instance")[0] != '\0')
        return api_fail(e, "VolumeInUse", "%s is already attached to an instance",
                        text_of(v, "id"));
    if (strcmp(text_of(v, "state"), "available") != 0)
        return api_fail(e, "IncorrectState", "Volume '%s' is not 'available'.", text_of(v, "id"));
    const char *state = instance_state(i);
    if (strcmp(state, "running") != 0 && strcmp(state, "stopped") != 0)
        return api_fail(e, "IncorrectState", "Instance '%s' is not 'running'.", text_of(i, "id"));
    if (strcmp(text_of(v, "zone"), zone_of(i)->name) != 0)
        return api_fail(e, "InvalidVolume.ZoneMismatch",
                        "The volume '%s' is not in the same availability zone as instance '%s'",
                        text_of(v, "id"), text_of(i, "id"));
    if (strncmp(device, "/dev/sd", 7) != 0 && strncmp(device, "/dev/xvd", 8) != 0)
        return api_fail(e, "InvalidParameterValue",
                        "Value (%.40s) for parameter device is invalid. %.40s is not a valid EBS "
                        "device name.",
                        device, device);
    cJSON_ArrayForEach(other, world_list(s, "volumes")) if (
        strcmp(text_of(other, "instance"), text_of(i, "id")) == 0 &&
        strcmp(text_of(other, "device"), device) ==
            0) return api_fail(e, "InvalidParameterValue",
                               "Invalid value '%.40s' for unixDevice. Attachment point %.40s is "
                               "already in use",
                               device, device);
    if (free_nvme(s, text_of(i, "id")) == 0)
        return api_fail(e, "AttachmentLimitExceeded", "Instance '%s' has too many volumes",
                        text_of(i, "id"));
    *ret = i;
    return 0;
}

static int attach(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *v = volume_find(s, text_of(form, "VolumeId"), e);
    const cJSON *i = NULL;
    struct err err = {0};
    if (v == NULL || check_attach(s, v, form, &i, e) < 0)
        return -1;
    attach_to(v, text_of(i, "id"), text_of(form, "Device"), free_nvme(s, text_of(i, "id")));
    if (guest_alive(i) && volume_plug(s, v, i, &err) < 0) {
        detached(v);
        api_fail(e, "InternalError", "%s", err.msg);
        e->status = 500;
        return -1;
    }
    volume_attachment_xml(out, v);
    return 0;
}

/* ---- Detaching: at once where nothing in the guest has it mounted, else when it no longer has */

static void let_go(struct sandbox *s, cJSON *v) {
    const cJSON *i = find_by(world_list(s, "instances"), "id", text_of(v, "instance"));
    volume_unplug(s, v, i);
    detached(v);
    set_text(v, "state", "available");
}

static int detach(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *v = volume_find(s, text_of(form, "VolumeId"), e);
    const char *instance = text_of(form, "InstanceId"), *device = text_of(form, "Device");
    if (v == NULL)
        return -1;
    if (text_of(v, "instance")[0] == '\0')
        return api_fail(e, "IncorrectState", "Volume '%s' is in the '%s' state.", text_of(v, "id"),
                        text_of(v, "state"));
    if ((instance[0] != '\0' && strcmp(instance, text_of(v, "instance")) != 0) ||
        (device[0] != '\0' && strcmp(device, text_of(v, "device")) != 0))
        return api_fail(e, "InvalidAttachment.NotFound",
                        "The volume '%s' is not attached to instance '%.60s' as '%.40s'",
                        text_of(v, "id"), instance, device);
    if (volume_is(v, "root"))
        return api_fail(e, "OperationNotPermitted",
                        "Unable to detach root volume '%s' from instance '%s'", text_of(v, "id"),
                        text_of(v, "instance"));
    set_text(v, "attachment", "detaching");
    volume_attachment_xml(out, v);
    if (strcmp(text_of(form, "Force"), "true") == 0)
        let_go(s, v);
    return 0;
}

/* ---- Modifying */

static void modification_xml(struct buf *out, const cJSON *v) {
    static const struct {
        const char *element, *member;
    } numbers[] = {{"targetSize", "to_size"},
                   {"originalSize", "from_size"},
                   {"targetIops", "to_iops"},
                   {"originalIops", "from_iops"},
                   {"progress", "progress"},
                   {"targetThroughput", "to_throughput"},
                   {"originalThroughput", "from_throughput"}};
    const cJSON *m = cJSON_GetObjectItem(v, "modification");
    char date[40];
    xml_add(out, "volumeId", text_of(v, "id"));
    xml_add(out, "modificationState", text_of(m, "state"));
    xml_add(out, "targetVolumeType", text_of(m, "to_type"));
    xml_add(out, "originalVolumeType", text_of(m, "from_type"));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        xml_add_number(out, numbers[i].element, number_of(m, numbers[i].member));
    volume_date(number_of(m, "start"), date);
    xml_add(out, "startTime", date);
    volume_date(number_of(m, "end"), date);
    if (number_of(m, "end") > 0)
        xml_add(out, "endTime", date);
}

static const char *const carried[] = {"size", "iops", "throughput"};

static int modify(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *v = volume_find(s, text_of(form, "VolumeId"), e);
    if (v == NULL)
        return -1;
    bool retyped = text_of(form, "VolumeType")[0] != '\0' &&
                   strcmp(text_of(form, "VolumeType"), text_of(v, "type")) != 0;
    struct volume_wanted wanted = {
        .type = text_of(v, "type"),
        .size_gib = (int64_t)number_of(v, "size"),
        .iops = retyped ? 0 : (int64_t)number_of(v, "iops"),
        .throughput = retyped ? 0 : (int64_t)number_of(v, "throughput"),
    };
    const char *running = text_of(cJSON_GetObjectItem(v, "modification"), "state");
    if (running[0] != '\0' && strcmp(running, "completed") != 0)
        return api_fail(e, "IncorrectModificationState",
                        "Cannot modify volume %s. Volume is currently being modified.",
                        text_of(v, "id"));
    if (strcmp(text_of(v, "state"), "creating") == 0 ||
        strcmp(text_of(v, "state"), "deleting") == 0)
        return api_fail(e, "IncorrectState", "Volume '%s' is in the '%s' state.", text_of(v, "id"),
                        text_of(v, "state"));
    if (volume_read_wanted(form, "", "Size", &wanted, e) < 0)
        return -1;
    if (wanted.size_gib < (int64_t)number_of(v, "size"))
        return api_fail(e, "InvalidParameterValue",
                        "New size cannot be smaller than existing size");
    const double to[] = {(double)wanted.size_gib, (double)wanted.iops, (double)wanted.throughput};
    cJSON *m = cJSON_CreateObject();
    set_text(m, "state", "modifying");
    set_text(m, "from_type", text_of(v, "type"));
    set_text(m, "to_type", wanted.type);
    for (size_t i = 0; i < sizeof carried / sizeof carried[0]; i++) {
        char name[32];
        snprintf(name, sizeof name, "from_%s", carried[i]);
        set_number(m, name, number_of(v, carried[i]));
        snprintf(name, sizeof name, "to_%s", carried[i]);
        set_number(m, name, to[i]);
    }
    set_number(m, "start", (double)time(NULL));
    cJSON_DeleteItemFromObject(v, "modification");
    cJSON_AddItemToObject(v, "modification", m);
    buf_adds(out, "<volumeModification>");
    modification_xml(out, v);
    buf_adds(out, "</volumeModification>");
    return 0;
}

static bool modification_matches(cJSON *v, const char *filter, const char *value) {
    const cJSON *m = cJSON_GetObjectItem(v, "modification");
    if (strcmp(filter, "volume-id") == 0)
        return pattern_matches(value, text_of(v, "id"));
    return strcmp(filter, "modification-state") == 0 && pattern_matches(value, text_of(m, "state"));
}

static int modifications(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const char *const filters[] = {"volume-id", "modification-state", NULL};
    struct page page;
    cJSON *ids = NULL;
    cJSON *v;
    if (volume_page(form, &page, e) < 0 || form_check_filters(form, filters, e) < 0 ||
        volumes_named(s, form, &ids, e) < 0)
        return -1;
    buf_adds(out, "<volumeModificationSet>");
    cJSON_ArrayForEach(v, world_list(s, "volumes")) {
        if (cJSON_GetObjectItem(v, "modification") == NULL || !volume_listed(ids, v) ||
            !form_filter(form, v, modification_matches) || !page_has(&page))
            continue;
        buf_adds(out, "<item>");
        modification_xml(out, v);
        buf_adds(out, "</item>");
    }
    buf_adds(out, "</volumeModificationSet>");
    page_end(&page, out);
    cJSON_Delete(ids);
    return 0;
}

/* The new size is there while EC2 still optimizes; from then on a guest can use it. */
static void go_on_modifying(struct sandbox *s, cJSON *v, cJSON *m) {
    struct err err = {0};
    if (strcmp(text_of(m, "state"), "optimizing") == 0) {
        set_text(m, "state", "completed");
        set_number(m, "progress", 100);
        set_number(m, "end", (double)time(NULL));
        return;
    }
    for (size_t i = 0; i < sizeof carried / sizeof carried[0]; i++) {
        char name[32];
        snprintf(name, sizeof name, "to_%s", carried[i]);
        set_number(v, carried[i], number_of(m, name));
    }
    set_text(v, "type", text_of(m, "to_type"));
    set_text(m, "state", "optimizing");
    if (!volume_is(v, "root") &&
        (volume_file_size(s, v, &err) < 0 || volume_capacity(v, &err) < 0)) {
        sandbox_log("%s: %s", text_of(v, "id"), err.msg);
        set_text(m, "state", "failed");
    }
}

/* ---- Time */

static bool step(struct sandbox *s, cJSON *v) {
    cJSON *m = cJSON_GetObjectItem(v, "modification");
    const char *modification = text_of(m, "state"), *attachment = text_of(v, "attachment");
    bool changed = true;
    if (strcmp(text_of(v, "state"), "creating") == 0)
        set_text(v, "state", "available");
    else if (strcmp(attachment, "attaching") == 0)
        set_text(v, "attachment", "attached");
    else if ((strcmp(attachment, "detaching") == 0 || strcmp(attachment, "busy") == 0) &&
             !volume_mounted(v))
        let_go(s, v);
    else if (strcmp(attachment, "detaching") == 0)
        set_text(v, "attachment", "busy");
    else if (strcmp(modification, "modifying") == 0 || strcmp(modification, "optimizing") == 0)
        go_on_modifying(s, v, m);
    else
        changed = false;
    return changed;
}

bool volumes_look_after(struct sandbox *s) {
    bool changed = false;
    cJSON *list = world_list(s, "volumes");
    cJSON *v = list->child;
    while (v != NULL) {
        cJSON *next = v->next;
        if (strcmp(text_of(v, "state"), "deleting") == 0) {
            volume_file_remove(s, text_of(v, "id"));
            cJSON_Delete(cJSON_DetachItemViaPointer(list, v));
            changed = true;
        } else {
            changed |= step(s, v);
        }
        v = next;
    }
    return changed;
}

/* ---- With an instance */

int volumes_check_launch(const cJSON *form, const char *snapshot, struct volume_wanted *ret,
                         struct api_error *e) {
    const char *device = text_of(form, "BlockDeviceMapping.1.DeviceName");
    *ret = (struct volume_wanted){.type = "gp2", .size_gib = ROOT_GIB};
    if (text_of(form, "BlockDeviceMapping.2.DeviceName")[0] != '\0' ||
        (device[0] != '\0' && strcmp(device, ROOT_DEVICE) != 0))
        return api_fail(e, "UnsupportedOperation",
                        "the sandbox maps the root device " ROOT_DEVICE " only; attach volumes");
    if (volume_read_wanted(form, "BlockDeviceMapping.1.Ebs.", "VolumeSize", ret, e) < 0)
        return -1;
    if (ret->size_gib < ROOT_GIB)
        return api_fail(e, "InvalidBlockDeviceMapping",
                        "Volume of size %lldGB is smaller than snapshot '%s', expect size>= %dGB",
                        (long long)ret->size_gib, snapshot, ROOT_GIB);
    return 0;
}

void volumes_launch(struct sandbox *s, const cJSON *form, const cJSON *instance,
                    const struct volume_wanted *wanted) {
    struct volume_wanted here = *wanted;
    here.zone = zone_of(instance)->name;
    cJSON *v = volume_make(s, &here, form_tags(form, "volume"));
    set_text(v, "state", "available");
    set_text(v, "snapshot", image_of(instance)->snapshot);
    attach_to(v, text_of(instance, "id"), ROOT_DEVICE, 0);
    cJSON_AddTrueToObject(v, "root");
    if (strcmp(text_of(form, "BlockDeviceMapping.1.Ebs.DeleteOnTermination"), "false") != 0)
        cJSON_AddTrueToObject(v, "delete");
}

void volumes_release(struct sandbox *s, const cJSON *instance) {
    cJSON *v;
    cJSON_ArrayForEach(v, world_list(s, "volumes")) if (strcmp(text_of(v, "instance"),
                                                               text_of(instance, "id")) == 0)
        volume_release(s, v);
}

void volumes_end(struct sandbox *s, const cJSON *instance) {
    cJSON *v;
    cJSON_ArrayForEach(v, world_list(s, "volumes")) {
        if (strcmp(text_of(v, "instance"), text_of(instance, "id")) != 0)
            continue;
        bool goes = volume_is(v, "delete");
        volume_release(s, v);
        detached(v);
        set_text(v, "state", goes ? "deleting" : "available");
    }
}

bool volumes_in_guest(struct sandbox *s, const cJSON *instance) {
    const cJSON *v;
    cJSON_ArrayForEach(
        v, world_list(s, "volumes")) if (!volume_is(v, "root") &&
                                         strcmp(text_of(v, "instance"), text_of(instance, "id")) ==
                                             0) return true;
    return false;
}

const struct action volume_change_actions[] = {
    {"AttachVolume", attach, true},
    {"DetachVolume", detach, true},
    {"ModifyVolume", modify, true},
    {"DescribeVolumesModifications", modifications, false},
    {NULL, NULL, false},
};
