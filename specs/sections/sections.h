/* The typed records of the spec language's sections. Get one by its accessor:
 *     const struct server_section *server = spec_server(spec);
 * Values are as written or defaulted; paths are as written (relative to the spec). */
#pragma once

#include "specs/spec.h"

#include <stdint.h>

struct top_section {
    int64_t berth;        /* language version: 1 */
    const char *name;     /* check_spec_name; names the key pair, the group, .berth/NAME/ */
    const char *provider; /* "ec2", "sandbox" or "host" */
    const char *region;   /* NULL: the AWS chain */
    const char *profile;  /* NULL: AWS_PROFILE */
};

struct server_disk {
    int64_t size_gib;
    const char *type; /* gp3, gp2, … */
    bool encrypted;
};

struct server_data {
    int64_t size_gib;  /* FIELD_UNSET: there is no data volume */
    const char *mount; /* remote path */
    const char *type;
    bool keep, encrypted;
};

struct server_stop { /* seconds; FIELD_UNSET: never */
    int64_t idle_s, after_s;
};

struct server_spot {
    bool enabled;
    const char *max_price;    /* US dollars an hour; NULL: what it costs on demand */
    const char *interruption; /* "stop" or "terminate" */
};

struct server_section {
    const char *image; /* a name from the image table, or ami-… */
    const char *type;
    int64_t count;
    struct server_disk disk;
    const char *address; /* "dynamic" or "elastic" */
    const char *subnet;  /* NULL: the default VPC's */
    const char *iam_profile;
    struct server_data data;
    int64_t swap_gib; /* FIELD_UNSET: none is asked for */
    struct server_stop stop;
    struct server_spot spot;
    struct strmap tags;
    bool protect;
    /* Of a server that berth did not make (struct spec.given); else unset. */
    const char *host;     /* "[user@]name": an address, a DNS name, or a Host of ~/.ssh/config */
    int64_t port;         /* FIELD_UNSET: as ~/.ssh/config says */
    const char *key;      /* local path of a private key; NULL: agent and ~/.ssh/config */
    const char *jump;     /* "[user@]host[:port]", several with commas; NULL: ~/.ssh/config */
    const char *host_key; /* "ssh-ed25519 AAAA…" or "SHA256:…"; NULL: known_hosts */
};

struct key_pair_section {
    const char *type;       /* "ed25519" or "rsa", of the key that is made */
    const char *public_key; /* local path, NULL: one is made */
};

struct access_item {
    const char *cidr;        /* "my-ip" or a block */
    const char *description; /* NULL: berth's own words */
};

struct access_section { /* lists of struct access_item */
    struct reclist ssh;
    struct reclist jupyter; /* or "tunnel" alone */
};

struct python_section {
    const char *version;           /* "3.12", NULL: what the distribution has */
    const char *requirements;      /* local path or NULL */
    const char *project;           /* local path of a folder or its pyproject.toml, or NULL */
    struct strlist extras, groups; /* of the project */
    struct strlist packages;       /* PEP 508 requirement strings */
    const char *index_url;
    bool exact; /* what was installed by hand is removed */
};

struct packages_section {
    struct strlist system;
    struct python_section python;
};

struct file_item {     /* `files` is a struct reclist of these */
    const char *from;  /* local path, file or folder */
    const char *to;    /* remote path */
    const char *mode;  /* "0644" or NULL: as it is locally */
    const char *owner; /* user on the server; NULL: the login user below ~, else root */
    bool mirror;       /* what is there and not here is deleted */
};

struct jupyter_tls {
    const char *mode;       /* "self-signed", "none", "files"; NULL: the last, else the first */
    const char *cert, *key; /* local paths, or NULL both */
    const char *host;       /* a name in it, "{n}" for the server's number; NULL: the first */
};

struct kernel_item {  /* jupyter.kernels is a struct reclist of these */
    const char *name; /* check_kernel_name */
    const char *display_name;
    const char *python; /* "3.12"; NULL: what is there */
    const char *requirements;
    struct strlist packages;
};
extern const struct field kernel_fields[];

struct jupyter_extension {
    const char *name; /* a PEP 508 requirement */
    bool enabled;
};

struct jupyter_section {
    const char *interface; /* "lab" or "notebook" */
    int64_t port;
    const char *root_dir;
    struct jupyter_tls tls;
    const char *password; /* secret reference "env:NAME" or "file:PATH"; NULL: a token is made */
    struct reclist extensions; /* of struct jupyter_extension */
    const char *settings;      /* canonical JSON object, NULL when none */
    struct reclist kernels;
};

extern const struct section section_top, section_server, section_key_pair, section_access,
    section_packages, section_files, section_jupyter;

/* Records of a compiled spec, never NULL: of an absent section all defaults. They live in its
 * arena. */
const struct top_section *spec_top(const struct spec *spec);
/* Of EC2's: is its processor ARM's? */
bool instance_type_is_arm(const char *type);
const struct server_section *spec_server(const struct spec *spec);
bool spec_has_data(const struct spec *spec); /* server.data was written */
bool spec_has_stop(const struct spec *spec); /* server.stop was written */
const struct key_pair_section *spec_key_pair(const struct spec *spec);
const struct access_section *spec_access(const struct spec *spec);
/* The address that Jupyter listens at: "127.0.0.1", "0.0.0.0", or "*" for IPv6 as well. */
const char *spec_listen_address(const struct spec *spec);
bool spec_has_tunnel(const struct spec *spec); /* access.jupyter is `tunnel` */
const struct packages_section *spec_packages(const struct spec *spec);
bool spec_has_python(const struct spec *spec); /* packages.python was written */
const struct reclist *spec_files(const struct spec *spec);
const struct jupyter_section *spec_jupyter(const struct spec *spec);
bool spec_has_tls(const struct spec *spec);     /* jupyter.tls is not `none` */
bool spec_has_own_tls(const struct spec *spec); /* it is files of the user's */
