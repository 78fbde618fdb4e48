/* The tags that say that a thing is ours, and which: without them a lost state loses it. */
#include "providers/ec2/internal.h"

#include <stdio.h>
#include <string.h>

struct tag {
    const char *key, *value;
};

enum { OWN_TAGS_MAX = 4 };

/* `index` is text for servers, NULL for what there is one of. */
static size_t own_tags(const struct run *run, const char *node, const char *index,
                       struct tag ret[OWN_TAGS_MAX]) {
    size_t n = 0;
    ret[n++] = (struct tag){"berth:name", run->name};
    ret[n++] = (struct tag){"berth:lineage", run->lineage};
    ret[n++] = (struct tag){"berth:node", node};
    if (index != NULL)
        ret[n++] = (struct tag){"berth:index", index};
    return n;
}

static void add_tag(struct query *q, size_t spec, size_t n, const char *key, const char *value) {
    char name[64];
    snprintf(name, sizeof name, "TagSpecification.%zu.Tag.%zu.Key", spec, n);
    query_add(q, name, key);
    snprintf(name, sizeof name, "TagSpecification.%zu.Tag.%zu.Value", spec, n);
    query_add(q, name, value);
}

void ec2_add_tags(struct query *q, size_t spec, const char *resource, const struct run *run,
                  const char *node, int64_t first_index, const struct strmap *tags) {
    char index[24];
    struct tag own[OWN_TAGS_MAX];
    size_t n = 0;
    snprintf(index, sizeof index, "%lld", (long long)first_index);
    query_add_at(q, "TagSpecification.%zu.ResourceType", spec, resource);
    add_tag(q, spec, ++n, "Name", run->name);
    size_t len = own_tags(run, node, first_index == EC2_NO_INDEX ? NULL : index, own);
    for (size_t i = 0; i < len; i++)
        add_tag(q, spec, ++n, own[i].key, own[i].value);
    for (size_t i = 0; tags != NULL && i < tags->len; i++)
        add_tag(q, spec, ++n, tags->items[i].key, tags->items[i].value);
}

const char *ec2_tag_of(const struct xml *item, const char *key) {
    for (const struct xml *tag = xml_first_item(item, "tagSet"); tag != NULL;
         tag = xml_next_item(tag))
        if (cstr_eq(xml_text(tag, "key"), key))
            return xml_text(tag, "value");
    return NULL;
}

bool ec2_is_ours(const struct xml *item, const struct run *run) {
    return cstr_eq(ec2_tag_of(item, "berth:name"), run->name);
}

/* The lineage may be that of a state that was lost. */
bool ec2_is_tagged(const struct xml *item, const struct run *run, const char *node,
                   int64_t first_index) {
    char index[24];
    snprintf(index, sizeof index, "%lld", (long long)first_index);
    return ec2_is_ours(item, run) && ec2_tag_of(item, "berth:lineage") != NULL &&
           cstr_eq(ec2_tag_of(item, "berth:node"), node) &&
           (first_index == EC2_NO_INDEX || cstr_eq(ec2_tag_of(item, "berth:index"), index));
}

int ec2_read_tags(const struct xml *item, struct arena *arena, struct strmap *ret) {
    for (const struct xml *tag = xml_first_item(item, "tagSet"); tag != NULL;
         tag = xml_next_item(tag)) {
        const char *key = xml_text(tag, "key");
        const char *value = xml_text(tag, "value");
        if (key == NULL || value == NULL || strncmp(key, "berth:", 6) == 0 ||
            strncmp(key, "aws:", 4) == 0 || strcmp(key, "Name") == 0)
            continue;
        if (strmap_set(arena, ret, key, value) < 0)
            return -ERRC_NOMEM;
    }
    strmap_sort(ret);
    return 0;
}

bool ec2_has_tags(const struct xml *item, const struct strmap *tags) {
    for (size_t i = 0; i < tags->len; i++)
        if (!cstr_eq(ec2_tag_of(item, tags->items[i].key), tags->items[i].value))
            return false;
    return true;
}

/* Those of `t` that are to be set. */
static size_t add_new_tags(const struct ec2_session *s, struct query *q,
                           const struct ec2_tagging *t) {
    char index[24];
    struct tag own[OWN_TAGS_MAX];
    size_t n = 0;
    snprintf(index, sizeof index, "%lld", (long long)t->first_index);
    size_t len =
        t->mend ? own_tags(s->run, t->node, t->first_index == EC2_NO_INDEX ? NULL : index, own) : 0;
    for (size_t i = 0; i < len; i++) {
        query_add_at(q, "Tag.%zu.Key", ++n, own[i].key);
        query_add_at(q, "Tag.%zu.Value", n, own[i].value);
    }
    for (size_t i = 0; i < t->after->len; i++) {
        const struct strpair *tag = &t->after->items[i];
        if (!t->mend && cstr_eq(strmap_get(t->before, tag->key), tag->value))
            continue;
        query_add_at(q, "Tag.%zu.Key", ++n, tag->key);
        query_add_at(q, "Tag.%zu.Value", n, tag->value);
    }
    return n;
}

static size_t add_old_tags(const struct ec2_session *s, struct query *q,
                           const struct ec2_tagging *t) {
    size_t n = 0;
    (void)s;
    for (size_t i = 0; i < t->before->len; i++)
        if (strmap_get(t->after, t->before->items[i].key) == NULL)
            query_add_at(q, "Tag.%zu.Key", ++n, t->before->items[i].key);
    return n;
}

/* One call for as many things as EC2 takes. */
static int send_tags(struct ec2_session *s, const char *action, const struct ec2_tagging *t,
                     size_t (*add)(const struct ec2_session *, struct query *,
                                   const struct ec2_tagging *),
                     struct arena *arena, struct err *err) {
    enum { IDS_MAX = 1000 };
    int rc = 0;
    for (size_t from = 0; rc == 0 && from < t->ids_len; from += IDS_MAX) {
        struct query q;
        struct xml *xml;
        query_init(&q, action);
        for (size_t i = from; i < t->ids_len && i < from + IDS_MAX; i++)
            query_add_at(&q, "ResourceId.%zu", i - from + 1, t->ids[i]);
        if (add(s, &q, t) > 0)
            rc = ec2_call(s, &q, action, false, arena, &xml, err);
        else
            query_free(&q);
    }
    return rc;
}

int ec2_tag(struct ec2_session *s, const struct ec2_tagging *t, struct arena *arena,
            struct err *err) {
    int rc = send_tags(s, "CreateTags", t, add_new_tags, arena, err);
    return rc < 0 ? rc : send_tags(s, "DeleteTags", t, add_old_tags, arena, err);
}
