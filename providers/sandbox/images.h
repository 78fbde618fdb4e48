/* The images that instances are launched from, and the root file systems that they are made of. */
#pragma once

#include "providers/sandbox/internal.h"

/* How a root file system is made: by mmdebstrap(1), of packages. Made once, and cached. */
struct base {
    const char *name;       /* its folder in the cache is NAME-VERSION */
    int version;            /* counts changes of what is in it */
    const char *title;      /* as it is told of while it is made */
    int seconds, mib;       /* what that takes, about; the free space that it needs meanwhile */
    const char *suite;      /* of Debian or Ubuntu */
    const char *sources[6]; /* lines of sources.list(5); none: those of Debian's suite */
    const char *include;    /* its packages, by commas */
    const struct archive_keys *keys; /* NULL: apt knows them */
    const char *finish; /* a script that runs in it as its root before it is kept; NULL: none */
    const char *holds;  /* files that no guest does without, by blanks */
};

/* The keys of an archive that this machine's apt may not have, out of a package of its own. */
struct archive_keys {
    const char *local; /* where they are when this machine has that package */
    const char *url, *sha256, *file;
};

struct image {
    const char *name; /* as specs say it */
    const char *ami, *snapshot;
    const char *parameter; /* of SSM, whose value is the AMI */
    const char *user;      /* who logs in */
    const struct base *base;
    /* Appends what its first boot does besides. */
    void (*seed)(const cJSON *instance, struct buf *out);
};

extern const struct image images[]; /* the last one's name is NULL */
const struct image *image_named(const char *name);
const struct image *image_of_ami(const char *ami); /* NULL: there is none */
const struct image *image_of(const cJSON *instance);

extern const struct base base_amazon; /* image_amazon.c */
/* seed.c: the way out of apt, and its packages kept for the next guest. */
void seed_apt(const cJSON *instance, struct buf *out);
/* image_gpu.c: the same, and an nvidia-smi(1) that tells of the GPUs of the instance's type. */
void seed_gpu(const cJSON *instance, struct buf *out);

/* Its folder in the cache. */
void base_path(const struct paths *paths, const struct base *base, char *ret, size_t size);
/* Have it built: at most once, by whoever comes first; others wait, and say so. Who calls it holds
 * the cache (cache_hold), so that nobody removes what it builds. */
int base_ensure(const struct paths *paths, const struct base *base,
                void (*progress)(void *ctx, const char *text), void *ctx, struct err *err);
