/* What the kinds of EC2 are charged for. Pure; the prices are prices.c's.
 * https://aws.amazon.com/ec2/pricing/on-demand/, https://aws.amazon.com/ebs/pricing/,
 * https://aws.amazon.com/vpc/pricing/ (public IPv4 addresses) */
#include "providers/ec2/prices.h"

#include "providers/ec2/internal.h"

#include <stdio.h>

static int add_instance(const struct server_record *r, struct cost_items *ret) {
    char what[128], price[128];
    snprintf(what, sizeof what, "instance %s", r->type);
    snprintf(price, sizeof price, PRICE_INSTANCE "%s", r->type);
    const struct cost_item item = {
        .what = what, .price = price, .quantity = 1, .while_running = true};
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

int server_costs(const void *record, uint64_t unknown, struct cost_items *ret) {
    const struct server_record *r = record;
    (void)unknown;
    bool running = cstr_eq(r->power, "running");
    ret->stopped = cstr_eq(r->power, "stopped");
    int rc = r->type == NULL ? 0 : add_instance(r, ret);
    if (rc == 0)
        rc = ec2_disk_costs("root disk", r->disk.type, r->disk.size_gib, ret);
    /* One that runs without a public address is in a subnet that gives none. One that was not made
     * yet, or is stopped, gets one when it starts. */
    bool has_address = r->public_ip != NULL || !running || r->private_ip == NULL;
    const struct cost_item address = {
        .what = "public IPv4 address", .price = PRICE_IPV4, .quantity = 1, .while_running = true};
    return rc < 0 || !has_address ? rc : cost_items_add(ret, &address);
}
