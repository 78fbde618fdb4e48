/* The price list, as AWS's Pricing API answers for it:
 * https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html and
 * https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
 * Prices are those of us-east-1; the region is the sandbox's. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"
#include "specs/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Terms and rates of price lists have the same codes everywhere: on demand, by the hour or month.
 */
#define TERM "JRTCKXETXF"
#define RATE "6YS6EN2CT7"
#define PRICE_DATE "2024-09-01T00:00:00Z"

enum { PAGE_MAX = 100 };

/* What is not an instance. */
static const struct priced {
    const char *service, *family;
    const char *attributes[6][2];
    const char *unit, *what;
    double usd;
} priceds[] = {
    {"AmazonEC2",
     "Storage",
     {{"volumeApiName", "gp3"},
      {"volumeType", "General Purpose"},
      {"usagetype", "EBS:VolumeUsage.gp3"}},
     "GB-Mo",
     "GB-month of General Purpose (gp3) provisioned storage",
     0.08},
    {"AmazonEC2",
     "Storage",
     {{"volumeApiName", "gp2"},
      {"volumeType", "General Purpose"},
      {"usagetype", "EBS:VolumeUsage.gp2"}},
     "GB-Mo",
     "GB-month of General Purpose (SSD) provisioned storage",
     0.10},
    {"AmazonEC2",
     "Storage",
     {{"volumeApiName", "io1"},
      {"volumeType", "Provisioned IOPS"},
      {"usagetype", "EBS:VolumeUsage.piops"}},
     "GB-Mo",
     "GB-month of Provisioned IOPS SSD (io1) provisioned storage",
     0.125},
    {"AmazonEC2",
     "Storage",
     {{"volumeApiName", "io2"},
      {"volumeType", "Provisioned IOPS"},
      {"usagetype", "EBS:VolumeUsage.io2"}},
     "GB-Mo",
     "GB-month of Provisioned IOPS SSD (io2) provisioned storage",
     0.125},
    {"AmazonEC2",
     "Storage",
     {{"volumeApiName", "st1"},
      {"volumeType", "Throughput Optimized HDD"},
      {"usagetype", "EBS:VolumeUsage.st1"}},
     "GB-Mo",
     "GB-month of Throughput Optimized HDD (st1) provisioned storage",
     0.045},
    {"AmazonEC2",
     "Storage",
     {{"volumeApiName", "sc1"}, {"volumeType", "Cold HDD"}, {"usagetype", "EBS:VolumeUsage.sc1"}},
     "GB-Mo",
     "GB-month of Cold HDD (sc1) provisioned storage",
     0.015},
    {"AmazonEC2",
     "Storage",
     {{"volumeApiName", "standard"}, {"volumeType", "Magnetic"}, {"usagetype", "EBS:VolumeUsage"}},
     "GB-Mo",
     "GB-month of Magnetic provisioned storage",
     0.05},
    {"AmazonEC2",
     "System Operation",
     {{"volumeApiName", "gp3"}, {"group", "EBS IOPS"}, {"usagetype", "EBS:VolumeP-IOPS.gp3"}},
     "IOPS-Mo",
     "provisioned IOPS-month of gp3",
     0.005},
    {"AmazonEC2",
     "System Operation",
     {{"volumeApiName", "io1"}, {"group", "EBS IOPS"}, {"usagetype", "EBS:VolumeP-IOPS.piops"}},
     "IOPS-Mo",
     "provisioned IOPS-month of io1",
     0.065},
    {"AmazonEC2",
     "Provisioned Throughput",
     {{"volumeApiName", "gp3"},
      {"group", "EBS Throughput"},
      {"usagetype", "EBS:VolumeP-Throughput.gp3"}},
     "GiBps-mo",
     "provisioned GiBps-month of gp3",
     40.96},
    {"AmazonEC2",
     "IP Address",
     {{"group", "ElasticIP:Address"},
      {"groupDescription", "Elastic IP address not attached to a running instance"},
      {"usagetype", "ElasticIP:IdleAddress"}},
     "Hrs",
     "Elastic IP address not attached to a running instance per hour (prorated)",
     0.005},
    {"AmazonVPC",
     NULL,
     {{"group", "VPCPublicIPv4Address"},
      {"groupDescription", "Hourly charge for In-use Public IPv4 Addresses"},
      {"usagetype", "PublicIPv4:InUseAddress"}},
     "Hrs",
     "In-use public IPv4 address per hour",
     0.005},
    {"AmazonVPC",
     NULL,
     {{"group", "VPCPublicIPv4Address"},
      {"groupDescription", "Hourly charge for Idle Public IPv4 Addresses"},
      {"usagetype", "PublicIPv4:IdleAddress"}},
     "Hrs",
     "Idle public IPv4 address per hour",
     0.005},
};

