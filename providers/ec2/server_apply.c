/* Making, changing and terminating servers: one RunInstances a launch of like ones, one
 * TerminateInstances, one wait for all. */
#include "providers/ec2/internal.h"
#include "providers/sshkey.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD struct server_record

enum { WAIT_MAX_S = 600, IDS_MAX = 1000 };

const char *server_host_key(struct ec2_session *s, const char *token, struct arena *arena,
                            struct buf *private_text, struct err *err) {
    unsigned char secret[SSHKEY_SEED_SIZE], seed[SSHKEY_SEED_SIZE];
    _cleanup_buf_ struct buf private = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    int rc = project_secret(s->run->project_dir, s->run->random, secret, err);
    if (rc == 0 && (rc = project_derive(secret, "host key", str_of(token), seed)) < 0)
        err_set(err, ERRC_INTERNAL, "cannot derive the host key");
    if (rc == 0)
        rc = sshkey_from_seed(seed, "", &private, &line, err);
    OPENSSL_cleanse(secret, sizeof secret);
    OPENSSL_cleanse(seed, sizeof seed);
    if (rc == 0 && private_text != NULL)
        buf_addstr(private_text, buf_str(&private));
    if (private.ptr != NULL)
        OPENSSL_cleanse(private.ptr, private.len);
    return rc < 0 ? NULL : arena_dup_str(arena, buf_str(&line));
}

/* cloud-init's ssh module: https://cloudinit.readthedocs.io/en/latest/reference/modules.html#ssh */
static int add_user_data(struct ec2_session *s, struct query *q, const char *token,
                         struct arena *arena, const char **ret_public, struct err *err) {
    _cleanup_buf_ struct buf private = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf base64 = BUF_INIT(BUF_SMALL);
    const char *public = server_host_key(s, token, arena, &private, err);
    if (public == NULL)
        return err->code != 0 ? -err->code : err_set(err, ERRC_NOMEM, "out of memory");
    buf_adds(&text, "#cloud-config\nssh_deletekeys: true\nssh_genkeytypes: [ed25519]\nssh_keys:\n"
                    "  ed25519_private: |\n");
    struct str rest = str_trim(buf_str(&private));
    struct str line;
    while (str_split(&rest, '\n', &line))
        buf_addf(&text, "    %.*s\n", STR_FMT(line));
    buf_addf(&text, "  ed25519_public: %s\n", public);
    buf_add_base64(&base64, text.ptr, text.len);
    query_add(q, "UserData", buf_cstr(&base64));
    if (private.ptr != NULL)
        OPENSSL_cleanse(private.ptr, private.len);
    OPENSSL_cleanse(text.ptr, text.len);
    *ret_public = public;
    return 0;
}

static int64_t index_of(const char *address) {
    int64_t index = 0;
    struct str digits = str_of(address);
    if (str_starts(digits, STR("server[")) && str_ends(digits, STR("]"))) {
        digits.ptr += strlen("server[");
        digits.len -= strlen("server[]");
        if (str_to_i64(digits, 0, 100000, &index))
            return index;
    }
    return -1;
}

/* ---- Waiting */

enum wait_for { WAIT_RUNNING, WAIT_STOPPED, WAIT_TERMINATED };

struct waiter {
    struct ec2_session *s;
    const struct apply_ops *ops;
    struct change **changes;
    const char **ids;
    RECORD *records; /* filled for WAIT_RUNNING */
    bool *ready;
    size_t len;
    enum wait_for want;
};

static bool is_there(enum wait_for want, const char *state, const struct xml *item) {
    switch (want) {
    case WAIT_RUNNING:
        return cstr_eq(state, "running") && xml_text(item, "privateIpAddress") != NULL;
    case WAIT_STOPPED:
        return cstr_eq(state, "stopped");
    case WAIT_TERMINATED:
        return cstr_eq(state, "terminated");
    }
    return false;
}

static int look_at(struct waiter *w, size_t i, const struct xml *item, struct arena *arena,
                   struct err *err) {
    const char *state = xml_text(item, "instanceState/name");
    if (is_there(w->want, state, item)) {
        w->ready[i] = true;
        return w->records == NULL ? 0 : server_record_of(item, arena, &w->records[i]);
    }
    if (w->want == WAIT_RUNNING &&
        (cstr_eq(state, "terminated") || cstr_eq(state, "shutting-down"))) {
        const char *reason = xml_text(item, "stateReason/message");
        const char *code = xml_text(item, "stateReason/code");
        err_set(err, ERRC_AWS, "%s ended while it started: %s", w->ids[i],
                reason == NULL ? "no reason given" : reason);
        snprintf(err->aws_code, sizeof err->aws_code, "%s", code == NULL ? "" : code);
        err_hint(err, "run apply again; a new one is started");
        return -ERRC_AWS;
    }
    return 0;
}

