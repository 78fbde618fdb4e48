/* The key pair kind: made on this machine, or the user's own; only its public half travels. */
#include "providers/ec2/internal.h"
#include "providers/sshkey.h"
#include "specs/sections/sections.h"

#include <string.h>

#define RECORD struct key_pair_record

enum { F_NAME, F_PUBLIC_KEY, F_TYPE };

static const struct field fields[] = {
    [F_NAME] = {.name = "name",
                .doc = "Name in EC2.",
                .type = FIELD_STR,
                .flags = FIELD_IMMUTABLE,
                .offset = offsetof(RECORD, name)},
    [F_PUBLIC_KEY] = {.name = "public_key",
                      .doc = "Public key, without its comment.",
                      .type = FIELD_STR,
                      .flags = FIELD_IMMUTABLE,
                      .offset = offsetof(RECORD, public_key)},
    [F_TYPE] = {.name = "type",
                .doc = "Kind of key.",
                .type = FIELD_STR,
                .flags = FIELD_IMMUTABLE,
                .offset = offsetof(RECORD, type)},
    {.name = "id",
     .doc = "Id in EC2.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, key_pair_id)},
    {.name = "fingerprint",
     .doc = "Fingerprint as EC2 shows it.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, fingerprint)},
    {.name = "made",
     .doc = "Made by berth in the project folder.",
     .type = FIELD_BOOL,
     .flags = FIELD_UNREADABLE,
     .offset = offsetof(RECORD, made)},
    {.name = "tags", .doc = "Your own tags.", .type = FIELD_MAP, .offset = offsetof(RECORD, tags)},
    {.name = "tagged",
     .doc = "Carries the tags that berth finds it by.",
     .type = FIELD_BOOL,
     .offset = offsetof(RECORD, tagged)},
    FIELD_END,
};

static int ask(const struct spec *spec, struct inputs *inputs) {
    const struct key_pair_section *section = spec_key_pair(spec);
    return section->public_key != NULL
               ? inputs_ask(inputs, INPUT_FILE, section->public_key, "key_pair.public_key", true)
               : inputs_ask(inputs, INPUT_LOCAL, key_pair_public_file(section->type), "key_pair",
                            false);
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    const char *type = spec_key_pair(in->spec)->type;
    const char *given = spec_key_pair(in->spec)->public_key;
    struct node *node = nodes_add(out, &key_pair_kind, "key_pair", NULL);
    if (node == NULL)
        return -ERRC_NOMEM;
    RECORD *record = node->desired;
    record->name = arena_printf(out->arena, "berth-%s", in->spec->name);
    record->type = type;
    record->made = given == NULL;
    record->tagged = true;
    if (strmap_copy(out->arena, &record->tags, &spec_server(in->spec)->tags) < 0)
        return -ERRC_NOMEM;
    const struct input *key = inputs_get(in->inputs, given != NULL ? INPUT_FILE : INPUT_LOCAL,
                                         given != NULL ? given : key_pair_public_file(type));
    if (key == NULL || !key->found) {
        node->unknown = 1u << F_PUBLIC_KEY; /* it is made when it is needed */
        return record->name == NULL ? -ERRC_NOMEM : 0;
    }
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    if (!sshkey_strip(secret_reveal(&key->content), &line)) {
        diag_add(diags, spec_mark(in->spec, "key_pair.public_key"),
                 "expected the .pub file, which starts with ssh-ed25519 or ssh-rsa",
                 "this is not a public key");
        return 0;
    }
    if (cstr_eq(type, "rsa") && !cstr_eq(sshkey_type(buf_str(&line)), type)) {
        diag_add(diags, spec_mark(in->spec, "key_pair.type"),
                 "leave `type` out: it is for the key that is made",
                 "the public key is no RSA key");
        return 0;
    }
    record->type = sshkey_type(buf_str(&line));
    record->public_key = arena_dup_str(out->arena, buf_str(&line));
    return record->name == NULL || record->public_key == NULL ? -ERRC_NOMEM : 0;
}

void key_pair_ask_live(struct ec2_session *s, struct query *q) {
    query_init(q, "DescribeKeyPairs");
    query_add_filter(q, 1, "key-name", (const char *const[]){s->object_name, NULL});
    query_add(q, "IncludePublicKey", "true");
}

static int record_of(const struct xml *item, struct arena *arena, RECORD *ret) {
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    const char *key = xml_text(item, "publicKey");
    ret->name = arena_dup(arena, xml_text(item, "keyName"));
    ret->key_pair_id = arena_dup(arena, xml_text(item, "keyPairId"));
    ret->fingerprint = arena_dup(arena, xml_text(item, "keyFingerprint"));
    if (key != NULL && sshkey_strip(str_of(key), &line))
        ret->public_key = arena_dup_str(arena, buf_str(&line));
    ret->type = ret->public_key != NULL ? sshkey_type(str_of(ret->public_key))
                                        : arena_dup(arena, xml_text(item, "keyType"));
    return ret->name == NULL ? -ERRC_NOMEM : ec2_read_tags(item, arena, &ret->tags);
}

static const char *note_of(const struct node *node, const RECORD *live) {
    const RECORD *wanted = node == NULL ? NULL : node->desired;
    if (wanted == NULL || !wanted->made)
        return NULL;
    if (live->type != NULL && !cstr_eq(live->type, wanted->type))
        return "servers that were made with the old pair let in that one only; its private half is "
               "kept for them";
    return node->unknown >> F_PUBLIC_KEY & 1
               ? "its private half is not here: a new pair takes its place, which servers that "
                 "were made with the old one do not let in"
               : NULL;
}

int key_pair_read_live(struct ec2_session *s, const struct observe_in *in,
                       const struct ec2_answers *answers, struct observed *out, struct err *err) {
    const struct ec2_answer *pairs = &answers->of[READ_KEY_PAIRS];
    const struct xml *item = pairs->len == 0 ? NULL : pairs->items[0];
    const struct recorded *known = recorded_find(in->recorded, "key_pair");
    if (item == NULL)
        return observed_add(out, &key_pair_kind, "key_pair", LIVE_NONE) == NULL ? err_no_memory(err)
                                                                                : 0;
    RECORD *record = ARENA_NEW(&out->arena, RECORD);
    if (record == NULL || record_of(item, &out->arena, record) < 0)
        return err_no_memory(err);
    bool ours = ec2_is_ours(item, s->run) ||
                (known != NULL && known->id != NULL && cstr_eq(known->id, record->key_pair_id));
    struct live *live =
        observed_add(out, &key_pair_kind, "key_pair", ours ? LIVE_OURS : LIVE_FOREIGN);
    if (live == NULL)
        return err_no_memory(err);
    live->id = record->key_pair_id;
    if (!ours) {
        err_set(&live->err, ERRC_CONFLICT, "a key pair named %s (%s)", record->name,
                record->key_pair_id == NULL ? "?" : record->key_pair_id);
        return 0;
    }
    live->record = record;
    record->tagged = ec2_is_tagged(item, s->run, "key_pair", EC2_NO_INDEX);
    if (record->public_key == NULL)
        live->unread |= 1u << F_PUBLIC_KEY;
    if (record->type == NULL)
        live->unread |= 1u << F_TYPE;
    live->note = note_of(nodes_find(in->nodes, "key_pair"), record);
    return 0;
}

/* A pair of the name is there. A run that was cut may have imported it, and EC2 did not show it yet
 * when this one looked: then it is ours, of this very key. Else `err` stays as it is. */
static int find_imported(struct ec2_session *s, const RECORD *record, struct arena *arena,
                         const struct xml **ret, struct err *err) {
    struct err refusal = *err;
    struct query q;
    struct xml *xml = NULL;
    RECORD found = {0};
    key_pair_ask_live(s, &q);
    int rc = ec2_call(s, &q, "DescribeKeyPairs", false, arena, &xml, err);
    const struct xml *item = rc < 0 ? NULL : xml_first_item(xml, "keySet");
    if (item != NULL && ec2_is_ours(item, s->run) && record_of(item, arena, &found) == 0 &&
        cstr_eq(found.public_key, record->public_key)) {
        *ret = item;
        return 0;
    }
    *err = refusal;
    return -err->code;
}

static int import(struct ec2_session *s, struct change *c, RECORD *record, struct arena *arena,
                  const struct apply_ops *ops, struct err *err) {
    _cleanup_buf_ struct buf material = BUF_INIT(BUF_SMALL);
    int rc =
        ops->intent(ops->ctx, c, err); /* before its files too: destroy removes what is known */
    if (rc == 0 && record->public_key == NULL)
        rc = key_pair_make(s, record, arena, err);
    if (rc < 0)
        return rc;
    struct query q;
    struct xml *xml = NULL;
    query_init(&q, "ImportKeyPair");
    query_add(&q, "KeyName", record->name);
    buf_add_base64(&material, record->public_key, strlen(record->public_key));
    query_add(&q, "PublicKeyMaterial", buf_cstr(&material));
    ec2_add_tags(&q, 1, "key-pair", s->run, "key_pair", EC2_NO_INDEX, &record->tags);
    /* Names are unique: sent again after a lost answer, it makes no second one. */
    rc = ec2_call(s, &q, "ImportKeyPair", false, arena, &xml, err);
    const struct xml *pair = xml;
    if (rc < 0 && ec2_is(err, "InvalidKeyPair.Duplicate"))
        rc = find_imported(s, record, arena, &pair, err);
    if (rc < 0)
        return rc;
    record->key_pair_id = arena_dup(arena, xml_text(pair, "keyPairId"));
    record->fingerprint = arena_dup(arena, xml_text(pair, "keyFingerprint"));
    if (record->key_pair_id == NULL)
        return err_set(err, ERRC_NET, "ImportKeyPair: the answer has no id");
    return ops->created(ops->ctx, c, record->key_pair_id, record, err);
}

/* By name when it was just seen to be ours: names are unique, and not every EC2 beside AWS's own
 * takes the id. Else by id, since the name may have become somebody else's. */
static int delete_pair(struct ec2_session *s, const struct change *c, struct arena *arena,
                       struct err *err) {
    const RECORD *record = c->before;
    struct query q;
    struct xml *xml;
    bool seen = c->live != NULL && c->live->presence == LIVE_OURS;
    const char *id = record == NULL ? NULL : record->key_pair_id;
    query_init(&q, "DeleteKeyPair");
    query_add(&q, seen || id == NULL ? "KeyName" : "KeyPairId",
              seen || id == NULL ? s->object_name : id);
    int rc = ec2_call(s, &q, "DeleteKeyPair", false, arena, &xml, err);
    return rc < 0 && ec2_is(err, "InvalidKeyPair.NotFound") ? 0 : rc;
}

/* The pair was deleted by hand. All servers of ours are gone by now; but one that lost its tags and
 * its record may be there, and nothing else lets anybody in. */
static int check_unused(struct ec2_session *s, struct arena *arena, struct err *err) {
    struct query q;
    struct xml *xml;
    query_init(&q, "DescribeInstances");
    query_add_filter(&q, 1, "key-name", (const char *const[]){s->object_name, NULL});
    query_add_filter(&q, 2, "instance-state-name", server_live_states);
    int rc = ec2_call(s, &q, "DescribeInstances", false, arena, &xml, err);
    const struct xml *item = rc < 0 ? NULL : xml_first_item(xml, "reservationSet");
    if (rc < 0 || item == NULL)
        return rc;
    const char *id = xml_text(xml_first_item(item, "instancesSet"), "instanceId");
    err_set(err, ERRC_CONFLICT, "%s was made with the key pair: its private half is kept",
            id == NULL ? "a server" : id);
    err_hint(err, "terminate it, or move the key away from %s; then destroy again",
             s->run->project_dir);
    return -ERRC_CONFLICT;
}

static int remove_pair(struct ec2_session *s, struct change *c, struct arena *arena,
                       const struct apply_ops *ops, struct err *err) {
    bool vanished = c->action == ACTION_FORGET;
    int rc = !vanished               ? delete_pair(s, c, arena, err)
             : key_pair_has_files(s) ? check_unused(s, arena, err)
                                     : 0;
    if (rc == 0)
        rc = key_pair_remove_files(s, err);
    return rc < 0 ? rc : ops->done(ops->ctx, c, NULL, err);
}

static int retag(struct ec2_session *s, const RECORD *before, const RECORD *after,
                 struct arena *arena, struct err *err) {
    const struct ec2_tagging tagging = {.ids = &after->key_pair_id,
                                        .ids_len = 1,
                                        .node = "key_pair",
                                        .first_index = EC2_NO_INDEX,
                                        .mend = !before->tagged,
                                        .before = &before->tags,
                                        .after = &after->tags};
    return ec2_tag(s, &tagging, arena, err);
}

static int apply_one(struct ec2_session *s, struct change *c, struct arena *arena,
                     const struct apply_ops *ops, struct err *err) {
    if (c->action == ACTION_DESTROY || c->action == ACTION_FORGET)
        return remove_pair(s, c, arena, ops, err);
    RECORD *record = ARENA_NEW(arena, RECORD);
    if (record == NULL)
        return err_no_memory(err);
    *record = *(const RECORD *)c->after;
    bool there = c->action == ACTION_UPDATE || c->action == ACTION_ADOPT;
    bool lost = there && record->public_key == NULL; /* its private half is not here */
    int rc = 0;
    if (lost || c->action == ACTION_REPLACE) {
        if (record->public_key == NULL) /* nothing is given up for what cannot be made */
            rc = key_pair_make(s, record, arena, err);
        if (rc == 0)
            rc = delete_pair(s, c, arena, err);
    }
    if (rc == 0 && (lost || !there))
        rc = import(s, c, record, arena, ops, err);
    else if (rc == 0)
        rc = retag(s, c->before, record, arena, err);
    return rc < 0 ? rc : ops->done(ops->ctx, c, record, err);
}

static int apply(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                 struct err *err) {
    for (size_t i = 0; i < batch->len; i++)
        if (apply_one(s, batch->changes[i], batch->arena, ops, err) < 0)
            ops->failed(ops->ctx, batch->changes[i], err);
    return 0;
}

const struct kind key_pair_kind = {
    .name = "key_pair",
    .world = &ec2_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .leaves = "its private key, if berth made it",
    .ask = ask,
    .desire = desire,
};

const struct ec2_kind key_pair_ec2 = {
    .kind = &key_pair_kind,
    .needs = 1u << READ_KEY_PAIRS,
    .read = key_pair_read_live,
    .apply = apply,
};
