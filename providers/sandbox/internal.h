/* What the files of the sandbox share. */
#pragma once

#include "providers/sandbox/sandbox.h"
#include "specs/buf.h"
#include "specs/str.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <time.h>

enum {
    PATH_SIZE = 1024,
    GUEST_UID = 300000, /* root in a guest is this user here */
    GUEST_UIDS = 65536,
    PROXY_PORT = 3128,
    TERMINATED_S = 60,    /* how long a terminated instance stays visible */
    POWER_OFF_MS = 10000, /* that a guest gets to end by itself */
    SWEEP_MS = 10000,     /* that what has ended gets to be gone */
    POLL_MS = 20          /* between looks at what ends or begins */
};

/* What there is one of. A world has the private addresses SANDBOX_NET.N.0/24, and is .1 among them
 * itself, and the public ones SANDBOX_PUBLIC_NET.N.0/24. */
#define SANDBOX_NET "10.213"
#define SANDBOX_NET_BITS (10u << 16 | 213u << 8) /* the same, of an address's first 24 bits */
#define SANDBOX_HOSTS "ip-10-213"                /* and in host names, as EC2 makes them */
#define SANDBOX_PUBLIC_NET "10.214"
#define SANDBOX_PUBLIC_NET_BITS (10u << 16 | 214u << 8)
#define SANDBOX_REGION "sandbox"
#define SANDBOX_VPC "vpc-05a0d0b0c00000001"
#define SANDBOX_GROUP "sg-05a0d0b0c00000001" /* the VPC's own, named "default" */
#define SANDBOX_OWNER "000000000000"
#define SANDBOX_USER_ID "AIDA0SANDBOX000000000"
#define SANDBOX_USER_ARN "arn:aws:iam::" SANDBOX_OWNER ":user/sandbox"
/* The root disk of every image. */
#define ROOT_DEVICE "/dev/xvda"
enum { ROOT_GIB = 8 };

struct paths {
    char dir[512], cache[512];
};
int paths_find(const struct sandbox_options *options, struct paths *ret, struct err *err);

/* ---- HTTP/1.1, as little as an SDK needs */

struct http_request {
    char method[8], path[256];
    int minor; /* of the version: HTTP/1.MINOR */
    struct {
        char name[64]; /* lower case */
        struct str value;
    } headers[40];
    size_t headers_len;
    struct str body;
    struct buf raw;
    bool last; /* nothing more can come on this connection */
};

/* Reads one request: 1 good; 0: the peer closed or said nothing; < 0: minus the HTTP status that it
 * is refused with. */
int http_read(int fd, struct http_request *ret);
void http_free(struct http_request *request);
struct str http_header(const struct http_request *request, const char *name); /* ptr NULL: absent */
int http_write(int fd, int status, time_t date, const char *type, struct str body, bool last);

/* Decodes application/x-www-form-urlencoded into a JSON object of strings. NULL when malformed or
 * of too many parts. */
cJSON *form_decode(struct str body);

/* ---- The world */

struct sandbox {
    struct paths paths;
    cJSON *world; /* under the mutex; what is on disk after every change */
    pthread_mutex_t mutex;
    int subnet; /* SANDBOX_NET.SUBNET.0/24 */
    int lock_fd, subnet_fd, cache_fd;
    int listen_fd;
    atomic_int connections;
    atomic_int skew_s; /* that its clock goes wrong by, as a test wants it */
    bool ending;       /* nothing new is begun */
    struct proxy *proxies;
    char cgroup[PATH_SIZE];
};

/* Persist; call with the mutex held. Failure is logged, and told to the caller. */
int world_save(struct sandbox *s, struct err *err);
int world_load(struct sandbox *s, struct err *err);
/* The world's own subnet again when it can be had: addresses of stopped guests stay good. */
int world_take_subnet(struct sandbox *s, struct err *err);
void world_path(const struct sandbox *s, const char *name, char *ret, size_t size);
cJSON *world_list(struct sandbox *s, const char *name);   /* "instances", "groups", "key_pairs" */
const char *text_of(const cJSON *json, const char *name); /* "" when absent */
void set_text(cJSON *json, const char *name, const char *value);
double number_of(const cJSON *json, const char *name);
void set_number(cJSON *json, const char *name, double value);
void make_id(const char *prefix, char *ret, size_t size); /* "i-" and 17 hex digits */
cJSON *find_by(cJSON *list, const char *name, const char *value);
int hex_value(char c); /* -1: it is no hex digit */
int64_t wall_ms(void); /* since 1970 */
void sleep_ms(long ms);
void sandbox_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- Zones, each with a subnet, and instance types */

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

