#include "engine/state_json.h"

#include "specs/json_text.h"
#include "specs/record.h"

static const char *const status_names[] = {
    [RECORDED_OK] = "ok", [RECORDED_PENDING] = "pending", [RECORDED_FAILED] = "failed"};
enum { STATUSES = sizeof status_names / sizeof status_names[0] };
_Static_assert(STATUSES == RECORDED_FAILED + 1, "one name a status");

static bool add_text(cJSON *out, const char *name, const char *value) {
    return value == NULL || cJSON_AddStringToObject(out, name, value) != NULL;
}

/* A kind that this berth does not know keeps its attributes as the text that it came with. */
static cJSON *attributes(const struct recorded *entry) {
    return entry->kind != NULL ? record_to_json(entry->kind->fields, entry->record, false)
                               : cJSON_Parse(entry->record);
}

cJSON *recorded_to_json(const struct recorded *entry) {
    cJSON *out = cJSON_CreateObject();
    bool good = out != NULL && add_text(out, "address", entry->address) &&
                add_text(out, "kind", entry->kind_name) && add_text(out, "id", entry->id) &&
                add_text(out, "status", status_names[entry->status]) &&
                add_text(out, "token", entry->token) && add_text(out, "parent", entry->parent) &&
                (!entry->protect || cJSON_AddTrueToObject(out, "protect") != NULL);
    cJSON *deps = good && entry->deps.len > 0 ? cJSON_AddArrayToObject(out, "deps") : NULL;
    for (size_t i = 0; good && i < entry->deps.len; i++)
        good = cJSON_AddItemToArray(deps, cJSON_CreateString(entry->deps.items[i]));
    if (good && entry->record != NULL)
        good = cJSON_AddItemToObject(out, "attributes", attributes(entry));
    if (!good) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

static const char *text_of(struct arena *arena, const cJSON *json, const char *name) {
    return arena_dup(arena, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name)));
}

static int deps_from_json(struct arena *arena, const cJSON *json, struct strlist *deps,
                          struct err *err) {
    const cJSON *item;
    cJSON_ArrayForEach(item, json) {
        if (!cJSON_IsString(item))
            return err_set(err, ERRC_STATE, "a dependency is not text");
        if (strlist_add(arena, deps, item->valuestring) < 0)
            return err_no_memory(err);
    }
    return 0;
}

int recorded_from_json(struct arena *arena, const struct kind *const *kinds, const cJSON *json,
                       struct recorded *ret, struct err *err) {
    struct recorded entry = {
        .address = text_of(arena, json, "address"),
        .kind_name = text_of(arena, json, "kind"),
        .parent = text_of(arena, json, "parent"),
        .id = text_of(arena, json, "id"),
        .token = text_of(arena, json, "token"),
        .protect = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "protect")),
    };
    if (entry.address == NULL || entry.kind_name == NULL)
        return err_set(err, ERRC_STATE, "a node has no address or no kind");
    const char *status = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "status"));
    size_t s = 0;
    while (s < STATUSES && !cstr_eq(status, status_names[s]))
        s++;
    if (s == STATUSES)
        return err_set(err, ERRC_STATE, "%s has no status", entry.address);
    entry.status = (enum recorded_status)s;
    entry.kind = registry_find(kinds, entry.kind_name);
    int rc =
        deps_from_json(arena, cJSON_GetObjectItemCaseSensitive(json, "deps"), &entry.deps, err);
    const cJSON *attributes = cJSON_GetObjectItemCaseSensitive(json, "attributes");
    if (rc == 0 && attributes != NULL) {
        if (entry.kind == NULL) {
            entry.record = (void *)json_text_of_json(arena, attributes);
        } else if ((entry.record = arena_alloc(arena, entry.kind->size)) == NULL) {
            rc = err_no_memory(err);
        } else {
            rc = record_from_json(arena, entry.kind->fields, attributes, entry.record, err);
            if (rc < 0)
                err_wrap(err, "%s", entry.address);
        }
    }
    if (rc == 0)
        *ret = entry;
    return rc;
}
