/* A simulated world for tests of the engine: five kinds with fields of every type and flag, in two
 * worlds (a cloud, and the insides of its boxes). It lives in shared memory, so that a process that
 * works on it can be killed at any step and another one goes on. It refuses what a real world
 * refuses: to use what is not there, to remove what is in use. */
#pragma once

#include "engine/execute.h"
#include "engine/plan.h"
#include "providers/provider.h"

#include <pthread.h>

enum { SIM_THINGS_MAX = 4096, SIM_CALLS_MAX = 16384, SIM_RECORD_SIZE = 1024 };

struct sim_thing {
    bool used;
    bool foreign;    /* somebody else's */
    bool unreadable; /* the world does not tell */
    char kind[24];
    char address[48]; /* its tag */
    char parent[48];  /* id of the box that it lives in, or "" */
    char id[24];
    char token[80];
    char note[80];
    uint64_t unread;
    char record[SIM_RECORD_SIZE]; /* JSON */
};

struct sim_call {
    char what[12]; /* "create", "update", "destroy" */
    char address[48];
};

struct sim {
    pthread_mutex_t mutex; /* over all below */
    struct sim_thing things[SIM_THINGS_MAX];
    size_t len;
    size_t next_id;
    struct sim_call calls[SIM_CALLS_MAX];
    size_t calls_len;
    size_t steps;      /* taken so far: a step is an instant at which a run can die */
    size_t die_at;     /* that step ends the process; 0: none */
    size_t fail_at;    /* that step fails; 0: none */
    char fail_for[48]; /* every step for this address fails; "" for none */
    size_t cancel_at;  /* that step sets *cancel; 0: none */
    atomic_int *cancel;
    unsigned delay_us;       /* of every call that changes something */
    unsigned observe_wait_s; /* how long a vanished box is waited for */
    size_t running, most_running;
    size_t abandoned; /* readings that ended since nobody needed them */
};

struct sim_disk {
    int64_t size_gib;
    const char *type;
};

struct sim_user {
    const char *name;
    int64_t uid;
};

struct sim_record {
    bool on;
    int64_t count;
    int64_t size_gib; /* immutable, destroys data */
    int64_t idle_s;
    const char *type;  /* needs a stop */
    const char *image; /* immutable, unreadable */
    struct strlist rules;
    struct strlist order;
    struct strmap tags;
    const char *settings; /* JSON */
    struct sim_disk disk;
    struct reclist users;
    const char *password; /* secret, not stored */
    const char *group_id; /* unknown until the group is there */
    const char *power;
    const char *made_id; /* computed */
    const char *address; /* computed */
};

/* Bit of the one field that depends on others. */
enum { SIM_GROUP_ID_BIT = 13 };

extern const struct kind sim_disk_kind, sim_group_kind, sim_box_kind, sim_part_kind, sim_unit_kind,
    sim_given_kind;
extern const struct kind *const sim_kinds[];

struct sim *sim_new(void);
void sim_free(struct sim *sim);
/* Nothing dies, fails or is counted any more; the things stay. */
void sim_calm(struct sim *sim);
struct sim_thing *sim_find(struct sim *sim, const char *address);
size_t sim_count(const struct sim *sim);
/* How often this was called for this address. */
size_t sim_called(const struct sim *sim, const char *what, const char *address);
/* Position of the first such call, SIZE_MAX for none. */
size_t sim_call_at(const struct sim *sim, const char *what, const char *address);

/* Change a thing's record by hand, as somebody else would. `field` of type STR or INT. */
void sim_drift(struct sim *sim, const char *address, const char *field, const char *value);

/* Want a node: {"on": true} and the like; NULL for none. `deps` ends with NULL, or is NULL. */
struct node *sim_want(struct nodes *nodes, const struct kind *kind, const char *address,
                      const char *parent, const char *const *deps, const char *json);
