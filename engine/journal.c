#include "engine/journal.h"

#include "engine/state.h"
#include "engine/state_json.h"
#include "specs/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct journal {
    int fd;
    pthread_mutex_t mutex;
};

int journal_open(const char *project_dir, struct journal **ret, struct err *err) {
    char path[4096];
    snprintf(path, sizeof path, "%s/journal", project_dir);
    struct journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL)
        return err_no_memory(err);
    journal->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal->fd < 0) {
        free(journal);
        return err_set_errno(err, ERRC_IO, errno, "open %s", path);
    }
    /* The folder entry too: a journal that a crash forgets is no journal. */
    int folder = open(project_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        fsync(folder);
        close(folder);
    }
    pthread_mutex_init(&journal->mutex, NULL);
    *ret = journal;
    return 0;
}

void journal_close(struct journal *journal) {
    if (journal == NULL)
        return;
    close(journal->fd);
    pthread_mutex_destroy(&journal->mutex);
    free(journal);
}

static int write_line(struct journal *journal, struct str line, struct err *err) {
    int rc = 0;
    pthread_mutex_lock(&journal->mutex);
    while (line.len > 0 && rc == 0) {
        ssize_t n = write(journal->fd, line.ptr, line.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            rc = err_set_errno(err, ERRC_IO, errno, "write the journal");
        } else {
            line.ptr += n;
            line.len -= (size_t)n;
        }
    }
    pthread_mutex_unlock(&journal->mutex);
    return rc;
}

int journal_sync(struct journal *journal, struct err *err) {
    return fsync(journal->fd) < 0 ? err_set_errno(err, ERRC_IO, errno, "write the journal") : 0;
}

/* A line starts with a newline too, so that a torn one before it spoils only itself. */
static int put_json(struct journal *journal, cJSON *json, struct err *err) {
    char *text = json == NULL ? NULL : cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    if (text == NULL)
        return err_no_memory(err);
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_MEDIUM);
    buf_addf(&line, "\n%s\n", text);
    cJSON_free(text);
    if (line.failed)
        return err_set(err, ERRC_LIMIT, "a journal line is too long");
    return write_line(journal, buf_str(&line), err);
}

int journal_put(struct journal *journal, const struct recorded *entry, struct err *err) {
    cJSON *json = cJSON_CreateObject();
    cJSON *node = recorded_to_json(entry);
    if (json == NULL || node == NULL || !cJSON_AddItemToObject(json, "put", node)) {
        cJSON_Delete(json);
        cJSON_Delete(node);
        return err_no_memory(err);
    }
    return put_json(journal, json, err);
}

int journal_remove(struct journal *journal, const char *address, struct err *err) {
    cJSON *json = cJSON_CreateObject();
    if (json == NULL || cJSON_AddStringToObject(json, "remove", address) == NULL) {
        cJSON_Delete(json);
        return err_no_memory(err);
    }
    return put_json(journal, json, err);
}

int journal_begin(struct journal *journal, const struct state *state, struct err *err) {
    cJSON *json = cJSON_CreateObject();
    if (json == NULL || cJSON_AddStringToObject(json, "lineage", state->lineage) == NULL ||
        cJSON_AddStringToObject(json, "name", state->name ? state->name : "") == NULL ||
        cJSON_AddStringToObject(json, "provider", state->provider ? state->provider : "") == NULL ||
        cJSON_AddStringToObject(json, "region", state->region ? state->region : "") == NULL) {
        cJSON_Delete(json);
        return err_no_memory(err);
    }
    return put_json(journal, json, err);
}

static int replay_begin(const cJSON *json, struct state *state, struct err *err) {
    const char *lineage = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "lineage"));
    if (state->exists && !cstr_eq(lineage, state->lineage))
        return err_set(err, ERRC_STATE, "it belongs to another state");
    if (strlen(lineage) >= sizeof state->lineage)
        return err_set(err, ERRC_STATE, "its lineage is too long");
    memmove(state->lineage, lineage, strlen(lineage) + 1);
    const char **texts[] = {&state->name, &state->provider, &state->region};
    const char *const names[] = {"name", "provider", "region"};
    for (size_t i = 0; i < 3; i++)
        *texts[i] = arena_dup(
            &state->arena, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, names[i])));
    return 0;
}

static int replay_line(const cJSON *json, const struct kind *const *kinds, struct state *state,
                       struct err *err) {
    const cJSON *put = cJSON_GetObjectItemCaseSensitive(json, "put");
    const cJSON *gone = cJSON_GetObjectItemCaseSensitive(json, "remove");
    if (cJSON_IsString(cJSON_GetObjectItemCaseSensitive(json, "lineage")))
        return replay_begin(json, state, err);
    if (cJSON_IsString(gone)) {
        state_remove(state, gone->valuestring);
        return 0;
    }
    if (put == NULL)
        return err_set(err, ERRC_STATE, "a line says nothing");
    struct recorded entry;
    int rc = recorded_from_json(&state->arena, kinds, put, &entry, err);
    return rc < 0 ? rc : state_put(state, &entry, err);
}

int journal_replay(struct str text, const struct kind *const *kinds, struct state *state,
                   struct err *err) {
    struct str line;
    while (str_split(&text, '\n', &line)) {
        if (line.len == 0)
            continue;
        cJSON *json = cJSON_ParseWithLength(line.ptr, line.len);
        if (json == NULL) /* torn: its step was not taken */
            continue;
        int rc = replay_line(json, kinds, state, err);
        cJSON_Delete(json);
        if (rc < 0)
            return rc;
    }
    return 0;
}
