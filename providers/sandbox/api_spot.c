/* Spot: a request stands behind each instance, and may outlive it.
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html and
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SpotInstanceRequest.html */
#include "providers/sandbox/api.h"
#include "providers/sandbox/http.h"
#include "providers/sandbox/instance.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OPTIONS "InstanceMarketOptions.SpotOptions."

static bool is(const cJSON *json, const char *name, const char *value) {
    return strcmp(text_of(json, name), value) == 0;
}

static void set_state(cJSON *r, const char *state, const char *code, const char *message) {
    char date[40] = "";
    time_t now = time(NULL);
    struct tm tm;
    if (gmtime_r(&now, &tm) != NULL)
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
    set_text(r, "state", state);
    set_text(r, "status", code);
    set_text(r, "message", message);
    set_text(r, "updated", date);
}

double spot_price(const struct instance_type *type, const struct zone *zone) {
    return type->usd * (0.30 + 0.04 * (double)(zone - zones));
}

static cJSON *request_of(struct sandbox *s, const cJSON *instance) {
    const char *id = text_of(instance, "spot_request");
    return id[0] == '\0' ? NULL : find_by(world_list(s, "spot_requests"), "id", id);
}

/* ---- At a launch */

static bool is_asked(const cJSON *form) {
    return strcmp(text_of(form, "InstanceMarketOptions.MarketType"), "spot") == 0;
}

int spot_check(const cJSON *form, const struct instance_type *type, const struct zone *zone,
               struct api_error *e) {
    const char *market = text_of(form, "InstanceMarketOptions.MarketType");
    const char *kind = text_of(form, OPTIONS "SpotInstanceType");
    const char *behavior = text_of(form, OPTIONS "InstanceInterruptionBehavior");
    const char *most = text_of(form, OPTIONS "MaxPrice");
    char *end = NULL;
    if (market[0] == '\0')
        return 0;
    if (strcmp(market, "spot") != 0)
        return api_fail(e, "InvalidParameterValue", "Invalid value '%.40s' for MarketType", market);
    if (kind[0] != '\0' && strcmp(kind, "one-time") != 0 && strcmp(kind, "persistent") != 0)
        return api_fail(e, "InvalidParameterValue", "Invalid value '%.40s' for SpotInstanceType",
                        kind);
    if (behavior[0] != '\0' && strcmp(behavior, "stop") != 0 && strcmp(behavior, "terminate") != 0)
        return api_fail(e, "InvalidParameterValue",
                        "Invalid value '%.40s' for InstanceInterruptionBehavior here", behavior);
    if (strcmp(behavior, "stop") == 0 && strcmp(kind, "persistent") != 0)
        return api_fail(e, "InvalidParameterCombination",
                        "The interruption behavior 'stop' is for persistent Spot requests only");
    double price = strtod(most, &end);
    if (most[0] != '\0' && (*end != '\0' || !(price > 0)))
        return api_fail(e, "InvalidParameterValue", "Invalid value '%.40s' for MaxPrice", most);
    if (most[0] != '\0' && price < spot_price(type, zone))
        return api_fail(e, "SpotMaxPriceTooLow",
                        "Your Spot request price of %s is lower than the minimum required Spot "
                        "request fulfillment price of %.4f.",
                        most, spot_price(type, zone));
    return 0;
}

/* The request of an earlier instance, when this launch is its next one. */
#define AGAIN "Berth.SpotRequest"

void spot_launch(struct sandbox *s, const cJSON *form, cJSON *instance) {
    cJSON *r = find_by(world_list(s, "spot_requests"), "id", text_of(form, AGAIN));
    char id[40], price[32];
    if (!is_asked(form))
        return;
    if (r == NULL) {
        const char *kind = text_of(form, OPTIONS "SpotInstanceType");
        const char *behavior = text_of(form, OPTIONS "InstanceInterruptionBehavior");
        const char *most = text_of(form, OPTIONS "MaxPrice");
        const struct instance_type *type = instance_type_named(text_of(instance, "type"));
        r = cJSON_CreateObject();
        make_id("sir", id, sizeof id);
        id[strlen("sir-") + 8] = '\0'; /* it is shorter than others */
        snprintf(price, sizeof price, "%.6f", type->usd);
        set_text(r, "id", id);
        set_text(r, "type", kind[0] == '\0' ? "one-time" : kind);
        set_text(r, "behavior", behavior[0] == '\0' ? "terminate" : behavior);
        set_text(r, "price", most[0] == '\0' ? price : most);
        set_text(r, "created", text_of(instance, "launch_time"));
        cJSON_AddItemToObject(r, "tags", form_tags(form, "spot-instances-request"));
        cJSON *launch = cJSON_Duplicate(form, true);
        static const char *const once[] = {"ClientToken", "MinCount", "MaxCount"};
        for (size_t i = 0; i < sizeof once / sizeof once[0]; i++)
            cJSON_DeleteItemFromObjectCaseSensitive(launch, once[i]);
        set_text(launch, "MinCount", "1");
        set_text(launch, "MaxCount", "1");
        set_text(launch, AGAIN, id);
        cJSON_AddItemToObject(r, "launch", launch);
        cJSON_AddItemToArray(world_list(s, "spot_requests"), r);
    }
    set_text(r, "instance", text_of(instance, "id"));
    set_text(r, "zone", zone_of(instance)->name);
    set_text(instance, "spot_request", text_of(r, "id"));
    set_state(r, "active", "fulfilled", "Your Spot request is fulfilled.");
}

