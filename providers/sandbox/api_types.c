/* DescribeInstanceTypes and DescribeInstanceTypeOfferings. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"

#include <stdio.h>
#include <string.h>

static void add_list(struct buf *out, const char *name, const char *value) {
    buf_addf(out, "<%s>", name);
    xml_add(out, "item", value);
    buf_addf(out, "</%s>", name);
}

/* https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceTypeInfo.html */
static void add_type(struct buf *out, const struct instance_type *t) {
    bool old = t->name[1] == '1';
    bool nitro = !old && t->name[1] != '2';
    buf_adds(out, "<item>");
    xml_add(out, "instanceType", t->name);
    xml_add(out, "currentGeneration", old ? "false" : "true");
    xml_add(out, "freeTierEligible", strcmp(t->name, "t2.micro") == 0 ? "true" : "false");
    buf_adds(out, "<supportedUsageClasses><item>on-demand</item><item>spot</item>"
                  "</supportedUsageClasses>");
    add_list(out, "supportedRootDeviceTypes", "ebs");
    add_list(out, "supportedVirtualizationTypes", "hvm");
    xml_add(out, "bareMetal", "false");
    xml_add(out, "hypervisor", nitro ? "nitro" : "xen");
    buf_adds(out, "<processorInfo>");
    add_list(out, "supportedArchitectures", t->arch);
    buf_addf(out, "</processorInfo><vCpuInfo><defaultVCpus>%d</defaultVCpus></vCpuInfo>", t->vcpus);
    buf_addf(out, "<memoryInfo><sizeInMiB>%d</sizeInMiB></memoryInfo>", t->mib);
    buf_addf(out, "<ebsInfo><nvmeSupport>%s</nvmeSupport></ebsInfo>",
             nitro ? "required" : "unsupported");
    if (t->gpus > 0)
        buf_addf(out,
                 "<gpuInfo><gpus><item><manufacturer>NVIDIA</manufacturer><count>%d</count>"
                 "</item></gpus></gpuInfo>",
                 t->gpus);
    xml_add(out, "burstablePerformanceSupported", t->name[0] == 't' ? "true" : "false");
    buf_adds(out, "</item>");
}

static cJSON *type_view(const struct instance_type *t) {
    char text[32];
    cJSON *view = cJSON_CreateObject();
    set_text(view, "instance-type", t->name);
    set_text(view, "processor-info.supported-architecture", t->arch);
    set_text(view, "burstable-performance-supported", t->name[0] == 't' ? "true" : "false");
    set_text(view, "current-generation", t->name[1] == '1' ? "false" : "true");
    snprintf(text, sizeof text, "%d", t->vcpus);
    set_text(view, "vcpu-info.default-vcpus", text);
    snprintf(text, sizeof text, "%d", t->mib);
    set_text(view, "memory-info.size-in-mib", text);
    return view;
}

static int check_types(const cJSON *names, struct api_error *e) {
    const cJSON *name;
    cJSON_ArrayForEach(name, names) if (instance_type_named(cJSON_GetStringValue(name)) ==
                                        NULL) return api_fail(e, "InvalidInstanceType",
                                                              "The following supplied instance "
                                                              "types do not exist: [%.60s]",
                                                              cJSON_GetStringValue(name));
    return 0;
}

static int describe_types(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const char *const filters[] = {"instance-type",
                                          "processor-info.supported-architecture",
                                          "burstable-performance-supported",
                                          "current-generation",
                                          "vcpu-info.default-vcpus",
                                          "memory-info.size-in-mib",
                                          NULL};
    struct page page;
    (void)s;
    if (form_page(form, 5, 100, &page, e) < 0 || form_check_filters(form, filters, e) < 0)
        return -1;
    cJSON *names = form_list(form, "InstanceType");
    int rc = check_types(names, e);
    buf_adds(out, "<instanceTypeSet>");
    for (const struct instance_type *t = instance_types; rc == 0 && t->name != NULL; t++) {
        cJSON *view = type_view(t);
        bool wanted = (cJSON_GetArraySize(names) == 0 || list_has(names, t->name)) &&
                      form_filter(form, view, member_matches);
        cJSON_Delete(view);
        if (wanted && page_has(&page))
            add_type(out, t);
    }
    buf_adds(out, "</instanceTypeSet>");
    page_end(&page, out);
    cJSON_Delete(names);
    return rc;
}

static bool offered(const cJSON *form, const struct instance_type *t, const char *location) {
    cJSON *view = cJSON_CreateObject();
    set_text(view, "instance-type", t->name);
    set_text(view, "location", location);
    bool wanted = form_filter(form, view, member_matches);
    cJSON_Delete(view);
    return wanted;
}

static int describe_offerings(struct sandbox *s, cJSON *form, struct buf *out,
                              struct api_error *e) {
    static const char *const filters[] = {"instance-type", "location", NULL};
    const char *type = text_of(form, "LocationType");
    bool by_zone = strcmp(type, "availability-zone") == 0;
    bool by_id = strcmp(type, "availability-zone-id") == 0;
    struct page page;
    (void)s;
    if (!by_zone && !by_id && type[0] != '\0' && strcmp(type, "region") != 0)
        return api_fail(e, "InvalidParameterValue", "Invalid value '%.60s' for LocationType", type);
    if (form_page(form, 5, 1000, &page, e) < 0 || form_check_filters(form, filters, e) < 0)
        return -1;
    buf_adds(out, "<instanceTypeOfferingSet>");
    for (const struct instance_type *t = instance_types; t->name != NULL; t++)
        for (const struct zone *z = zones; z->name != NULL; z++) {
            const char *location = by_zone ? z->name : by_id ? z->id : SANDBOX_REGION;
            bool there = by_zone || by_id ? zone_offers(z, t) : z == zones;
            if (!there || !offered(form, t, location) || !page_has(&page))
                continue;
            buf_adds(out, "<item>");
            xml_add(out, "instanceType", t->name);
            xml_add(out, "locationType", type[0] == '\0' ? "region" : type);
            xml_add(out, "location", location);
            buf_adds(out, "</item>");
        }
    buf_adds(out, "</instanceTypeOfferingSet>");
    page_end(&page, out);
    return 0;
}

const struct action type_actions[] = {
    {"DescribeInstanceTypes", describe_types, false},
    {"DescribeInstanceTypeOfferings", describe_offerings, false},
    {NULL, NULL, false},
};
