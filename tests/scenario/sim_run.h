/* One run of the engine over a simulated world: what plan and apply do, without a spec. */
#pragma once

#include "tests/scenario/sim.h"

struct sim_run {
    struct sim *sim;
    char dir[64]; /* the project folder */
    atomic_int cancel;
    struct run run;
    struct state state;
    struct sessions *sessions;
    struct arena arena;
    struct desired desired;
    struct live_world live;
    struct plan plan;
};

/* Fills in what is wanted. */
struct sim_wish {
    void (*fill)(struct nodes *nodes, void *ctx);
    void *ctx;
    const struct plan_options *options; /* or NULL */
};

/* A folder of its own under /tmp, for as many runs as one likes. */
void sim_dir_make(char ret[64]);
void sim_dir_remove(const char *dir);

/* State, sessions, observation and plan, as `berth plan` does. After an error nothing is held. */
int sim_run_plan(struct sim_run *ret, struct sim *sim, const char *dir, const struct sim_wish *wish,
                 bool destroy, struct err *err);
/* Carries the plan out; fills *ret_outcome (to be freed) as execute_plan does. */
int sim_run_execute(struct sim_run *run, struct outcome *ret_outcome, struct err *err);
void sim_run_end(struct sim_run *run);

/* Plan and carry out; returns what execute_plan returned. */
int sim_apply(struct sim *sim, const char *dir, const struct sim_wish *wish, bool destroy);
/* How many changes a plan has now. */
size_t sim_changes(struct sim *sim, const char *dir, const struct sim_wish *wish);
/* The same in a process of its own, which dies at the given step; true when it got to its end. */
bool sim_apply_dying(struct sim *sim, const char *dir, const struct sim_wish *wish, size_t die_at);