/* One DescribeInstances for all that are not ready. Each failure is answered for here. */
static int poll_once(struct waiter *w, bool *failed, struct arena *arena, struct err *err) {
    struct query q;
    struct xml *xml = NULL;
    size_t n = 0;
    query_init(&q, "DescribeInstances");
    for (size_t i = 0; i < w->len && n < IDS_MAX; i++)
        if (!w->ready[i] && !failed[i])
            query_add_at(&q, "InstanceId.%zu", ++n, w->ids[i]);
    int rc = ec2_call(w->s, &q, "DescribeInstances", false, arena, &xml, err);
    if (rc < 0 && ec2_is(err, "InvalidInstanceID.NotFound")) {
        /* Just made and not yet everywhere; or long gone, which is what a terminate wants. */
        for (size_t i = 0; w->want == WAIT_TERMINATED && i < w->len; i++)
            w->ready[i] = true;
        return 0;
    }
    if (rc < 0)
        return rc;
    for (const struct xml *r = xml_first_item(xml, "reservationSet"); r != NULL;
         r = xml_next_item(r))
        for (const struct xml *item = xml_first_item(r, "instancesSet"); item != NULL;
             item = xml_next_item(item)) {
            const char *id = xml_text(item, "instanceId");
            for (size_t i = 0; i < w->len; i++) {
                struct err why = {0};
                if (!cstr_eq(id, w->ids[i]) || w->ready[i] || failed[i])
                    continue;
                if (look_at(w, i, item, arena, &why) < 0) {
                    failed[i] = true;
                    w->ops->failed(w->ops->ctx, w->changes[i], &why);
                }
            }
        }
    return 0;
}

/* Polls early and backs off. `failed[i]` is set for those already answered for. */
static int wait_all(struct waiter *w, bool *failed, struct arena *arena, struct err *err) {
    static const char *const words[] = {[WAIT_RUNNING] = "waiting for it to run",
                                        [WAIT_STOPPED] = "waiting for it to stop",
                                        [WAIT_TERMINATED] = "waiting for it to end"};
    double pause = 0.1;
    double waited = 0;
    for (size_t i = 0; i < w->len; i++)
        w->ops->progress(w->ops->ctx, w->changes[i], words[w->want]);
    for (;;) {
        int rc = poll_once(w, failed, arena, err);
        size_t open = 0;
        for (size_t i = 0; i < w->len; i++)
            open += !w->ready[i] && !failed[i];
        if (rc < 0 || open == 0)
            return rc;
        if (waited > WAIT_MAX_S) {
            err_set(err, ERRC_TIMEOUT, "%s: not done after %d minutes", words[w->want],
                    WAIT_MAX_S / 60);
            err_hint(err, "look at it in the EC2 console; apply again goes on waiting");
            return -ERRC_TIMEOUT;
        }
        if (!ec2_sleep(w->s, pause))
            return err_set(err, ERRC_CANCELLED, "interrupted");
        waited += pause;
        pause = pause < 4 ? pause * 1.5 : 5;
    }
}

/* ---- Launching */

struct launch {
    struct change **changes; /* consecutive indexes, one token */
    size_t len;
    const char *token;
    const char *ids[IDS_MAX];
    const char *host_key;
};

static int find_ami(struct ec2_session *s, const RECORD *r, const char **ret, struct err *err) {
    if (image_find(r->image) == NULL) {
        *ret = r->image;
        return 0;
    }
    *ret = s->ami;
    if (s->ami == NULL || s->ami[0] == '\0')
        return err_set(err, ERRC_NOTFOUND, "no AMI is published for %s in %s", r->image,
                       s->config.region);
    return 0;
}

static int root_device(struct ec2_session *s, const char *ami, struct arena *arena,
                       const char **ret, struct err *err) {
    struct query q;
    struct xml *xml;
    query_init(&q, "DescribeImages");
    query_add(&q, "ImageId.1", ami);
    int rc = ec2_call(s, &q, "DescribeImages", false, arena, &xml, err);
    if (rc < 0)
        return rc;
    *ret = xml_text(xml_first_item(xml, "imagesSet"), "rootDeviceName");
    if (*ret == NULL || (*ret)[0] == '\0')
        return err_set(err, ERRC_NOTFOUND, "the image %s is not there", ami);
    return 0;
}

