#include "engine/planfile.h"

#include "specs/buf.h"
#include "specs/fs.h"

#include <string.h>

static bool add_list(cJSON *json, const char *name, const struct strlist *list) {
    size_t len = list == NULL ? 0 : list->len;
    cJSON *out = len == 0 ? NULL : cJSON_AddArrayToObject(json, name);
    for (size_t i = 0; out != NULL && i < len; i++)
        if (!cJSON_AddItemToArray(out, cJSON_CreateString(list->items[i])))
            return false;
    return len == 0 || out != NULL;
}

int planfile_write(const char *path, const struct plan *plan, const struct plan_options *options,
                   const char *spec_path, struct err *err) {
    cJSON *json = plan_to_json(plan);
    char *text = NULL;
    if (json != NULL && cJSON_AddStringToObject(json, "spec_path", spec_path) != NULL &&
        (!options->data || cJSON_AddTrueToObject(json, "data") != NULL) &&
        add_list(json, "targets", options->targets) &&
        add_list(json, "replaces", options->replaces))
        text = cJSON_Print(json);
    cJSON_Delete(json);
    if (text == NULL)
        return err_no_memory(err);
    int rc = fs_write(path, str_of(text), 0600, err);
    cJSON_free(text);
    return rc;
}

static const char *text_of(const cJSON *json, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
    return text == NULL ? "" : text;
}

int planfile_read(const char *path, struct planfile *ret, struct err *err) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    int rc = fs_read(path, &text, err);
    if (rc < 0)
        return rc;
    cJSON *json = cJSON_ParseWithLength(text.ptr, text.len);
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(json, "format_version");
    if (!cJSON_IsNumber(version) || version->valueint != 1 ||
        text_of(json, "spec_path")[0] == '\0' ||
        !cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(json, "changes"))) {
        cJSON_Delete(json);
        err_set(err, ERRC_INVALID, "%s is not a plan of this berth", path);
        err_hint(err, "make one with `berth plan -out FILE`; a spec is named by -file");
        return -ERRC_INVALID;
    }
    *ret = (struct planfile){.json = json, .spec_path = text_of(json, "spec_path")};
    return 0;
}

static int read_list(const cJSON *json, const char *name, struct arena *arena,
                     struct strlist *ret) {
    const cJSON *item;
    *ret = (struct strlist){0};
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json, name)) {
        if (cJSON_IsString(item) && strlist_add(arena, ret, item->valuestring) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

int planfile_options(const struct planfile *file, struct arena *arena, struct plan_options *ret,
                     struct strlist *targets, struct strlist *replaces, struct err *err) {
    if (read_list(file->json, "targets", arena, targets) < 0 ||
        read_list(file->json, "replaces", arena, replaces) < 0)
        return err_no_memory(err);
    *ret = (struct plan_options){
        .destroy = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(file->json, "destroy")),
        .data = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(file->json, "data")),
        .targets = targets,
        .replaces = replaces,
    };
    return 0;
}

void planfile_free(struct planfile *file) {
    cJSON_Delete(file->json);
    *file = (struct planfile){0};
}

static const cJSON *find(const cJSON *list, const char *key, const char *value) {
    const cJSON *item;
    cJSON_ArrayForEach(item, list) if (strcmp(text_of(item, key), value) == 0) return item;
    return NULL;
}

/* What moved in one node, in words; nothing when the two agree. */
static void compare_change(const cJSON *then, const cJSON *now, const char *address,
                           struct buf *out) {
    const char *was = then == NULL ? "no-op" : text_of(then, "action");
    const char *is = now == NULL ? "no-op" : text_of(now, "action");
    if (strcmp(was, is) != 0) {
        buf_addf(out, "\n  %s: was %s, is now %s", address, was, is);
        return;
    }
    const cJSON *then_fields = cJSON_GetObjectItemCaseSensitive(then, "fields");
    const cJSON *now_fields = cJSON_GetObjectItemCaseSensitive(now, "fields");
    const cJSON *field;
    cJSON_ArrayForEach(field, now_fields) {
        const char *name = text_of(field, "name");
        const cJSON *old = find(then_fields, "name", name);
        if (old == NULL || strcmp(text_of(old, "before"), text_of(field, "before")) != 0 ||
            strcmp(text_of(old, "after"), text_of(field, "after")) != 0)
            buf_addf(out, "\n  %s: %s moved", address, name);
    }
    cJSON_ArrayForEach(field, then_fields) {
        const char *name = text_of(field, "name");
        if (find(now_fields, "name", name) == NULL)
            buf_addf(out, "\n  %s: %s moved", address, name);
    }
}

static void compare_changes(const cJSON *then, const cJSON *now, struct buf *out) {
    const cJSON *item;
    cJSON_ArrayForEach(item, now) {
        const char *address = text_of(item, "address");
        compare_change(find(then, "address", address), item, address, out);
    }
    cJSON_ArrayForEach(item, then) {
        const char *address = text_of(item, "address");
        if (find(now, "address", address) == NULL)
            compare_change(item, NULL, address, out);
    }
}

/* The text goes into an error, which holds so much: whole lines, and how many there are more. */
static void cut_lines(struct buf *text, size_t max) {
    enum { TAIL = 32 };
    size_t end = max - TAIL, more = 0;
    if (text->len <= max)
        return;
    while (end > 0 && text->ptr[end] != '\n')
        end--;
    for (size_t i = end; i < text->len; i++)
        more += text->ptr[i] == '\n';
    text->ptr[text->len = end] = '\0';
    buf_addf(text, "\n  and %zu more", more);
}

/* What was shown and agreed to keeps its tokens, so that trying twice makes nothing twice. */
static int take_tokens(const cJSON *changes, struct plan *plan) {
    for (size_t i = 0; i < plan->len; i++) {
        const char *token = text_of(find(changes, "address", plan->changes[i].address), "token");
        if (plan->changes[i].token != NULL && token[0] != '\0' &&
            (plan->changes[i].token = arena_dup(&plan->arena, token)) == NULL)
            return -ERRC_NOMEM;
    }
    return 0;
}

int planfile_check(const struct planfile *file, struct plan *plan, struct err *err) {
    static const struct {
        const char *name, *words;
    } prints[] = {{"spec_sha256", "the spec"},
                  {"state_sha256", "the state"},
                  {"live_sha256", "the live world"}};
    const char *const now[] = {plan->spec_sha256, plan->state_sha256, plan->live_sha256};
    const cJSON *then = cJSON_GetObjectItemCaseSensitive(file->json, "changes");
    _cleanup_buf_ struct buf moved = BUF_INIT(BUF_MEDIUM);
    for (size_t i = 0; i < sizeof prints / sizeof prints[0]; i++)
        if (strcmp(text_of(file->json, prints[i].name), now[i]) != 0)
            buf_addf(&moved, "%s%s", moved.len == 0 ? "" : ", ", prints[i].words);
    if (moved.len == 0)
        return take_tokens(then, plan) < 0 ? err_no_memory(err) : 0;
    cJSON *json = plan_to_json(plan);
    if (json == NULL)
        return err_no_memory(err);
    buf_adds(&moved, " moved since the plan was made");
    compare_changes(then, cJSON_GetObjectItemCaseSensitive(json, "changes"), &moved);
    cJSON_Delete(json);
    cut_lines(&moved, sizeof err->msg - 1);
    err_set(err, ERRC_STALE, "%s", buf_cstr(&moved));
    err_hint(err, "make the plan again, look at it, and apply that");
    return -ERRC_STALE;
}
