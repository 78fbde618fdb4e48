/* What the files of this folder share: a kind of host node is one file, its names here and in
 * host.h, and one row in kinds.c. */
#pragma once

#include "providers/host/host.h"
#include "providers/host/route.h"
#include "providers/host/ssh.h"
#include "providers/sshkey.h"
#include "specs/buf.h"

#include <pthread.h>

/* Where things lie on a host. */
#define HOST_ENV "/opt/berth/env"
#define HOST_UV "/opt/berth/uv/bin/uv"
#define HOST_ETC "/etc/berth"
#define HOST_CONFIG HOST_ETC "/jupyter_server_config.json"
#define HOST_CERT HOST_ETC "/tls/cert.pem"
#define HOST_KEY HOST_ETC "/tls/key.pem"
#define HOST_KERNELS "/opt/berth/kernels" /* environments of extra kernels */
/* In an environment: while packages are installed, what was there before; what berth's installs
 * brought, by name. Beside it, while it is being made: .cut.ENV. */
#define HOST_BUSY ".berth-installing"
#define HOST_OWN ".berth-installed"
#define HOST_RUN "/run/berth" /* of the run that is going on; gone after a reboot */
#define HOST_LOCK HOST_RUN "/lock"
#define HOST_RESTARTS "Jupyter restarts for it: its kernels end" /* struct kind.besides */
#define HOST_STATE "/var/lib/berth"
#define HOST_OWNER HOST_STATE "/owner"     /* the project, on a server that berth did not make */
#define HOST_IMPLIED HOST_STATE "/implied" /* packages that what the spec asks for needed */
#define HOST_ADDED HOST_STATE "/packages"  /* that berth installed, one a line */
#define HOST_STALE HOST_ETC "/restart"     /* there while the service runs with older files */
#define HOST_UNIT "/etc/systemd/system/" HOST_SERVICE

enum { RUN_SIZE = 16 };

struct host_session {
    const struct run *run;
    pthread_mutex_t *mutex;
    struct host_connection *connections; /* lists, under the mutex */
    struct host_connection *retired;     /* broken or old; another batch may still hold them */
};

struct host_connection {
    struct host_connection *next;
    char parent[64];
    struct ssh *ssh;
    struct endpoint endpoint; /* strings in `arena` */
    struct arena arena;
    pthread_mutex_t mutex; /* one command at a time */
    char last[RUN_SIZE];   /* which run changed the host last, as far as is known; or "" */
    bool pinned;           /* the host showed its own key, not the one-time key */
    const char *host_key;  /* that it showed, "ssh-ed25519 AAAA…" */
};

/* ---- Probing: one command reads everything. Its output is lines "NODE<tab>KEY<tab>VALUE". */

struct fact {
    const char *node, *key, *value;
};

struct facts {
    struct arena arena;
    struct fact *items; /* as they came */
    size_t len, cap;
    const struct fact **sorted; /* to look them up: hosts may have thousands of files */
};

enum { FACTS_MAX = 200000, PROBE_BYTES_MAX = 48 * 1024 * 1024 };

/* Parses a probe's output; unknown lines are an error. */
int facts_parse(struct str text, struct facts *ret, struct err *err);
void facts_free(struct facts *facts);
/* First value, or NULL. */
const char *facts_get(const struct facts *facts, const char *node, const char *key);
/* Decoded from base64; false when absent or not base64. */
bool facts_get_base64(const struct facts *facts, const char *node, const char *key,
                      struct buf *out);

/* What reading and stepping know besides the node. */
struct host_node {
    const char *address;
    const void *desired;  /* record, or NULL when the spec does not want it */
    const void *recorded; /* record, or NULL */
    const void *extra;    /* node->extra */
    const struct host_session *session;
    const struct host_connection *connection;
    struct arena *arena;
};

struct host_stream;

struct host_step {
    size_t index;               /* in its batch */
    struct host_stream *stream; /* files that go behind the script (stream.h) */
    const struct host_node *node;
    const struct change *change;
    const void *before, *after; /* records; after is NULL for a removal */
    const struct lookup *lookup;
    /* Filled by the step: what is recorded when it is done. A copy of `after` to begin with. */
    void *record;
};