/* ---- Over an instance's life */

int spot_may_stop(struct sandbox *s, const cJSON *instance, struct api_error *e) {
    const cJSON *r = request_of(s, instance);
    if (r == NULL || is(r, "type", "persistent"))
        return 0;
    return api_fail(
        e, "UnsupportedOperation",
        "You can't stop the Spot Instance '%s' because it is associated with a one-time "
        "Spot Instance request. You can only stop Spot Instances associated with "
        "persistent Spot Instance requests.",
        text_of(instance, "id"));
}

int spot_may_start(struct sandbox *s, const cJSON *instance, struct api_error *e) {
    const cJSON *r = request_of(s, instance);
    if (r == NULL || !is(instance, "state", "stopped") || is(r, "state", "disabled"))
        return 0;
    return api_fail(e, "IncorrectSpotRequestState",
                    "You can't start the Spot Instance '%s' because the associated Spot Instance "
                    "request '%s' is not in an appropriate state to support start.",
                    text_of(instance, "id"), text_of(r, "id"));
}

void spot_changed(struct sandbox *s, const cJSON *instance, enum spot_event event) {
    cJSON *r = request_of(s, instance);
    if (r == NULL || is(r, "state", "cancelled") || is(r, "state", "closed"))
        return;
    bool persistent = is(r, "type", "persistent");
    switch (event) {
    case SPOT_STOPPED:
        set_state(r, "disabled", "instance-stopped-by-user",
                  "Your Spot instance was stopped because you stopped it.");
        return;
    case SPOT_STARTED:
        set_state(r, "active", "fulfilled", "Your Spot request is fulfilled.");
        return;
    case SPOT_TERMINATED:
        set_state(r, persistent ? "open" : "closed", "instance-terminated-by-user",
                  "Your Spot instance was terminated because you terminated it.");
        return;
    }
}

static void interrupt(struct sandbox *s, cJSON *r, cJSON *i) {
    static const char stop[] = "Server.SpotInstanceShutdown";
    static const char end[] = "Server.SpotInstanceTermination";
    if (is(r, "behavior", "stop")) {
        set_state(r, "open", "instance-stopped-no-capacity",
                  "Your Spot instance was stopped because there is no available Spot capacity.");
        instance_end(s, i, false, stop, "Server.SpotInstanceShutdown: Instance shutdown for Spot");
        return;
    }
    set_state(r, is(r, "type", "persistent") ? "open" : "closed", "instance-terminated-no-capacity",
              "Your Spot instance was terminated because there is no available Spot capacity.");
    instance_end(s, i, true, end, "Server.SpotInstanceTermination: Spot instance termination");
}

/* {"instance": ID}: it is interrupted; with "resume": true there is capacity again. */
int spot_request_own(struct sandbox *s, const struct http_request *http, struct buf *out) {
    struct err ignored;
    cJSON *body = cJSON_ParseWithLength(http->body.ptr, http->body.len);
    cJSON *i = find_by(world_list(s, "instances"), "id", text_of(body, "instance"));
    bool resume = cJSON_IsTrue(cJSON_GetObjectItem(body, "resume"));
    cJSON_Delete(body);
    cJSON *r = request_of(s, i);
    if (r == NULL || is(r, "state", resume ? "active" : "open"))
        return 404;
    if (!resume)
        interrupt(s, r, i);
    else if (is(i, "state", "stopped"))
        instance_start(s, i);
    else
        set_state(r, "open", "pending-fulfillment", "Your Spot request is pending fulfillment.");
    world_save(s, &ignored);
    buf_adds(out, "{}");
    return 200;
}

