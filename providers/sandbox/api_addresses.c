/* Elastic addresses: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Address.html */
#include "providers/sandbox/api.h"
#include "providers/sandbox/guest.h"
#include "providers/sandbox/instance.h"
#include "providers/sandbox/internal.h"

#include <stdio.h>
#include <string.h>

enum { QUOTA = 5 };

static int allocate(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *list = world_list(s, "addresses");
    char id[40], text[32];
    if (strcmp(text_of(form, "Domain"), "standard") == 0)
        return api_fail(e, "InvalidParameterValue", "Invalid value 'standard' for domain");
    if (cJSON_GetArraySize(list) >= QUOTA)
        return api_fail(e, "AddressLimitExceeded",
                        "The maximum number of addresses has been reached.");
    int octet = public_take(s);
    if (octet == 0)
        return api_fail(e, "InsufficientAddressCapacity", "There is no free address");
    cJSON *a = cJSON_CreateObject();
    make_id("eipalloc", id, sizeof id);
    public_text(s, octet, text);
    set_text(a, "id", id);
    set_number(a, "octet", octet);
    cJSON_AddItemToObject(a, "tags", form_tags(form, "elastic-ip"));
    cJSON_AddItemToArray(list, a);
    xml_add(out, "publicIp", text);
    xml_add(out, "domain", "vpc");
    xml_add(out, "allocationId", id);
    xml_add(out, "publicIpv4Pool", "amazon");
    xml_add(out, "networkBorderGroup", SANDBOX_REGION);
    return 0;
}

static cJSON *find_address(struct sandbox *s, const char *text) {
    cJSON *a;
    char own[32];
    cJSON_ArrayForEach(a, world_list(s, "addresses")) {
        public_text(s, (int)number_of(a, "octet"), own);
        if (strcmp(own, text) == 0)
            return a;
    }
    return NULL;
}

/* The one of AllocationId, or of PublicIp. */
static cJSON *named(struct sandbox *s, const cJSON *form, struct api_error *e) {
    const char *id = text_of(form, "AllocationId"), *text = text_of(form, "PublicIp");
    cJSON *a =
        id[0] != '\0' ? find_by(world_list(s, "addresses"), "id", id) : find_address(s, text);
    if (id[0] == '\0' && text[0] == '\0')
        api_fail(e, "MissingParameter", "Either public IP or allocation id must be specified");
    else if (a == NULL && id[0] != '\0')
        api_fail(e, "InvalidAllocationID.NotFound", "The allocation ID '%.60s' does not exist", id);
    else if (a == NULL)
        api_fail(e, "InvalidAddress.NotFound", "Address '%.60s' not found.", text);
    return a;
}

/* Gives the guest a new address in the place of the one that it loses. */
static void take_away(struct sandbox *s, cJSON *a) {
    cJSON *i = find_by(world_list(s, "instances"), "id", text_of(a, "instance"));
    cJSON_DeleteItemFromObject(a, "instance");
    cJSON_DeleteItemFromObject(a, "association");
    if (i == NULL)
        return;
    instance_new_public(s, i);
    guest_set_public(s, i);
}

/* Its instance has ended; the address stays allocated. */
void addresses_forget(struct sandbox *s, const char *instance) {
    cJSON *a;
    cJSON_ArrayForEach(a, world_list(s, "addresses")) {
        if (strcmp(text_of(a, "instance"), instance) != 0)
            continue;
        cJSON_DeleteItemFromObject(a, "instance");
        cJSON_DeleteItemFromObject(a, "association");
    }
}

