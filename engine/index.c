#include "engine/index.h"

#include "specs/hash.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct index {
    size_t mask;
    struct slot {
        const char *name;
        size_t value;
    } slots[];
};

struct index *index_new(size_t capacity) {
    size_t slots = 16;
    while (slots < capacity * 2)
        slots *= 2;
    struct index *index = calloc(1, sizeof *index + slots * sizeof index->slots[0]);
    if (index != NULL)
        index->mask = slots - 1;
    return index;
}

void index_free(struct index *index) { free(index); }

static struct slot *slot_of(const struct index *index, const char *name) {
    size_t i = (size_t)hash_more(HASH_START, str_of(name)) & index->mask;
    while (index->slots[i].name != NULL && strcmp(index->slots[i].name, name) != 0)
        i = (i + 1) & index->mask;
    return (struct slot *)&index->slots[i];
}

void index_put(struct index *index, const char *name, size_t value) {
    *slot_of(index, name) = (struct slot){name, value};
}

size_t index_get(const struct index *index, const char *name) {
    const struct slot *slot = slot_of(index, name);
    return slot->name == NULL ? SIZE_MAX : slot->value;
}