bool spot_look_after(struct sandbox *s) {
    cJSON *r;
    cJSON_ArrayForEach(r, world_list(s, "spot_requests")) {
        const cJSON *i = find_by(world_list(s, "instances"), "id", text_of(r, "instance"));
        if (!is(r, "state", "open") || is(r, "status", "instance-terminated-no-capacity") ||
            (i != NULL && !is(i, "state", "terminated")))
            continue;
        struct api_error e = {0};
        if (launch_again(s, cJSON_GetObjectItem(r, "launch"), &e) < 0)
            set_state(r, "open", "instance-terminated-no-capacity", e.message);
        return true;
    }
    return false;
}

/* ---- Asked for */

static int requests_named(struct sandbox *s, const cJSON *form, bool required, cJSON **ret,
                          struct api_error *e) {
    cJSON *ids = form_list(form, "SpotInstanceRequestId");
    const cJSON *id;
    int rc = 0;
    if (required && cJSON_GetArraySize(ids) == 0)
        rc = api_fail(e, "MissingParameter",
                      "The request must contain the parameter SpotInstanceRequestId");
    cJSON_ArrayForEach(id, ids) if (rc == 0 && find_by(world_list(s, "spot_requests"), "id",
                                                       cJSON_GetStringValue(id)) == NULL) rc =
        api_fail(e, "InvalidSpotInstanceRequestID.NotFound",
                 "The spot instance request ID '%.60s' does not exist", cJSON_GetStringValue(id));
    if (rc < 0) {
        cJSON_Delete(ids);
        return rc;
    }
    *ret = ids;
    return 0;
}

static void add_request(struct buf *out, const cJSON *r) {
    const cJSON *launch = cJSON_GetObjectItem(r, "launch");
    buf_adds(out, "<item>");
    xml_add(out, "spotInstanceRequestId", text_of(r, "id"));
    xml_add(out, "spotPrice", text_of(r, "price"));
    xml_add(out, "type", text_of(r, "type"));
    xml_add(out, "state", text_of(r, "state"));
    buf_adds(out, "<status>");
    xml_add(out, "code", text_of(r, "status"));
    xml_add(out, "updateTime", text_of(r, "updated"));
    xml_add(out, "message", text_of(r, "message"));
    buf_adds(out, "</status><launchSpecification>");
    xml_add(out, "imageId", text_of(launch, "ImageId"));
    xml_add(out, "instanceType", text_of(launch, "InstanceType"));
    xml_add(out, "keyName", text_of(launch, "KeyName"));
    buf_adds(out, "</launchSpecification>");
    xml_add(out, "instanceId", text_of(r, "instance"));
    xml_add(out, "createTime", text_of(r, "created"));
    xml_add(out, "productDescription", "Linux/UNIX");
    xml_add(out, "launchedAvailabilityZone", text_of(r, "zone"));
    xml_add(out, "instanceInterruptionBehavior", text_of(r, "behavior"));
    xml_add_tags(out, cJSON_GetObjectItem(r, "tags"));
    buf_adds(out, "</item>");
}

static int describe(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const char *const members[][2] = {{"spot-instance-request-id", "id"},
                                             {"instance-id", "instance"},
                                             {"state", "state"},
                                             {"status-code", "status"},
                                             {"type", "type"},
                                             {"spot-price", "price"}};
    static const char *const filters[] = {"spot-instance-request-id",
                                          "instance-id",
                                          "state",
                                          "status-code",
                                          "type",
                                          "spot-price",
                                          NULL};
    struct page page;
    cJSON *ids;
    const cJSON *r;
    if (form_page(form, 5, 1000, &page, e) < 0 || form_check_filters(form, filters, e) < 0 ||
        requests_named(s, form, false, &ids, e) < 0)
        return -1;
    buf_adds(out, "<spotInstanceRequestSet>");
    cJSON_ArrayForEach(r, world_list(s, "spot_requests")) {
        cJSON *view = cJSON_CreateObject();
        for (size_t m = 0; m < sizeof members / sizeof members[0]; m++)
            set_text(view, members[m][0], text_of(r, members[m][1]));
        cJSON_AddItemToObject(view, "tags", cJSON_Duplicate(cJSON_GetObjectItem(r, "tags"), true));
        if ((cJSON_GetArraySize(ids) == 0 || list_has(ids, text_of(r, "id"))) &&
            form_filter(form, view, member_matches) && page_has(&page))
            add_request(out, r);
        cJSON_Delete(view);
    }
    buf_adds(out, "</spotInstanceRequestSet>");
    page_end(&page, out);
    cJSON_Delete(ids);
    return 0;
}

