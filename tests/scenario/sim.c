#include "tests/scenario/sim.h"

#include "specs/record.h"
#include "tests/scenario/sim_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ROW(member, kind_of_field, ...)                                                            \
    {                                                                                              \
        .name = #member, .type = (kind_of_field), .offset = offsetof(struct sim_record, member),   \
        __VA_ARGS__                                                                                \
    }

static const struct field disk_fields[] = {
    {.name = "size", .type = FIELD_SIZE, .offset = offsetof(struct sim_disk, size_gib)},
    {.name = "type", .type = FIELD_STR, .offset = offsetof(struct sim_disk, type)},
    FIELD_END,
};

static const struct field user_fields[] = {
    {.name = "name", .type = FIELD_STR, .offset = offsetof(struct sim_user, name)},
    {.name = "uid", .type = FIELD_INT, .offset = offsetof(struct sim_user, uid)},
    FIELD_END,
};

static const char *const powers[] = {"running", "stopped", NULL};

static const struct field fields[] = {
    ROW(on, FIELD_BOOL, .flags = 0),
    ROW(count, FIELD_INT, .flags = 0),
    ROW(size_gib, FIELD_SIZE, .flags = FIELD_IMMUTABLE | FIELD_DESTROYS_DATA),
    ROW(idle_s, FIELD_DURATION, .flags = 0),
    ROW(type, FIELD_STR, .flags = FIELD_NEEDS_STOP),
    ROW(image, FIELD_STR, .flags = FIELD_IMMUTABLE | FIELD_UNREADABLE),
    ROW(rules, FIELD_LIST, .flags = FIELD_SET),
    ROW(order, FIELD_LIST, .flags = 0),
    ROW(tags, FIELD_MAP, .flags = 0),
    ROW(settings, FIELD_JSON, .flags = 0),
    ROW(disk, FIELD_GROUP, .sub = disk_fields),
    ROW(users, FIELD_RECORDS, .sub = user_fields, .sub_size = sizeof(struct sim_user)),
    ROW(password, FIELD_STR, .flags = FIELD_SECRET),
    [SIM_GROUP_ID_BIT] = ROW(group_id, FIELD_STR, .flags = 0),
    ROW(power, FIELD_STR, .flags = FIELD_KEPT, .choices = powers),
    ROW(made_id, FIELD_STR, .flags = FIELD_COMPUTED),
    ROW(address, FIELD_STR, .flags = FIELD_COMPUTED),
    FIELD_END,
};

static int resolve(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown) {
    struct sim_record *r = record;
    const struct kind *kind = NULL;
    const struct sim_record *group = NULL;
    for (size_t i = 0; i < node->deps.len && group == NULL; i++) {
        group = lookup->record(lookup->ctx, node->deps.items[i], &kind);
        if (kind != &sim_group_kind)
            group = NULL;
    }
    if (group == NULL || group->made_id == NULL || !(*unknown >> SIM_GROUP_ID_BIT & 1))
        return 0;
    r->group_id = arena_dup(arena, group->made_id);
    *unknown &= ~(1u << SIM_GROUP_ID_BIT);
    return r->group_id == NULL ? -ERRC_NOMEM : 0;
}

static const char *loses(const void *record, struct arena *arena) {
    const struct sim_record *r = record;
    return r->size_gib == FIELD_UNSET
               ? NULL
               : arena_printf(arena, "the %lld GiB disk", (long long)r->size_gib);
}

static int endpoint(const void *record, const char *project_dir, struct arena *arena,
                    struct endpoint *ret) {
    const struct sim_record *r = record;
    (void)project_dir;
    (void)arena;
    *ret = (struct endpoint){
        .user = "sim", .address = r->address, .port = 22, .running = cstr_eq(r->power, "running")};
    return 0;
}

/* Boxes are made by one call; what is in one box is done by one call. */
static const char *batch_box(const struct change *c, struct arena *arena) {
    (void)arena;
    return c->action == ACTION_CREATE || c->action == ACTION_RESUME ? "box create"
           : c->action == ACTION_DESTROY                            ? "box destroy"
                                                                    : NULL;
}

static const char *batch_inside(const struct change *c, struct arena *arena) {
    (void)arena;
    return c->parent;
}

const struct kind sim_group_kind = {.name = "group",
                                    .world = &sim_cloud_world,
                                    .fields = fields,
                                    .size = sizeof(struct sim_record),
                                    .leaves = "its file"};
const struct kind sim_box_kind = {.name = "box",
                                  .world = &sim_cloud_world,
                                  .fields = fields,
                                  .size = sizeof(struct sim_record),
                                  .resolve = resolve,
                                  .loses = loses,
                                  .endpoint = endpoint,
                                  .batch = batch_box};