/* ---- One product */

static cJSON *place_attributes(const char *service) {
    cJSON *a = cJSON_CreateObject();
    set_text(a, "servicecode", service);
    set_text(a, "location", "Sandbox");
    set_text(a, "locationType", "AWS Region");
    set_text(a, "regionCode", SANDBOX_REGION);
    return a;
}

static const char *type_family(const char *name) {
    static const struct {
        char first;
        const char *family;
    } families[] = {{'t', "General purpose"},
                    {'m', "General purpose"},
                    {'c', "Compute optimized"},
                    {'r', "Memory optimized"},
                    {'g', "GPU instance"}};
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (families[i].first == name[0])
            return families[i].family;
    return "General purpose";
}

static cJSON *type_attributes(const struct instance_type *t) {
    static const char *const same[][2] = {{"tenancy", "Shared"},
                                          {"operatingSystem", "Linux"},
                                          {"licenseModel", "No License required"},
                                          {"operation", "RunInstances"},
                                          {"availabilityzone", "NA"},
                                          {"capacitystatus", "Used"},
                                          {"preInstalledSw", "NA"},
                                          {"marketoption", "OnDemand"},
                                          {"storage", "EBS only"},
                                          {"processorArchitecture", "64-bit"},
                                          {"servicename", "Amazon Elastic Compute Cloud"}};
    cJSON *a = place_attributes("AmazonEC2");
    char text[64];
    set_text(a, "instanceType", t->name);
    set_text(a, "instanceFamily", type_family(t->name));
    snprintf(text, sizeof text, "%d", t->vcpus);
    set_text(a, "vcpu", text);
    snprintf(text, sizeof text, "%g GiB", t->mib / 1024.0);
    set_text(a, "memory", text);
    snprintf(text, sizeof text, "BoxUsage:%s", t->name);
    set_text(a, "usagetype", text);
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        set_text(a, same[i][0], same[i][1]);
    return a;
}

static cJSON *priced_attributes(const struct priced *p) {
    cJSON *a = place_attributes(p->service);
    for (size_t i = 0; i < sizeof p->attributes / sizeof p->attributes[0]; i++)
        if (p->attributes[i][0] != NULL)
            set_text(a, p->attributes[i][0], p->attributes[i][1]);
    return a;
}

/* A SKU is 16 capital letters and digits; the same for the same usage type. */
static void make_sku(const cJSON *attributes, char ret[17]) {
    char hex[SHA256_HEX_SIZE];
    sha256_hex(str_of(text_of(attributes, "usagetype")), hex);
    for (int i = 0; i < 16; i++)
        ret[i] = hex[i] >= 'a' ? (char)(hex[i] - 'a' + 'A') : hex[i];
    ret[16] = '\0';
}

/* Takes the attributes. As the text that PriceList holds. */
static cJSON *product_text(cJSON *attributes, const char *family, const char *unit,
                           const char *what, double usd) {
    char sku[17], key[64], text[256];
    make_sku(attributes, sku);
    cJSON *root = cJSON_CreateObject();
    cJSON *product = cJSON_AddObjectToObject(root, "product");
    if (family != NULL)
        set_text(product, "productFamily", family);
    set_text(root, "serviceCode", text_of(attributes, "servicecode"));
    cJSON_AddItemToObject(product, "attributes", attributes);
    set_text(product, "sku", sku);
    snprintf(key, sizeof key, "%s." TERM, sku);
    cJSON *term = cJSON_AddObjectToObject(
        cJSON_AddObjectToObject(cJSON_AddObjectToObject(root, "terms"), "OnDemand"), key);
    snprintf(key, sizeof key, "%s." TERM "." RATE, sku);
    cJSON *rate = cJSON_AddObjectToObject(cJSON_AddObjectToObject(term, "priceDimensions"), key);
    set_text(rate, "rateCode", key);
    set_text(rate, "unit", unit);
    set_text(rate, "beginRange", "0");
    set_text(rate, "endRange", "Inf");
    snprintf(text, sizeof text, "$%.10g per %s", usd, what);
    set_text(rate, "description", text);
    cJSON_AddArrayToObject(rate, "appliesTo");
    snprintf(text, sizeof text, "%.10f", usd);
    set_text(cJSON_AddObjectToObject(rate, "pricePerUnit"), "USD", text);
    set_text(term, "sku", sku);
    set_text(term, "effectiveDate", PRICE_DATE);
    set_text(term, "offerTermCode", TERM);
    cJSON_AddObjectToObject(term, "termAttributes");
    set_text(root, "version", "20240901000000");
    set_text(root, "publicationDate", PRICE_DATE);
    char *printed = cJSON_PrintUnformatted(root);
    cJSON *string = cJSON_CreateString(printed == NULL ? "{}" : printed);
    cJSON_free(printed);
    cJSON_Delete(root);
    return string;
}