/* A running instance runs on; a stopped one, which nothing could start any more, is terminated. */
static int cancel(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *ids;
    const cJSON *id;
    if (requests_named(s, form, true, &ids, e) < 0)
        return -1;
    buf_adds(out, "<spotInstanceRequestSet>");
    cJSON_ArrayForEach(id, ids) {
        cJSON *r = find_by(world_list(s, "spot_requests"), "id", cJSON_GetStringValue(id));
        cJSON *i = find_by(world_list(s, "instances"), "id", text_of(r, "instance"));
        bool up = i != NULL && !is(i, "state", "terminated") && !is(i, "state", "shutting-down");
        if (!is(r, "state", "closed"))
            set_state(r, "cancelled",
                      up ? "request-canceled-and-instance-running" : "canceled-before-fulfillment",
                      "Your Spot request is canceled.");
        if (up && is(i, "state", "stopped"))
            instance_end(s, i, true, "Client.UserInitiatedShutdown",
                         "Client.UserInitiatedShutdown: User initiated shutdown");
        buf_adds(out, "<item>");
        xml_add(out, "spotInstanceRequestId", text_of(r, "id"));
        xml_add(out, "state", text_of(r, "state"));
        buf_adds(out, "</item>");
    }
    buf_adds(out, "</spotInstanceRequestSet>");
    cJSON_Delete(ids);
    return 0;
}

/* ---- Prices: today's, and yesterday's, which were a tenth higher */

static void day_text(time_t when, char *ret, size_t size) {
    struct tm tm;
    ret[0] = '\0';
    if (gmtime_r(&when, &tm) != NULL)
        strftime(ret, size, "%Y-%m-%dT00:00:00.000Z", &tm);
}

static bool price_wanted(const cJSON *form, const struct instance_type *t, const struct zone *z) {
    cJSON *view = cJSON_CreateObject();
    const char *zone = text_of(form, "AvailabilityZone");
    cJSON *types = form_list(form, "InstanceType");
    cJSON *products = form_list(form, "ProductDescription");
    set_text(view, "availability-zone", z->name);
    set_text(view, "instance-type", t->name);
    set_text(view, "product-description", "Linux/UNIX");
    bool wanted = zone_offers(z, t) && (zone[0] == '\0' || strcmp(zone, z->name) == 0) &&
                  (cJSON_GetArraySize(types) == 0 || list_has(types, t->name)) &&
                  (cJSON_GetArraySize(products) == 0 || list_has(products, "Linux/UNIX") ||
                   list_has(products, "Linux/UNIX (Amazon VPC)")) &&
                  form_filter(form, view, member_matches);
    cJSON_Delete(view);
    cJSON_Delete(types);
    cJSON_Delete(products);
    return wanted;
}

static int history(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const char *const filters[] = {"availability-zone", "instance-type",
                                          "product-description", NULL};
    struct page page;
    const char *start = text_of(form, "StartTime");
    char today[40], day[40];
    time_t now = time(NULL);
    (void)s;
    if (form_page(form, 1, 1000, &page, e) < 0 || form_check_filters(form, filters, e) < 0)
        return -1;
    day_text(now, today, sizeof today);
    buf_adds(out, "<spotPriceHistorySet>");
    for (int age = 0; age < 2; age++) {
        day_text(now - (time_t)age * 86400, day, sizeof day);
        /* What held when the span began is told too. */
        if (age > 0 && start[0] != '\0' && strcmp(start, today) >= 0)
            break;
        for (const struct instance_type *t = instance_types; t->name != NULL; t++)
            for (const struct zone *z = zones; z->name != NULL; z++) {
                if (!price_wanted(form, t, z) || !page_has(&page))
                    continue;
                buf_adds(out, "<item>");
                xml_add(out, "instanceType", t->name);
                xml_add(out, "productDescription", "Linux/UNIX");
                buf_addf(out, "<spotPrice>%.6f</spotPrice>",
                         spot_price(t, z) * (age == 0 ? 1 : 1.1));
                xml_add(out, "timestamp", day);
                xml_add(out, "availabilityZone", z->name);
                buf_adds(out, "</item>");
            }
    }
    buf_adds(out, "</spotPriceHistorySet>");
    page_end(&page, out);
    return 0;
}

const struct action spot_actions[] = {
    {"DescribeSpotInstanceRequests", describe, false},
    {"CancelSpotInstanceRequests", cancel, true},
    {"DescribeSpotPriceHistory", history, false},
    {NULL, NULL, false},
};