/* ---- Guests */

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
/* Where cgroup v2 is: hybrid machines have it beside the old ones. NULL: nowhere. */
const char *cgroup_root(void);
void cgroup_of_subnet(int subnet, char *ret, size_t size);
/* Nothing that the guest begins comes through its link. */
int guard_link(const char *link, struct err *err);
int run_command(const char *const argv[], const char *input, struct err *err);
int remove_tree(const char *path);
/* What matches one of the patterns, in their order, and nothing else: the folder that the user
 * chose may hold more. The list ends with NULL. */
int remove_made(const char *dir, const char *const patterns[], struct err *err);

/* The cache, used as long as *ret_fd is open: nobody removes it. */
int cache_hold(const struct paths *paths, int *ret_fd, struct err *err);
/* A lock file in it, as flock(2) takes it, without waiting; -1 and errno EWOULDBLOCK: others hold
 * it. CACHE_LOCK is of the whole. */
#define CACHE_LOCK "base.lock"
int cache_lock(const struct paths *paths, const char *name, int how);

struct api_error;

/* ---- Volumes (mutex held). As devices: nothing of one is in a guest before it is plugged in. */

/* Make or grow its file to its size; sparse. */
int volume_file_size(struct sandbox *s, const cJSON *volume, struct err *err);
void volume_file_remove(struct sandbox *s, const char *id);
/* Into a guest that runs: /dev/loopN, /dev/nvmeNn1 and the link in /dev/disk/by-id. */
int volume_plug(struct sandbox *s, cJSON *volume, const cJSON *instance, struct err *err);
/* Out of the guest, which may have ended, and volume_release(). */
void volume_unplug(struct sandbox *s, cJSON *volume, const cJSON *instance);
/* Its loop device is freed, when the last one has closed it. */
void volume_release(struct sandbox *s, cJSON *volume);
/* The number of its loop device; -1: it has none. */
int volume_loop(const cJSON *volume);
/* Take one for it, unless it has one. */
int volume_loop_take(struct sandbox *s, cJSON *volume, struct err *err);
/* Its loop device as mknod(2) takes it. */
int volume_loop_device(const cJSON *volume, dev_t *ret, struct err *err);
/* Freed once nobody has it open any more. */
void volume_loop_give_back(cJSON *volume);
/* Tell its loop device, if it has one, that the file has grown. */
int volume_capacity(const cJSON *volume, struct err *err);
bool volume_mounted(const cJSON *volume);
/* What a guest must have from its boot on, added to its boot.json. */
int volumes_boot(struct sandbox *s, const cJSON *instance, cJSON *boot, struct err *err);
/* Free the loop devices over files of this world that its volumes do not know. */
void volume_loops_sweep(const struct paths *paths, const cJSON *world);
/* And what they were made with, once it has ended. */
void devices_remove(struct sandbox *s, const char *instance);
/* A mount of that node that is nowhere yet; -1 and errno. */
int device_tree(const char *path);
/* Put it and its names below `root`'s /dev. 0 or -1 and errno; system calls only. */
int device_place(int tree, const char *root, const char *node, const char *nvme, const char *link);
/* A guest has no business with loop devices themselves: their ioctl(2)s fail from here on. */
int loops_forbid(void);

/* As the API sees them. */
struct volume_wanted {
    const char *type, *zone;
    int64_t size_gib, iops, throughput; /* 0: what the type has */
    bool encrypted;
};
/* Fills what the form says by these names, and checks it all. */
int volume_read_wanted(const cJSON *form, const char *prefix, const char *size_name,
                       struct volume_wanted *ret, struct api_error *e);
cJSON *volume_make(struct sandbox *s, const struct volume_wanted *wanted, cJSON *tags);
bool volume_is(const cJSON *volume, const char *flag); /* "root", "delete", "encrypted" */
void volume_date(double when, char ret[40]);
void volume_attach(cJSON *volume, const char *instance, const char *device, int nvme);
void volume_attachment_xml(struct buf *out, const cJSON *volume);
cJSON *volume_find(struct sandbox *s, const char *id, struct api_error *e);
/* The volumes of VolumeId.N, which must all be there. */
int volumes_named(struct sandbox *s, const cJSON *form, cJSON **ret, struct api_error *e);
bool volume_listed(const cJSON *ids, const cJSON *volume); /* all are when none is named */
int volume_page(const cJSON *form, int64_t *ret_from, int64_t *ret_most, struct api_error *e);
/* What takes time goes on; true when something changed. */
bool volumes_look_after(struct sandbox *s);
/* An instance's: its root disk, as RunInstances asks for it; how it shows them; what becomes of
 * them when its guest has ended, and when it is terminated. */
