/* The compiled spec: one typed record a section, in the order of the section table. A section is
 * one file (specs/sections/NAME.c), its record in sections.h there, and one row in
 * specs/sections.c. Pure: memory in, memory out. */
#pragma once

#include "specs/arena.h"
#include "specs/diag.h"
#include "specs/field.h"
#include "specs/tree.h"

#include <stdbool.h>
#include <stddef.h>

struct spec;

struct section {
    const char *name; /* key at the top level; "" for the scalars of the top level itself */
    const char *doc;
    const struct field *fields; /* NULL with `item_fields` when the section is a list of maps */
    /* With `provider: host`, a server that berth did not make: its rows where they are others (of
     * the same record), and what to do instead of the section where it has no place. Or NULL. */
    const struct field *given;
    const char *not_given;
    const struct field *item_fields; /* e.g. `files:`; the record is then a struct reclist */
    size_t size;                     /* of the record, or of an item */
    /* What one section's rows cannot say, e.g. relations between fields; may be NULL. `tree` is
     * NULL when the section is absent. */
    void (*check)(const struct spec *spec, const void *record, struct tree *tree,
                  struct diags *diags);
    bool later; /* the whole section is refused with "not supported yet" */
};

enum { SECTION_MAX = 24 };

struct spec {
    struct arena *arena;
    struct tree *root;
    void *records[SECTION_MAX]; /* by the section's index in sections[] */
    bool present[SECTION_MAX];  /* the section was written */
    bool given;                 /* `provider: host`: berth does not make the server */
    const char *name;           /* shortcuts into the top-level record */
    const char *provider;
};

extern const struct section *const sections[]; /* ends with NULL */

/* Compile the text that `diags` carries. NULL when there was an error (all of them are in
 * `diags`). Everything lives in `arena`. */
struct spec *spec_compile(struct arena *arena, struct diags *diags);

/* The record of a section (never NULL after a good compile), and whether it was written. */
const void *spec_record(const struct spec *spec, const struct section *section);
bool spec_has(const struct spec *spec, const struct section *section);

/* The rows that hold for this spec. */
const struct field *spec_fields(const struct spec *spec, const struct section *section);

/* The mark of a value by dotted path; line 0 when it was not written. */
struct mark spec_mark(const struct spec *spec, const char *path);

/* Print a spec back as canonical YAML: every written section with its values and defaults, such
 * that compiling it again gives equal records. */
struct buf;
void spec_print(const struct spec *spec, struct buf *out);

/* JSON Schema 2020-12 out of the same tables. Caller frees with cJSON_Delete. */
struct cJSON *spec_schema(void);
