/* Zones, each with a subnet, and instance types. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

struct zone {
    const char *name, *id, *subnet;
    int first, bits; /* of its subnet's addresses: the last octet, the mask */
};
extern const struct zone zones[];                  /* the last one's name is NULL */
const struct zone *zone_named(const char *name);   /* NULL: there is none */
const struct zone *zone_of_subnet(const char *id); /* NULL: there is none */
const struct zone *zone_of(const cJSON *instance);

struct instance_type {
    const char *name;
    int vcpus, mib, gpus;
    const char *arch;
    double usd;     /* an hour, on demand, Linux */
    unsigned zones; /* bit N: zones[N] offers it */
};
extern const struct instance_type instance_types[];                /* the last one's name is NULL */
const struct instance_type *instance_type_named(const char *name); /* NULL: there is none */
bool zone_offers(const struct zone *zone, const struct instance_type *type);
