/* Making servers: one RunInstances a launch of like ones, whose identity is the token and the
 * index within it. */
#include "providers/ec2/internal.h"
#include "providers/sshkey.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define RECORD struct server_record

const char *server_host_key(struct ec2_session *s, const char *token, struct arena *arena,
                            struct buf *private_text, struct err *err) {
    unsigned char secret[SSHKEY_SEED_SIZE], seed[SSHKEY_SEED_SIZE];
    _cleanup_secret_buf_ struct buf private = BUF_INIT(BUF_SMALL);
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
    return rc < 0 ? NULL : arena_dup_str(arena, buf_str(&line));
}

/* cloud-init's ssh module: https://cloudinit.readthedocs.io/en/latest/reference/modules.html#ssh */
static int add_user_data(struct ec2_session *s, struct query *q, const char *token,
                         struct arena *arena, const char **ret_public, struct err *err) {
    _cleanup_secret_buf_ struct buf private = BUF_INIT(BUF_SMALL);
    _cleanup_secret_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    _cleanup_secret_buf_ struct buf base64 = BUF_INIT(BUF_SMALL);
    const char *public = server_host_key(s, token, arena, &private, err);
    if (public == NULL)
        return err->code != 0 ? -err->code : err_no_memory(err);
    buf_adds(&text, "#cloud-config\nssh_deletekeys: true\nssh_genkeytypes: [ed25519]\nssh_keys:\n"
                    "  ed25519_private: |\n");
    struct str rest = str_trim(buf_str(&private));
    struct str line;
    while (str_split(&rest, '\n', &line))
        buf_addf(&text, "    %.*s\n", STR_FMT(line));
    buf_addf(&text, "  ed25519_public: %s\n", public);
    buf_add_base64(&base64, text.ptr, text.len);
    query_add(q, "UserData", buf_cstr(&base64));
    if (text.failed || base64.failed)
        return err_no_memory(err);
    *ret_public = public;
    return 0;
}

struct launch {
    struct change **changes; /* consecutive indexes, one token */
    size_t len;
    const char *zone; /* that they must be in; NULL: any */
    const char *token;
    const char *place; /* zone that is tried; NULL: EC2 chooses */
    const char *ids[SERVER_IDS_MAX];
    const char *host_key;
};

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

