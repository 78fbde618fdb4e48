/* The host world: what is on a server, over SSH. Every part of a host is a node like any other:
 * probed by one command for all, planned, diffed, recorded. */
#pragma once

#include "providers/provider.h"

#define HOST_SERVICE "berth-jupyter.service" /* the systemd unit of Jupyter on a host */

extern const struct world host_world;
extern const struct kind host_key_kind, host_disk_kind, host_data_kind, host_swap_kind,
    host_packages_kind, host_python_kind, host_python_packages_kind, host_files_kind, host_tls_kind,
    host_jupyter_kind, host_extensions_kind, host_service_kind, host_health_kind, host_stop_kind,
    host_kernel_kind, host_gpu_kind;

struct host_key_record {
    bool pinned;
    const char *public_key; /* "ssh-ed25519 AAAA…" */
};

struct host_disk_record {
    int64_t size_gib; /* of the root disk, as far as the root file system fills it */
};

struct host_data_record {
    const char *volume; /* id; NULL: no device of it is there */
    const char *mount;
    int64_t size_gib; /* of its file system */
    bool mounted, at_boot;
    const char *file_system;
};

struct host_swap_record {
    int64_t size_gib;    /* that is in use, now and after a boot; FIELD_UNSET: none is */
    const char *refused; /* why there is none although it is wanted; NULL: nothing is wrong */
};

struct host_packages_record {
    struct strlist packages; /* wanted and installed */
    struct strlist added;    /* those that berth installed: the only ones it will ever remove */
};

struct host_gpu_record {
    bool works; /* or there is no driver, and the image is not to have one */
    struct strlist gpus;
};

struct host_python_record {
    const char *version; /* "3.12", NULL: whatever is there */
    const char *path;
    const char *requires; /* "requires-python" of a project, or NULL */
    const char *python;   /* "3.11.2" */
    const char *machine;  /* "x86_64" */
};

struct host_python_packages_record {
    struct strmap packages; /* canonical name → specifier, "any" for none */
    const char *index_url;
    struct strlist extra;    /* installed by hand, "scipy 1.11.4"; of an exact environment */
    const char *environment; /* the interpreter that they are installed for */
    const char *lock;        /* hash of the files that say what is wanted, as far as a plan goes */
};

struct host_kernel_record {
    const char *version;    /* of Python, asked for; NULL: whatever is there */
    struct strmap packages; /* as in struct host_python_packages_record */
    const char *index_url;
    const char *spec;     /* text of its kernel.json */
    struct strlist extra; /* installed by hand, where that is to go */
    const char *python;   /* "3.11.2" */
    const char *lock;     /* as in struct host_python_packages_record */
};

struct host_files_record {
    const char *to;
    struct strmap entries; /* relative path → "MODE SHA256" */
    const char *owner;     /* user */
    struct strlist extra;  /* relative paths there that are not here; of a mirror */
};

struct host_tls_record {
    struct strlist names; /* DNS names and addresses that the certificate is good for */
    const char *ca;       /* SHA-256 of the project CA's certificate; NULL: files of the user's */
    const char *issue;    /* of the project CA: the mark of the last asked renewal, or NULL */
    /* Of files of the user's, else NULL. */
    const char *subject, *issuer, *not_after;
    const char *fingerprint; /* SHA-256 of the certificate, hex */
    const char *chain;       /* SHA-256 of all certificates that are sent */
    const char *key_tag;     /* keyed hash of the private key */
    bool valid; /* signed by that CA with more than 30 days left; the key there, private */
    const char *expires;
};

struct host_jupyter_record {
    struct strmap settings;   /* "ServerApp.port" → JSON text; without secrets */
    const char *token_tag;    /* keyed hash of the token */
    const char *password_tag; /* keyed hash of the password; NULL without one */
    const char *hash_tag;     /* keyed hash of the argon2 hash on the host */
    const char *mode;         /* of the file, octal */
};

struct host_extensions_record {
    struct strmap extensions;   /* canonical name → "enabled", "disabled", or what else it is */
    struct strmap requirements; /* name → specifier, "any" for none */
};

struct host_service_record {
    const char *unit; /* text of the unit file */
    bool enabled, active;
    bool current; /* runs with what its files say now */
};

struct host_health_record {
    bool answering;
    const char *url;
    /* An address to connect to whatever DNS says, or "ssh"; NULL: as the URL says. */
    const char *via;
    const char *certificate; /* SHA-256 of the one that is to be shown; NULL: by the project CA */
};

struct host_stop_record {
    int64_t idle_s, after_s; /* FIELD_UNSET: never */
    const char *watcher;     /* hash of the watcher and its units */
    bool active;
    int64_t stops_in_s, idle_for_s; /* as the watcher saw it last; FIELD_UNSET: not known */
    const char *last;               /* what was going on then, or NULL */
};

/* What a pin belongs to: the one-time key of a launch, or how the spec calls a server that berth
 * did not make. */
const char *host_key_launch(const struct endpoint *endpoint);
/* The host key that was pinned for the launch of a server with that one-time key ("ssh-ed25519
 * AAAA…"), also when neither spec nor state speak of the host any more. `parent` is the server's
 * address. A line as in known_hosts, in `arena`; NULL when there is none. */
const char *host_key_recall(const char *project_dir, const char *parent, const char *one_time,
                            struct arena *arena);
