/* RunInstances: what is checked, and what a client token promises. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/faults.h"
#include "providers/sandbox/guest.h"
#include "providers/sandbox/images.h"
#include "providers/sandbox/instance.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"
#include "providers/sandbox/volume.h"
#include "specs/hash.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { USER_DATA_MAX = 16384 };

static int answer_launch(struct sandbox *s, const char *reservation, struct buf *out) {
    const cJSON *i;
    xml_add(out, "reservationId", reservation);
    xml_add(out, "ownerId", SANDBOX_OWNER);
    buf_adds(out, "<groupSet/><instancesSet>");
    cJSON_ArrayForEach(
        i, world_list(s, "instances")) if (strcmp(text_of(i, "reservation"), reservation) == 0)
        instance_xml(s, out, i);
    buf_adds(out, "</instancesSet>");
    return 0;
}

/* What a repeated token must repeat. */
static void request_print(const cJSON *form, char ret_hex[SHA256_HEX_SIZE]) {
    char *text = cJSON_PrintUnformatted(form);
    sha256_hex(str_of(text), ret_hex);
    cJSON_free(text);
}

/* 1: the token was seen, and the answer is written; 0: it is new. */
static int seen_token(struct sandbox *s, const cJSON *form, struct buf *out, struct api_error *e) {
    const char *token = text_of(form, "ClientToken");
    const cJSON *launch = find_by(world_list(s, "launches"), "token", token);
    if (token[0] == '\0' || launch == NULL)
        return 0;
    char print[SHA256_HEX_SIZE];
    request_print(form, print);
    if (strcmp(print, text_of(launch, "request")) != 0)
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

static int check_user_data(const cJSON *form, struct api_error *e) {
    _cleanup_buf_ struct buf data = BUF_INIT(BUF_MEDIUM);
    if (!buf_add_base64_decoded(&data, str_of(text_of(form, "UserData"))))
        return api_fail(e, "InvalidParameterValue", "Invalid BASE64 encoding of user data.");
    if (data.len > USER_DATA_MAX)
        return api_fail(e, "InvalidParameterValue", "User data is limited to 16384 bytes");
    return 0;
}

/* ---- Where and what */

/* An interface, where one is given, holds what else stands beside it. */
#define INTERFACE "NetworkInterface.1."

static const char *subnet_asked(const cJSON *form) {
    const char *own = text_of(form, "SubnetId");
    return own[0] != '\0' ? own : text_of(form, INTERFACE "SubnetId");
}

static cJSON *groups_asked(const cJSON *form) {
    cJSON *groups = form_list(form, "SecurityGroupId");
    if (cJSON_GetArraySize(groups) == 0) {
        cJSON_Delete(groups);
        groups = form_list(form, INTERFACE "SecurityGroupId");
    }
    if (cJSON_GetArraySize(groups) == 0)
        cJSON_AddItemToArray(groups, cJSON_CreateString(SANDBOX_GROUP));
    return groups;
}

static int check_interface(const cJSON *form, struct api_error *e) {
    static const char *const beside[] = {"SubnetId", "SecurityGroupId.1"};
    if (text_of(form, INTERFACE "DeviceIndex")[0] == '\0')
        return 0;
    if (text_of(form, "NetworkInterface.2.DeviceIndex")[0] != '\0' ||
        text_of(form, INTERFACE "NetworkInterfaceId")[0] != '\0')
        return api_fail(e, "UnsupportedOperation", "the sandbox makes one new interface only");
    for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++)
        if (text_of(form, beside[i])[0] != '\0')
            return api_fail(e, "InvalidParameterCombination",
                            "Network interfaces and an instance-level %s may not be specified on "
                            "the same request",
                            i == 0 ? "subnet ID" : "security groups");
    return 0;
}

static int zone_refused(const struct instance_type *type, const struct zone *zone, bool offers,
                        struct api_error *e) {
    char others[128] = "";
    for (const struct zone *z = zones; z->name != NULL; z++)
        if (z != zone && zone_offers(z, type)) {
            size_t len = strlen(others);
            snprintf(others + len, sizeof others - len, "%s%s", len > 0 ? ", " : "", z->name);
        }
    if (!offers)
        return api_fail(e, "Unsupported",
                        "Your requested instance type (%s) is not supported in your requested "
                        "Availability Zone (%s). Please retry your request by not specifying an "
                        "Availability Zone or choosing %s.",
                        type->name, zone->name, others);
    api_fail(e, "InsufficientInstanceCapacity",
             "We currently do not have sufficient %s capacity in the Availability Zone you "
             "requested (%s). Our system will be working on provisioning additional capacity. You "
             "can currently get %s capacity by not specifying an Availability Zone in your request "
             "or choosing %s.",
             type->name, zone->name, type->name, others);
    e->status = 500;
    return -1;
}

