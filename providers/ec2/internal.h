/* What the files of this folder share. */
#pragma once

#include "providers/aws/client.h"
#include "providers/aws/query.h"
#include "providers/ec2/ec2.h"

enum { NAME_SIZE = 64, SERVER_IDS_MAX = 1000, SERVER_PAGES_MAX = 1000, SSH_PORT = 22 };

struct ec2_session {
    const struct run *run;
    struct aws_config config;
    struct aws_client *client;
    char object_name[NAME_SIZE]; /* "berth-NAME": of key pair and group */
    struct arena arena;
    const char *ami;    /* newest of the spec's image; set by observe, "" when unknown */
    struct err ami_err; /* why it is unknown, when AWS said so */
};

/* One call with everything around it: `q` is consumed. The answer lives in `arena`. */
int ec2_call(struct ec2_session *s, struct query *q, const char *action, bool once,
             struct arena *arena, struct xml **ret, struct err *err);
/* The same for a call that names things made a moment ago: EC2 is eventually consistent, and
 * Invalid….NotFound is asked again for some seconds before it is believed. */
int ec2_call_settling(struct ec2_session *s, struct query *q, const char *action, bool once,
                      struct arena *arena, struct xml **ret, struct err *err);
/* Sleeps in short pieces; false when the run is to stop now. */
bool ec2_sleep(struct ec2_session *s, double seconds);
/* Is it this AWS error? */
bool ec2_is(const struct err *err, const char *code);
/* Adds the tags that say that a thing is ours: TagSpecification.N.… with the user's own. For a
 * server the first index of its launch; -1 for what there is one of. */
void ec2_add_tags(struct query *q, size_t spec, const char *resource, const struct run *run,
                  const char *node, int64_t first_index, const struct strmap *tags);
const char *ec2_tag_of(const struct xml *item, const char *key); /* or NULL */
/* Is it of the project of that name? */
bool ec2_is_ours(const struct xml *item, const struct run *run);
/* Are all tags there that say so? With an index of -1 that one is not looked at. */
bool ec2_is_tagged(const struct xml *item, const struct run *run, const char *node,
                   int64_t first_index);
/* Sets them, and no others. */
int ec2_mend_tags(struct ec2_session *s, const char *id, const char *node, int64_t first_index,
                  struct arena *arena, struct err *err);

/* The files of a made key pair of this type in the project folder ("id_ed25519"); NULL is that of
 * states that knew no other type. */
const char *key_pair_file(const char *type);
const char *key_pair_public_file(const char *type);
/* Makes them, the private half first, and fills in the public key. A private half that is there is
 * taken, never overwritten. */
int key_pair_make(struct ec2_session *s, struct key_pair_record *record, struct arena *arena,
                  struct err *err);
/* Is there a private half of any type? */
bool key_pair_has_files(const struct ec2_session *s);
/* Of all types; absence is success. */
int key_pair_remove_files(struct ec2_session *s, struct err *err);

/* What the world needs to know of a kind: one row of ec2.c's table. */
struct ec2_kind {
    const struct kind *kind;
    const char *action; /* the call that observes it, side by side with the others' */
    /* Makes that call's body. */
    void (*ask)(struct ec2_session *s, struct query *q);
    /* Appends what its answer says. */
    int (*read)(struct ec2_session *s, const struct observe_in *in, const struct xml *xml,
                struct observed *out, struct err *err);
    /* Asks on, where that one answer does not tell all; NULL where it does. */
    int (*read_on)(struct ec2_session *s, const struct observe_in *in, const struct xml *xml,
                   struct arena *arena, struct observed *out, struct err *err);
    /* As struct world's: every change of the batch is answered for. */
    int (*apply)(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                 struct err *err);
};
extern const struct ec2_kind key_pair_ec2, access_ec2, server_ec2;

/* Observing: what each kind asks, and what it makes of the answer. */
void key_pair_ask_live(struct ec2_session *s, struct query *q);
int key_pair_read_live(struct ec2_session *s, const struct observe_in *in, const struct xml *xml,
                       struct observed *out, struct err *err);
