#include "engine/state.h"

#include "engine/journal.h"
#include "engine/state_json.h"
#include "specs/buf.h"
#include "specs/fs.h"
#include "specs/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_BYTES_MAX = 64 * 1024 * 1024, PATH_SIZE = 4096 };

/* Room for one more entry. */
static int reserve(struct state *state, struct err *err) {
    size_t len = state->nodes.len;
    if (len > 0 && (len & (len - 1)) != 0)
        return 0; /* the capacity is the next power of two */
    struct recorded *items = arena_calloc(&state->arena, len == 0 ? 1 : len * 2, sizeof *items);
    if (items == NULL)
        return err_no_memory(err);
    if (len > 0)
        memcpy(items, state->nodes.items, len * sizeof *items);
    state->nodes.items = items;
    return 0;
}

static int append(struct state *state, const struct recorded *entry, struct err *err) {
    int rc = reserve(state, err);
    if (rc < 0)
        return rc;
    struct recorded_list *nodes = &state->nodes;
    nodes->items[nodes->len++] = *entry;
    rc = names_add(&nodes->names, &state->arena, nodes->items, nodes->len, sizeof *entry);
    return rc < 0 ? err_no_memory(err) : 0;
}

static int copy_entry(struct arena *arena, const struct recorded *from, struct recorded *to) {
    *to = *from;
    to->address = arena_dup(arena, from->address);
    to->kind_name = arena_dup(arena, from->kind != NULL ? from->kind->name : from->kind_name);
    to->parent = arena_dup(arena, from->parent);
    to->id = arena_dup(arena, from->id);
    to->token = arena_dup(arena, from->token);
    to->deps = (struct strlist){0};
    for (size_t i = 0; i < from->deps.len; i++)
        if (strlist_add(arena, &to->deps, from->deps.items[i]) < 0)
            return -ERRC_NOMEM;
    if (from->record == NULL)
        return 0;
    if (from->kind == NULL) {
        to->record = (void *)arena_dup(arena, from->record);
        return to->record == NULL ? -ERRC_NOMEM : 0;
    }
    to->record = arena_alloc(arena, from->kind->size);
    if (to->record == NULL)
        return -ERRC_NOMEM;
    return record_copy(arena, from->kind->fields, to->record, from->record);
}

int state_put(struct state *state, const struct recorded *entry, struct err *err) {
    struct recorded copy;
    if (copy_entry(&state->arena, entry, &copy) < 0)
        return err_no_memory(err);
    size_t i = names_find(&state->nodes.names, state->nodes.items, state->nodes.len, sizeof copy,
                          entry->address);
    if (i == SIZE_MAX)
        return append(state, &copy, err);
    state->nodes.items[i] = copy;
    return 0;
}

void state_remove(struct state *state, const char *address) {
    struct recorded_list *nodes = &state->nodes;
    size_t i = names_find(&nodes->names, nodes->items, nodes->len, sizeof nodes->items[0], address);
    if (i == SIZE_MAX)
        return;
    /* The capacity that reserve() takes for granted follows from the length, and only shrinks. */
    nodes->len--;
    memmove(&nodes->items[i], &nodes->items[i + 1], (nodes->len - i) * sizeof nodes->items[0]);
}

static const char *text_of(const cJSON *json, const char *name) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
}