/* The zone that is asked for, or the first that can. */
static int launch_zone(struct sandbox *s, const cJSON *form, int64_t least,
                       const struct instance_type *type, const struct zone **ret,
                       struct api_error *e) {
    const char *subnet = subnet_asked(form), *name = text_of(form, "Placement.AvailabilityZone");
    const struct zone *wanted = subnet[0] != '\0' ? zone_of_subnet(subnet) : zone_named(name);
    if (subnet[0] != '\0' && wanted == NULL)
        return api_fail(e, "InvalidSubnetID.NotFound", "The subnet ID '%.60s' does not exist",
                        subnet);
    if (name[0] != '\0' && zone_named(name) == NULL)
        return api_fail(e, "InvalidParameterValue", "Invalid availability zone: [%.60s]", name);
    if (name[0] != '\0' && wanted != zone_named(name))
        return api_fail(e, "InvalidParameterValue",
                        "The availability zone '%.60s' is not the one of the subnet '%.60s'", name,
                        subnet);
    const struct zone *full = NULL, *refused = NULL;
    for (const struct zone *z = zones; z->name != NULL; z++) {
        if (wanted != NULL && z != wanted)
            continue;
        if (!zone_offers(z, type))
            continue;
        if (instance_places_left(s, z) < least) {
            full = z;
        } else if (fault_no_capacity(s, "RunInstances", form, z)) {
            refused = z;
        } else {
            *ret = z;
            return 0;
        }
    }
    if (refused == NULL && full != NULL)
        return api_fail(e, "InsufficientFreeAddressesInSubnet",
                        "There are not enough free addresses in subnet '%s'", full->subnet);
    const struct zone *told = refused != NULL ? refused : wanted != NULL ? wanted : zones;
    return zone_refused(type, told, refused != NULL, e);
}

static int launch_type(const cJSON *form, const struct instance_type **ret, struct api_error *e) {
    const char *name = text_of(form, "InstanceType");
    const struct instance_type *type = instance_type_named(name[0] == '\0' ? "m1.small" : name);
    if (type == NULL)
        return api_fail(e, "InvalidParameterValue", "Invalid value '%.60s' for InstanceType.",
                        name);
    if (strcmp(type->arch, "x86_64") != 0)
        return api_fail(e, "InvalidParameterValue",
                        "The architecture '%s' of the specified instance type does not match the "
                        "architecture 'x86_64' of the specified AMI. Specify an instance type and "
                        "an AMI that have matching architectures, and try again.",
                        type->arch);
    *ret = type;
    return 0;
}

/* What a launch that can be made is made of. */
struct launch {
    int64_t count;
    const struct zone *zone;
    const struct instance_type *type;
    const cJSON *key;
    struct volume_wanted disk;
};

static int check_launch(struct sandbox *s, const cJSON *form, struct launch *ret,
                        struct api_error *e) {
    const char *image = text_of(form, "ImageId");
    const char *key = text_of(form, "KeyName");
    if (image_of_ami(image) == NULL)
        return api_fail(
            e, strncmp(image, "ami-", 4) == 0 ? "InvalidAMIID.NotFound" : "InvalidAMIID.Malformed",
            "The image id '[%.60s]' does not exist", image);
    int64_t least = 0;
    if (!str_to_i64(str_of(text_of(form, "MaxCount")), 1, 200, &ret->count))
        return api_fail(e, "InvalidParameterValue", "MaxCount must be from 1 to 200 here");
    if (!str_to_i64(str_of(text_of(form, "MinCount")), 1, ret->count, &least))
        return api_fail(e, "InvalidParameterValue", "MinCount must be from 1 to MaxCount");
    if (check_interface(form, e) < 0 || launch_type(form, &ret->type, e) < 0)
        return -1;
    if (text_of(form, "SecurityGroup.1")[0] != '\0')
        return api_fail(e, "UnsupportedOperation",
                        "the sandbox takes security groups as SecurityGroupId only");
    if (check_user_data(form, e) < 0 ||
        volumes_check_launch(form, image_of_ami(image)->snapshot, &ret->disk, e) < 0)
        return -1;
    ret->key = find_by(world_list(s, "key_pairs"), "name", key);
    if (key[0] != '\0' && ret->key == NULL)
        return api_fail(e, "InvalidKeyPair.NotFound", "The key pair '%.80s' does not exist", key);
    cJSON *groups = groups_asked(form);
    const cJSON *g;
    int rc = 0;
    cJSON_ArrayForEach(
        g, groups) if (find_by(world_list(s, "groups"), "id", cJSON_GetStringValue(g)) == NULL) rc =
        api_fail(e, "InvalidGroup.NotFound", "The security group '%.80s' does not exist",
                 cJSON_GetStringValue(g));
    cJSON_Delete(groups);
    if (rc < 0 || profile_check(form, e) < 0 ||
        launch_zone(s, form, least, ret->type, &ret->zone, e) < 0 ||
        spot_check(form, ret->type, ret->zone, e) < 0)
        return -1;
    int places = instance_places_left(s, ret->zone);
    if (places < ret->count)
        ret->count = places;
    return 0;
}

