/* Field tables: one row tells the parser, the checker, the schema, the differ, the printer and the
 * state file all they need to know of a member of a plain C struct (a "record"). The same tables
 * describe the sections of the spec language and the attributes of every node. */
#pragma once

#include "specs/list.h"
#include "specs/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type {
    FIELD_BOOL,       /* bool */
    FIELD_INT,        /* int64_t */
    FIELD_SIZE,       /* int64_t, GiB; written "30 GiB" or "1 TiB" */
    FIELD_DURATION,   /* int64_t, seconds; written "90 s", "60 min", "12 h", "7 d" */
    FIELD_STR,        /* const char *, NULL when unset */
    FIELD_SECRET_REF, /* const char *: {env: NAME} is kept as "env:NAME", {file: P} as "file:P" */
    FIELD_LIST,       /* struct strlist; FIELD_SET in flags: order does not matter;
                         FIELD_ONE_OR_MANY: a lone scalar is a list of one */
    FIELD_MAP,        /* struct strmap */
    FIELD_JSON,    /* const char *: canonical JSON text (sorted keys, no white space), any shape */
    FIELD_GROUP,   /* an inline struct described by `sub` */
    FIELD_RECORDS, /* struct reclist of structs described by `sub`, `sub_size` each */
};

/* An integer, size or duration that was not written and has no default. */
#define FIELD_UNSET INT64_MIN

struct reclist {
    void *items; /* array of len structs of the row's sub_size */
    size_t len;
};

enum field_flags {
    FIELD_REQUIRED = 1 << 0,      /* spec: must be written */
    FIELD_SET = 1 << 1,           /* list: compared as a set */
    FIELD_ONE_OR_MANY = 1 << 2,   /* list: a scalar will do */
    FIELD_LATER = 1 << 3,         /* spec: refused with "not supported yet" */
    FIELD_REFUSED = 1 << 16,      /* spec: of the other sort of server; `doc` says what to do. Its
                                     default counts, if it has one */
    FIELD_IMMUTABLE = 1 << 4,     /* node: a difference means replace */
    FIELD_COMPUTED = 1 << 5,      /* node: made by the world; never compared */
    FIELD_SECRET = 1 << 6,        /* never printed; shown as (secret) */
    FIELD_NEEDS_STOP = 1 << 7,    /* node: stop-update-start */
    FIELD_DESTROYS_DATA = 1 << 8, /* node: replacing for this loses data */
    FIELD_MULTILINE = 1 << 9,     /* text: a difference is shown as a line diff */
    FIELD_UNSTORED = 1 << 10,     /* node: not written to the state */
    FIELD_UNREADABLE = 1 << 11,   /* node: the world cannot say; compared with the state instead */
    FIELD_SHORT =
        1 << 14, /* spec: a scalar stands for the first member of a group, or of an item of
                    records; a group whose first one is a bool is on when it is a map */
    FIELD_NUMBER = 1 << 15,  /* spec: text that reads as a number in YAML, such as a price */
    FIELD_MOVES = 1 << 13,   /* node: with it comes another address for what lives in it */
    FIELD_ROTATED = 1 << 17, /* node: the spec does not say; wanted otherwise, it was asked for by a
                                verb that makes it anew */
    FIELD_KEPT = 1 << 12, /* node: the spec does not say. As the node declares it when it is made;
                             then what was recorded last is wanted, if it is one of `choices` */
};

struct field {
    const char *name;
    const char *doc; /* one sentence for the schema, the docs and `help` */
    enum field_type type;
    unsigned flags;
    size_t offset;
    int64_t min, max;           /* numbers: bounds, inclusive, when max > min; list/map: at most
                                   max items when max > 0 */
    const char *def;            /* spec: default, in the spec's own words; NULL for none */
    const char *const *choices; /* strings: the only values, ending with NULL; or NULL */
    const char *const *later;   /* strings: values refused with "not supported yet", "{}" for any
                                   map; or NULL */
    /* strings and list items: extra check. Returns NULL when good, else what was expected
     * ("a CIDR block such as 203.0.113.7/32"). */
    const char *(*check)(struct str value);
    const char *pattern; /* the same as an ECMA 262 regular expression for the schema, or NULL */
    const struct field *sub; /* GROUP, RECORDS: ends with a row whose name is NULL */
    size_t sub_size;         /* RECORDS */
};

#define FIELD_END                                                                                  \
    { .name = NULL }
