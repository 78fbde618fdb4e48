/* Tags of servers: those that get the same are given them by one call. */
#include "providers/ec2/internal.h"

#include <stdlib.h>

#define RECORD struct server_record

/* The first index of its launch, which its tag says. */
static int64_t launch_of(const struct change *c) {
    return server_address_index(c->address) - ((const RECORD *)c->before)->launch_index;
}

static bool is_same(const struct change *a, const struct change *b) {
    const RECORD *x = a->before, *y = b->before;
    return x->tagged == y->tagged && strmap_equal(&x->tags, &y->tags) &&
           (x->tagged || launch_of(a) == launch_of(b));
}

/* Those from the first one on that get the same tags, and their disks. */
static int tag_some(struct ec2_session *s, struct batch *b, size_t first, size_t *ret_len,
                    struct err *err) {
    const char **ids = arena_calloc(b->arena, 2 * (b->len - first), sizeof *ids);
    struct change *const *c = b->changes + first;
    size_t len = 0, n = 0;
    if (ids == NULL)
        return err_no_memory(err);
    for (; first + len < b->len && is_same(c[0], c[len]); len++) {
        const RECORD *before = c[len]->before;
        ids[n++] = change_id(c[len]);
        if (before->root_volume != NULL)
            ids[n++] = before->root_volume;
    }
    *ret_len = len;
    const RECORD *before = c[0]->before;
    const struct ec2_tagging tagging = {.ids = ids,
                                        .ids_len = n,
                                        .node = "server",
                                        .first_index = launch_of(c[0]),
                                        .mend = !before->tagged,
                                        .before = &before->tags,
                                        .after = &((const RECORD *)c[0]->after)->tags};
    return ec2_tag(s, &tagging, b->arena, err);
}

static int by_tags(const void *a, const void *b) {
    const struct change *x = *(struct change *const *)a, *y = *(struct change *const *)b;
    const RECORD *p = x->before, *q = y->before;
    int64_t m = launch_of(x), n = launch_of(y);
    return p->tagged != q->tagged ? p->tagged - q->tagged : m < n ? -1 : m > n;
}

void server_tag_all(struct ec2_session *s, struct batch *b, const struct apply_ops *ops,
                    struct err *err) {
    qsort(b->changes, b->len, sizeof *b->changes, by_tags);
    for (size_t i = 0, len = 1; i < b->len; i += len) {
        int rc = tag_some(s, b, i, &len, err);
        for (size_t j = i; j < i + len; j++) {
            const RECORD *before = b->changes[j]->before;
            RECORD record = server_merge(b->changes[j]->after, before);
            record.host_key = before->host_key;
            if (rc < 0 || ops->done(ops->ctx, b->changes[j], &record, err) < 0)
                ops->failed(ops->ctx, b->changes[j], err);
        }
    }
}