static int run_instances(struct ec2_session *s, struct launch *l, const char *ami,
                         const char *device, struct arena *arena, struct xml **ret,
                         struct err *err) {
    const RECORD *r = l->changes[0]->after;
    struct query q;
    query_init(&q, "RunInstances");
    query_add(&q, "ImageId", ami);
    query_add(&q, "InstanceType", r->type);
    query_addf(&q, "MinCount", "%zu", l->len);
    query_addf(&q, "MaxCount", "%zu", l->len);
    query_add(&q, "KeyName", r->key_name);
    query_add(&q, "SecurityGroupId.1", r->group_id);
    query_add(&q, "ClientToken", l->token);
    query_add(&q, "BlockDeviceMapping.1.DeviceName", device);
    query_addf(&q, "BlockDeviceMapping.1.Ebs.VolumeSize", "%lld", (long long)r->disk.size_gib);
    query_add(&q, "BlockDeviceMapping.1.Ebs.VolumeType", r->disk.type);
    query_add(&q, "BlockDeviceMapping.1.Ebs.Encrypted", r->disk.encrypted ? "true" : "false");
    query_add(&q, "BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true");
    query_add(&q, "MetadataOptions.HttpTokens", "required");
    query_add(&q, "MetadataOptions.HttpPutResponseHopLimit", "1");
    query_add(&q, "InstanceInitiatedShutdownBehavior", "stop");
    static const char *const resources[] = {"instance", "volume", "network-interface"};
    for (size_t i = 0; i < 3; i++)
        ec2_add_tags(&q, i + 1, resources[i], s->run, "server",
                     (size_t)index_of(l->changes[0]->address), &r->tags);
    int rc = add_user_data(s, &q, l->token, arena, &l->host_key, err);
    if (rc < 0) {
        query_free(&q);
        return rc;
    }
    return ec2_call(s, &q, "RunInstances", false, arena, ret, err);
}

/* Which instance is which server: by launch index, not by the order of the answer. */
static int read_ids(struct launch *l, const struct xml *xml, struct arena *arena, struct err *err) {
    size_t found = 0;
    for (const struct xml *item = xml_first_item(xml, "instancesSet"); item != NULL;
         item = xml_next_item(item)) {
        const char *text = xml_text(item, "amiLaunchIndex");
        int64_t index = 0;
        if (text == NULL || !str_to_i64(str_of(text), 0, (int64_t)l->len - 1, &index))
            continue;
        l->ids[index] = arena_dup(arena, xml_text(item, "instanceId"));
        found += l->ids[index] != NULL;
    }
    return found == l->len
               ? 0
               : err_set(err, ERRC_AWS, "RunInstances: %zu instances came back instead of %zu",
                         found, l->len);
}

static int start(struct ec2_session *s, struct launch *l, struct arena *arena,
                 const struct apply_ops *ops, struct err *err) {
    const char *ami = NULL, *device = NULL;
    struct xml *xml = NULL;
    int rc = find_ami(s, l->changes[0]->after, &ami, err);
    if (rc == 0)
        rc = root_device(s, ami, arena, &device, err);
    for (size_t i = 0; rc == 0 && i < l->len; i++) {
        l->changes[i]->token = l->token; /* one launch, one token */
        rc = ops->intent(ops->ctx, l->changes[i], err);
    }
    if (rc == 0)
        rc = run_instances(s, l, ami, device, arena, &xml, err);
    if (rc == 0)
        rc = read_ids(l, xml, arena, err);
    for (size_t i = 0; rc == 0 && i < l->len; i++) {
        RECORD record = *(const RECORD *)l->changes[i]->after;
        record.host_key = l->host_key;
        record.ami = ami;
        record.launch_index = (int64_t)i;
        rc = ops->created(ops->ctx, l->changes[i], l->ids[i], &record, err);
    }
    return rc;
}

/* The wanted record with what EC2 computed. */
static RECORD merged(const RECORD *wanted, const RECORD *seen) {
    RECORD r = *wanted;
    r.ami = seen->ami;
    r.public_ip = seen->public_ip;
    r.private_ip = seen->private_ip;
    r.public_dns = seen->public_dns;
    r.zone = seen->zone;
    r.launch_index = seen->launch_index;
    return r;
}