struct host_kind {
    const struct kind *kind;
    /* Jupyter reads this at its start only: the last change of such a kind restarts it, and is done
     * when it answers again. */
    bool restarts_jupyter;
    /* Also when it is removed and Jupyter stays: nothing else may change with it. */
    bool restarts_when_removed;
    /* Append shell that begins slow work before the first step, to run beside the steps. May be
     * NULL. */
    void (*begin_early)(const struct host_node *node, struct buf *script);
    /* Append shell that prints this node's facts by `fact KEY VALUE` and `fact64 KEY FILE`.
     * NULL: nothing to read on the host. */
    int (*probe)(const struct host_node *node, struct buf *script);
    /* Fill `record` from the facts. Sets *ret to LIVE_NONE when it is not there. */
    int (*read)(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err);
    /* What in the live record is otherwise than wanted, as text for people. May be NULL. */
    int (*read_texts)(const struct host_node *node, const struct facts *facts, const void *record,
                      struct live_texts *ret);
    /* What people should know of it in each plan, or NULL. May be NULL. */
    const char *(*remark)(const struct host_node *node, const struct facts *facts);
    /* Append shell that makes it so; it runs under `set -e` as root with no input. NULL: local. */
    int (*step)(struct host_step *step, struct buf *script, struct err *err);
    /* What is lost when it restarts now ("2 running kernels"), or NULL. May be NULL itself. */
    const char *(*at_stake)(const struct host_node *node, const struct facts *facts);
    /* A line that the step printed by `value KEY VALUE`. May be NULL. */
    int (*value)(struct host_step *step, const char *key, const char *value);
    /* Instead of a step: done from here, after the steps before it (host key, health). */
    int (*local)(struct host_step *step, struct host_connection *connection,
                 const struct apply_ops *ops, struct err *err);
    /* Read from here, beside the probe. */
    int (*read_local)(const struct host_node *node, void *record, enum presence *ret);
    /* Is this node read by read_local? NULL: always, where there is one. */
    bool (*is_local)(const struct host_node *node);
};

extern const struct host_kind *const host_kinds[]; /* ends with NULL */
extern const struct host_kind host_key_host, host_disk_host, host_data_host, host_swap_host,
    host_packages_host, host_python_host, host_python_packages_host, host_files_host, host_tls_host,
    host_jupyter_host, host_extensions_host, host_service_host, host_health_host, host_stop_host,
    host_kernel_host, host_gpu_host;
const struct host_kind *host_kind_of(const struct kind *kind);

/* Which keys a host may show. */
struct host_keys {
    const char *pinned;   /* its own; NULL before the first contact */
    const char *one_time; /* of user-data; NULL once the pinned key was seen in use */
};
/* Of a server that berth did not make: no one-time key, and none pinned where known_hosts or the
 * spec are to say. From <project_dir>/host_keys and what is recorded of the host key (NULL:
 * nothing). */
struct host_keys host_keys_of(const struct run *run, const char *parent,
                              const struct endpoint *endpoint, const struct host_key_record *record,
                              struct arena *arena);

/* Connections: found or made; ready to run. `boot_s`: as in struct ssh_in. */
int host_connect(struct host_session *s, const char *parent, const struct endpoint *endpoint,
                 const struct host_keys *keys, double boot_s, bool (*abandoned)(void *ctx),
                 void *ctx, struct host_connection **ret, struct err *err);
/* After an error of the connection: the next host_connect makes a new one. */
void host_disconnect(struct host_session *s, struct host_connection *c);
void host_disconnect_all(struct host_session *s); /* at the end; frees them */

/* What makes a command the administrator's: "sudo -n ", or "" where the login user is that. */
const char *host_as_root(const struct endpoint *endpoint);

/* 'text' for a POSIX shell. */
void shell_quote(struct buf *out, const char *text);
/* Appends: write `content` to `path` by way of a temp file, with that owner and mode. */
void shell_write_file(struct buf *script, const char *path, struct str content, const char *owner,
                      const char *mode);
/* A path of the spec ("~/x") on the host of that login user: "/home/USER/x". */
const char *host_path(struct arena *arena, const char *user, const char *path);

/* For resolve: how to reach the server that this node lives in, as far as that is known; zeroed
 * otherwise. */
struct endpoint host_endpoint(const struct node *node, const struct lookup *lookup,
                              struct arena *arena);
/* Does the spec ask for anything on its hosts? */
bool host_is_wanted(const struct spec *spec);
/* One node of `kind` a server, at "server[N].WHAT"; `deps` are WHATs of the same server, ending
 * with NULL (NULL for none). `fill` sets the desired record. */
int host_desire_each(const struct desire *in, struct nodes *out, const struct kind *kind,
                     const char *what, const char *const *deps,
                     int (*fill)(const struct desire *in, struct node *node, struct arena *arena,
                                 void *fill_ctx),
                     void *fill_ctx);
/* A node of what lies at or below the data volume's mount comes after it. */
int host_after_data(const struct desire *in, struct node *node, struct arena *arena,
                    const char *path);
/* struct kind.batch of all host kinds: what one host needs goes down one connection. */
const char *host_batch(const struct change *change, struct arena *arena);

/* Hex of a keyed hash of a secret, to compare secrets without keeping them. `secret_file` is the
 * project's secret (project_secret in providers/sshkey.h). NULL on failure. */
const char *host_secret_tag(struct arena *arena, struct str secret_file, const char *label,
                            struct str text);

/* Wait until Jupyter answers as that record says, or say why it does not. */
int health_wait(const struct run *run, struct host_connection *connection,
                const struct host_health_record *health, struct arena *arena, struct err *err);

/* Is `version` what `specifier` ("==1.5.*,>=1" or "any") asks for? PEP 440, enough of it. */
bool pep440_matches(const char *version, const char *specifier);
/* Is that a specifier, without white space, as PEP 440 has them? "" is one. */
bool pep440_is_specifier(const char *specifier);