static cJSON *new_instance(struct sandbox *s, const cJSON *form, const struct launch *launch,
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
    set_text(i, "type", launch->type->name);
    set_text(i, "zone", launch->zone->name);
    set_text(i, "key_name", text_of(form, "KeyName"));
    set_text(i, "public_key", text_of(launch->key, "public_key"));
    set_text(i, "token", text_of(form, "ClientToken"));
    set_text(i, "http_tokens",
             text_of(form, "MetadataOptions.HttpTokens")[0] == '\0'
                 ? "optional"
                 : text_of(form, "MetadataOptions.HttpTokens"));
    int64_t hops;
    if (str_to_i64(str_of(text_of(form, "MetadataOptions.HttpPutResponseHopLimit")), 1, 64, &hops))
        set_number(i, "http_hops", (double)hops);
    set_text(i, "launch_time", date);
    set_number(i, "launch_index", (double)index);
    if (strcmp(text_of(form, "InstanceInitiatedShutdownBehavior"), "terminate") == 0)
        set_text(i, "shutdown", "terminate");
    if (buf_add_base64_decoded(&data, str_of(text_of(form, "UserData"))))
        set_text(i, "user_data", buf_cstr(&data));
    cJSON_AddItemToObject(i, "groups", groups_asked(form));
    cJSON_AddItemToObject(i, "tags", form_tags(form, "instance"));
    cJSON_AddItemToObject(i, "interface_tags", form_tags(form, "network-interface"));
    cJSON_AddItemToArray(world_list(s, "instances"), i);
    instance_place(s, i);
    if (strcmp(text_of(form, INTERFACE "AssociatePublicIpAddress"), "false") == 0)
        cJSON_AddTrueToObject(i, "no_public");
    instance_new_public(s, i);
    profile_launch(form, i);
    spot_launch(s, form, i);
    fault_transition(s, i, "pending");
    return i;
}

static void launch(struct sandbox *s, const cJSON *form, const struct launch *wanted,
                   const char *reservation) {
    for (int64_t n = 0; n < wanted->count; n++) {
        cJSON *i = new_instance(s, form, wanted, reservation, n);
        volumes_launch(s, form, i, &wanted->disk);
        guest_start(s, i);
    }
}

int launch_again(struct sandbox *s, cJSON *form, struct api_error *e) {
    struct launch wanted = {0};
    char reservation[32];
    if (check_launch(s, form, &wanted, e) < 0)
        return -1;
    make_id("r", reservation, sizeof reservation);
    launch(s, form, &wanted, reservation);
    return 0;
}

static int run(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    int seen = seen_token(s, form, out, e);
    struct launch wanted = {0};
    if (seen != 0)
        return seen < 0 ? -1 : 0;
    if (check_launch(s, form, &wanted, e) < 0)
        return -1;
    char reservation[32];
    make_id("r", reservation, sizeof reservation);
    launch(s, form, &wanted, reservation);
    if (text_of(form, "ClientToken")[0] != '\0') {
        cJSON *launch = cJSON_CreateObject();
        char print[SHA256_HEX_SIZE];
        request_print(form, print);
        set_text(launch, "token", text_of(form, "ClientToken"));
        set_text(launch, "request", print);
        set_text(launch, "reservation", reservation);
        cJSON_AddItemToArray(world_list(s, "launches"), launch);
    }
    return answer_launch(s, reservation, out);
}

const struct action launch_actions[] = {
    {"RunInstances", run, true},
    {NULL, NULL, false},
};