int volumes_check_launch(const cJSON *form, const char *snapshot, struct volume_wanted *ret,
                         struct api_error *e);
void volumes_launch(struct sandbox *s, const cJSON *form, const cJSON *instance,
                    const struct volume_wanted *wanted);
void volumes_mapping_xml(struct sandbox *s, struct buf *out, const cJSON *instance);
void volumes_release(struct sandbox *s, const cJSON *instance);
void volumes_end(struct sandbox *s, const cJSON *instance);
/* Has it any but its root disk? */
bool volumes_in_guest(struct sandbox *s, const cJSON *instance);

/* ---- Egress proxy: listens inside a guest's network namespace, dials from outside */

/* The daemon's own list of them; mutex held. */
void proxies_add(struct sandbox *s, struct proxy *proxy); /* takes NULL */
void proxies_remove(struct sandbox *s, const char *id);

struct proxy *proxy_start(pid_t guest, const char *id); /* NULL on failure */
/* False for loopback, link-local, private and multicast addresses. */
struct sockaddr;
bool proxy_may_dial(const struct sockaddr *address);
/* Is it an address of this machine, public ones too, or of a network that it is in? */
bool address_is_near(const struct sockaddr *address);

/* ---- The API */

/* Handle one request; the answer goes to `out`; returns the HTTP status. */
int api_handle(struct sandbox *s, const struct http_request *request, struct buf *out,
               const char **ret_type);

