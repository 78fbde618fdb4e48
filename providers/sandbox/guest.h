/* Guests: the processes that instances are here, their addresses, and their way out. */
#pragma once

#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"

#include <sys/socket.h>

/* ---- Addresses */

/* How many more private addresses a zone's subnet has. */
int instance_places_left(struct sandbox *s, const struct zone *zone);
/* Give it a private address, which it keeps, and a link name. */
void instance_place(struct sandbox *s, cJSON *instance);
/* Give it another public address than the last one, as a start does; none when it has an elastic
 * one, was launched to have none, or none is left. */
void instance_new_public(struct sandbox *s, cJSON *instance);
/* The address that it has to the outside: the elastic one that is associated, else the one that
 * came with its start. False when it has none, as while it is stopped. */
struct public_address {
    char text[32];
    const cJSON *elastic; /* its record, or NULL */
};
bool instance_public(struct sandbox *s, const cJSON *instance, struct public_address *ret);
/* Have its guest, if it runs, answer at the address that instance_public() says, at no other. */
void guest_set_public(struct sandbox *s, const cJSON *instance);
/* The last octet of a free public address; 0: there is none. */
int public_take(struct sandbox *s);
void public_text(const struct sandbox *s, int octet, char ret[32]);
/* The instance has ended: its elastic address is free again. */
void addresses_forget(struct sandbox *s, const char *instance);

/* ---- Life */

/* Bring an instance up in a thread of its own, from "pending" to "running". Mutex held. */
void guest_start(struct sandbox *s, cJSON *instance);
/* End its processes and wait for them; the files stay. Mutex held; safe when it does not run. */
void guest_kill(struct sandbox *s, cJSON *instance);
/* Ends what is still in cgroups of guests that have ended, and removes them: once, without waiting.
 * False when some are still there. */
bool guest_sweep(struct sandbox *s);
/* Wait until its boot, if one is under way, is over. Mutex held, but not all the time. */
void guest_await_boot(struct sandbox *s, const char *id);
/* Did a guest that ended ask to be started again? reboot(2): its init then dies of SIGHUP. That is
 * told to its parent only, so a daemon that found it again knows only what the API was asked. */
bool guest_rebooted(cJSON *instance);
/* The folder of its files: <world>/i/ID. */
void guest_dir(const struct sandbox *s, const char *id, char *ret, size_t size);
/* Remove them. */
void guest_remove(struct sandbox *s, const char *id);
/* When that process began, in the kernel's ticks; 0: there is none. */
double process_start_time(pid_t pid);
/* Still the process that was started? */
bool guest_alive(const cJSON *instance);
/* Is any of the world's? */
bool guests_alive(struct sandbox *s);
/* Ask its init to power off: systemd(1), SIGRTMIN+4. */
void guest_power_off(const cJSON *instance);
/* The helper process that makes a guest from <dir>/boot.json; exits. */
int guest_boot(const char *instance_dir);
/* The script of the first boot. */
void seed_compose(const cJSON *instance, struct buf *out);

/* Nothing that the guest begins comes through its link. */
int guard_link(const char *link, struct err *err);

/* ---- Egress proxy: listens inside a guest's network namespace, dials from outside */

/* The daemon's own list of them; mutex held. */
void proxies_add(struct sandbox *s, struct proxy *proxy); /* takes NULL */
void proxies_remove(struct sandbox *s, const char *id);

struct proxy *proxy_start(pid_t guest, const char *id); /* NULL on failure */
/* False for loopback, link-local, private and multicast addresses. */
bool proxy_may_dial(const struct sockaddr *address);
/* Is it an address of this machine, public ones too, or of a network that it is in? */
bool address_is_near(const struct sockaddr *address);
