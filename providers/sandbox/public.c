/* The addresses of guests: a private one that is kept, of the zone's subnet; a public one that is
 * another after every start, as EC2's are, unless it is an elastic one. */
#include "providers/sandbox/guest.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"

#include <stdio.h>
#include <string.h>

/* The first four of a subnet and the last are EC2's own. */
enum { RESERVED = 4, PUBLIC_FIRST = 2, PUBLIC_END = 255 };

static bool is_gone(const cJSON *instance) {
    return strcmp(text_of(instance, "state"), "terminated") == 0;
}

static bool is_up(const cJSON *instance) {
    const char *state = text_of(instance, "state");
    return strcmp(state, "running") == 0 || strcmp(state, "pending") == 0;
}

static bool octet_used(struct sandbox *s, int octet) {
    const cJSON *other;
    cJSON_ArrayForEach(other, world_list(s, "instances")) if (!is_gone(other) &&
                                                              (int)number_of(other, "octet") ==
                                                                  octet) return true;
    return false;
}

static int last_octet(const struct zone *zone) {
    return zone->first + (1 << (32 - zone->bits)) - 2;
}

int instance_places_left(struct sandbox *s, const struct zone *zone) {
    int left = 0;
    for (int octet = zone->first + RESERVED; octet <= last_octet(zone); octet++)
        left += !octet_used(s, octet);
    return left;
}

void instance_place(struct sandbox *s, cJSON *instance) {
    const struct zone *zone = zone_of(instance);
    char text[64];
    int octet = (int)number_of(instance, "octet");
    for (int try = zone->first + RESERVED; octet == 0 && try <= last_octet(zone); try++)
        if (!octet_used(s, try))
            octet = try;
    set_number(instance, "octet", octet);
    snprintf(text, sizeof text, SANDBOX_NET ".%d.%d", s->subnet, octet);
    set_text(instance, "address", text);
    snprintf(text, sizeof text, SANDBOX_NET ".%d.1", s->subnet);
    set_text(instance, "host_address", text);
    snprintf(text, sizeof text, "bs%d-%d", s->subnet, octet);
    set_text(instance, "link", text);
    snprintf(text, sizeof text, SANDBOX_HOSTS "-%d-%d", s->subnet, octet);
    set_text(instance, "hostname", text);
}

static bool public_used(struct sandbox *s, int octet) {
    const cJSON *other;
    cJSON_ArrayForEach(other, world_list(s, "instances")) if (is_up(other) &&
                                                              (int)number_of(other, "public") ==
                                                                  octet) return true;
    cJSON_ArrayForEach(other, world_list(s, "addresses")) if ((int)number_of(other, "octet") ==
                                                              octet) return true;
    return false;
}

int public_take(struct sandbox *s) {
    int last = (int)number_of(s->world, "last_public");
    for (int i = 1; i <= PUBLIC_END - PUBLIC_FIRST; i++) {
        /* Onward from the last one: who had it may still be asked for there. */
        int octet = last + i < PUBLIC_FIRST ? PUBLIC_FIRST + i - 1 : last + i;
        if (octet >= PUBLIC_END)
            octet -= PUBLIC_END - PUBLIC_FIRST;
        if (public_used(s, octet))
            continue;
        set_number(s->world, "last_public", octet);
        return octet;
    }
    return 0;
}

void instance_new_public(struct sandbox *s, cJSON *instance) {
    bool elastic = find_by(world_list(s, "addresses"), "instance", text_of(instance, "id")) != NULL;
    bool wanted = !elastic && !cJSON_IsTrue(cJSON_GetObjectItem(instance, "no_public"));
    set_number(instance, "public", 0);
    set_number(instance, "public", wanted ? public_take(s) : 0);
}

void public_text(const struct sandbox *s, int octet, char ret[32]) {
    snprintf(ret, 32, SANDBOX_PUBLIC_NET ".%d.%d", s->subnet, octet);
}

bool instance_public(struct sandbox *s, const cJSON *instance, struct public_address *ret) {
    ret->elastic = find_by(world_list(s, "addresses"), "instance", text_of(instance, "id"));
    int octet = ret->elastic != NULL ? (int)number_of(ret->elastic, "octet")
                : is_up(instance)    ? (int)number_of(instance, "public")
                                     : 0;
    public_text(s, octet, ret->text);
    return octet != 0;
}

void guest_set_public(struct sandbox *s, const cJSON *instance) {
    struct public_address public;
    char batch[256], target[64];
    struct err err;
    if (!guest_alive(instance))
        return;
    bool any = instance_public(s, instance, &public);
    snprintf(target, sizeof target, "--net=/proc/%ld/ns/net", (long)number_of(instance, "pid"));
    const char *const in[] = {"nsenter", target, "ip", "-force", "-batch", "-", NULL};
    const char *const out[] = {"ip", "-force", "-batch", "-", NULL};
    int len = snprintf(batch, sizeof batch, "addr flush dev eth0 label eth0:pub\n");
    if (any)
        snprintf(batch + len, sizeof batch - (size_t)len,
                 "addr add %s/32 dev eth0 label eth0:pub\n", public.text);
    int rc = run_command(in, batch, &err);
    const char *link = text_of(instance, "link");
    len = snprintf(batch, sizeof batch, "route flush dev %s proto static\n", link);
    if (any)
        snprintf(batch + len, sizeof batch - (size_t)len,
                 "route replace %s/32 dev %s src %s proto static\n", public.text, link,
                 text_of(instance, "host_address"));
    if (rc == 0)
        rc = run_command(out, batch, &err);
    if (rc < 0)
        sandbox_log("%s: its public address: %s", text_of(instance, "id"), err.msg);
}