/* ---- What is asked */

static bool passes(const cJSON *body, const cJSON *attributes, const char *family) {
    const cJSON *f;
    if (strcmp(text_of(body, "ServiceCode"), text_of(attributes, "servicecode")) != 0)
        return false;
    cJSON_ArrayForEach(f, cJSON_GetObjectItem(body, "Filters")) {
        const char *field = text_of(f, "Field"), *value = text_of(f, "Value");
        const char *own = strcmp(field, "productFamily") == 0 ? family : text_of(attributes, field);
        if (own == NULL || strcmp(own, value) != 0)
            return false;
    }
    return true;
}

struct products {
    cJSON *list;
    int64_t n, from, most;
};

static bool on_page(struct products *p) { return p->n++ >= p->from && p->n <= p->from + p->most; }

static int check_request(const cJSON *body, struct products *ret, struct api_error *e) {
    const char *token = text_of(body, "NextToken"), *service = text_of(body, "ServiceCode");
    const cJSON *most = cJSON_GetObjectItem(body, "MaxResults");
    const cJSON *f;
    if (strcmp(service, "AmazonEC2") != 0 && strcmp(service, "AmazonVPC") != 0)
        return api_fail(e, "NotFoundException", "Invalid service code: %.60s", service);
    if (token[0] != '\0' && !str_to_i64(str_of(token), 1, INT32_MAX, &ret->from))
        return api_fail(e, "InvalidNextTokenException", "The token is not valid");
    if (cJSON_IsNumber(most) && (most->valueint < 1 || most->valueint > PAGE_MAX))
        return api_fail(e, "InvalidParameterException", "MaxResults must be from 1 to 100");
    cJSON_ArrayForEach(f, cJSON_GetObjectItem(body, "Filters")) {
        const char *type = text_of(f, "Type");
        if (strcmp(type, "TERM_MATCH") != 0)
            return api_fail(e, "InvalidParameterException",
                            "the sandbox knows filters of the type TERM_MATCH only");
    }
    ret->most = cJSON_IsNumber(most) ? most->valueint : PAGE_MAX;
    return 0;
}

cJSON *prices_products(struct sandbox *s, const cJSON *body, struct api_error *e) {
    struct products page = {0};
    char text[64];
    (void)s;
    if (check_request(body, &page, e) < 0)
        return NULL;
    cJSON *answer = cJSON_CreateObject();
    set_text(answer, "FormatVersion", "aws_v1");
    page.list = cJSON_AddArrayToObject(answer, "PriceList");
    for (const struct instance_type *t = instance_types; t->name != NULL; t++) {
        cJSON *a = type_attributes(t);
        snprintf(text, sizeof text, "On Demand Linux %s Instance Hour", t->name);
        if (passes(body, a, "Compute Instance") && on_page(&page))
            cJSON_AddItemToArray(page.list,
                                 product_text(a, "Compute Instance", "Hrs", text, t->usd));
        else
            cJSON_Delete(a);
    }
    for (size_t i = 0; i < sizeof priceds / sizeof priceds[0]; i++) {
        const struct priced *p = &priceds[i];
        cJSON *a = priced_attributes(p);
        if (passes(body, a, p->family) && on_page(&page))
            cJSON_AddItemToArray(page.list, product_text(a, p->family, p->unit, p->what, p->usd));
        else
            cJSON_Delete(a);
    }
    if (page.n > page.from + page.most) {
        snprintf(text, sizeof text, "%" PRId64, page.from + page.most);
        set_text(answer, "NextToken", text);
    }
    return answer;
}
