/* Volumes as they are: made, deleted, shown and found. Root disks are volumes too, which have no
 * device here: a guest's root file system is a folder. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"
#include "providers/sandbox/volume.h"
#include "specs/hash.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html */
static const struct type {
    const char *name;
    int least_gib, most_gib;
    int iops, throughput; /* of one that was asked for without; 0: EC2 shows none */
} types[] = {
    {"gp3", 1, 65536, 3000, 125}, {"gp2", 1, 16384, 100, 0}, {"io1", 4, 16384, 100, 0},
    {"io2", 4, 65536, 100, 0},    {"st1", 125, 16384, 0, 0}, {"sc1", 125, 16384, 0, 0},
    {"standard", 1, 1024, 0, 0},
};

static const struct type *find_type(const char *name) {
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

static int volume_check(const char *type, int64_t size_gib, struct api_error *e) {
    const struct type *t = find_type(type);
    if (t == NULL)
        return api_fail(e, "UnknownVolumeType",
                        "Unsupported volume type '%.40s' for volume "
                        "creation.",
                        type);
    if (size_gib < t->least_gib || size_gib > t->most_gib)
        return api_fail(e, "InvalidParameterValue",
                        "Volume of %lldGiB is too %s for volume type %s; %s is %dGiB",
                        (long long)size_gib, size_gib < t->least_gib ? "small" : "large", t->name,
                        size_gib < t->least_gib ? "minimum" : "maximum",
                        size_gib < t->least_gib ? t->least_gib : t->most_gib);
    return 0;
}

void volume_date(double when, char ret[40]) {
    time_t seconds = (time_t)when;
    struct tm tm;
    ret[0] = '\0';
    if (gmtime_r(&seconds, &tm) != NULL)
        strftime(ret, 40, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
}

cJSON *volume_make(struct sandbox *s, const struct volume_wanted *w, cJSON *tags) {
    const struct type *t = find_type(w->type);
    cJSON *v = cJSON_CreateObject();
    char id[32];
    make_id("vol", id, sizeof id);
    set_text(v, "id", id);
    set_text(v, "zone", w->zone);
    set_text(v, "type", w->type);
    set_number(v, "size", (double)w->size_gib);
    set_number(v, "iops", w->iops > 0 ? (double)w->iops : t == NULL ? 0 : t->iops);
    set_number(v, "throughput",
               w->throughput > 0 ? (double)w->throughput
               : t == NULL       ? 0
                                 : t->throughput);
    set_text(v, "state", "creating");
    set_number(v, "created_at", (double)time(NULL));
    if (w->encrypted)
        cJSON_AddTrueToObject(v, "encrypted");
    cJSON_AddItemToObject(v, "tags", tags);
    cJSON_AddItemToArray(world_list(s, "volumes"), v);
    return v;
}

/* ---- Showing */

bool volume_is(const cJSON *volume, const char *flag) {
    return cJSON_IsTrue(cJSON_GetObjectItem(volume, flag));
}

static const char *state_of(const cJSON *v) {
    return text_of(v, "instance")[0] != '\0' ? "in-use" : text_of(v, "state");
}

void volume_attachment_xml(struct buf *out, const cJSON *v) {
    char date[40];
    volume_date(number_of(v, "attached_at"), date);
    xml_add(out, "volumeId", text_of(v, "id"));
    xml_add(out, "instanceId", text_of(v, "instance"));
    xml_add(out, "device", text_of(v, "device"));
    xml_add(out, "status", text_of(v, "attachment"));
    xml_add(out, "attachTime", date);
    xml_add(out, "deleteOnTermination", volume_is(v, "delete") ? "true" : "false");
}

/* https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Volume.html */
static void volume_xml(struct buf *out, const cJSON *v) {
    char date[40];
    volume_date(number_of(v, "created_at"), date);
    xml_add(out, "volumeId", text_of(v, "id"));
    xml_add_number(out, "size", number_of(v, "size"));
    xml_add(out, "snapshotId", text_of(v, "snapshot"));
    xml_add(out, "availabilityZone", text_of(v, "zone"));
    xml_add(out, "status", state_of(v));
    xml_add(out, "createTime", date);
    buf_adds(out, "<attachmentSet>");
    if (text_of(v, "instance")[0] != '\0') {
        buf_adds(out, "<item>");
        volume_attachment_xml(out, v);
        buf_adds(out, "</item>");
    }
    buf_adds(out, "</attachmentSet>");
    xml_add_tags(out, cJSON_GetObjectItem(v, "tags"));
    xml_add(out, "volumeType", text_of(v, "type"));
    if (number_of(v, "iops") > 0)
        xml_add_number(out, "iops", number_of(v, "iops"));
    if (number_of(v, "throughput") > 0)
        xml_add_number(out, "throughput", number_of(v, "throughput"));
    xml_add(out, "encrypted", volume_is(v, "encrypted") ? "true" : "false");
    xml_add(out, "multiAttachEnabled", "false");
}

static void mapping_xml(struct buf *out, const cJSON *v) {
    char date[40];
    bool busy = strcmp(text_of(v, "attachment"), "busy") == 0; /* has no name here */
    volume_date(number_of(v, "attached_at"), date);
    buf_adds(out, "<item>");
    xml_add(out, "deviceName", text_of(v, "device"));
    buf_adds(out, "<ebs>");
    xml_add(out, "volumeId", text_of(v, "id"));
    xml_add(out, "status", busy ? "detaching" : text_of(v, "attachment"));
    xml_add(out, "attachTime", date);
    xml_add(out, "deleteOnTermination", volume_is(v, "delete") ? "true" : "false");
    buf_adds(out, "</ebs></item>");
}

/* The root disk first. */
void volumes_mapping_xml(struct sandbox *s, struct buf *out, const cJSON *instance) {
    const cJSON *v;
    buf_adds(out, "<blockDeviceMapping>");
    for (int root = 1; root >= 0; root--)
        cJSON_ArrayForEach(v, world_list(s, "volumes")) if (volume_is(v, "root") == (root == 1) &&
                                                            strcmp(text_of(v, "instance"),
                                                                   text_of(instance, "id")) == 0)
            mapping_xml(out, v);
    buf_adds(out, "</blockDeviceMapping>");
}

/* ---- Finding */

cJSON *volume_find(struct sandbox *s, const char *id, struct api_error *e) {
    cJSON *v = find_by(world_list(s, "volumes"), "id", id);
    if (id[0] == '\0')
        api_fail(e, "MissingParameter", "The request must contain the parameter volume");
    else if (strncmp(id, "vol-", 4) != 0)
        api_fail(e, "InvalidParameterValue",
                 "Value (%.60s) for parameter volumeId is invalid. Expected: 'vol-...'.", id);
    else if (v == NULL)
        api_fail(e, "InvalidVolume.NotFound", "The volume '%.60s' does not exist.", id);
    return v;
}

int volumes_named(struct sandbox *s, const cJSON *form, cJSON **ret, struct api_error *e) {
    cJSON *ids = form_list(form, "VolumeId");
    const cJSON *id;
    int rc = 0;
    cJSON_ArrayForEach(id, ids) if (rc == 0 && volume_find(s, cJSON_GetStringValue(id), e) == NULL)
        rc = -1;
    if (rc < 0)
        cJSON_Delete(ids);
    else
        *ret = ids;
    return rc;
}

bool volume_listed(const cJSON *ids, const cJSON *volume) {
    const cJSON *id;
    cJSON_ArrayForEach(id, ids) if (strcmp(cJSON_GetStringValue(id), text_of(volume, "id")) ==
                                    0) return true;
    return cJSON_GetArraySize(ids) == 0;
}

int volume_page(const cJSON *form, struct page *ret, struct api_error *e) {
    if (text_of(form, "MaxResults")[0] != '\0' && text_of(form, "VolumeId.1")[0] != '\0')
        return api_fail(e, "InvalidParameterCombination",
                        "The parameter volumeSet cannot be used with the parameter maxResults");
    return form_page(form, 5, 1000, ret, e);
}

static const char *const filters[] = {"volume-id",
                                      "status",
                                      "availability-zone",
                                      "volume-type",
                                      "size",
                                      "encrypted",
                                      "attachment.instance-id",
                                      "attachment.device",
                                      "attachment.status",
                                      "attachment.delete-on-termination",
                                      NULL};

static bool matches(cJSON *v, const char *filter, const char *value) {
    static const struct {
        const char *filter, *member;
    } members[] = {{"volume-id", "id"},
                   {"availability-zone", "zone"},
                   {"volume-type", "type"},
                   {"attachment.instance-id", "instance"},
                   {"attachment.device", "device"},
                   {"attachment.status", "attachment"}};
    static const struct {
        const char *filter, *member;
    } flags[] = {{"encrypted", "encrypted"}, {"attachment.delete-on-termination", "delete"}};
    bool matched = false;
    char size[32];
    if (tag_matches(cJSON_GetObjectItem(v, "tags"), filter, value, &matched))
        return matched;
    if (strcmp(filter, "status") == 0)
        return pattern_matches(value, state_of(v));
    if (strncmp(filter, "attachment.", strlen("attachment.")) == 0 &&
        text_of(v, "instance")[0] == '\0')
        return false;
    for (size_t m = 0; m < sizeof members / sizeof members[0]; m++)
        if (strcmp(members[m].filter, filter) == 0)
            return pattern_matches(value, text_of(v, members[m].member));
    for (size_t f = 0; f < sizeof flags / sizeof flags[0]; f++)
        if (strcmp(flags[f].filter, filter) == 0)
            return pattern_matches(value, volume_is(v, flags[f].member) ? "true" : "false");
    snprintf(size, sizeof size, "%.0f", number_of(v, "size"));
    return strcmp(filter, "size") == 0 && pattern_matches(value, size);
}

static int describe(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    struct page page;
    cJSON *ids = NULL;
    cJSON *v;
    if (volume_page(form, &page, e) < 0 || form_check_filters(form, filters, e) < 0 ||
        volumes_named(s, form, &ids, e) < 0)
        return -1;
    buf_adds(out, "<volumeSet>");
    cJSON_ArrayForEach(v, world_list(s, "volumes")) {
        if (!volume_listed(ids, v) || !form_filter(form, v, matches) || !page_has(&page))
            continue;
        buf_adds(out, "<item>");
        volume_xml(out, v);
        buf_adds(out, "</item>");
    }
    buf_adds(out, "</volumeSet>");
    page_end(&page, out);
    cJSON_Delete(ids);
    return 0;
}

/* ---- Making and deleting */

static int read_number(const cJSON *form, const char *name, int64_t *ret, struct api_error *e) {
    const char *text = text_of(form, name);
    if (text[0] == '\0' || str_to_i64(str_of(text), 1, INT32_MAX, ret))
        return 0;
    return api_fail(e, "InvalidParameterValue", "Value (%.40s) for parameter %s is invalid", text,
                    name);
}

int volume_read_wanted(const cJSON *form, const char *prefix, const char *size_name,
                       struct volume_wanted *ret, struct api_error *e) {
    const struct {
        const char *name;
        int64_t *value;
    } numbers[] = {
        {size_name, &ret->size_gib}, {"Iops", &ret->iops}, {"Throughput", &ret->throughput}};
    char key[96];
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        snprintf(key, sizeof key, "%s%s", prefix, numbers[i].name);
        if (read_number(form, key, numbers[i].value, e) < 0)
            return -1;
    }
    snprintf(key, sizeof key, "%sVolumeType", prefix);
    if (text_of(form, key)[0] != '\0')
        ret->type = text_of(form, key);
    snprintf(key, sizeof key, "%sEncrypted", prefix);
    ret->encrypted = strcmp(text_of(form, key), "true") == 0;
    return volume_check(ret->type, ret->size_gib, e);
}

/* What a repeated token must repeat. */
static void request_print(const cJSON *form, char ret_hex[SHA256_HEX_SIZE]) {
    char *text = cJSON_PrintUnformatted(form);
    sha256_hex(str_of(text == NULL ? "" : text), ret_hex);
    cJSON_free(text);
}

static int check_create(const cJSON *form, struct volume_wanted *ret, struct api_error *e) {
    static const char *const others[] = {"SnapshotId", "OutpostArn", "KmsKeyId",
                                         "AvailabilityZoneId"};
    struct err why = {0};
    *ret = (struct volume_wanted){.type = "gp2", .zone = text_of(form, "AvailabilityZone")};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (text_of(form, others[i])[0] != '\0')
            return api_fail(e, "UnsupportedOperation", "the sandbox does not take %s", others[i]);
    if (strcmp(text_of(form, "MultiAttachEnabled"), "true") == 0)
        return api_fail(e, "UnsupportedOperation", "the sandbox does not take MultiAttachEnabled");
    if (ret->zone[0] == '\0')
        return api_fail(e, "MissingParameter",
                        "The request must contain the parameter AvailabilityZone");
    if (text_of(form, "Size")[0] == '\0')
        return api_fail(e, "MissingParameter",
                        "The request must contain the parameter size/snapshot");
    if (zone_named(ret->zone) == NULL)
        return api_fail(e, "InvalidZone.NotFound", "The zone '%.60s' does not exist.", ret->zone);
    if (volume_read_wanted(form, "", "Size", ret, e) < 0)
        return -1;
    if (sandbox_check_volumes(&why) < 0)
        return api_fail(e, "UnsupportedOperation", "%s (%s)", why.msg, why.hint);
    return 0;
}

static int create(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    const char *token = text_of(form, "ClientToken");
    char print[SHA256_HEX_SIZE];
    struct volume_wanted wanted;
    struct err err = {0};
    request_print(form, print);
    const cJSON *seen = token[0] == '\0' ? NULL : find_by(world_list(s, "volumes"), "token", token);
    if (seen != NULL && strcmp(print, text_of(seen, "request")) != 0)
        return api_fail(e, "IdempotentParameterMismatch",
                        "The client token was used with other parameters");
    if (seen != NULL) {
        volume_xml(out, seen);
        return 0;
    }
    if (check_create(form, &wanted, e) < 0)
        return -1;
    cJSON *v = volume_make(s, &wanted, form_tags(form, "volume"));
    set_text(v, "token", token);
    set_text(v, "request", print);
    if (volume_file_size(s, v, &err) < 0) {
        cJSON_Delete(cJSON_DetachItemViaPointer(world_list(s, "volumes"), v));
        e->status = 500;
        api_fail(e, "InternalError", "%s", err.msg);
        e->status = 500;
        return -1;
    }
    volume_xml(out, v);
    return 0;
}

static int delete (struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *v = volume_find(s, text_of(form, "VolumeId"), e);
    if (v == NULL)
        return -1;
    if (text_of(v, "instance")[0] != '\0')
        return api_fail(e, "VolumeInUse", "Volume %s is currently attached to %s", text_of(v, "id"),
                        text_of(v, "instance"));
    set_text(v, "state", "deleting"); /* and goes by itself, as on EC2 */
    xml_add(out, "return", "true");
    return 0;
}

const struct action volume_actions[] = {
    {"CreateVolume", create, true},
    {"DeleteVolume", delete, true},
    {"DescribeVolumes", describe, false},
    {NULL, NULL, false},
};
