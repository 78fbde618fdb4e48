/* Changes: what the plan says to do with each node. */
#pragma once

#include "providers/seam/node.h"
#include "specs/field.h"
#include "specs/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
