#include "engine/plan.h"

#include "specs/buf.h"
#include "specs/record.h"

static bool add_text(cJSON *out, const char *name, const char *value) {
    return value == NULL || cJSON_AddStringToObject(out, name, value) != NULL;
}

static bool add_value(cJSON *out, const char *name, const struct field *f, const void *record) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    if (record == NULL || !record_field_is_set(f, record))
        return true;
    record_print_field(f, record, &text);
    return !text.failed && add_text(out, name, buf_cstr(&text));
}

static bool add_field(cJSON *list, const struct change *c, const struct field_change *fc) {
    cJSON *item = cJSON_CreateObject();
    bool good = item != NULL && add_text(item, "name", fc->field->name) &&
                add_value(item, "before", fc->field, c->before) &&
                (fc->after_unknown ? cJSON_AddTrueToObject(item, "after_unknown") != NULL
                                   : add_value(item, "after", fc->field, c->after)) &&
                add_text(item, "why", why_name(fc->why)) &&
                (!fc->replaces || cJSON_AddTrueToObject(item, "replaces") != NULL);
    if (!good || !cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
        return false;
    }
    return true;
}

static bool add_besides(cJSON *out, const struct plan *plan, const struct change *c) {
    const struct change *other = plan_beside(plan, c);
    cJSON *item = other == NULL ? NULL : cJSON_AddObjectToObject(out, "besides");
    return other == NULL ||
           (item != NULL && add_text(item, "address", other->address) &&
            add_text(item, "text", c->kind->besides) &&
            add_text(item, "at_stake", other->live == NULL ? NULL : other->live->at_stake));
}

static bool add_change(cJSON *list, const struct plan *plan, const struct change *c) {
    cJSON *item = cJSON_CreateObject();
    if (item == NULL || !cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
        return false;
    }
    bool good = add_text(item, "address", c->address) && add_text(item, "kind", c->kind->name) &&
                add_text(item, "id", change_id(c)) &&
                add_text(item, "action", action_name(c->action)) &&
                cJSON_AddNumberToObject(item, "case", c->case_number) &&
                add_text(item, "why", why_name(c->why)) && add_text(item, "loses", c->loses) &&
                add_text(item, "note", c->note) && add_text(item, "token", c->token) &&
                (!c->with_parent || cJSON_AddTrueToObject(item, "with_parent") != NULL) &&
                add_besides(item, plan, c);
    if (good && c->action == ACTION_UNKNOWN && c->live != NULL)
        good = add_text(item, "error", c->live->err.msg);
    cJSON *fields = good ? cJSON_AddArrayToObject(item, "fields") : NULL;
    good = fields != NULL;
    for (size_t i = 0; good && i < c->fields_len; i++)
        good = add_field(fields, c, &c->fields[i]);
    cJSON *after = good && c->action == ACTION_CREATE
                       ? record_to_json(c->kind->fields, c->after, false)
                       : NULL;
    if (after != NULL)
        cJSON_AddItemToObject(item, "after", after);
    return good;
}

static bool add_warnings(cJSON *out, const char *name, const struct plan_warning *items,
                         size_t len) {
    cJSON *list = cJSON_AddArrayToObject(out, name);
    bool good = list != NULL;
    for (size_t i = 0; good && i < len; i++) {
        cJSON *item = cJSON_CreateObject();
        good = item != NULL && add_text(item, "address", items[i].address) &&
               add_text(item, "text", items[i].text) &&
               (!items[i].note || cJSON_AddTrueToObject(item, "note") != NULL) &&
               cJSON_AddItemToArray(list, item);
        if (!good)
            cJSON_Delete(item);
    }
    return good;
}

cJSON *plan_to_json(const struct plan *plan) {
    cJSON *out = cJSON_CreateObject();
    bool good =
        out != NULL && cJSON_AddNumberToObject(out, "format_version", 1) &&
        (!plan->destroy || cJSON_AddTrueToObject(out, "destroy")) &&
        (!plan->partial || (cJSON_AddTrueToObject(out, "partial") &&
                            cJSON_AddNumberToObject(out, "left_out", (double)plan->left_out))) &&
        add_text(out, "spec_sha256", plan->spec_sha256) &&
        add_text(out, "state_sha256", plan->state_sha256) &&
        add_text(out, "live_sha256", plan->live_sha256);
    cJSON *counts = good ? cJSON_AddObjectToObject(out, "counts") : NULL;
    for (int a = 0; counts != NULL && a < ACTION_COUNT; a++)
        if (plan->counts[a] > 0)
            cJSON_AddNumberToObject(counts, action_name((enum action)a), (double)plan->counts[a]);
    cJSON *changes = counts != NULL ? cJSON_AddArrayToObject(out, "changes") : NULL;
    good = changes != NULL;
    for (size_t i = 0; good && i < plan->len; i++)
        good = add_change(changes, plan, &plan->changes[i]);
    good = good && add_warnings(out, "warnings", plan->warnings, plan->warnings_len) &&
           add_warnings(out, "blockers", plan->blockers, plan->blockers_len);
    if (!good) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}
