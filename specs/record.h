/* What can be done with any record, by its field table: copy, compare, print, to and from JSON.
 * Records start zeroed; everything that a record points to lives in one arena. */
#pragma once

#include "specs/arena.h"
#include "specs/buf.h"
#include "specs/err.h"
#include "specs/field.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

size_t fields_count(const struct field *fields); /* rows before FIELD_END */
/* The row of that name and its index, or NULL. */
const struct field *fields_find(const struct field *fields, const char *name, size_t *ret_index);

/* Set numbers to FIELD_UNSET (recursively into groups); everything else stays zero. */
void record_init(const struct field *fields, void *record);
/* Deep copy of a field / a record into `arena`; 0 or -ERRC_NOMEM. */
int record_copy_field(struct arena *arena, const struct field *f, void *to, const void *from);
int record_copy(struct arena *arena, const struct field *fields, void *to, const void *from);

/* By the row's type; FIELD_SET lists without regard to order. Both are whole records. */
bool record_field_equal(const struct field *f, const void *a, const void *b);
/* Has it a value? Numbers that are not FIELD_UNSET, text that is not NULL, collections with items,
 * groups with a member that is set; always for booleans. */
bool record_field_is_set(const struct field *f, const void *record);

/* As a person reads it: 30 GiB, [a, b], {k: v}, "text" unquoted where that is unambiguous,
 * (none) when unset, (secret) for FIELD_SECRET. One line. */
void record_print_field(const struct field *f, const void *record, struct buf *out);

/* JSON with stable names; numbers as numbers, unset fields left out. FIELD_UNSTORED and
 * FIELD_SECRET rows are left out unless `all`. NULL when memory runs out. Caller deletes. */
cJSON *record_to_json(const struct field *fields, const void *record, bool all);
/* Unknown members are ignored (a newer berth's); a wrong type is -ERRC_STATE. `record` is begun
 * anew: what the JSON does not have is unset. */
int record_from_json(struct arena *arena, const struct field *fields, const cJSON *json,
                     void *record, struct err *err);

struct diags;
struct tree;
/* Fill `record` from a tree map by the table: types, bounds, choices, checks, defaults, unknown
 * and missing keys, "not supported yet". `where` names the section in messages ("server"). All
 * errors go to `diags`. `tree` may be NULL (section absent): defaults only. */
void record_from_tree(struct arena *arena, const struct field *fields, struct tree *tree,
                      const char *where, void *record, struct diags *diags);
