/* Loads what the pure half asked for: files, folders, environment, this machine's address. */
#pragma once

#include "providers/provider.h"

/* An INPUT_LOCAL as it is to become, while its file is still as it was. */
struct input_instead {
    const char *name;   /* of the file; NULL: of none */
    struct str content; /* empty: there is none */
};

struct inputs_source {
    const char *spec_dir;         /* relative paths start here */
    const char *project_dir;      /* INPUT_LOCAL */
    struct input_instead instead; /* counts more than the file */
    const char *(*env)(void *env_ctx, const char *name);
    void *env_ctx;
    /* Writes a CIDR such as "203.0.113.7/32". */
    int (*my_ip)(void *my_ip_ctx, char *ret, size_t size, struct err *err);
    void *my_ip_ctx;
    time_t (*now)(void *clock_ctx); /* NULL: there is no clock, and INPUT_CLOCK is not found */
    void *clock_ctx;
};

/* Loads what is not loaded yet. Absent files and variables are left not found (compile_nodes
 * diagnoses the required ones); unreadable or too large ones are errors. */
int inputs_load(struct inputs *inputs, const struct inputs_source *source, struct err *err);
/* Lets every kind ask, and loads, until nobody asks for more. `inputs->arena` is set by the caller.
 * Errors as those of compile_ask and inputs_load. */
int inputs_gather(struct inputs *inputs, const struct kind *const *kinds, const struct spec *spec,
                  const struct inputs_source *source, struct err *err);
