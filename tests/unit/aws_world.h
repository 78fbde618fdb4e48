/* A user's environment and shared files, for tests of where credentials come from. */
#pragma once

#include "providers/aws/client.h"
#include "specs/fs.h"
#include "tests/unit/cm.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VARIABLES_MAX = 24 };

struct world {
    char folder[64];
    struct {
        const char *name, *value;
    } variables[VARIABLES_MAX];
    size_t len;
};

static inline const char *get(void *ctx, const char *name) {
    const struct world *w = ctx;
    for (size_t i = 0; i < w->len; i++)
        if (strcmp(w->variables[i].name, name) == 0)
            return w->variables[i].value;
    return NULL;
}

static inline void set(struct world *w, const char *name, const char *value) {
    for (size_t i = 0; i < w->len; i++)
        if (strcmp(w->variables[i].name, name) == 0) {
            w->variables[i].value = value;
            return;
        }
    assert_true(w->len < VARIABLES_MAX);
    w->variables[w->len].name = name;
    w->variables[w->len++].value = value;
}

static inline void put(const struct world *w, const char *name, const char *text) {
    char path[128];
    struct err err;
    snprintf(path, sizeof path, "%s/.aws/%s", w->folder, name);
    assert_int_equal(fs_write(path, str_of(text), 0600, &err), 0);
}

static inline int setup(void **state) {
    struct world *w = calloc(1, sizeof *w);
    char path[128];
    struct err err;
    if (w == NULL)
        return -1;
    snprintf(w->folder, sizeof w->folder, "/tmp/berth-test-XXXXXX");
    if (mkdtemp(w->folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/.aws", w->folder);
    if (fs_mkdirs(path, 0700, &err) < 0)
        return -1;
    set(w, "HOME", w->folder);
    set(w, "AWS_REGION", "eu-west-1");
    set(w, "AWS_EC2_METADATA_DISABLED", "true");
    *state = w;
    return 0;
}

/* A folder and what is in it. */
static inline int remove_all(const char *path) {
    DIR *dir = opendir(path);
    const struct dirent *entry;
    int rc = 0;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char inner[512];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(inner, sizeof inner, "%.200s/%.255s", path, entry->d_name);
        rc |= entry->d_type == DT_DIR ? remove_all(inner) : remove(inner);
    }
    if (dir != NULL)
        closedir(dir);
    return rc | remove(path);
}

static inline int teardown(void **state) {
    struct world *w = *state;
    int rc = remove_all(w->folder);
    free(w);
    return rc;
}

static inline time_t world_now(void *ctx) {
    (void)ctx;
    return 1440938160; /* 2015-08-30T12:36:00Z */
}

static inline int world_random(void *buffer, size_t len) {
    memset(buffer, 0, len);
    return 0;
}

struct loaded {
    struct aws_config config;
    struct aws_credentials who;
};

static inline void unload(struct loaded *l) {
    aws_credentials_free(&l->who);
    aws_config_free(&l->config);
}

/* Configuration and credentials. */
static inline int load(struct world *w, const char *profile, struct loaded *ret, struct err *err) {
    const struct aws_config_in in = {.env = get, .env_ctx = w, .profile = profile};
    *err = (struct err){0};
    *ret = (struct loaded){0};
    int rc = aws_config_load(&in, &ret->config, err);
    const struct aws_client_in client = {
        .config = &ret->config, .now = world_now, .random = world_random};
    if (rc == 0)
        rc = aws_credentials_find(&client, NULL, &ret->who, err);
    if (rc < 0) {
        assert_null(ret->who.access_key.ptr);
        unload(ret);
    }
    return rc;
}

static inline void expect_key(struct world *w, const char *profile, const char *access,
                              const char *source) {
    struct loaded l;
    struct err err;
    if (load(w, profile, &l, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(l.who.access_key.ptr, access);
    if (strstr(l.who.source, source) == NULL)
        fail_msg("%s is not of %s", l.who.source, source);
    unload(&l);
}

static inline void expect_error(struct world *w, const char *profile, int code, const char *text) {
    struct loaded l;
    struct err err;
    int rc = load(w, profile, &l, &err);
    if (rc != -code || strstr(err.msg, text) == NULL)
        fail_msg("%d \"%s\" is not %d and does not say \"%s\"", -rc, err.msg, code, text);
}
