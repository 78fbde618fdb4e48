/* Costs and prices of EC2. */
#pragma once

#include "providers/provider.h"

/* Names of unit prices: one of these, and what follows it. */
#define PRICE_INSTANCE "instance " /* type; an hour on demand, Linux, shared hardware */
#define PRICE_SPOT "spot "         /* type, and the zone where it is known */
#define PRICE_VOLUME "volume "     /* type; a GiB for a month */
#define PRICE_IPV4 "ipv4"          /* an hour of a public address, elastic ones too */

/* As struct kind's `costs`. */
int server_costs(const void *record, uint64_t unknown, struct cost_items *ret);
int address_costs(const void *record, uint64_t unknown, struct cost_items *ret);
/* An EBS volume, paid for from its making to its end; what: "root disk". */
int ec2_disk_costs(const char *what, const char *type, int64_t size_gib, struct cost_items *ret);

/* As struct world's `price`. */
void ec2_price(void *session, struct price *prices, size_t len, struct arena *arena,
               const atomic_int *stop);