static cJSON *target_instance(struct sandbox *s, const cJSON *form, struct api_error *e) {
    const char *id = text_of(form, "InstanceId"), *interface = text_of(form, "NetworkInterfaceId");
    char from_interface[40];
    if (id[0] == '\0' && strncmp(interface, "eni-", 4) == 0) {
        snprintf(from_interface, sizeof from_interface, "i-%.30s", interface + 4);
        id = from_interface;
    }
    cJSON *i = find_by(world_list(s, "instances"), "id", id);
    const char *state = text_of(i, "state");
    if (id[0] == '\0')
        api_fail(e, "MissingParameter",
                 "Either InstanceId or NetworkInterfaceId must be specified");
    else if (i == NULL && interface[0] != '\0')
        api_fail(e, "InvalidNetworkInterfaceID.NotFound",
                 "The networkInterface ID '%.60s' does not exist", interface);
    else if (i == NULL)
        api_fail(e, "InvalidInstanceID.NotFound", "The instance ID '%.60s' does not exist", id);
    else if (strcmp(state, "running") != 0 && strcmp(state, "stopped") != 0 &&
             strcmp(state, "stopping") != 0) {
        api_fail(e, "InvalidInstanceID",
                 "The %s instance '%s' is not in a valid state for this operation.", state, id);
        return NULL;
    }
    return i;
}

static int associate(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *a = named(s, form, e);
    cJSON *i = a == NULL ? NULL : target_instance(s, form, e);
    char id[40];
    if (i == NULL)
        return -1;
    bool may_move = strcmp(text_of(form, "AllowReassociation"), "false") != 0;
    cJSON *other = find_by(world_list(s, "addresses"), "instance", text_of(i, "id"));
    if (other != a) {
        if (!may_move && (text_of(a, "instance")[0] != '\0' || other != NULL))
            return api_fail(e, "Resource.AlreadyAssociated",
                            "resource %s is already associated with associate-id %s",
                            text_of(text_of(a, "instance")[0] != '\0' ? a : other, "id"),
                            text_of(text_of(a, "instance")[0] != '\0' ? a : other, "association"));
        if (text_of(a, "instance")[0] != '\0')
            take_away(s, a);
        if (other != NULL) {
            cJSON_DeleteItemFromObject(other, "instance");
            cJSON_DeleteItemFromObject(other, "association");
        }
        make_id("eipassoc", id, sizeof id);
        set_text(a, "instance", text_of(i, "id"));
        set_text(a, "association", id);
        set_number(i, "public", 0);
        guest_set_public(s, i);
    }
    xml_add(out, "return", "true");
    xml_add(out, "associationId", text_of(a, "association"));
    return 0;
}

static int disassociate(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    const char *id = text_of(form, "AssociationId"), *text = text_of(form, "PublicIp");
    cJSON *a = id[0] != '\0' ? find_by(world_list(s, "addresses"), "association", id)
                             : find_address(s, text);
    if (id[0] == '\0' && text[0] == '\0')
        return api_fail(e, "MissingParameter",
                        "Either public IP or association id must be specified");
    if (a == NULL && id[0] != '\0')
        return api_fail(e, "InvalidAssociationID.NotFound",
                        "The association ID '%.60s' does not exist", id);
    if (a == NULL)
        return api_fail(e, "InvalidAddress.NotFound", "Address '%.60s' not found.", text);
    take_away(s, a);
    xml_add(out, "return", "true");
    return 0;
}

static int release(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *a = named(s, form, e);
    char text[32];
    if (a == NULL)
        return -1;
    public_text(s, (int)number_of(a, "octet"), text);
    if (text_of(a, "instance")[0] != '\0')
        return api_fail(e, "InvalidIPAddress.InUse", "Address %s is in use.", text);
    cJSON_Delete(cJSON_DetachItemViaPointer(world_list(s, "addresses"), a));
    xml_add(out, "return", "true");
    return 0;
}

