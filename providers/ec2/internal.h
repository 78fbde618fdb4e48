/* What the files of this folder share. */
#pragma once

#include "providers/aws/client.h"
#include "providers/aws/query.h"
#include "providers/ec2/ec2.h"

enum { NAME_SIZE = 64 };

struct ec2_session {
    const struct run *run;
    struct aws_config config;
    struct aws_client *client; /* opened at the first call, so that a verb without AWS needs none */
    char object_name[NAME_SIZE]; /* "berth-NAME": of key pair and group */
    struct arena arena;
    const char *ami; /* newest of the spec's image; set by observe, "" when unknown */
};

/* One call with everything around it: `q` is consumed. The answer lives in `arena`. */
int ec2_call(struct ec2_session *s, struct query *q, const char *action, bool once,
             struct arena *arena, struct xml **ret, struct err *err);
/* Sleeps in short pieces; false when the run is to stop now. */
bool ec2_sleep(struct ec2_session *s, double seconds);
/* Is it this AWS error? Codes may be given as a prefix ending with '*'. */
bool ec2_is(const struct err *err, const char *code);
/* Adds the tags that say that a thing is ours: TagSpecification.N.… with the user's own. */
void ec2_add_tags(struct query *q, size_t spec, const char *resource, const struct run *run,
                  const char *node, size_t first_index, const struct strmap *tags);

/* Observing: what each kind asks, and what it makes of the answer. */
void key_pair_ask_live(struct ec2_session *s, struct query *q);
int key_pair_read_live(struct ec2_session *s, const struct observe_in *in, const struct xml *xml,
                       struct observed *out, struct err *err);
void access_ask_live(struct ec2_session *s, struct query *q);
int access_read_live(struct ec2_session *s, const struct observe_in *in, const struct xml *xml,
                     struct observed *out, struct err *err);
void server_ask_live(struct ec2_session *s, struct query *q, const char *next_token);
int server_read_live(struct ec2_session *s, const struct observe_in *in, const struct xml *xml,
                     struct observed *out, struct err *err);
/* One instance element → record; strings live in `arena`. */
int server_record_of(const struct xml *item, struct arena *arena, struct server_record *ret);

/* Applying: every change of the batch is answered for. */
int key_pair_apply(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                   struct err *err);
int access_apply(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                 struct err *err);
int server_apply(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
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
const char *image_parameter(const struct image *image, const char *instance_type);
