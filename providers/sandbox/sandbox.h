/* The embedded sandbox: an EC2 endpoint of our own on loopback whose instances are real Linux hosts
 * on this machine. A daemon keeps it; it starts by itself, outlives the command that started it,
 * and keeps its world on disk. */
#pragma once

#include "specs/err.h"

#include <stdbool.h>
#include <stddef.h>

struct sandbox_options {
    const char *dir;       /* of the world; NULL: $BERTH_SANDBOX_DIR, else a folder of the user's */
    const char *cache_dir; /* NULL: $BERTH_CACHE_DIR, else a folder of the user's */
    const char *image;     /* that servers will be launched from; NULL: none yet */
    /* What is going on while it takes long ("building the root file system"); may be NULL. */
    void (*progress)(void *progress_ctx, const char *text);
    void *progress_ctx;
};

struct sandbox_info {
    bool running;
    long pid;
    char dir[512];
    char endpoint[128]; /* http://127.0.0.1:PORT */
    char version[32];   /* of the berth that it is */
    char access_key[64], secret_key[128], region[32];
    char client_address[64]; /* that instances see this machine at */
    size_t instances;        /* not terminated */
    char images[256];        /* whose root file systems are built, by blanks */
};

/* Can guests run here? -ERRC_UNSUPPORTED with the reason and what to do. */
int sandbox_check(struct err *err);
/* Can they have volumes? Of use only to a spec with some. -ERRC_UNSUPPORTED as above. */
int sandbox_check_volumes(struct err *err);
/* Start the daemon unless it runs, and have the image's root file system built; fast when it does
 * and is. */
int sandbox_ensure(const struct sandbox_options *options, struct sandbox_info *ret,
                   struct err *err);
/* What there is; starts nothing. */
int sandbox_status(const struct sandbox_options *options, struct sandbox_info *ret,
                   struct err *err);
/* End the daemon and its guests; the world stays on disk, and guests that ran run again when it
 * starts. Success when it does not run. */
int sandbox_stop(const struct sandbox_options *options, struct err *err);
/* Stop and remove the world; with `cache`, the root file systems and package caches too. */
int sandbox_reset(const struct sandbox_options *options, bool cache, struct err *err);
/* `berth sandbox serve`: the daemon itself. Ends when it is told to. */
int sandbox_serve(const struct sandbox_options *options, struct err *err);