static cJSON *view_of(struct sandbox *s, const cJSON *a) {
    cJSON *view = cJSON_CreateObject();
    const cJSON *i = find_by(world_list(s, "instances"), "id", text_of(a, "instance"));
    char text[40];
    public_text(s, (int)number_of(a, "octet"), text);
    set_text(view, "public-ip", text);
    set_text(view, "allocation-id", text_of(a, "id"));
    set_text(view, "domain", "vpc");
    set_text(view, "network-border-group", SANDBOX_REGION);
    if (i != NULL) {
        set_text(view, "instance-id", text_of(i, "id"));
        set_text(view, "association-id", text_of(a, "association"));
        interface_id(i, text, sizeof text);
        set_text(view, "network-interface-id", text);
        set_text(view, "network-interface-owner-id", SANDBOX_OWNER);
        set_text(view, "private-ip-address", text_of(i, "address"));
    }
    cJSON_AddItemToObject(view, "tags", cJSON_Duplicate(cJSON_GetObjectItem(a, "tags"), true));
    return view;
}

/* Filter names, and what they are called in an answer. */
static const char *const members[][2] = {{"public-ip", "publicIp"},
                                         {"allocation-id", "allocationId"},
                                         {"domain", "domain"},
                                         {"network-border-group", "networkBorderGroup"},
                                         {"instance-id", "instanceId"},
                                         {"association-id", "associationId"},
                                         {"network-interface-id", "networkInterfaceId"},
                                         {"network-interface-owner-id", "networkInterfaceOwnerId"},
                                         {"private-ip-address", "privateIpAddress"}};
enum { MEMBERS = sizeof members / sizeof members[0] };

/* Those that are asked for by AllocationId.N and PublicIp.N, which must exist. */
static int check_asked(struct sandbox *s, const cJSON *ids, const cJSON *texts,
                       struct api_error *e) {
    const cJSON *item;
    cJSON_ArrayForEach(
        item, ids) if (find_by(world_list(s, "addresses"), "id", cJSON_GetStringValue(item)) ==
                       NULL) return api_fail(e, "InvalidAllocationID.NotFound",
                                             "The allocation ID '%.60s' does not exist",
                                             cJSON_GetStringValue(item));
    cJSON_ArrayForEach(item, texts) if (find_address(s, cJSON_GetStringValue(item)) ==
                                        NULL) return api_fail(e, "InvalidAddress.NotFound",
                                                              "Address '%.60s' not found.",
                                                              cJSON_GetStringValue(item));
    return 0;
}

static int describe(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    const char *filters[MEMBERS + 1] = {NULL};
    for (size_t m = 0; m < MEMBERS; m++)
        filters[m] = members[m][0];
    cJSON *ids = form_list(form, "AllocationId"), *texts = form_list(form, "PublicIp");
    int rc = form_check_filters(form, filters, e);
    if (rc == 0)
        rc = check_asked(s, ids, texts, e);
    bool all = cJSON_GetArraySize(ids) + cJSON_GetArraySize(texts) == 0;
    const cJSON *a;
    buf_adds(out, "<addressesSet>");
    cJSON_ArrayForEach(a, world_list(s, "addresses")) {
        cJSON *view = view_of(s, a);
        bool wanted =
            all || list_has(ids, text_of(a, "id")) || list_has(texts, text_of(view, "public-ip"));
        if (wanted && form_filter(form, view, member_matches)) {
            buf_adds(out, "<item>");
            for (size_t m = 0; m < MEMBERS; m++)
                if (text_of(view, members[m][0])[0] != '\0')
                    xml_add(out, members[m][1], text_of(view, members[m][0]));
            xml_add(out, "publicIpv4Pool", "amazon");
            xml_add_tags(out, cJSON_GetObjectItem(a, "tags"));
            buf_adds(out, "</item>");
        }
        cJSON_Delete(view);
    }
    buf_adds(out, "</addressesSet>");
    cJSON_Delete(ids);
    cJSON_Delete(texts);
    return rc;
}

const struct action address_actions[] = {
    {"AllocateAddress", allocate, true},         {"AssociateAddress", associate, true},
    {"DisassociateAddress", disassociate, true}, {"ReleaseAddress", release, true},
    {"DescribeAddresses", describe, false},      {NULL, NULL, false},
};
