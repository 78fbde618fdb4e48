/* Inputs: what the pure half needs of the outside. Kinds ask for them by name, the engine loads
 * them. */
#pragma once

#include "specs/arena.h"
#include "specs/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum input_type {
    INPUT_FILE,  /* a local file, path relative to the spec; `~` is the user's home */
    INPUT_TREE,  /* a local file or folder: entries with hashes, content is read when it is sent */
    INPUT_ENV,   /* an environment variable */
    INPUT_LOCAL, /* a file in the project folder that may not exist yet (a made key, a token) */
    INPUT_MY_IP, /* this machine's public address as the provider sees it, a CIDR */
    INPUT_CLOCK, /* the wall clock: seconds since 1970 UTC, decimal */
};

struct input_entry {
    const char *path; /* relative, '/' separated; "" for the file itself */
    const char *sha256;
    const char *local_path; /* to open */
    int64_t size_bytes;
    unsigned mode; /* permission bits */
};

struct input {
    enum input_type type;
    const char *name;            /* path or variable; "" for INPUT_MY_IP and INPUT_CLOCK */
    const char *spec_path;       /* where the spec asked for it, for diagnostics: "files[0].from" */
    bool required;               /* absence is a diagnostic at spec_path */
    bool found;                  /* filled by the loader, as all below */
    struct secret content;       /* FILE, ENV, LOCAL, MY_IP, CLOCK: the bytes */
    const char *sha256;          /* hex, FILE and LOCAL */
    struct input_entry *entries; /* TREE, sorted by path */
    size_t entries_len;
};

enum { INPUT_MAX = 256, INPUT_FILE_BYTES_MAX = 4 * 1024 * 1024 };

struct inputs {
    struct arena *arena;
    struct input items[INPUT_MAX];
    size_t len;
    size_t loaded; /* the first of them */
};

/* Ask for an input (once a type and name). 0, -ERRC_LIMIT or -ERRC_NOMEM. */
int inputs_ask(struct inputs *in, enum input_type type, const char *name, const char *spec_path,
               bool required);
/* The loaded input, or NULL when nobody asked for it. */
const struct input *inputs_get(const struct inputs *in, enum input_type type, const char *name);
void inputs_free(struct inputs *in); /* wipes the secrets */