void access_ask_live(struct ec2_session *s, struct query *q);
int access_read_live(struct ec2_session *s, const struct observe_in *in, const struct xml *xml,
                     struct observed *out, struct err *err);
/* The page that `next_token` names; NULL: the first. */
void server_ask_live(struct ec2_session *s, struct query *q, const char *next_token);
int server_read_live(struct ec2_session *s, const struct observe_in *in, const struct xml *xml,
                     struct observed *out, struct err *err);
/* As struct ec2_kind's read_on: the other pages, then recorded servers that are not in `out` yet:
 * somebody may have taken the tag off. A run that was cut may have made one a moment ago, and EC2
 * is eventually consistent: such a one is asked for again for some seconds before it is taken to
 * have vanished. */
int server_read_on(struct ec2_session *s, const struct observe_in *in, const struct xml *xml,
                   struct arena *arena, struct observed *out, struct err *err);
/* Rows of the server's field table by number. */
enum { SERVER_FIELD_IMDS = 6 };

/* "server[3]" is 3; -1 for any other address. */
int64_t server_address_index(const char *address);
/* The index in the spec that an instance element was launched for, or -1 without our tag. */
int64_t server_index_of(const struct xml *item);
/* One instance element → record; strings live in `arena`. */
int server_record_of(const struct xml *item, struct arena *arena, struct server_record *ret);

/* As struct ec2_kind's apply. */
int server_apply(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                 struct err *err);

/* Creates and resumes of a batch, launched and waited for; each is answered for. */
void server_launch_all(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                       struct err *err);
/* Is the image there that this record would be launched from? */
int server_check_launch(struct ec2_session *s, const struct server_record *wanted,
                        struct arena *arena, struct err *err);
/* The wanted record with what EC2 computed. */
struct server_record server_merge(const struct server_record *wanted,
                                  const struct server_record *seen);

enum server_wait { WAIT_RUNNING, WAIT_STOPPED, WAIT_TERMINATED };

/* Waits for all of them, early and then less and less often. Those that `skip` marks are not waited
 * for. A server that will never get there is answered for (ops->failed) and marked in `skip`; the
 * others go on. `records` is filled for those that run, and may be NULL. -ERRC_TIMEOUT,
 * -ERRC_CANCELLED, or what the calls gave: then nobody else is answered for. */
int server_await(struct ec2_session *s, enum server_wait want, struct change **changes,
                 const char **ids, size_t len, struct server_record *records, bool *skip,
                 const struct apply_ops *ops, struct arena *arena, struct err *err);
/* Marks the ids that an error's message names: AWS lists the missing ones there only. */
void server_mark_missing(const struct err *err, const char *const *ids, size_t len, bool *gone);
/* States of instances that are still there, ending with NULL: a filter. */
extern const char *const server_live_states[];

/* Adds `IpPermissions.N.…` of the rules of `from` that `other` lacks; how many. */
size_t access_add_rules(struct query *q, const struct strlist *from, const struct strlist *other);
/* A CIDR block as EC2 writes it (2001:DB8:0::/64 → 2001:db8::/64), without host bits; as it is when
 * it is none. */
void access_canonical_cidr(struct str cidr, char *ret, size_t size);

/* The one-time host key of a launch, from the project's secret and the launch's token, so that a
 * request sent again is the same to the byte: returns the public line (in `arena`), and appends the
 * private file's text when `private_text` is not NULL. NULL on failure. */
const char *server_host_key(struct ec2_session *s, const char *token, struct arena *arena,
                            struct buf *private_text, struct err *err);

/* Images by name. */
struct image {
    const char *name;
    const char *user;
    const char *ssm_x86, *ssm_arm; /* parameter names; NULL where there is none */
};
const struct image *image_find(const char *name); /* NULL for an ami-… id */
bool image_is_arm(const char *instance_type);     /* AWS's own ARM processors */
const char *image_parameter(const struct image *image, const char *instance_type);
