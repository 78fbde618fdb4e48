/* RunInstances: what is checked, and what a client token promises. */
#include "providers/sandbox/internal.h"
#include "specs/hash.h"

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

static int check_launch(struct sandbox *s, const cJSON *form, int64_t *ret_count,
                        const cJSON **ret_key, struct volume_wanted *ret_disk,
                        struct api_error *e) {
    const char *image = text_of(form, "ImageId");
    const char *key = text_of(form, "KeyName");
    if (strcmp(image, SANDBOX_AMI) != 0)
        return api_fail(
            e, strncmp(image, "ami-", 4) == 0 ? "InvalidAMIID.NotFound" : "InvalidAMIID.Malformed",
            "The image id '[%.60s]' does not exist", image);
    int64_t least = 0;
    if (!str_to_i64(str_of(text_of(form, "MaxCount")), 1, 200, ret_count))
        return api_fail(e, "InvalidParameterValue", "MaxCount must be from 1 to 200 here");
    if (!str_to_i64(str_of(text_of(form, "MinCount")), 1, *ret_count, &least))
        return api_fail(e, "InvalidParameterValue", "MinCount must be from 1 to MaxCount");
    int places = instance_places_left(s);
    if (places < least)
        return api_fail(e, "InsufficientFreeAddressesInSubnet",
                        "There are not enough free addresses in subnet '" SANDBOX_SUBNET "'");
    if (places < *ret_count)
        *ret_count = places;
    if (text_of(form, "SecurityGroup.1")[0] != '\0' ||
        text_of(form, "NetworkInterface.1.DeviceIndex")[0] != '\0')
        return api_fail(e, "UnsupportedOperation",
                        "the sandbox takes security groups as SecurityGroupId only");
    if (check_user_data(form, e) < 0 || volumes_check_launch(form, ret_disk, e) < 0)
        return -1;
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
    struct volume_wanted disk;
    if (seen != 0)
        return seen < 0 ? -1 : 0;
    if (check_launch(s, form, &count, &key, &disk, e) < 0)
        return -1;
    char reservation[32];
    make_id("r", reservation, sizeof reservation);
    for (int64_t n = 0; n < count; n++) {
        cJSON *i = new_instance(s, form, key, reservation, n);
        volumes_launch(s, form, i, &disk);
        guest_start(s, i);
    }
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
