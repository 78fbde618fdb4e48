#include "engine/fingerprint.h"

#include "specs/hash.h"
#include "specs/record.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static int add_record(const struct kind *kind, const void *record, struct buf *out) {
    cJSON *json = record_to_json(kind->fields, record, true);
    char *text = json == NULL ? NULL : cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    if (text == NULL)
        return -ERRC_NOMEM;
    buf_addf(out, "%s\n", text);
    OPENSSL_cleanse(text, strlen(text));
    cJSON_free(text);
    return 0;
}

static void take_hash(struct buf *text, char ret[SHA256_HEX_SIZE]) {
    sha256_hex(buf_str(text), ret);
    buf_wipe(text);
}

static int add_nodes(const struct nodes *nodes, struct buf *out) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < nodes->len; i++) {
        const struct node *node = &nodes->items[i];
        buf_addf(out, "%s %d\n", node->address, (int)node->protect);
        rc = add_record(node->kind, node->desired, out);
    }
    return rc;
}

static int compare_lives(const void *a, const void *b) {
    return strcmp((*(const struct live *const *)a)->address,
                  (*(const struct live *const *)b)->address);
}

/* In the order of addresses: worlds answer as they please. */
static int add_world(const struct observed *world, struct buf *out) {
    const struct live **sorted = calloc(world->len + 1, sizeof *sorted);
    int rc = sorted == NULL ? -ERRC_NOMEM : 0;
    for (size_t i = 0; rc == 0 && i < world->len; i++)
        sorted[i] = &world->items[i];
    if (rc == 0)
        qsort(sorted, world->len, sizeof *sorted, compare_lives);
    for (size_t i = 0; rc == 0 && i < world->len; i++) {
        const struct live *live = sorted[i];
        buf_addf(out, "%s %d %s\n", live->address, (int)live->presence,
                 live->id == NULL ? "" : live->id);
        if (live->record != NULL)
            rc = add_record(live->kind, live->record, out);
    }
    free(sorted);
    return rc;
}

int plan_fingerprint(const struct desired *desired, const struct state *state,
                     const struct live_world *live, struct plan *plan, struct err *err) {
    _cleanup_secret_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    int rc = add_nodes(&desired->nodes, &text);
    bool failed = text.failed;
    take_hash(&text, plan->spec_sha256);
    if (rc == 0)
        rc = state_print(state, &text);
    failed |= text.failed;
    take_hash(&text, plan->state_sha256);
    for (size_t i = 0; rc == 0 && i < live->len; i++)
        rc = add_world(&live->worlds[i], &text);
    failed |= text.failed;
    take_hash(&text, plan->live_sha256);
    return rc < 0 || failed ? err_no_memory(err) : 0;
}
