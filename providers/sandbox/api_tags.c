/* Tags, of whatever has them. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/internal.h"

#include <stdio.h>
#include <string.h>

/* Where they are, and what an unknown one is answered with. */
static const struct {
    const char *list, *prefix, *code;
} resources[] = {
    {"instances", "i-", "InvalidInstanceID.NotFound"},
    {"groups", "sg-", "InvalidGroup.NotFound"},
    {"key_pairs", "key-", "InvalidKeyPair.NotFound"},
    {"volumes", "vol-", "InvalidVolume.NotFound"},
    {"addresses", "eipalloc-", "InvalidAllocationID.NotFound"},
    {"spot_requests", "sir-", "InvalidSpotInstanceRequestID.NotFound"},
};

enum { RESOURCES = sizeof resources / sizeof resources[0] };

static cJSON *find_resource(struct sandbox *s, const char *id) {
    for (size_t i = 0; i < RESOURCES; i++) {
        cJSON *found = find_by(world_list(s, resources[i].list), "id", id);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static int not_found(const char *id, struct api_error *e) {
    for (size_t i = 0; i < RESOURCES; i++)
        if (strncmp(id, resources[i].prefix, strlen(resources[i].prefix)) == 0)
            return api_fail(e, resources[i].code, "The ID '%.60s' does not exist", id);
    return api_fail(e, "InvalidID", "The ID '%.60s' is not valid", id);
}

static void change_tag(cJSON *tags, const cJSON *form, int number, bool add) {
    char key[64];
    snprintf(key, sizeof key, "Tag.%d.Key", number);
    const char *name = text_of(form, key);
    snprintf(key, sizeof key, "Tag.%d.Value", number);
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(form, key);
    if (add)
        set_text(tags, name, text_of(form, key));
    else if (value == NULL || strcmp(text_of(form, key), text_of(tags, name)) == 0)
        cJSON_DeleteItemFromObjectCaseSensitive(tags, name);
}

/* All or nothing. */
static int change_tags(struct sandbox *s, const cJSON *form, struct buf *out, struct api_error *e,
                       bool add) {
    cJSON *ids = form_list(form, "ResourceId");
    const cJSON *id;
    int rc = cJSON_GetArraySize(ids) > 0
                 ? 0
                 : api_fail(e, "MissingParameter", "The request must contain ResourceId");
    cJSON_ArrayForEach(id, ids) if (rc == 0 && find_resource(s, cJSON_GetStringValue(id)) == NULL)
        rc = not_found(cJSON_GetStringValue(id), e);
    cJSON_ArrayForEach(id, ids) {
        cJSON *tags = cJSON_GetObjectItem(find_resource(s, cJSON_GetStringValue(id)), "tags");
        char key[64];
        for (int t = 1; rc == 0 && t <= 50; t++) {
            snprintf(key, sizeof key, "Tag.%d.Key", t);
            if (text_of(form, key)[0] == '\0')
                break;
            change_tag(tags, form, t, add);
        }
    }
    cJSON_Delete(ids);
    xml_add(out, "return", "true");
    return rc;
}

static int create_tags(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    return change_tags(s, form, out, e, true);
}

static int delete_tags(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    return change_tags(s, form, out, e, false);
}

const struct action tag_actions[] = {
    {"CreateTags", create_tags, true},
    {"DeleteTags", delete_tags, true},
    {NULL, NULL, false},
};
