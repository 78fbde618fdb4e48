/* Random specs over the simulated world, and random drift of it, for tests of what holds of all of
 * them. BERTH_SEED picks another start, BERTH_ROUNDS more rounds. */
#pragma once

#include "tests/scenario/sim_run.h"
#include "tests/unit/cm.h"

enum { GROUPS = 3, BOXES = 5, PARTS = 3 };

static inline uint64_t next_random(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static inline unsigned below(uint64_t *seed, unsigned n) {
    return (unsigned)(next_random(seed) % n);
}

static inline uint64_t first_seed(void) {
    const char *text = getenv("BERTH_SEED");
    int64_t seed = 0;
    return text != NULL && str_to_i64(str_of(text), 1, INT64_MAX, &seed) ? (uint64_t)seed
                                                                         : 0x9e3779b97f4a7c15u;
}

static inline unsigned rounds(unsigned normal) {
    const char *text = getenv("BERTH_ROUNDS");
    int64_t n = 0;
    return text != NULL && str_to_i64(str_of(text), 1, 100000, &n) ? (unsigned)n : normal;
}

/* What somebody wants: which things, and a value for each field that can move. */
struct wants {
    bool group[GROUPS], box[BOXES], part[BOXES][PARTS];
    unsigned group_of[BOXES];
    unsigned rules[GROUPS], type[BOXES], count[BOXES], size[BOXES], tags[BOXES];
    unsigned setting[BOXES][PARTS];
    bool disk[BOXES], keep[BOXES];
    bool reversed; /* the order in which nodes are declared */
};

static inline struct wants make_wants(uint64_t *seed) {
    struct wants w = {0};
    for (unsigned g = 0; g < GROUPS; g++) {
        w.group[g] = g == 0 || below(seed, 3) > 0;
        w.rules[g] = below(seed, 3);
    }
    for (unsigned b = 0; b < BOXES; b++) {
        w.box[b] = below(seed, 4) > 0;
        w.group_of[b] = below(seed, GROUPS);
        if (!w.group[w.group_of[b]])
            w.group_of[b] = 0;
        w.type[b] = below(seed, 2);
        w.count[b] = below(seed, 3);
        w.size[b] = below(seed, 6) == 0 ? 20 : 10;
        w.tags[b] = below(seed, 3);
        w.disk[b] = w.keep[b] = false; /* only where a test speaks of them */
        for (unsigned p = 0; p < PARTS; p++) {
            w.part[b][p] = below(seed, 3) > 0;
            w.setting[b][p] = below(seed, 3);
        }
    }
    return w;
}

static inline void fill_disk(struct nodes *nodes, const struct wants *w, unsigned b) {
    char address[24], box[24], json[64];
    snprintf(address, sizeof address, "disk[%u]", b);
    snprintf(box, sizeof box, "box[%u]", b);
    snprintf(json, sizeof json, "{\"on\":%s,\"size_gib\":10}", w->keep[b] ? "true" : "false");
    sim_want(nodes, &sim_disk_kind, address, NULL,
             (const char *const[]){w->box[b] ? box : NULL, NULL}, json);
}

static inline void fill_box(struct nodes *nodes, const struct wants *w, unsigned b) {
    char address[24], group[24], json[256], part[48], before[48] = "";
    snprintf(address, sizeof address, "box[%u]", b);
    snprintf(group, sizeof group, "group%u", w->group_of[b]);
    snprintf(json, sizeof json,
             "{\"on\":true,\"count\":%u,\"size_gib\":%u,\"type\":\"t%u\",\"image\":\"deb\","
             "\"tags\":{\"a\":\"%u\"},\"disk\":{\"size\":%u,\"type\":\"gp3\"}}",
             w->count[b], w->size[b], w->type[b], w->tags[b], w->count[b] + 1);
    sim_want(nodes, &sim_box_kind, address, NULL, (const char *const[]){group, NULL}, json);
    for (unsigned p = 0; p < PARTS; p++) {
        if (!w->part[b][p])
            continue;
        snprintf(part, sizeof part, "%s.p%u", address, p);
        snprintf(json, sizeof json,
                 "{\"order\":[\"x\",\"%u\"],\"settings\":\"{}\",\"users\":[{\"name\":\"u\","
                 "\"uid\":%u}]}",
                 w->setting[b][p], w->setting[b][p]);
        sim_want(nodes, p == 0 ? &sim_part_kind : &sim_unit_kind, part, address,
                 (const char *const[]){before[0] == '\0' ? NULL : before, NULL}, json);
        snprintf(before, sizeof before, "%s", part);
    }
}

static inline void fill_group(struct nodes *nodes, const struct wants *w, unsigned g) {
    char address[48], json[64];
    snprintf(address, sizeof address, "group%u", g);
    snprintf(json, sizeof json, "{\"rules\":[\"r%u\",\"all\"]}", w->rules[g]);
    sim_want(nodes, &sim_group_kind, address, NULL, NULL, json);
}

static inline void fill(struct nodes *nodes, void *ctx) {
    const struct wants *w = ctx;
    for (unsigned i = 0; i < GROUPS; i++) {
        unsigned g = w->reversed ? GROUPS - 1 - i : i;
        if (!w->reversed && w->group[g])
            fill_group(nodes, w, g);
    }
    for (unsigned i = 0; i < BOXES; i++) {
        unsigned b = w->reversed ? BOXES - 1 - i : i;
        if (w->box[b])
            fill_box(nodes, w, b);
        if (w->disk[b])
            fill_disk(nodes, w, b);
    }
    for (unsigned i = 0; w->reversed && i < GROUPS; i++)
        if (w->group[i])
            fill_group(nodes, w, i);
}

static inline size_t wanted(const struct wants *w) {
    size_t n = 0;
    for (unsigned g = 0; g < GROUPS; g++)
        n += w->group[g];
    for (unsigned b = 0; b < BOXES; b++) {
        n += w->box[b] + w->disk[b];
        for (unsigned p = 0; p < PARTS; p++)
            n += w->box[b] && w->part[b][p];
    }
    return n;
}

/* Somebody else was here. */
static inline void meddle(struct sim *sim, uint64_t *seed) {
    if (sim->len == 0)
        return;
    for (unsigned i = below(seed, 4); i > 0; i--) {
        struct sim_thing *thing = &sim->things[below(seed, (unsigned)sim->len)];
        if (!thing->used)
            continue;
        if (strcmp(thing->kind, "group") == 0)
            sim_drift(sim, thing->address, "count", "7");
        else if (strcmp(thing->kind, "box") == 0 && below(seed, 2) == 0)
            sim_drift(sim, thing->address, "type", "t9");
        else if (strcmp(thing->kind, "box") == 0)
            sim_drift(sim, thing->address, "power", "stopped");
        else
            thing->used = false;
    }
}

static inline void assert_converged(struct sim *sim, const char *dir, const struct sim_wish *wish,
                                    const struct wants *w) {
    assert_int_equal(sim_changes(sim, dir, wish), 0);
    assert_int_equal(sim_count(sim), wanted(w));
}

/* Apply until nothing is left: what was unreadable (a stopped box) may take a second time. */
static inline void converge(struct sim *sim, const char *dir, const struct sim_wish *wish) {
    for (int i = 0; i < 3 && sim_apply(sim, dir, wish, wish->fill == NULL) != 0; i++)
        ;
}
