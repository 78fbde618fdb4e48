/* What the files of the sandbox share: what there is one of, the world and its records (JSON), and
 * small helpers. Each room of it has a header of its own: http.h, types.h, guest.h, volume.h,
 * api.h, instance.h, faults.h, images.h. */
#pragma once

#include "providers/sandbox/sandbox.h"
#include "specs/buf.h"
#include "specs/str.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

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

/* Where cgroup v2 is: hybrid machines have it beside the old ones. NULL: nowhere. */
const char *cgroup_root(void);
void cgroup_of_subnet(int subnet, char *ret, size_t size);

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