int server_check_launch(struct ec2_session *s, const RECORD *wanted, struct arena *arena,
                        struct err *err) {
    const char *ami = NULL, *device = NULL;
    int rc = ami_find(s, wanted, arena, &ami, err);
    return rc < 0 ? rc : root_device(s, ami, arena, &device, err);
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
    query_add(&q, "SubnetId", r->subnet);
    query_add(&q, "IamInstanceProfile.Name", r->iam_profile);
    query_add(&q, "ClientToken", l->token);
    query_add(&q, "Placement.AvailabilityZone", l->place);
    query_add(&q, "BlockDeviceMapping.1.DeviceName", device);
    query_addf(&q, "BlockDeviceMapping.1.Ebs.VolumeSize", "%lld", (long long)r->disk.size_gib);
    query_add(&q, "BlockDeviceMapping.1.Ebs.VolumeType", r->disk.type);
    query_add(&q, "BlockDeviceMapping.1.Ebs.Encrypted", r->disk.encrypted ? "true" : "false");
    query_add(&q, "BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true");
    query_add(&q, "MetadataOptions.HttpTokens", "required");
    query_add(&q, "MetadataOptions.HttpPutResponseHopLimit", "1");
    /* What becomes of a spot server, its request says. */
    query_add(&q, "InstanceInitiatedShutdownBehavior", r->spot.enabled ? NULL : "stop");
    server_spot_ask(&q, &r->spot);
    static const char *const resources[] = {"instance", "volume", "network-interface",
                                            "spot-instances-request"};
    for (size_t i = 0; i < (r->spot.enabled ? 4 : 3); i++)
        ec2_add_tags(&q, i + 1, resources[i], s->run, "server",
                     server_address_index(l->changes[0]->address), &r->tags);
    int rc = add_user_data(s, &q, l->token, arena, &l->host_key, err);
    if (rc < 0) {
        query_free(&q);
        return rc;
    }
    /* The key pair and the group may have been made a moment ago. */
    return ec2_call_settling(s, &q, "RunInstances", false, arena, ret, err);
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

/* The end of what `gather` began, also where something failed in between. */
static int sync_all(const struct launch *l, const struct apply_ops *ops, int rc, struct err *err) {
    struct err unsynced;
    int synced = ops->sync(ops->ctx, l->changes[0], &unsynced);
    if (rc == 0 && synced < 0) {
        *err = unsynced;
        rc = synced;
    }
    return rc;
}

/* Intents first, for a run that ends before the answer: one launch, one token. */
static int send_launch(struct ec2_session *s, struct launch *l, const char *ami, const char *device,
                       struct arena *arena, const struct apply_ops *ops, struct xml **ret,
                       struct err *err) {
    int rc = 0;
    ops->gather(ops->ctx, l->changes[0]);
    for (size_t i = 0; rc == 0 && i < l->len; i++) {
        l->changes[i]->token = l->token;
        rc = ops->intent(ops->ctx, l->changes[i], err);
    }
    rc = sync_all(l, ops, rc, err);
    return rc < 0 ? rc : run_instances(s, l, ami, device, arena, ret, err);
}

/* Is this one of the servers of the launch? They carry its token; by tag and launch index they are
 * told from others that the same launch made and that have their records. */
static bool is_of_launch(const struct xml *item, const struct launch *l) {
    int64_t index = server_index_of(item);
    for (size_t i = 0; i < l->len && cstr_eq(xml_text(item, "clientToken"), l->token); i++)
        if (index == server_address_index(l->changes[i]->address))
            return true;
    return false;
}

/* Did this launch leave servers that are still there? They carry our tags. */
static int is_launched(struct ec2_session *s, const struct launch *l, struct arena *arena,
                       bool *ret, struct err *err) {
    struct ec2_answers answers = {.arena = arena};
    int rc = ec2_read_one(s, READ_INSTANCES, &answers, err);
    const struct ec2_answer *found = &answers.of[READ_INSTANCES];
    for (size_t i = 0; rc == 0 && i < found->len; i++)
        *ret |= is_of_launch(found->items[i], l);
    return rc;
}

static int mint(struct ec2_session *s, struct launch *l, struct arena *arena, struct err *err) {
    int rc = token_mint(s->run->random, arena, &l->token);
    if (rc < 0)
        return rc == -ERRC_INTERNAL ? err_set(err, ERRC_INTERNAL, "no random numbers to be had")
                                    : err_no_memory(err);
    l->token = zones_token(l->token, l->place, arena);
    return l->token == NULL ? err_no_memory(err) : 0;
}

/* EC2 remembers tokens for longer than servers live, and refuses one with other parameters: when
 * nothing of the old launch is left, this is a new one.
 * https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html */
static int renew_token(struct ec2_session *s, struct launch *l, struct arena *arena,
                       struct err *err) {
    struct err refusal = *err;
    bool there = false;
    int rc = is_launched(s, l, arena, &there, err);
    if (rc < 0)
        return rc;
    if (there) {
        *err = refusal;
        err_hint(err, "an earlier launch of these servers went through with other settings; run "
                      "apply again: it takes them over");
        return -err->code;
    }
    return mint(s, l, arena, err);
}

/* In one zone. */
static int try_zone(struct ec2_session *s, struct launch *l, const char *ami, const char *device,
                    struct arena *arena, const struct apply_ops *ops, struct xml **ret,
                    struct err *err) {
    int rc = send_launch(s, l, ami, device, arena, ops, ret, err);
    if (rc == 0 || (!ec2_is(err, "IdempotentInstanceTerminated") &&
                    !ec2_is(err, "IdempotentParameterMismatch")))
        return rc;
    rc = renew_token(s, l, arena, err);
    return rc < 0 ? rc : send_launch(s, l, ami, device, arena, ops, ret, err);
}

/* One zone after the other, each with a token and an intent of its own, until one has room. */
static int try_zones(struct ec2_session *s, struct launch *l, const char *ami, const char *device,
                     struct arena *arena, const struct apply_ops *ops, struct xml **ret,
                     struct err *err) {
    struct strlist zones = {0};
    int rc = zones_of_launch(s, l->changes[0]->after, l->token,
                             l->changes[0]->action == ACTION_RESUME, l->zone, arena, &zones, err);
    for (size_t i = 0; rc == 0 && i < (zones.len == 0 ? 1 : zones.len); i++) {
        l->place = zones.len == 0 ? NULL : zones.items[i];
        rc = i == 0 ? 0 : mint(s, l, arena, err);
        l->token = rc < 0 ? l->token : zones_token(l->token, l->place, arena);
        if (l->token == NULL)
            return err_no_memory(err);
        if (rc == 0)
            rc = try_zone(s, l, ami, device, arena, ops, ret, err);
        if (rc == 0 || !zones_is_full(err))
            return rc;
        if (i + 1 >= zones.len)
            break;
        const char *text =
            arena_printf(arena, "no room in %s: trying %s", zones.items[i], zones.items[i + 1]);
        for (size_t j = 0; text != NULL && j < l->len; j++)
            ops->progress(ops->ctx, l->changes[j], text);
        rc = 0;
    }
    if (rc < 0 && zones_is_full(err))
        zones_add_tried(&zones, arena, err);
    return rc;
}

static int start(struct ec2_session *s, struct launch *l, struct arena *arena,
                 const struct apply_ops *ops, struct err *err) {
    const char *ami = NULL, *device = NULL;
    struct xml *xml = NULL;
    int rc = ami_find(s, l->changes[0]->after, arena, &ami, err);
    if (rc == 0)
        rc = root_device(s, ami, arena, &device, err);
    if (rc == 0)
        rc = try_zones(s, l, ami, device, arena, ops, &xml, err);
    if (rc == 0)
        rc = read_ids(l, xml, arena, err);
    ops->gather(ops->ctx, l->changes[0]);
    for (size_t i = 0; rc == 0 && i < l->len; i++) {
        RECORD record = *(const RECORD *)l->changes[i]->after;
        record.host_key = l->host_key;
        record.instance_id = l->ids[i];
        record.ami = ami;
        record.zone = l->place;
        record.launch_index = (int64_t)i;
        rc = ops->created(ops->ctx, l->changes[i], l->ids[i], &record, err);
    }
    return sync_all(l, ops, rc, err);
}

RECORD server_merge(const RECORD *wanted, const RECORD *seen) {
    RECORD r = *wanted;
    r.instance_id = seen->instance_id;
    r.ami = seen->ami;
    r.public_ip = r.elastic_ip != NULL ? r.elastic_ip : seen->public_ip;
    r.private_ip = seen->private_ip;
    r.public_dns = seen->public_dns;
    r.zone = seen->zone;
    r.root_volume = seen->root_volume;
    r.spot_request = seen->spot_request;
    r.launch_index = seen->launch_index;
    return r;
}

/* EC2 may answer a repeated token with the old launch although other things were asked for. */
static bool is_as_asked(const struct change *c, const char *id, const RECORD *seen,
                        struct err *err) {
    const RECORD *wanted = c->after;
    if (cstr_eq(seen->type, wanted->type))
        return true;
    err_set(err, ERRC_CONFLICT, "%s is of type %s, not %s: it is of an earlier launch", id,
            seen->type == NULL ? "?" : seen->type, wanted->type);
    err_hint(err, "run apply again: it is changed");
    return false;
}

static void launch(struct ec2_session *s, struct launch *l, struct arena *arena,
                   const struct apply_ops *ops, struct err *err) {
    RECORD *seen = arena_calloc(arena, l->len, sizeof *seen);
    bool *failed = arena_calloc(arena, l->len, sizeof *failed);
    if (seen == NULL || failed == NULL) {
        err_no_memory(err);
        for (size_t i = 0; i < l->len; i++)
            ops->failed(ops->ctx, l->changes[i], err);
        return;
    }
    int rc = start(s, l, arena, ops, err);
    if (rc == 0)
        rc = server_await(s, WAIT_RUNNING, l->changes, l->ids, l->len, seen, failed, ops, arena,
                          err);
    if (rc == 0)
        rc = server_associate_all(s, l->changes, l->ids, l->len, seen, failed, ops, arena, err);
    for (size_t i = 0; i < l->len; i++) {
        if (failed[i])
            continue;
        if (rc == 0 && is_as_asked(l->changes[i], l->ids[i], &seen[i], err)) {
            RECORD record = server_merge(l->changes[i]->after, &seen[i]);
            record.host_key = l->host_key;
            if (ops->done(ops->ctx, l->changes[i], &record, err) == 0)
                continue;
        }
        ops->failed(ops->ctx, l->changes[i], err);
    }
}

static int by_index(const void *a, const void *b) {
    int64_t x = server_address_index((*(struct change *const *)a)->address);
    int64_t y = server_address_index((*(struct change *const *)b)->address);
    return x < y ? -1 : x > y;
}

/* A server goes where its data volume is, since that cannot follow it. NULL: it has none yet. */
static const char *zone_of_data(const struct change *c, const struct apply_ops *ops,
                                struct arena *arena) {
    const struct kind *kind = NULL;
    const char *address = volume_address(arena, server_address_index(c->address));
    const struct volume_record *volume =
        address == NULL ? NULL : ops->lookup.record(ops->lookup.ctx, address, &kind);
    return volume == NULL || kind != &volume_kind ? NULL : volume->zone;
}

/* How many changes from the first on go into one launch: consecutive indexes, one zone. They are
 * sorted. */
static size_t launch_len(struct change *const *changes, size_t len, const char *zone,
                         const struct apply_ops *ops, struct arena *arena) {
    size_t n = 1;
    while (n < len && n < SERVER_IDS_MAX &&
           server_address_index(changes[n]->address) ==
               server_address_index(changes[0]->address) + (int64_t)n &&
           cstr_eq(zone_of_data(changes[n], ops, arena), zone))
        n++;
    return n;
}

/* A token that never was pending with others is its own; resumed ones share theirs. */
void server_launch_all(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                       struct err *err) {
    qsort(batch->changes, batch->len, sizeof *batch->changes, by_index);
    for (size_t i = 0; i < batch->len;) {
        const char *zone = zone_of_data(batch->changes[i], ops, batch->arena);
        size_t n = launch_len(batch->changes + i, batch->len - i, zone, ops, batch->arena);
        struct launch *l = ARENA_NEW(batch->arena, struct launch);
        if (l == NULL) {
            err_no_memory(err);
            for (size_t j = i; j < i + n; j++)
                ops->failed(ops->ctx, batch->changes[j], err);
        } else {
            l->changes = batch->changes + i;
            l->len = n;
            l->zone = zone;
            l->token = batch->changes[i]->token;
            launch(s, l, batch->arena, ops, err);
        }
        i += n;
    }
}
