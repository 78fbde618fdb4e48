#include "providers/sandbox/api.h"
#include "providers/sandbox/internal.h"
#include "providers/sshkey.h"

#include <string.h>

static int import(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    const char *name = text_of(form, "KeyName");
    char id[40];
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf fingerprint = BUF_INIT(BUF_SMALL);
    if (name[0] == '\0')
        return api_fail(e, "MissingParameter", "The request must contain the parameter KeyName");
    if (find_by(world_list(s, "key_pairs"), "name", name) != NULL)
        return api_fail(e, "InvalidKeyPair.Duplicate", "The keypair '%.100s' already exists.",
                        name);
    if (!buf_add_base64_decoded(&key, str_of(text_of(form, "PublicKeyMaterial"))) ||
        !sshkey_fingerprint(buf_str(&key), &fingerprint) ||
        (!str_starts(buf_str(&key), STR("ssh-ed25519 ")) &&
         !str_starts(buf_str(&key), STR("ssh-rsa "))))
        return api_fail(e, "InvalidKey.Format", "Key is not in valid OpenSSH public key format");
    cJSON *k = cJSON_CreateObject();
    make_id("key", id, sizeof id);
    set_text(k, "id", id);
    set_text(k, "name", name);
    set_text(k, "public_key", buf_cstr(&key));
    /* EC2 shows an Ed25519 key's SHA-256 in base64, padded. */
    _cleanup_buf_ struct buf shown = BUF_INIT(BUF_SMALL);
    buf_addf(&shown, "%s=", buf_cstr(&fingerprint) + strlen("SHA256:"));
    set_text(k, "fingerprint", buf_cstr(&shown));
    cJSON_AddItemToObject(k, "tags", form_tags(form, "key-pair"));
    cJSON_AddItemToArray(world_list(s, "key_pairs"), k);
    xml_add(out, "keyName", name);
    xml_add(out, "keyFingerprint", buf_cstr(&shown));
    xml_add(out, "keyPairId", id);
    return 0;
}

static const char *const filters[] = {"key-name", "key-pair-id", "fingerprint", NULL};

static bool matches(cJSON *k, const char *filter, const char *value) {
    bool matched = false;
    if (tag_matches(cJSON_GetObjectItem(k, "tags"), filter, value, &matched))
        return matched;
    if (strcmp(filter, "key-name") == 0)
        return pattern_matches(value, text_of(k, "name"));
    if (strcmp(filter, "key-pair-id") == 0)
        return pattern_matches(value, text_of(k, "id"));
    return strcmp(filter, "fingerprint") == 0 && pattern_matches(value, text_of(k, "fingerprint"));
}

static int describe(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *k;
    static const char *const lists[][2] = {{"KeyPairId", "id"}, {"KeyName", "name"}};
    cJSON *names = cJSON_CreateArray(); /* of all that are named */
    const cJSON *name;
    int rc = form_check_filters(form, filters, e);
    for (size_t l = 0; l < 2; l++) {
        cJSON *given = form_list(form, lists[l][0]);
        cJSON_ArrayForEach(name, given) {
            k = find_by(world_list(s, "key_pairs"), lists[l][1], cJSON_GetStringValue(name));
            if (k != NULL)
                cJSON_AddItemToArray(names, cJSON_CreateString(text_of(k, "name")));
            else if (rc == 0)
                rc = api_fail(e, "InvalidKeyPair.NotFound", "The key pair '%.80s' does not exist",
                              cJSON_GetStringValue(name));
        }
        cJSON_Delete(given);
    }
    bool with_key = strcmp(text_of(form, "IncludePublicKey"), "true") == 0;
    buf_adds(out, "<keySet>");
    cJSON_ArrayForEach(k, world_list(s, "key_pairs")) {
        bool listed = cJSON_GetArraySize(names) == 0;
        cJSON_ArrayForEach(name, names) listed |=
            strcmp(cJSON_GetStringValue(name), text_of(k, "name")) == 0;
        if (!listed || !form_filter(form, k, matches))
            continue;
        buf_adds(out, "<item>");
        xml_add(out, "keyPairId", text_of(k, "id"));
        xml_add(out, "keyName", text_of(k, "name"));
        xml_add(out, "keyFingerprint", text_of(k, "fingerprint"));
        bool rsa = strncmp(text_of(k, "public_key"), "ssh-rsa ", 8) == 0;
        xml_add(out, "keyType", rsa ? "rsa" : "ed25519");
        if (with_key)
            xml_add(out, "publicKey", text_of(k, "public_key"));
        xml_add_tags(out, cJSON_GetObjectItem(k, "tags"));
        buf_adds(out, "</item>");
    }
    buf_adds(out, "</keySet>");
    cJSON_Delete(names);
    return rc;
}

/* As EC2's: what is not there is deleted already. */
static int delete_key(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *list = world_list(s, "key_pairs");
    const char *id = text_of(form, "KeyPairId");
    cJSON *k =
        id[0] != '\0' ? find_by(list, "id", id) : find_by(list, "name", text_of(form, "KeyName"));
    if (k == NULL && id[0] != '\0')
        return api_fail(e, "InvalidKeyPair.NotFound", "The key pair '%.80s' does not exist", id);
    if (k != NULL)
        cJSON_Delete(cJSON_DetachItemViaPointer(list, k));
    xml_add(out, "return", "true");
    return 0;
}

const struct action key_actions[] = {
    {"ImportKeyPair", import, true},
    {"DescribeKeyPairs", describe, false},
    {"DeleteKeyPair", delete_key, true},
    {NULL, NULL, false},
};
