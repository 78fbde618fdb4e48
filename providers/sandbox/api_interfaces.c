/* Network interfaces: each instance that is not terminated has one. They have no records: what they
 * are is the instance's. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/guest.h"
#include "providers/sandbox/instance.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"

#include <stdio.h>
#include <string.h>

void interface_id(const cJSON *instance, char *ret, size_t size) {
    snprintf(ret, size, "eni-%.30s", text_of(instance, "id") + strlen("i-"));
}

static void add_association(struct sandbox *s, struct buf *out, const cJSON *i) {
    struct public_address public;
    if (!instance_public(s, i, &public))
        return;
    buf_adds(out, "<association>");
    xml_add(out, "publicIp", public.text);
    xml_add(out, "publicDnsName", "");
    xml_add(out, "ipOwnerId", public.elastic != NULL ? SANDBOX_OWNER : "amazon");
    if (public.elastic != NULL) {
        xml_add(out, "allocationId", text_of(public.elastic, "id"));
        xml_add(out, "associationId", text_of(public.elastic, "association"));
    }
    buf_adds(out, "</association>");
}

/* https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceNetworkInterface.html and
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NetworkInterface.html, which has more.
 */
static void add_interface(struct sandbox *s, struct buf *out, const cJSON *i, bool alone) {
    char id[40];
    interface_id(i, id, sizeof id);
    buf_adds(out, "<item>");
    xml_add(out, "networkInterfaceId", id);
    xml_add(out, "subnetId", zone_of(i)->subnet);
    xml_add(out, "vpcId", SANDBOX_VPC);
    if (alone)
        xml_add(out, "availabilityZone", zone_of(i)->name);
    buf_adds(out, "<description/><ownerId>" SANDBOX_OWNER "</ownerId><status>in-use</status>"
                  "<interfaceType>interface</interfaceType>");
    xml_add(out, "privateIpAddress", text_of(i, "address"));
    buf_addf(out, "<sourceDestCheck>%s</sourceDestCheck>",
             cJSON_IsFalse(cJSON_GetObjectItem(i, "source_dest_check")) ? "false" : "true");
    groups_xml(s, out, i);
    buf_addf(out,
             "<attachment><attachmentId>eni-attach-%s</attachmentId><deviceIndex>0</deviceIndex>"
             "<status>attached</status><deleteOnTermination>true</deleteOnTermination>",
             id + strlen("eni-"));
    if (alone) {
        xml_add(out, "instanceId", text_of(i, "id"));
        xml_add(out, "instanceOwnerId", SANDBOX_OWNER);
    }
    buf_adds(out, "</attachment>");
    add_association(s, out, i);
    buf_adds(out, "<privateIpAddressesSet><item>");
    xml_add(out, "privateIpAddress", text_of(i, "address"));
    xml_add(out, "primary", "true");
    add_association(s, out, i);
    buf_adds(out, "</item></privateIpAddressesSet>");
    if (alone)
        xml_add_tags(out, cJSON_GetObjectItem(i, "interface_tags"));
    buf_adds(out, "</item>");
}

void interface_xml(struct sandbox *s, struct buf *out, const cJSON *instance) {
    add_interface(s, out, instance, false);
}

static cJSON *view_of(struct sandbox *s, const cJSON *i) {
    cJSON *view = cJSON_CreateObject();
    struct public_address public;
    char id[40];
    interface_id(i, id, sizeof id);
    set_text(view, "network-interface-id", id);
    set_text(view, "attachment.instance-id", text_of(i, "id"));
    set_text(view, "vpc-id", SANDBOX_VPC);
    set_text(view, "subnet-id", zone_of(i)->subnet);
    set_text(view, "availability-zone", zone_of(i)->name);
    set_text(view, "private-ip-address", text_of(i, "address"));
    set_text(view, "status", "in-use");
    if (instance_public(s, i, &public))
        set_text(view, "association.public-ip", public.text);
    cJSON_AddItemToObject(view, "group-id",
                          cJSON_Duplicate(cJSON_GetObjectItem(i, "groups"), true));
    cJSON_AddItemToObject(view, "tags",
                          cJSON_Duplicate(cJSON_GetObjectItem(i, "interface_tags"), true));
    return view;
}

static int describe(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const char *const filters[] = {"network-interface-id",
                                          "attachment.instance-id",
                                          "vpc-id",
                                          "subnet-id",
                                          "availability-zone",
                                          "private-ip-address",
                                          "status",
                                          "association.public-ip",
                                          "group-id",
                                          NULL};
    struct page page;
    if (form_page(form, 5, 1000, &page, e) < 0 || form_check_filters(form, filters, e) < 0)
        return -1;
    cJSON *ids = form_list(form, "NetworkInterfaceId");
    int found = 0;
    const cJSON *i;
    buf_adds(out, "<networkInterfaceSet>");
    cJSON_ArrayForEach(i, world_list(s, "instances")) {
        if (strcmp(text_of(i, "state"), "terminated") == 0)
            continue;
        cJSON *view = view_of(s, i);
        bool named = list_has(ids, text_of(view, "network-interface-id"));
        found += named;
        if ((named || cJSON_GetArraySize(ids) == 0) && form_filter(form, view, member_matches) &&
            page_has(&page))
            add_interface(s, out, i, true);
        cJSON_Delete(view);
    }
    buf_adds(out, "</networkInterfaceSet>");
    page_end(&page, out);
    int rc = found < cJSON_GetArraySize(ids)
                 ? api_fail(e, "InvalidNetworkInterfaceID.NotFound",
                            "A networkInterface ID of the request does not exist")
                 : 0;
    cJSON_Delete(ids);
    return rc;
}

const struct action interface_actions[] = {
    {"DescribeNetworkInterfaces", describe, false},
    {NULL, NULL, false},
};
