/* What the halves of a host's convergence share: composing steps and answering for them (apply.c),
 * and hearing what the run on the host says (converge.c). */
#pragma once

#include "providers/host/internal.h"
#include "providers/host/stream.h"

#define REJOIN_S 60.0 /* that a lost connection is tried to be made again */

enum step_status { STEP_WAITING, STEP_BEGUN, STEP_DONE, STEP_FAILED };

struct convergence {
    struct host_session *session;
    struct batch *batch;
    const struct apply_ops *ops;
    struct host_connection *connection;
    struct host_node *nodes;
    struct host_step *steps;
    enum step_status *status;
    size_t current;   /* that the host is at; SIZE_MAX between steps */
    size_t restarter; /* whose step ends with a restart of Jupyter; SIZE_MAX: none */
    bool restarted;   /* and that step went well */
    struct host_stream stream;
    struct buf tail; /* end of the current step's output */
    size_t lost;     /* bytes of it that are not kept */
    /* The run on the host, which goes on when the connection is lost. */
    char run[RUN_SIZE]; /* its name there; "" before it began */
    int64_t pid;
    char stop[256];    /* the command that has it start no further step; "" before it began */
    size_t heard;      /* bytes of what it says */
    bool ended;        /* it said so */
    const char *moved; /* who changed the host after the plan was made, or NULL */
};

/* Nothing new is to start. */
bool converge_is_cancelled(const struct convergence *x);
/* Not answered for yet. */
bool converge_is_open(const struct convergence *x, size_t i);
void converge_begin(struct convergence *x, size_t i);
/* Answer for a change that is open: it failed; it was not begun, because of what `why` says; it is
 * done. */
void converge_fail(struct convergence *x, size_t i, const struct err *err);
void converge_leave_out(struct convergence *x, size_t i, const char *why);
void converge_succeed(struct convergence *x, size_t i);
/* Leaves it out when something of the batch that it needs failed; false when nothing did. */
bool converge_leave_out_blocked(struct convergence *x, size_t i);
/* Find or make the connection; tries for `boot_s` seconds. */
int converge_connect(struct convergence *x, double boot_s, struct err *err);

/* Have the host run the script, and hear it to its end, over as many connections as that takes. An
 * error only when nothing more can be heard: the run itself goes on. `errors` gets what sudo or the
 * first shell say. */
int converge_on_host(struct convergence *x, const struct buf *script, struct buf *errors,
                     int *ret_status, struct err *err);
/* Why steps are not answered for, when that is over; returns `rc`, or 0 where the host was heard to
 * the end. */
int converge_explain(struct convergence *x, int rc, int status, const struct buf *errors,
                     struct err *err);
