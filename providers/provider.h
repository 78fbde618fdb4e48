/* The seam between the engine and the worlds it converges. A *kind* describes one sort of node by a
 * field table and a few pure functions; a *world* (EC2, a host over SSH) observes and applies nodes
 * of its kinds, in bulk. The registry is one row a kind. The engine knows nothing else of either.
 */
#pragma once

#include "specs/arena.h"
#include "specs/buf.h"
#include "specs/diag.h"
#include "specs/err.h"
#include "specs/field.h"
#include "specs/list.h"
#include "specs/names.h"
#include "specs/secret.h"
#include "specs/spec.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct kind;
struct world;

/* ---- Inputs: what the pure half needs of the outside, asked for by kinds, loaded by the engine */

enum input_type {
    INPUT_FILE,  /* a local file, path relative to the spec; `~` is the user's home */
    INPUT_TREE,  /* a local file or folder: entries with hashes, content is read when it is sent */
    INPUT_ENV,   /* an environment variable */
    INPUT_LOCAL, /* a file in the project folder that may not exist yet (a made key, a token) */
    INPUT_MY_IP, /* this machine's public address as the provider sees it, a CIDR */
    INPUT_CLOCK, /* the wall clock: seconds since 1970 UTC, decimal */
};

struct input_entry {
    const char *path; /* relative, '/' separated; "" for the file itself */
    const char *sha256;
    const char *local_path; /* to open */
    int64_t size_bytes;
    unsigned mode; /* permission bits */
};

struct input {
    enum input_type type;
    const char *name;            /* path or variable; "" for INPUT_MY_IP and INPUT_CLOCK */
    const char *spec_path;       /* where the spec asked for it, for diagnostics: "files[0].from" */
    bool required;               /* absence is a diagnostic at spec_path */
    bool found;                  /* filled by the loader, as all below */
    struct secret content;       /* FILE, ENV, LOCAL, MY_IP, CLOCK: the bytes */
    const char *sha256;          /* hex, FILE and LOCAL */
    struct input_entry *entries; /* TREE, sorted by path */
    size_t entries_len;
};

enum { INPUT_MAX = 256, INPUT_FILE_BYTES_MAX = 4 * 1024 * 1024 };

struct inputs {
    struct arena *arena;
    struct input items[INPUT_MAX];
    size_t len;
};

/* Ask for an input (once a type and name). 0, -ERRC_LIMIT or -ERRC_NOMEM. */
int inputs_ask(struct inputs *in, enum input_type type, const char *name, const char *spec_path,
               bool required);
/* The loaded input, or NULL when nobody asked for it. */
const struct input *inputs_get(const struct inputs *in, enum input_type type, const char *name);
void inputs_free(struct inputs *in); /* wipes the secrets */

/* ---- Nodes: what the spec wants */

struct node {
    const char *address; /* "server[0].python" */
    const struct kind *kind;
    const char *parent;  /* address of the node that this one lives in ("server[0]"), or NULL */
    struct strlist deps; /* addresses; the parent need not be named again */
    void *desired;       /* record, kind->size bytes */
    uint64_t unknown;    /* bit i: kind->fields[i] is known only when its deps are there */
    bool protect;        /* no plan may destroy or replace it */
    const void *extra;   /* the kind's own desired data that is not compared (bytes to send) */
};

struct nodes {
    struct arena *arena;
    struct node *items;
    size_t len, cap;
    struct names names;
};

/* Append a node with a zeroed (record_init'ed) desired record; deps are added by the caller with
 * strlist_add(out->arena, &node->deps, …). The pointer is valid until the next append. NULL when
 * memory runs out. `parent` may be NULL. */
struct node *nodes_add(struct nodes *out, const struct kind *kind, const char *address,
                       const char *parent);
struct node *nodes_find(const struct nodes *nodes, const char *address);

/* What desire sees. Pure: no clock, no environment but the inputs. */
struct desire {
    const struct spec *spec;
    const struct inputs *inputs;
    const char *lineage; /* of the state: who owns what is made */
};

/* ---- Recorded: what the state remembers */

enum recorded_status {
    RECORDED_OK,
    RECORDED_PENDING, /* the intent is on disk, the id is not known */
    RECORDED_FAILED,  /* the id is known, converging stopped half-way */
};

struct recorded {
    const char *address;
    const struct kind *kind; /* NULL when this berth does not know the kind */
    const char *kind_name;
    const char *parent;
    struct strlist deps;
    enum recorded_status status;
    const char *id;    /* NULL while pending */
    const char *token; /* idempotency token of the create, or NULL */
    void *record;      /* what was last applied or seen; NULL when kind is NULL or pending */
    bool protect;
};

struct recorded_list {
    struct recorded *items;
    size_t len;
    struct names names; /* may be empty */
};

/* By its address, or NULL. */
const struct recorded *recorded_find(const struct recorded_list *list, const char *address);

/* ---- Live: what the world says */