static int parse_nodes(const struct kind *const *kinds, const cJSON *json, struct state *state,
                       struct err *err) {
    const cJSON *nodes = cJSON_GetObjectItemCaseSensitive(json, "nodes");
    if (!cJSON_IsArray(nodes))
        return err_set(err, ERRC_STATE, "it has no list of nodes");
    const cJSON *item;
    cJSON_ArrayForEach(item, nodes) {
        struct recorded entry;
        int rc = recorded_from_json(&state->arena, kinds, item, &entry, err);
        if (rc == 0)
            rc = append(state, &entry, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int parse_json(const struct kind *const *kinds, const cJSON *json, struct state *state,
                      struct err *err) {
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(json, "version");
    const cJSON *serial = cJSON_GetObjectItemCaseSensitive(json, "serial");
    const char *lineage = text_of(json, "lineage");
    if (!cJSON_IsNumber(version) || !cJSON_IsNumber(serial) || lineage == NULL ||
        strlen(lineage) >= sizeof state->lineage || serial->valuedouble < 0 ||
        serial->valuedouble > 1e15)
        return err_set(err, ERRC_STATE, "it is not a berth state");
    if (version->valuedouble > STATE_VERSION) {
        err_set(err, ERRC_STATE,
                "it was written by a newer berth (version %.0f; this one reads %d)",
                version->valuedouble, STATE_VERSION);
        err_hint(err, "install that berth; nothing was overwritten");
        return -ERRC_STATE;
    }
    snprintf(state->lineage, sizeof state->lineage, "%s", lineage);
    state->serial = (int64_t)serial->valuedouble;
    state->name = arena_dup(&state->arena, text_of(json, "name"));
    state->provider = arena_dup(&state->arena, text_of(json, "provider"));
    state->region = arena_dup(&state->arena, text_of(json, "region"));
    return parse_nodes(kinds, json, state, err);
}

int state_parse(struct arena *arena, const struct kind *const *kinds, struct str text,
                struct state *ret, struct err *err) {
    struct state state = {.arena = *arena, .exists = true};
    const char *end = NULL;
    cJSON *json = cJSON_ParseWithLengthOpts(text.ptr, text.len, &end, false);
    int rc = json == NULL ? err_set(err, ERRC_STATE, "it is not JSON from byte %zu on",
                                    end == NULL ? 0 : (size_t)(end - text.ptr))
                          : parse_json(kinds, json, &state, err);
    cJSON_Delete(json);
    *arena = state.arena;
    if (rc == 0)
        *ret = state;
    return rc;
}

int state_print(const struct state *state, struct buf *out) {
    cJSON *json = cJSON_CreateObject();
    cJSON *nodes = NULL;
    bool good = json != NULL && cJSON_AddNumberToObject(json, "version", STATE_VERSION) &&
                cJSON_AddStringToObject(json, "lineage", state->lineage) &&
                cJSON_AddNumberToObject(json, "serial", (double)state->serial) &&
                cJSON_AddStringToObject(json, "name", state->name ? state->name : "") &&
                cJSON_AddStringToObject(json, "provider", state->provider ? state->provider : "") &&
                cJSON_AddStringToObject(json, "region", state->region ? state->region : "") &&
                (nodes = cJSON_AddArrayToObject(json, "nodes")) != NULL;
    for (size_t i = 0; good && i < state->nodes.len; i++) {
        cJSON *node = recorded_to_json(&state->nodes.items[i]);
        good = node != NULL && cJSON_AddItemToArray(nodes, node);
    }
    char *text = good ? cJSON_Print(json) : NULL;
    cJSON_Delete(json);
    if (text == NULL)
        return -ERRC_NOMEM;
    buf_adds(out, text);
    buf_addc(out, '\n');
    cJSON_free(text);
    return out->failed ? -ERRC_NOMEM : 0;
}

/* A random UUID, version 4 (RFC 9562). */
static int make_lineage(int (*random)(void *, size_t), char *ret, size_t size, struct err *err) {
    unsigned char b[16];
    if (random(b, sizeof b) < 0)
        return err_set(err, ERRC_INTERNAL, "no random numbers to be had");
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(ret, size, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
    return 0;
}

static int refuse(const char *path, struct err *err) {
    char backup[PATH_SIZE + sizeof ".backup"];
    snprintf(backup, sizeof backup, "%s.backup", path);
    err_wrap(err, "the state %s cannot be used", path);
    if (err->hint[0] != '\0')
        return -err->code;
    if (fs_exists(backup))
        err_hint(err, "nothing was overwritten; the copy before it is %s: copy it there", backup);
    else
        err_hint(err, "nothing was overwritten; there is no backup beside it");
    return -err->code;
}

static int replay(const char *project_dir, const struct kind *const *kinds, struct state *state,
                  struct err *err) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/journal", project_dir);
    _cleanup_buf_ struct buf text = BUF_INIT(STATE_BYTES_MAX);
    struct err why = {0};
    int rc = fs_read(path, &text, &why);
    if (rc == -ERRC_NOTFOUND)
        return 0;
    if (rc == 0)
        rc = journal_replay(buf_str(&text), kinds, state, &why);
    if (rc == 0)
        state->replayed = text.len > 0;
    if (rc == 0)
        return 0;
    *err = why;
    err_wrap(err, "the journal %s cannot be used", path);
    err_hint(err,
             "nothing was overwritten; it holds what an interrupted run did since the state was "
             "written: with it moved away, what that run made is found again by its tags");
    return -err->code;
}

int state_open(const char *project_dir, const struct kind *const *kinds,
               int (*random)(void *, size_t), struct state *ret, struct err *err) {
    char path[PATH_SIZE];
    if ((size_t)snprintf(path, sizeof path, "%s/state.json", project_dir) >= sizeof path)
        return err_set(err, ERRC_LIMIT, "path too long: %s", project_dir);
    struct state state = {0};
    _cleanup_buf_ struct buf text = BUF_INIT(STATE_BYTES_MAX);
    struct err why = {0};
    int rc = fs_read(path, &text, &why);
    if (rc == 0) {
        struct arena arena = {0};
        rc = state_parse(&arena, kinds, buf_str(&text), &state, err);
        if (rc < 0) {
            arena_free(&arena);
            return refuse(path, err);
        }
    } else if (rc == -ERRC_NOTFOUND) {
        rc = make_lineage(random, state.lineage, sizeof state.lineage, err);
    } else {
        *err = why;
    }
    if (rc == 0)
        rc = replay(project_dir, kinds, &state, err);
    if (rc == 0 && (state.path = strdup(path)) == NULL)
        rc = err_no_memory(err);
    if (rc < 0) {
        state_free(&state);
        return rc;
    }
    *ret = state;
    return 0;
}

int state_write(struct state *state, struct err *err) {
    _cleanup_buf_ struct buf old = BUF_INIT(STATE_BYTES_MAX);
    _cleanup_buf_ struct buf text = BUF_INIT(STATE_BYTES_MAX);
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s.backup", state->path);
    int rc = 0;
    if (state->exists) {
        rc = fs_read(state->path, &old, err);
        if (rc == 0)
            rc = fs_write(path, buf_str(&old), 0600, err);
        if (rc < 0 && rc != -ERRC_NOTFOUND)
            return rc;
    }
    state->serial++;
    rc = state_print(state, &text) < 0 ? err_no_memory(err)
                                       : fs_write(state->path, buf_str(&text), 0600, err);
    if (rc < 0) {
        state->serial--;
        return rc;
    }
    state->exists = true;
    /* Only now is the journal superfluous: its lines stand in the state. */
    snprintf(path, sizeof path, "%.*sjournal", (int)(strlen(state->path) - strlen("state.json")),
             state->path);
    return fs_remove(path, err);
}

void state_free(struct state *state) {
    free(state->path);
    arena_free(&state->arena);
    *state = (struct state){0};
}
