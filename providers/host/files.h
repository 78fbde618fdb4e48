/* What reading files (kind_files.c) and sending them (files_step.c) share. */
#pragma once

#include "providers/host/internal.h"

struct files_extra { /* node->extra of server.files */
    const struct input *tree;
    const char *owner; /* of the spec, or NULL */
    bool mirror;
    struct strlist inner; /* paths of the spec that lie inside, as written */
};

/* Of an entry on the host; "." stands for the path itself, when it is a file. NULL when memory runs
 * out. */
const char *files_path(const struct host_node *node, const char *to, const char *entry);
const struct input_entry *files_entry(const struct input *tree, const char *key);
/* struct host_kind.step */
int files_step(struct host_step *s, struct buf *script, struct err *err);