enum presence {
    LIVE_NONE,       /* certainly not there */
    LIVE_OURS,       /* there, and ours by id, token or tag */
    LIVE_FOREIGN,    /* something of that name is there and is not ours */
    LIVE_UNREADABLE, /* could not be found out; err says why */
};

/* Text that is there, and as it is wanted: shown as a line diff where a plan changes it. */
struct live_text {
    const char *name;
    const char *before, *after; /* NULL where `note` says why there are none */
    const char *note;           /* "binary"; or NULL */
};

struct live_texts {
    struct live_text *items;
    size_t len;
};

struct live {
    const char *address;
    const struct kind *kind;
    enum presence presence;
    const char *id;
    const char *token; /* that it was created with, when the world tells */
    void *record;      /* LIVE_OURS: kind->size bytes; NULL otherwise */
    uint64_t unread;   /* bit i: the world could not tell kind->fields[i]; not compared */
    uint64_t accepted; /* bit i: kind->fields[i], a FIELD_KEPT one, is wanted as it is */
    const char *note;  /* shown beside the node: "a newer image exists: ami-…"; or NULL */
    const char
        *at_stake; /* what a change that is made `beside` it costs now ("2 running kernels") */
    struct live_texts texts;
    struct err err; /* LIVE_UNREADABLE, LIVE_FOREIGN (what it is) */
};

struct observed {
    struct arena arena; /* owns everything below; one a world and run, made by the engine */
    struct live *items;
    size_t len, cap;
    struct names names;
    size_t calls; /* API calls made */
    struct strlist warnings;
};

/* Append; address is copied. NULL when memory runs out. */
struct live *observed_add(struct observed *out, const struct kind *kind, const char *address,
                          enum presence presence);
struct live *observed_find(const struct observed *in, const char *address);

/* ---- Changes: what the plan says to do */

enum action {
    ACTION_NOOP,
    ACTION_CREATE,
    ACTION_ADOPT,
    ACTION_RESUME,
    ACTION_UPDATE,
    ACTION_STOP_UPDATE_START,
    ACTION_REPLACE,
    ACTION_DESTROY,
    ACTION_FORGET,
    ACTION_KEEP, /* not wanted any more, and stays: nothing is done */
    ACTION_UNKNOWN,
    ACTION_COUNT
};

enum why {
    WHY_SAME,
    WHY_NEW,
    WHY_SPEC,
    WHY_DRIFT,
    WHY_BOTH,
    WHY_REMOVED,
    WHY_ORPHAN,
    WHY_PARENT,
    WHY_UNREADABLE,
    WHY_ASKED, /* -replace */
    WHY_COUNT
};

struct field_change {
    const struct field *field;
    enum why why;       /* WHY_SPEC, WHY_DRIFT or WHY_BOTH */
    bool after_unknown; /* known after apply */
    bool replaces;      /* this field is the reason for a replace */
};

struct change {
    const char *address;
    const struct kind *kind;
    const struct node *node;         /* NULL when the spec does not want it */
    const struct recorded *recorded; /* NULL when the state does not know it */
    const struct live *live;         /* NULL when it was not observed */
    enum action action;
    int case_number; /* of the decision table in docs/decisions.md */
    enum why why;
    struct field_change *fields;
    size_t fields_len;
    const void *before; /* record: live, else recorded; NULL for a create */
    const void *after;  /* record: desired (with known computed fields kept); NULL for a destroy */
    uint64_t after_unknown; /* bits as node->unknown */
    bool with_parent;       /* goes with its parent: nothing to call */
    bool settled;           /* `after` is final: nothing of it is worked out again in the run */
    const char *note;       /* what to know about it, for the user; or NULL */
    const char *token;      /* create, resume, replace: the idempotency token, ≤ 64 ASCII */
    const char *loses;      /* data that is lost, for the user; or NULL */
    struct strlist deps;    /* of the node, or as recorded; for order */
    const char *parent;
};

/* The id of what there is: live, else as recorded, else NULL. */
const char *change_id(const struct change *change);

/* ---- Cost: what a thing is charged for, and what a unit of that costs */

enum price_unit { PRICE_HOUR, PRICE_GIB_MONTH, PRICE_UNIT_COUNT };

struct cost_item {
    const char *what;  /* for the user: "instance t3.small", "30 GiB gp3 disk" */
    const char *price; /* the unit price's name, which its world understands: "instance t3.small" */
    enum price_unit unit;
    double quantity; /* of what one unit is paid for: 1, GiB; not more than 0 when nobody knows */
    double most_usd; /* the unit price is never more than that; 0: no cap */
    bool while_running; /* paid only while the thing runs; else from its making to its end */
};

enum { COST_ITEMS_MAX = 4 };

struct cost_items {
    struct arena *arena; /* of the strings */
    const void *now;     /* the thing as it is, where the record is what becomes of it; or NULL */
    struct cost_item items[COST_ITEMS_MAX];
    size_t len;
    bool stopped; /* the thing does not run now */
};

/* Append. The strings are copied. 0, -ERRC_LIMIT or -ERRC_NOMEM. */
int cost_items_add(struct cost_items *list, const struct cost_item *item);