struct api_error {
    char code[96];
    char message[2048];
    int status;
};
/* Fills *e with an error of AWS's kind and HTTP status 400; returns -1. */
int api_fail(struct api_error *e, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Builds the same canonical request from what arrived, and compares signatures. */
int api_authenticate(struct sandbox *s, const struct http_request *r, char service[16],
                     struct api_error *e);

struct action {
    const char *name;
    /* Mutex held. Appends the inner XML. 0 or -1 with *e set. */
    int (*handle)(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e);
    bool changes; /* the world is saved afterwards */
};
/* Of EC2, then of STS. */
extern const struct action instance_actions[], launch_actions[], state_actions[],
    attribute_actions[], group_actions[], rule_actions[], key_actions[], tag_actions[],
    place_actions[], type_actions[], address_actions[], interface_actions[], volume_actions[],
    volume_change_actions[], spot_actions[], profile_actions[];
extern const struct action sts_actions[];

/* The price list: what AWSPriceListService.GetProducts answers, or NULL with *e set. */
cJSON *prices_products(struct sandbox *s, const cJSON *body, struct api_error *e);
/* Handle a request to a service that speaks JSON: it names a target. Mutex held. */
int api_handle_target(struct sandbox *s, const struct http_request *request, struct buf *out);

/* ---- Spot requests and IAM profiles (mutex held) */

double spot_price(const struct instance_type *type, const struct zone *zone); /* USD an hour */
bool spot_asked(const cJSON *form);
int spot_check(const cJSON *form, const struct instance_type *type, const struct zone *zone,
               struct api_error *e);
/* Make the request of a new instance, or have an open one fulfilled by it. */
void spot_launch(struct sandbox *s, const cJSON *form, cJSON *instance);
int spot_may_stop(struct sandbox *s, const cJSON *instance, struct api_error *e);
int spot_may_start(struct sandbox *s, const cJSON *instance, struct api_error *e);
enum spot_event { SPOT_STOPPED, SPOT_STARTED, SPOT_TERMINATED };
/* Its user has done this to it. */
void spot_changed(struct sandbox *s, const cJSON *instance, enum spot_event event);
/* Launch anew what persistent requests have lost; true: the world changed. */
bool spot_look_after(struct sandbox *s);
/* POST of an interruption. HTTP status. */
int spot_request_own(struct sandbox *s, const struct http_request *http, struct buf *out);
/* The same instance again, of a request that was good once. */
int launch_again(struct sandbox *s, cJSON *form, struct api_error *e);
/* From "stopped". */
void instance_start(struct sandbox *s, cJSON *instance);

int profile_check(const cJSON *form, struct api_error *e);
void profile_launch(const cJSON *form, cJSON *instance);
void profile_xml(struct buf *out, const cJSON *instance);

/* ---- Faults that a test asks for (docs/sandbox.md). Mutex held, everywhere. */

/* POST puts a list in the place of the one before, GET shows it. HTTP status. */
int faults_request(struct sandbox *s, const struct http_request *r, struct buf *out);
/* Those of a world that was loaded. */
void faults_begin(struct sandbox *s);
/* What comes instead of the action: -1 with *e set. A dry run meets only what forbids it. */
int faults_before(struct sandbox *s, const char *service, const char *action, const cJSON *form,
                  bool dry, struct api_error *e);
/* What becomes of an answer: e->status is -1 when it is lost. */
void faults_after(struct sandbox *s, const char *action, const cJSON *form, struct str answer,
                  struct api_error *e);
/* Has that zone no capacity for this? */
bool fault_no_capacity(struct sandbox *s, const char *action, const cJSON *form,
                       const struct zone *zone);
/* The instance has just got into this state: how long it stays there at least (slow_until), and
 * what becomes of it instead (fail_code, fail_reason). */
void fault_transition(struct sandbox *s, cJSON *instance, const char *state);
/* Mutex held, but not while it waits: until slow_until is over, or the instance is in another
 * state. */
void fault_await_slow(struct sandbox *s, const char *id, const char *state);
/* What was made just now and is not seen yet leaves its list until veil_end(). */
struct veil;
struct veil *veil_begin(struct sandbox *s, const struct action *action, const cJSON *form);
void veil_end(struct veil *veil); /* takes NULL */

/* Appends the instance as DescribeInstances and RunInstances show one:
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Instance.html */
void instance_xml(struct sandbox *s, struct buf *out, const cJSON *instance);
/* Appends the rules as DescribeSecurityGroups shows them. */
void rules_xml(struct buf *out, const cJSON *rules);
/* The one group of GroupId, or of GroupName as the default VPC takes it; NULL with *e set. */
cJSON *group_asked(struct sandbox *s, const cJSON *form, struct api_error *e);
/* Make the VPC's own group when it is not there. */
void groups_begin(struct sandbox *s);
/* Begins to stop or to terminate it, with that stateReason. */
void instance_end(struct sandbox *s, cJSON *instance, bool terminate, const char *code,
                  const char *reason);
/* The state as callers see it: a guest that reboots runs. */
const char *instance_state(const cJSON *instance);
void metadata_xml(struct buf *out, const char *element, const cJSON *instance);
void groups_xml(struct sandbox *s, struct buf *out, const cJSON *instance);
/* Of its network interface. */
void interface_id(const cJSON *instance, char *ret, size_t size);
/* Appends it as DescribeInstances shows one. */
void interface_xml(struct sandbox *s, struct buf *out, const cJSON *instance);
void instance_state_xml(struct buf *out, const char *element, const char *state);
/* The instances of InstanceId.N; all that must exist do, or *e says which not. */
int instances_named(struct sandbox *s, const cJSON *form, bool required, cJSON **ret,
                    struct api_error *e);

void xml_add(struct buf *out, const char *name, const char *value); /* escaped */
void xml_add_number(struct buf *out, const char *name, double value);
void xml_add_tags(struct buf *out, const cJSON *tags);
/* Values of NAME.1, NAME.2, … */
cJSON *form_list(const cJSON *form, const char *name);
/* Tags of TagSpecification.N for that resource type, as a JSON object. */
cJSON *form_tags(const cJSON *form, const char *resource);
/* MaxResults, from `least` to `most`, and NextToken. */
int form_page(const cJSON *form, int least, int most, int64_t *ret_from, int64_t *ret_most,
              struct api_error *e);
bool list_has(const cJSON *list, const char *text);
/* Does the item pass every Filter of the form? `value` gives an item's value of a filter name. */
bool form_filter(const cJSON *form, cJSON *item,
                 bool (*matches)(cJSON *item, const char *filter, const char *value));
/* Filters that are not known are refused, as EC2 does: they would match nothing in silence. */
int form_check_filters(const cJSON *form, const char *const known[], struct api_error *e);
/* For items whose members are named after filters: `tags`, and texts or arrays of them. */
bool member_matches(cJSON *item, const char *filter, const char *value);
bool tag_matches(const cJSON *tags, const char *filter, const char *value, bool *ret_matched);
bool pattern_matches(const char *pattern, const char *text); /* * and ? */
