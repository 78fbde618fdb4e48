/* Where things stand by their names: a table over strings that outlive it. */
#pragma once

#include <stddef.h>

struct index;
struct index *index_new(size_t capacity); /* NULL when memory runs out */
void index_free(struct index *index);
void index_put(struct index *index, const char *name, size_t value); /* up to `capacity` names */
size_t index_get(const struct index *index, const char *name);       /* SIZE_MAX when absent */