struct price { /* of a unit, without tax */
    const char *name;
    bool known;
    double usd;
    const char *why; /* it is not known; NULL otherwise */
};

/* ---- Kinds */

/* How the user of a server that berth did not make says to come to it: what ~/.ssh/config, an agent
 * and known_hosts add is found when it is connected to. */
struct given_login {
    const char *host;     /* "[user@]name"; NULL: berth made the server */
    int port;             /* 0: not said */
    const char *key;      /* private key file, or NULL */
    const char *jump;     /* hosts to go through (ssh(1) -J), or NULL */
    const char *host_key; /* public key line or "SHA256:…", or NULL */
};

bool given_login_equal(const struct given_login *a, const struct given_login *b);

struct endpoint { /* how to reach a node that other nodes live in */
    const char *user;
    const char *address; /* numeric or name; NULL when it has none now */
    int port;
    const char *key_path;        /* private key file of the login user; NULL: see `given` */
    const char *host_key;        /* one-time public host key line ("ssh-ed25519 AAAA…") */
    const char *public_dns;      /* or NULL */
    const char *private_address; /* or NULL */
    struct given_login given;
    bool running;
};

/* Finds the newest known record of an address: applied in this run, else live, else recorded. NULL
 * when there is none (yet). */
struct lookup {
    const void *(*record)(void *ctx, const char *address, const struct kind **ret_kind);
    void *ctx;
};

struct kind {
    const char *name; /* "key_pair", "server", "server.python" */
    const struct world *world;
    const struct field *fields; /* at most 64 rows */
    size_t size;

    /* Ask for what desire will need. May be NULL. Pure. */
    int (*ask)(const struct spec *spec, struct inputs *inputs);
    /* Declare the nodes of this kind that the spec wants. User mistakes that only show here go to
     * `diags`. Pure. */
    int (*desire)(const struct desire *in, struct nodes *out, struct diags *diags);
    /* Fill fields that were unknown, now that `lookup` may know the deps; clears bits of *unknown.
     * May be NULL. Pure. `record` is a copy of node->desired. */
    int (*resolve)(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown);
    /* Does the spec forbid to destroy what is of this kind, whether it wants it or not? May be
     * NULL. Pure. */
    bool (*protects)(const struct spec *spec);
    /* Can this difference of a FIELD_IMMUTABLE row be made in place all the same (a disk that
     * grows)? Both are whole records. May be NULL. Pure. */
    bool (*in_place)(const struct field *field, const void *before, const void *after);
    /* What is lost when this record's thing is destroyed ("the 30 GiB root disk"), or NULL. */
    const char *(*loses)(const void *record, struct arena *arena);
    /* What is lost when what is there becomes what is wanted, in place, or NULL. May be NULL. */
    const char *(*drops)(const void *before, const void *after, struct arena *arena);
    /* Is the thing of this record to outlive the spec: kept when it is not wanted any more, and
     * when all is destroyed (but for `destroy -data`), and never replaced? May be NULL. Pure. */
    bool (*keeps)(const void *record);
    /* What is of this kind is not berth's to make, replace or destroy: it is taken as it is, and
     * forgotten in the end, when all that lives in it has been removed from it. */
    bool given;
    /* A part that has the address of what it lives in in it: converged again after a start. */
    bool follows_address;
    /* What a thing that has vanished from the world still has on this machine, for the user ("the
     * key file"); or NULL. A forget then goes to world->apply, which removes it: `before` may be
     * NULL. What depended on it is gone by then. */
    const char *leaves;
    /* What a change does besides, for the user ("Jupyter restarts"), where a node of kind
     * `beside` is there with the same parent, and stays; or NULL. */
    const char *besides;
    const struct kind *beside;
    /* Kinds that others live in; else NULL. Strings live as long as the record. `project_dir` is
     * where a made private key lies. */
    int (*endpoint)(const void *record, const char *project_dir, struct arena *arena,
                    struct endpoint *ret);
    /* What it is charged for, as far as the record tells; `unknown` as in struct node. NULL for
     * what costs nothing. Pure. */
    int (*costs)(const void *record, uint64_t unknown, struct cost_items *ret);
    /* Changes with an equal key are applied by one call of world->apply ("server create",
     * "server[0]"); NULL result: alone. May be NULL. */
    const char *(*batch)(const struct change *change, struct arena *arena);
};

/* ---- Worlds */

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

/* A new idempotency token: "berth-" and 32 hex digits, within the 64 ASCII characters that EC2
 * takes. 0, -ERRC_INTERNAL without random numbers, or -ERRC_NOMEM. */
int token_mint(int (*random)(void *, size_t), struct arena *arena, const char **ret);

/* Seconds of CLOCK_MONOTONIC (clock_gettime(2)): for durations and waits. Not for the pure half. */
double monotonic_s(void);

/* The registry: one row a kind, ends with NULL; in an order that desire may rely on (parents
 * before what lives in them). */
extern const struct kind *const registry_kinds[];
const struct kind *registry_find(const struct kind *const *kinds, const char *name);