/* Kept while it is on. */
static bool keeps(const void *record) { return ((const struct sim_record *)record)->on; }

const struct kind sim_disk_kind = {.name = "disk",
                                   .world = &sim_cloud_world,
                                   .fields = fields,
                                   .size = sizeof(struct sim_record),
                                   .loses = loses,
                                   .keeps = keeps};
const struct kind sim_part_kind = {.name = "box.part",
                                   .world = &sim_inside_world,
                                   .fields = fields,
                                   .size = sizeof(struct sim_record),
                                   .batch = batch_inside};
const struct kind sim_unit_kind = {.name = "box.unit",
                                   .world = &sim_inside_world,
                                   .fields = fields,
                                   .size = sizeof(struct sim_record),
                                   .follows_address = true,
                                   .batch = batch_inside};
/* A box that is not berth's. */
const struct kind sim_given_kind = {.name = "given",
                                    .world = &sim_cloud_world,
                                    .fields = fields,
                                    .size = sizeof(struct sim_record),
                                    .given = true,
                                    .endpoint = endpoint};
const struct kind *const sim_kinds[] = {
    &sim_group_kind, &sim_box_kind, &sim_disk_kind, &sim_part_kind, &sim_unit_kind,
    &sim_given_kind, NULL};

struct sim *sim_new(void) {
    struct sim *sim =
        mmap(NULL, sizeof *sim, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (sim == MAP_FAILED)
        return NULL;
    sim_calm(sim);
    return sim;
}

void sim_free(struct sim *sim) { munmap(sim, sizeof *sim); }

void sim_calm(struct sim *sim) {
    pthread_mutex_init(&sim->mutex, NULL); /* a dead run may have held it */
    sim->calls_len = 0;
    sim->steps = sim->die_at = sim->fail_at = sim->cancel_at = 0;
    sim->fail_for[0] = '\0';
    sim->cancel = NULL;
    sim->running = sim->most_running = sim->abandoned = 0;
}

struct sim_thing *sim_find(struct sim *sim, const char *address) {
    for (size_t i = 0; i < sim->len; i++)
        if (sim->things[i].used && strcmp(sim->things[i].address, address) == 0)
            return &sim->things[i];
    return NULL;
}

size_t sim_count(const struct sim *sim) {
    size_t n = 0;
    for (size_t i = 0; i < sim->len; i++)
        n += sim->things[i].used;
    return n;
}

size_t sim_called(const struct sim *sim, const char *what, const char *address) {
    size_t n = 0;
    for (size_t i = 0; i < sim->calls_len; i++)
        n += strcmp(sim->calls[i].what, what) == 0 && strcmp(sim->calls[i].address, address) == 0;
    return n;
}

size_t sim_call_at(const struct sim *sim, const char *what, const char *address) {
    for (size_t i = 0; i < sim->calls_len; i++)
        if (strcmp(sim->calls[i].what, what) == 0 && strcmp(sim->calls[i].address, address) == 0)
            return i;
    return SIZE_MAX;
}

void sim_drift(struct sim *sim, const char *address, const char *field, const char *value) {
    struct sim_thing *thing = sim_find(sim, address);
    if (thing == NULL)
        abort();
    cJSON *json = cJSON_Parse(thing->record);
    cJSON_DeleteItemFromObjectCaseSensitive(json, field);
    char *end = NULL;
    long number = strtol(value, &end, 10);
    if (*value != '\0' && *end == '\0')
        cJSON_AddNumberToObject(json, field, (double)number);
    else
        cJSON_AddStringToObject(json, field, value);
    char *text = cJSON_PrintUnformatted(json);
    snprintf(thing->record, sizeof thing->record, "%s", text);
    cJSON_free(text);
    cJSON_Delete(json);
}

struct node *sim_want(struct nodes *nodes, const struct kind *kind, const char *address,
                      const char *parent, const char *const *deps, const char *json) {
    struct node *node = nodes_add(nodes, kind, address, parent);
    struct err err = {0};
    if (node == NULL)
        abort();
    struct sim_record *r = node->desired;
    if (kind == &sim_box_kind) {
        r->power = "running";
        node->unknown = 1u << SIM_GROUP_ID_BIT;
    }
    for (; deps != NULL && *deps != NULL; deps++)
        if (strlist_add(nodes->arena, &node->deps, *deps) < 0)
            abort();
    cJSON *parsed = json == NULL ? NULL : cJSON_Parse(json);
    if (json != NULL && (parsed == NULL || record_from_json(nodes->arena, kind->fields, parsed,
                                                            node->desired, &err) < 0)) {
        fprintf(stderr, "%s: %s\n", json, err.msg);
        abort();
    }
    cJSON_Delete(parsed);
    if (kind == &sim_box_kind && r->power == NULL)
        r->power = "running";
    return node;
}
