/* What the files of this folder share. */
#pragma once

#include "providers/aws/client.h"
#include "providers/aws/query.h"
#include "providers/ec2/ec2.h"

enum { NAME_SIZE = 64, SERVER_IDS_MAX = 1000, EC2_PAGES_MAX = 1000, SSH_PORT = 22 };

struct ec2_session {
    const struct run *run;
    struct aws_config config;
    struct aws_client *client;
    char object_name[NAME_SIZE]; /* "berth-NAME": of key pair and group */
    struct arena arena;
    const char *ami_parameter; /* that SSM is asked for; NULL: nothing to ask */
    const char *ami;           /* newest of the spec's image; set by observe, "" when unknown */
    bool ami_cached;
    const char *subnet; /* that the spec names, or NULL; and its VPC, where it was read */
    const char *subnet_vpc;
    const char *type;     /* of the servers that the spec wants, or NULL */
    struct strlist zones; /* that offer it, sorted; `zones_known`: EC2 has said so */
    bool zones_known;
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
/* As struct world's find. */
int ec2_find(void *session, const struct kind *kind, const char *id, struct arena *arena,
             struct found *ret, struct err *err);
/* Is it this AWS error? */
bool ec2_is(const struct err *err, const char *code);
/* The number of what there is one of. Numbers below zero are good: server[0] may have been the
 * third of its launch once (berth state mv). */
#define EC2_NO_INDEX INT64_MIN
/* Adds the tags that say that a thing is ours: TagSpecification.N.… with the user's own. For a
 * server the first index of its launch. */
void ec2_add_tags(struct query *q, size_t spec, const char *resource, const struct run *run,
                  const char *node, int64_t first_index, const struct strmap *tags);
const char *ec2_tag_of(const struct xml *item, const char *key); /* or NULL */
/* Is it of the project of that name? */
bool ec2_is_ours(const struct xml *item, const struct run *run);
/* Are all tags there that say so? With EC2_NO_INDEX that one is not looked at. */
bool ec2_is_tagged(const struct xml *item, const struct run *run, const char *node,
                   int64_t first_index);
/* The user's own tags: those that are neither berth's, nor AWS's, nor Name. Sorted. */
int ec2_read_tags(const struct xml *item, struct arena *arena, struct strmap *ret);
/* Are all of them there, whatever else is? */
bool ec2_has_tags(const struct xml *item, const struct strmap *tags);

/* Things that get the same tags. */
struct ec2_tagging {
    const char *const *ids;
    size_t ids_len;
    const char *node;    /* with `mend`: the value of that tag of ours */
    int64_t first_index; /* the same; EC2_NO_INDEX for what there is one of */
    bool mend;           /* all of ours and of the user's are set, not only those that differ */
    const struct strmap *before, *after; /* the user's */
};
/* One CreateTags, and one DeleteTags where some are to go, for up to 1,000 things each. */
int ec2_tag(struct ec2_session *s, const struct ec2_tagging *t, struct arena *arena,
            struct err *err);

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

/* ---- Reads: the calls that a look at EC2 is made of. The kinds read from all answers. */

enum ec2_read_id {
    READ_INSTANCES, /* items: instances */
    READ_KEY_PAIRS,
    READ_GROUPS,
    READ_VOLUMES,   /* everything of this name, root disks too */
    READ_ADDRESSES, /* elastic ones: all of the account's */
    READ_SUBNET,    /* the one that the spec names */
    READ_OFFERINGS, /* zones that offer the type of the servers */
    READ_COUNT
};

/* One row of reads.c's table. */
struct ec2_read {
    const char *action;
    /* Where an answer has its items; `inner`: sets within those of `set`. */
    const char *set, *inner;
    /* Is it worth a call? NULL: always. */
    bool (*needed)(const struct observe_in *in);
    void (*ask)(struct ec2_session *s, struct query *q); /* of the first page */
};

/* What came of it. */
struct ec2_answer {
    bool asked;
    const struct xml **items; /* of all pages */
    size_t len, cap;
    struct err err; /* code 0: it was read. Else these credentials may not, or this EC2 cannot */
};

struct ec2_answers {
    struct arena *arena; /* owns what is in them */
    struct ec2_answer of[READ_COUNT];
};

/* Was it asked and answered? */
bool ec2_has(const struct ec2_answers *answers, enum ec2_read_id read);
/* Appends the items of one page. 0 or -ERRC_NOMEM. */
int ec2_add_page(struct ec2_answers *answers, enum ec2_read_id read, const struct xml *page);
/* Sends the reads that are needed side by side, and `beside` (may be NULL) with their first pages;
 * then follows the pages. Fails for what nobody could read anything after (network, credentials);
 * what is denied is kept with its answer, unless everything is. */
int ec2_read_all(struct ec2_session *s, const struct observe_in *in, struct aws_call *beside,
                 struct ec2_answers *ret, struct err *err);
/* One read by itself, all of its pages. Denied is an error. */
int ec2_read_one(struct ec2_session *s, enum ec2_read_id read, struct ec2_answers *ret,
                 struct err *err);

/* What the world needs to know of a kind: one row of ec2.c's table. */
struct ec2_kind {
    const struct kind *kind;
    unsigned needs; /* bits of reads: without one of them nothing of the kind can be told */
    /* Appends what the answers say; may ask on, where they do not tell all. */
    int (*read)(struct ec2_session *s, const struct observe_in *in,
                const struct ec2_answers *answers, struct observed *out, struct err *err);
    /* As struct world's: every change of the batch is answered for. */
    int (*apply)(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                 struct err *err);
};
extern const struct ec2_kind key_pair_ec2, access_ec2, address_ec2, server_ec2, volume_ec2;

/* Of a kind: what its read asks, and what it makes of the answers. */
void key_pair_ask_live(struct ec2_session *s, struct query *q);
int key_pair_read_live(struct ec2_session *s, const struct observe_in *in,
                       const struct ec2_answers *answers, struct observed *out, struct err *err);
void access_ask_live(struct ec2_session *s, struct query *q);
int access_read_live(struct ec2_session *s, const struct observe_in *in,
                     const struct ec2_answers *answers, struct observed *out, struct err *err);
void server_ask_live(struct ec2_session *s, struct query *q);
int server_read_live(struct ec2_session *s, const struct observe_in *in,
                     const struct ec2_answers *answers, struct observed *out, struct err *err);
/* Appends recorded servers that are not in `out` yet: somebody may have taken the tag off. A run
 * that was cut may have made one a moment ago, and EC2 is eventually consistent: such a one is
 * asked for again for some seconds before it is taken to have vanished. */
int server_find_rest(struct ec2_session *s, const struct observe_in *in,
                     const struct ec2_answers *answers, struct observed *out, struct err *err);
/* Everything of this name: root disks and data volumes. */
void volumes_ask_live(struct ec2_session *s, struct query *q);
void addresses_ask_live(struct ec2_session *s, struct query *q);
int address_read_live(struct ec2_session *s, const struct observe_in *in,
                      const struct ec2_answers *answers, struct observed *out, struct err *err);
/* Takes the address that the filter finds off what has it, if anything does. */
int address_disassociate(struct ec2_session *s, const char *filter, const char *value,
                         struct arena *arena, struct err *err);
/* What was read, by what it is attached to. */
struct ec2_attached {
    const char *instance_id, *device; /* device: "" for addresses */
    const struct xml *item;
};
struct ec2_attachments {
    struct ec2_attached *items; /* sorted */
    size_t len;
};
void ec2_sort_attached(struct ec2_attachments *all);
int addresses_by_instance(const struct ec2_answers *answers, struct arena *arena,
                          struct ec2_attachments *ret);
int volumes_by_attachment(const struct ec2_answers *answers, struct arena *arena,
                          struct ec2_attachments *ret);
/* NULL where it was not read. */
const struct xml *ec2_attached_to(const struct ec2_attachments *all, const char *instance_id,
                                  const char *device);

/* Data volumes: "data[3]" is 3; -1 for any other address. */
int64_t volume_address_index(const char *address);
const char *volume_address(struct arena *arena, int64_t index); /* NULL: no memory */
/* One volume element → record, but for `tagged`; strings live in `arena`. `ret->keep` stays as it
 * is, which EC2 does not know. */
int volume_record_of(const struct xml *item, struct arena *arena, struct volume_record *ret);
int volume_read_live(struct ec2_session *s, const struct observe_in *in,
                     const struct ec2_answers *answers, struct observed *out, struct err *err);
/* As struct ec2_kind's apply. */
int volume_apply(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                 struct err *err);

/* Changes a volume in place while it is in use, and waits until it is as wanted: EC2 may go on
 * optimizing it for hours. https://docs.aws.amazon.com/AWSEC2/latest/APIReference/
 * API_ModifyVolume.html */
struct volume_change {
    const char *id;
    int64_t size_gib; /* 0: as it is */
    const char *type; /* NULL: as it is */
};
int volume_modify(struct ec2_session *s, struct change *c, const struct volume_change *change,
                  const struct apply_ops *ops, struct arena *arena, struct err *err);

/* ---- The subnet that the spec names */

bool subnet_is_needed(const struct observe_in *in);
void subnet_ask_live(struct ec2_session *s, struct query *q);
void subnet_begin(struct ec2_session *s, const struct observe_in *in);
/* Servers that are to be made in one that there is not, or in another VPC than the group is in,
 * are unreadable. */
int subnet_read(struct ec2_session *s, const struct observe_in *in,
                const struct ec2_answers *answers, struct observed *out, struct err *err);
/* The VPC of the group that is to be made; NULL: the default one. */
int subnet_find_vpc(struct ec2_session *s, const char *subnet, struct arena *arena,
                    const char **ret, struct err *err);
/* From one profile to the other, or to none. */
int server_update_profile(struct ec2_session *s, const char *id, const char *profile,
                          struct arena *arena, struct err *err);

/* ---- The spot market */

struct server_spot;
extern const struct field server_spot_fields[]; /* of struct server_spot_record */
/* What the spec says, as it is recorded and sent; nothing of it where it is not enabled. 0 or
 * -ERRC_NOMEM. */
int server_spot_desire(const struct server_spot *spec, struct arena *arena,
                       struct server_spot_record *ret);
/* What EC2 tells of it: enabled or not, and the request. */
void server_spot_read(const struct xml *item, struct arena *arena, struct server_record *r);
/* Its price and interruption are not told with an instance: as recorded, else as wanted. Both may
 * be NULL. */
void server_spot_carry(struct server_record *r, const struct server_record *old,
                       const struct server_record *wanted);
/* Parameters of RunInstances. */
void server_spot_ask(struct query *q, const struct server_spot_record *spot);
/* That EC2 took it back, for the user; NULL: it did not, or there is no memory. */
const char *server_spot_note(const struct xml *item, struct arena *arena);
/* EC2 stops none whose request is for once: those are answered for and marked. */
void server_spot_refuse_stop(struct change **changes, const char *const *ids, size_t len,
                             bool *skip, const struct apply_ops *ops);
/* Ends the requests behind them, by one call for all; what is gone already counts as ended. Before
 * their instances end: an open request launches another. */
int server_spot_cancel(struct ec2_session *s, struct change *const *changes, size_t len,
                       struct arena *arena, struct err *err);

/* ---- Zones */

/* Where the data volume of that server is; NULL: it has none yet. */
const char *zones_of_data(struct observed *out, const char *server);
bool zones_are_needed(const struct observe_in *in);
void zones_ask_live(struct ec2_session *s, struct query *q);
void zones_begin(struct ec2_session *s, const struct observe_in *in);
/* Servers that are to be made of a type that there is not, or to become of one that is not offered
 * where they are, are unreadable; a note says where the first one goes. */
int zones_read(struct ec2_session *s, const struct observe_in *in,
               const struct ec2_answers *answers, struct observed *out, struct err *err);
/* The zones to try for a launch of that token, in order; `must`: that one alone; `resumed`: an
 * earlier run asked for it. Empty: EC2 chooses. */
int zones_of_launch(struct ec2_session *s, const struct server_record *r, const char *token,
                    bool resumed, const char *must, struct arena *arena, struct strlist *ret,
                    struct err *err);
/* The token of a launch in that zone; NULL: as it is. */
const char *zones_token(const char *token, const char *zone, struct arena *arena);
bool zones_is_full(const struct err *err); /* a refusal that another zone may not have */
void zones_add_tried(const struct strlist *zones, struct arena *arena, struct err *err);

/* The newest AMI of the image that the spec names: asked beside the reads, by SSM. */
/* Sets s->ami_parameter where SSM is to be asked, and s->ami where a cached answer will do. */
int ami_begin(struct ec2_session *s, const struct observe_in *in, struct err *err);
void ami_body(const char *parameter, struct buf *out); /* of GetParameters */
int ami_read(struct ec2_session *s, const struct aws_call *call, struct err *err);
/* What a server of this record is launched from: asked anew where a cached answer was taken. */
int ami_find(struct ec2_session *s, const struct server_record *r, struct arena *arena,
             const char **ret, struct err *err);
/* Why a server that is to be made cannot be, when its image is not published. False: nothing is
 * wrong. */
bool ami_is_missing(const struct ec2_session *s, const struct observe_in *in, struct err *ret);

/* Rows of the server's field table by number. */
enum {
    SERVER_FIELD_DISK = 2,
    SERVER_FIELD_IMDS = 6,
    SERVER_FIELD_POWER = 7,
    SERVER_FIELD_ELASTIC_IP = 8,
    SERVER_FIELD_SUBNET = 10
};

/* "server[3]" is 3 for the kind "server"; -1 for any other address. */
int64_t ec2_index_of(const char *address, const char *kind);
int64_t server_address_index(const char *address);
/* Gives all of a launch whose records want one the elastic address of their node (address[3] of
 * server[3]), whoever has that now; `seen` is read anew. Failures are answered for and marked. */
int server_associate_all(struct ec2_session *s, struct change **changes, const char **ids,
                         size_t len, struct server_record *seen, bool *skip,
                         const struct apply_ops *ops, struct arena *arena, struct err *err);
/* From one address to the other, of one that is there. 1: it has been answered for as failed. */
int server_update_address(struct ec2_session *s, struct change *c, const char *id,
                          struct server_record *seen, const struct apply_ops *ops,
                          struct arena *arena, struct err *err);
/* The index in the spec that an instance element was launched for, or -1 without our tag. */
int64_t server_index_of(const struct xml *item);
/* One instance element → record; strings live in `arena`. */
int server_record_of(const struct xml *item, struct arena *arena, struct server_record *ret);

/* As struct ec2_kind's apply. */
int server_apply(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                 struct err *err);

/* Sends the ids that `skip` does not mark in one call of the action; none: no call. */
int server_call_many(struct ec2_session *s, const char *action, const char *const *ids, size_t len,
                     const bool *skip, bool settling, struct arena *arena, struct err *err);
/* Stop and start all that `skip` does not mark, and wait for them; `seen` as server_await's. One
 * that EC2 refuses or that is lost is answered for and marked. */
int server_stop_all(struct ec2_session *s, struct change **changes, const char **ids, size_t len,
                    struct server_record *seen, bool *skip, const struct apply_ops *ops,
                    struct arena *arena, struct err *err);
int server_start_all(struct ec2_session *s, struct change **changes, const char **ids, size_t len,
                     struct server_record *seen, bool *skip, const struct apply_ops *ops,
                     struct arena *arena, struct err *err);
/* Is nothing but its power to be changed? A batch of such goes to server_power_all, which answers
 * for each. */
bool server_is_power_alone(const struct change *c);
void server_power_all(struct ec2_session *s, struct batch *b, const struct apply_ops *ops,
                      struct err *err);
/* The same for tags. */
bool server_is_tags_alone(const struct change *c);
void server_tag_all(struct ec2_session *s, struct batch *b, const struct apply_ops *ops,
                    struct err *err);
/* An update of one server. 0, 1 when the change has been answered for as failed, or -code. */
int server_update(struct ec2_session *s, struct change *c, const struct apply_ops *ops,
                  struct arena *arena, struct err *err);
/* Terminates all of them and waits; what is gone already counts as ended. */
int server_terminate(struct ec2_session *s, struct change **changes, size_t len,
                     const struct apply_ops *ops, struct arena *arena, struct err *err);
void server_terminate_all(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                          struct err *err); /* each is answered for */

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
 * others go on. `records` is filled for those that got there, and may be NULL. -ERRC_TIMEOUT,
 * -ERRC_CANCELLED, or what the calls gave: then nobody else is answered for. */
int server_await(struct ec2_session *s, enum server_wait want, struct change **changes,
                 const char **ids, size_t len, struct server_record *records, bool *skip,
                 const struct apply_ops *ops, struct arena *arena, struct err *err);
/* Marks the ids that an error's message names: AWS lists the missing ones there only. */
void server_mark_missing(const struct err *err, const char *const *ids, size_t len, bool *gone);
/* States of instances that are still there, ending with NULL: a filter. */
extern const char *const server_live_states[];

/* Calls that change what a group lets in. */
enum access_call { ACCESS_LET_IN, ACCESS_DESCRIBE, ACCESS_SHUT_OUT };
/* Adds `IpPermissions.N.…` of the rules of `from` that such a call is for: those that `other`
 * lacks, or describes otherwise; how many. */
size_t access_add_rules(struct query *q, enum access_call call, const struct strmap *from,
                        const struct strmap *other);
/* As struct ec2_kind's apply. */
int access_apply(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                 struct err *err);

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
