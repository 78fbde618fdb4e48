/* A world (EC2, a host over SSH): reads and changes the nodes of its kinds, in bulk. */
#pragma once

#include "providers/seam/change.h"
#include "providers/seam/cost.h"
#include "providers/seam/endpoint.h"
#include "providers/seam/kind.h"
#include "providers/seam/node.h"
#include "specs/arena.h"
#include "specs/err.h"
#include "specs/secret.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* What a run gives to every world. All pointers outlive the sessions. */
struct run {
    const char *provider;                   /* of the spec; NULL: worlds of all are open */
    const char *name;                       /* of the spec: tag value, object names */
    const char *lineage;                    /* of the state */
    const char *project_dir;                /* ".berth/NAME", exists, 0700 */
    const char *spec_dir;                   /* what relative paths in the spec are relative to */
    const char *region, *profile;           /* of the spec, or NULL */
    const char *region_from, *profile_from; /* who says so, for people; NULL: the spec */
    const char *endpoint;                   /* override (the sandbox), or NULL */
    const char *access_key, *secret_key;    /* override (the sandbox), or NULL */
    const char *(*env)(void *env_ctx, const char *name); /* environment, NULL when unset */
    void *env_ctx;
    time_t (*now)(void *clock_ctx); /* wall clock */
    void *clock_ctx;
    int (*random)(void *buffer, size_t len); /* 0 or negative */
    atomic_int *cancel;                      /* 0 go on; 1 start nothing new; 2 stop now */
    /* A line for people about something that takes longer than they would think; may be NULL. From
     * any thread. */
    void (*note)(void *note_ctx, const char *text);
    void *note_ctx;
    /* Asks a person for something secret at the terminal; NULL where there is none. From any
     * thread. -ERRC_CANCELLED, -ERRC_AUTH. */
    int (*ask)(void *ask_ctx, const char *question, struct secret *ret, struct err *err);
    void *ask_ctx;
    const char *who; /* is at work, for others who find it so ("alice@laptop (berth apply)") */
    bool waits;      /* for another run to end, instead of saying that it is at work */
};

struct observe_in {
    const struct nodes *nodes;            /* desired, all kinds */
    const struct recorded_list *recorded; /* all kinds */
    /* Hosts to look into: parents with their endpoints, for worlds that need them. */
    struct observe_target {
        const char *address;
        struct endpoint endpoint;
    } * targets;
    size_t targets_len;
    /* True when nobody needs this target any more (it vanished); poll while waiting. */
    bool (*abandoned)(void *ctx, const char *address);
    void *ctx;
};

/* Callbacks into the engine while a batch is applied. Thread-safe. Those that return int can fail
 * (the disk is full): then stop and return that code. */
struct apply_ops {
    void *ctx;
    /* Before every create or other call that is not idempotent: on disk when it returns. */
    int (*intent)(void *ctx, struct change *c, struct err *err);
    /* The id is known (and perhaps part of the record, or NULL): on disk when it returns; before
     * any wait. Also for steps of one node that must not be forgotten (a new host key). */
    int (*created)(void *ctx, struct change *c, const char *id, const void *record,
                   struct err *err);
    /* For many at once: between the two, intents and creations of the change's batch are written
     * and not waited for; they are on disk when `sync` returns. */
    void (*gather)(void *ctx, struct change *c);
    int (*sync)(void *ctx, struct change *c, struct err *err);
    /* Converged; `record` as read back, NULL when it is gone. */
    int (*done)(void *ctx, struct change *c, const void *record, struct err *err);
    /* This change failed; what depends on it will not start. Others of the batch may go on. */
    void (*failed)(void *ctx, struct change *c, const struct err *err);
    /* Nothing was done for this change, and why in a few words ("interrupted", "needs …"): what it
     * depends on failed, or the run is to end. What depends on it will not start either. */
    void (*not_begun)(void *ctx, struct change *c, const char *why);
    /* The turn of one of a batch has come, when they are taken one after another: the time that it
     * took counts from here. */
    void (*begun)(void *ctx, struct change *c);
    /* What is going on, one short line ("waiting for running", "installing pandas"). */
    void (*progress)(void *ctx, struct change *c, const char *text);
    /* Newest records, e.g. of the parent. */
    struct lookup lookup;
    /* The endpoint of a parent as it is now. */
    int (*endpoint)(void *ctx, const char *address, struct arena *arena, struct endpoint *ret);
};

/* Changes of one batch: same world, same batch key; in dependency order. Destroys and creates are
 * never mixed. Their `after` is resolved (nothing unknown but computed fields). */
struct batch {
    struct change **changes;
    size_t len;
    struct arena *arena; /* for the duration of the batch; this thread's own */
};

/* One thing of the world, asked for by its id. */
struct found {
    const char *owner; /* the name of the berth project that its tags tell, or NULL */
    const char *where; /* where it is, for the user ("us-east-1") */
};

struct world {
    const char *name;
    /* The providers of the spec that it has a part in, ends with NULL; NULL: all. */
    const char *const *providers;
    /* Open a session. Cheap: no call is made yet. */
    int (*open)(const struct run *run, void **ret_session, struct err *err);
    void (*close)(void *session);
    /* Read everything that the nodes, the records and the tags point to, and append one `live` for
     * each node and each record of this world's kinds, and each orphan (address from its tags).
     * An error means that nothing could be read at all (credentials). May run in a thread beside
     * other worlds' observe. */
    int (*observe)(void *session, const struct observe_in *in, struct observed *out,
                   struct err *err);
    /* Apply a batch; every change ends in exactly one of ops->done, ops->failed and
     * ops->not_begun. Several batches may run at once in threads of one session. Returns 0 when
     * every change was answered for. */
    int (*apply)(void *session, struct batch *batch, const struct apply_ops *ops, struct err *err);
    /* Unit prices of today, by name; what cannot be had stays unknown, with why (in `arena`). It
     * ends soon after *stop is no longer 0, with what is there by then. Runs in a thread beside
     * observe. NULL when nothing of this world costs anything. */
    void (*price)(void *session, struct price *prices, size_t len, struct arena *arena,
                  const atomic_int *stop);
    /* Is there a thing of this kind with this id? For `berth import`; texts live in `arena`.
     * -ERRC_NOTFOUND with where it was looked for, -ERRC_INVALID for what is no id of the kind. May
     * be NULL: nothing of this world is imported by id. */
    int (*find)(void *session, const struct kind *kind, const char *id, struct arena *arena,
                struct found *ret, struct err *err);
    /* Kinds of this world live inside a parent and need observe_in.targets. */
    bool needs_targets;
};

/* Has this world a part in what the provider of a spec makes? `provider` NULL: yes. */
bool world_serves(const struct world *world, const char *provider);
