/* A node three times over: as the spec wants it (node), as the state remembers it (recorded), as
 * the world says that it is (live). */
#pragma once

#include "specs/arena.h"
#include "specs/err.h"
#include "specs/list.h"
#include "specs/names.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kind;

/* ---- What the spec wants */

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

/* ---- What the state remembers */

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

/* ---- What the world says */

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
    /* What a change that is made `beside` it costs now ("2 running kernels"); or NULL. */
    const char *at_stake;
    struct live_texts texts;
    struct err err;      /* LIVE_UNREADABLE, LIVE_FOREIGN (what it is) */
    const char *same_as; /* LIVE_UNREADABLE: the node that could not be read for the same reason */
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
