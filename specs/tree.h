/* YAML text → a tree in which every node knows its place. Anchors, aliases, tags, several documents
 * and duplicate keys are diagnosed here; meaning is not looked at. */
#pragma once

#include "specs/arena.h"
#include "specs/diag.h"
#include "specs/str.h"

#include <stdbool.h>
#include <stddef.h>

enum tree_type { TREE_NULL, TREE_SCALAR, TREE_LIST, TREE_MAP };

struct tree {
    enum tree_type type;
    struct mark mark;    /* of the value */
    struct mark key;     /* of the key that leads to it; line 0 for the root and list items */
    struct str text;     /* TREE_SCALAR: NUL-terminated too */
    bool quoted;         /* the scalar stood in quotes or was a block: always a string */
    struct tree **items; /* TREE_LIST: elements; TREE_MAP: values */
    struct str *keys;    /* TREE_MAP */
    struct mark *key_marks;
    size_t len;
};

/* Limits on what a user controls. */
enum { TREE_BYTES_MAX = 1024 * 1024, TREE_DEPTH_MAX = 32, TREE_NODES_MAX = 20000 };

/* Parse with libyaml. Returns the root, or NULL with at least one error in `diags` (which carries
 * the file name and the source). */
struct tree *tree_parse(struct arena *arena, struct diags *diags);

/* The value of a key of a map, or NULL. `path` may be dotted: "packages.python.version". */
struct tree *tree_get(struct tree *root, const char *path);
