/* What the kinds of EC2 are charged for. Pure; the prices are prices.c's.
 * https://aws.amazon.com/ec2/pricing/on-demand/, https://aws.amazon.com/ebs/pricing/,
 * https://aws.amazon.com/vpc/pricing/ (public IPv4 addresses) */
#include "providers/ec2/prices.h"

#include "providers/aws/pricing.h"
#include "providers/ec2/internal.h"

#include <stdio.h>

static int add_instance(const struct server_record *r, struct cost_items *ret) {
    char what[128], price[128];
    double most_usd = 0;
    snprintf(what, sizeof what, "%sinstance %s", r->spot.enabled ? "spot " : "", r->type);
    if (r->spot.enabled)
        snprintf(price, sizeof price, PRICE_SPOT "%s%s%s", r->type, r->zone == NULL ? "" : " ",
                 r->zone == NULL ? "" : r->zone);
    else
        snprintf(price, sizeof price, PRICE_INSTANCE "%s", r->type);
    if (r->spot.max_price != NULL && !pricing_amount(str_of(r->spot.max_price), &most_usd))
        most_usd = 0;
    const struct cost_item item = {
        .what = what, .price = price, .quantity = 1, .most_usd = most_usd, .while_running = true};
    return cost_items_add(ret, &item);
}

int ec2_disk_costs(const char *what, const char *type, int64_t size_gib, struct cost_items *ret) {
    char text[128], price[64];
    bool sized = size_gib != FIELD_UNSET && size_gib > 0;
    if (sized)
        snprintf(text, sizeof text, "%s, %lld GiB %s", what, (long long)size_gib,
                 type == NULL ? "" : type);
    else
        snprintf(text, sizeof text, "%s", what);
    snprintf(price, sizeof price, PRICE_VOLUME "%s", type == NULL ? "" : type);
    const struct cost_item item = {.what = text,
                                   .price = price,
                                   .unit = PRICE_GIB_MONTH,
                                   .quantity = sized ? (double)size_gib : 0};
    return cost_items_add(ret, &item);
}

/* Has it an elastic address, or will it have one that is not allocated yet? That one is a thing of
 * its own, and paid for as such. */
static bool is_elastic(const struct server_record *r, uint64_t unknown) {
    for (size_t i = 0; server_kind.fields[i].name != NULL; i++)
        if (server_kind.fields[i].offset == offsetof(struct server_record, elastic_ip))
            return r->elastic_ip != NULL || (unknown >> i & 1);
    return false;
}

int server_costs(const void *record, uint64_t unknown, struct cost_items *ret) {
    const struct server_record *r = record;
    bool running = cstr_eq(r->power, "running");
    ret->stopped = cstr_eq(r->power, "stopped");
    int rc = r->type == NULL ? 0 : add_instance(r, ret);
    if (rc == 0)
        rc = ec2_disk_costs("root disk", r->disk.type, r->disk.size_gib, ret);
    /* One that runs without a public address is in a subnet that gives none. One that was not made
     * yet, or is stopped, gets one when it starts. */
    const struct server_record *now = ret->now;
    bool starts = r->private_ip == NULL || (now != NULL && !cstr_eq(now->power, "running"));
    bool has_address = r->public_ip != NULL || !running || starts;
    const struct cost_item address = {
        .what = "public IPv4 address", .price = PRICE_IPV4, .quantity = 1, .while_running = true};
    return rc < 0 || !has_address || is_elastic(r, unknown) ? rc : cost_items_add(ret, &address);
}

/* In use or idle, it costs the same. */
int address_costs(const void *record, uint64_t unknown, struct cost_items *ret) {
    const struct cost_item item = {.what = "elastic address", .price = PRICE_IPV4, .quantity = 1};
    (void)record, (void)unknown;
    return cost_items_add(ret, &item);
}
