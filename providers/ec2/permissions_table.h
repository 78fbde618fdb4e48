/* The table of permissions, shared by permissions.c (trying them) and policy.c (printing them). */
#pragma once

#include "specs/spec.h"

enum need {
    NEED_ALWAYS = 1 << 0,
    NEED_SERVER = 1 << 1,
    NEED_NAMED_IMAGE = 1 << 2, /* not an ami-… id */
    NEED_ELASTIC = 1 << 3,     /* server.address: elastic */
    NEED_DATA = 1 << 4,        /* server.data */
    NEED_SPOT = 1 << 5,        /* server.spot */
    NEED_ROLE = 1 << 6,        /* server.iam_profile */
    NEED_SUBNET = 1 << 8,      /* server.subnet */
    NEED_LESS = 1 << 7,        /* beside the others: berth does without, and says less */
};

/* Which statement of the policy it goes into. */
enum part {
    PART_LOOK,   /* on everything in the region */
    PART_IMAGES, /* AWS's public parameters */
    PART_PRICES,
    PART_MAKE,   /* what carries our tag from the first moment on */
    PART_CHANGE, /* what carries our tag */
    PART_PASS,   /* handing a role to an instance */
    PART_SPOT    /* the role of the spot market itself */
};

struct permission_row {
    const char *action;
    unsigned when; /* any of these */
    enum part part;
    const char *types; /* MAKE: of what is made; CHANGE: of what is changed; spaces between */
    const char *uses;  /* MAKE: of what must be there */
    /* A request to try it by: "Name=$value&…" (EC2, with DryRun), JSON for the others, which only
     * read; NULL: cannot be tried alone. $ami, $type, $zone, $name, $instance, $group, $volume and
     * $address are put in where they are known. */
    const char *trial;
    const char *why;
};
/* Ends with a row without an action. */
extern const struct permission_row permission_rows[];

/* The needs of a spec, bits of enum need. Pure. */
unsigned permission_needs(const struct spec *spec);