static int await(struct ec2_session *s, struct change **changes, const char **ids, size_t len,
                 enum wait_for want, RECORD *records, bool *failed, const struct apply_ops *ops,
                 struct arena *arena, struct err *err) {
    bool *ready = arena_calloc(arena, len, sizeof *ready);
    if (ready == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    struct waiter w = {s, ops, changes, ids, records, ready, len, want};
    return wait_all(&w, failed, arena, err);
}

static void launch(struct ec2_session *s, struct launch *l, struct arena *arena,
                   const struct apply_ops *ops, struct err *err) {
    RECORD *seen = arena_calloc(arena, l->len, sizeof *seen);
    bool *failed = arena_calloc(arena, l->len, sizeof *failed);
    if (seen == NULL || failed == NULL) {
        err_set(err, ERRC_NOMEM, "out of memory");
        for (size_t i = 0; i < l->len; i++)
            ops->failed(ops->ctx, l->changes[i], err);
        return;
    }
    int rc = start(s, l, arena, ops, err);
    if (rc == 0)
        rc = await(s, l->changes, l->ids, l->len, WAIT_RUNNING, seen, failed, ops, arena, err);
    for (size_t i = 0; i < l->len; i++) {
        if (failed[i])
            continue;
        if (rc == 0) {
            RECORD record = merged(l->changes[i]->after, &seen[i]);
            record.host_key = l->host_key;
            if (ops->done(ops->ctx, l->changes[i], &record, err) == 0)
                continue;
        }
        ops->failed(ops->ctx, l->changes[i], err);
    }
}

static int by_index(const void *a, const void *b) {
    int64_t x = index_of((*(struct change *const *)a)->address);
    int64_t y = index_of((*(struct change *const *)b)->address);
    return x < y ? -1 : x > y;
}

/* A token that never was pending with others is its own; resumed ones share theirs. */
static void launch_all(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                       struct err *err) {
    qsort(batch->changes, batch->len, sizeof *batch->changes, by_index);
    for (size_t i = 0; i < batch->len;) {
        size_t n = 1;
        while (i + n < batch->len && n < IDS_MAX &&
               index_of(batch->changes[i + n]->address) ==
                   index_of(batch->changes[i]->address) + (int64_t)n)
            n++;
        struct launch *l = ARENA_NEW(batch->arena, struct launch);
        if (l == NULL) {
            err_set(err, ERRC_NOMEM, "out of memory");
            for (size_t j = i; j < i + n; j++)
                ops->failed(ops->ctx, batch->changes[j], err);
        } else {
            l->changes = batch->changes + i;
            l->len = n;
            l->token = batch->changes[i]->token;
            launch(s, l, batch->arena, ops, err);
        }
        i += n;
    }
}

/* ---- Ending */

static const char *id_of(const struct change *c) {
    return c->live != NULL && c->live->id != NULL ? c->live->id
           : c->recorded != NULL                  ? c->recorded->id
                                                  : NULL;
}

static int terminate(struct ec2_session *s, struct change **changes, size_t len, bool *failed,
                     const struct apply_ops *ops, struct arena *arena, struct err *err) {
    const char **ids = arena_calloc(arena, len, sizeof *ids);
    struct query q;
    struct xml *xml;
    if (ids == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    query_init(&q, "TerminateInstances");
    for (size_t i = 0; i < len; i++) {
        ids[i] = id_of(changes[i]);
        query_add_at(&q, "InstanceId.%zu", i + 1, ids[i]);
    }
    int rc = ec2_call(s, &q, "TerminateInstances", false, arena, &xml, err);
    if (rc < 0)
        return ec2_is(err, "InvalidInstanceID.NotFound") ? 0 : rc;
    return await(s, changes, ids, len, WAIT_TERMINATED, NULL, failed, ops, arena, err);
}

static void terminate_all(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                          struct err *err) {
    bool *failed = arena_calloc(batch->arena, batch->len, sizeof *failed);
    int rc = failed == NULL
                 ? err_set(err, ERRC_NOMEM, "out of memory")
                 : terminate(s, batch->changes, batch->len, failed, ops, batch->arena, err);
    for (size_t i = 0; i < batch->len; i++) {
        if (failed != NULL && failed[i]) /* answered for while it was waited for */
            continue;
        if (rc == 0 && ops->done(ops->ctx, batch->changes[i], NULL, err) == 0)
            continue;
        ops->failed(ops->ctx, batch->changes[i], err);
    }
}

/* ---- Changing */

static int call_on(struct ec2_session *s, const char *action, const char *id, const char *name,
                   const char *value, struct arena *arena, struct err *err) {
    struct query q;
    struct xml *xml;
    query_init(&q, action);
    query_add(&q, strcmp(action, "ModifyInstanceAttribute") == 0 ? "InstanceId" : "InstanceId.1",
              id);
    if (name != NULL)
        query_add(&q, name, value);
    return ec2_call(s, &q, action, false, arena, &xml, err);
}

static int retag(struct ec2_session *s, const char *id, const struct strmap *before,
                 const struct strmap *after, struct arena *arena, struct err *err) {
    struct query q;
    struct xml *xml;
    size_t n = 0;
    int rc = 0;
    query_init(&q, "CreateTags");
    query_add(&q, "ResourceId.1", id);
    for (size_t i = 0; i < after->len; i++) {
        if (cstr_eq(strmap_get(before, after->items[i].key), after->items[i].value))
            continue;
        query_add_at(&q, "Tag.%zu.Key", ++n, after->items[i].key);
        query_add_at(&q, "Tag.%zu.Value", n, after->items[i].value);
    }
    if (n > 0)
        rc = ec2_call(s, &q, "CreateTags", false, arena, &xml, err);
    else
        query_free(&q);
    if (rc < 0)
        return rc;
    n = 0;
    query_init(&q, "DeleteTags");
    query_add(&q, "ResourceId.1", id);
    for (size_t i = 0; i < before->len; i++)
        if (strmap_get(after, before->items[i].key) == NULL)
            query_add_at(&q, "Tag.%zu.Key", ++n, before->items[i].key);
    if (n > 0)
        return ec2_call(s, &q, "DeleteTags", false, arena, &xml, err);
    query_free(&q);
    return 0;
}

static int power(struct ec2_session *s, struct change *c, const char *id, bool on, RECORD *seen,
                 const struct apply_ops *ops, struct arena *arena, struct err *err) {
    bool failed = false;
    int rc = call_on(s, on ? "StartInstances" : "StopInstances", id, NULL, NULL, arena, err);
    if (rc == 0)
        rc = await(s, &c, &id, 1, on ? WAIT_RUNNING : WAIT_STOPPED, on ? seen : NULL, &failed, ops,
                   arena, err);
    return rc;
}

static int update(struct ec2_session *s, struct change *c, const struct apply_ops *ops,
                  struct arena *arena, struct err *err) {
    const RECORD *before = c->before;
    const RECORD *after = c->after;
    const char *id = id_of(c);
    RECORD seen = *before;
    bool stopped = !cstr_eq(before->power, "running");
    int rc = 0;
    if (!cstr_eq(before->group_id, after->group_id))
        rc = call_on(s, "ModifyInstanceAttribute", id, "GroupId.1", after->group_id, arena, err);
    if (rc == 0 && !strmap_equal(&before->tags, &after->tags))
        rc = retag(s, id, &before->tags, &after->tags, arena, err);
    if (rc == 0 && !cstr_eq(before->type, after->type)) {
        if (!stopped)
            rc = power(s, c, id, false, NULL, ops, arena, err);
        stopped = true;
        if (rc == 0)
            rc = call_on(s, "ModifyInstanceAttribute", id, "InstanceType.Value", after->type, arena,
                         err);
    }
    if (rc == 0 && stopped)
        rc = power(s, c, id, true, &seen, ops, arena, err);
    if (rc < 0)
        return rc;
    RECORD record = merged(after, &seen);
    record.host_key = before->host_key;
    return ops->done(ops->ctx, c, &record, err);
}

int server_apply(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                 struct err *err) {
    struct change *first = batch->changes[0];
    if (first->action == ACTION_DESTROY) {
        terminate_all(s, batch, ops, err);
        return 0;
    }
    if (first->action == ACTION_CREATE || first->action == ACTION_RESUME) {
        launch_all(s, batch, ops, err);
        return 0;
    }
    for (size_t i = 0; i < batch->len; i++) {
        struct change *c = batch->changes[i];
        struct batch one = {&batch->changes[i], 1, batch->arena};
        bool failed = false;
        if (c->action == ACTION_REPLACE) {
            if (terminate(s, &c, 1, &failed, ops, batch->arena, err) < 0)
                ops->failed(ops->ctx, c, err);
            else
                launch_all(s, &one, ops, err);
        } else if (update(s, c, ops, batch->arena, err) < 0) {
            ops->failed(ops->ctx, c, err);
        }
    }
    return 0;
}
