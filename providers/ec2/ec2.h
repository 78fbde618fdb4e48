/* The EC2 world: key pair, security group and servers, observed by a few calls side by side.
 */
#pragma once

#include "providers/provider.h"

extern const struct world ec2_world;
extern const struct kind key_pair_kind, access_kind, address_kind, server_kind, volume_kind;

struct key_pair_record {
    const char *name;
    const char *public_key; /* "ssh-ed25519 AAAA…", no comment */
    const char *type;       /* "ed25519" or "rsa" */
    const char *key_pair_id;
    const char *fingerprint;
    bool made;          /* by berth, in the project folder */
    struct strmap tags; /* the user's own */
    bool tagged;        /* carries the tags that a lost state is found again by */
};

struct access_record {
    const char *name;
    struct strmap rules; /* "tcp 22 203.0.113.7/32": what describes it */
    struct strmap tags;  /* the user's own */
    bool tagged;
    const char *subnet; /* whose VPC it is made in; NULL: the default one */
    const char *group_id;
};

struct address_record {
    struct strmap tags; /* the user's own */
    bool tagged;
    const char *public_ip, *allocation_id;
};

struct volume_record {
    int64_t size_gib;
    const char *type;
    bool encrypted, keep;
    const char *attached_to; /* instance id; NULL: none */
    struct strmap tags;      /* the user's own */
    bool tagged;
    /* computed: */
    const char *volume_id, *zone, *device;
};

struct server_disk_record {
    int64_t size_gib;
    const char *type;
    bool encrypted;
};

struct server_spot_record {
    bool enabled;
    const char *max_price;    /* US dollars an hour; NULL: the price on demand */
    const char *interruption; /* "stop" or "terminate"; NULL: on demand */
};

struct server_record {
    const char *image, *type;
    struct server_disk_record disk;
    const char *key_name;
    const char *group_id;   /* live: all of them, with commas, when there are several */
    struct strmap tags;     /* the user's own */
    const char *imds;       /* "required": session tokens of IMDSv2 */
    const char *power;      /* "running" */
    const char *elastic_ip; /* NULL: a dynamic one */
    bool tagged;
    const char *subnet; /* NULL: the spec does not say */
    const char *iam_profile;
    struct server_spot_record spot;
    const char *user;     /* login user of the image */
    const char *key_file; /* private key of the login user; NULL: the project's own */
    /* computed: */
    const char *instance_id;
    const char *ami;
    const char *public_ip, *private_ip, *public_dns, *zone;
    const char *root_volume;  /* id of its root disk */
    const char *host_key;     /* one-time public host key line */
    const char *key_type;     /* of the key in the project folder that it was made with */
    const char *spot_request; /* behind one of the spot market */
    int64_t launch_index;
};
