/* The tags that say that a thing is ours, and which: without them a lost state loses it. */
#include "providers/ec2/internal.h"

#include <stdio.h>

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
    size_t len = own_tags(run, node, first_index < 0 ? NULL : index, own);
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
           (first_index < 0 || cstr_eq(ec2_tag_of(item, "berth:index"), index));
}

int ec2_mend_tags(struct ec2_session *s, const char *id, const char *node, int64_t first_index,
                  struct arena *arena, struct err *err) {
    char index[24];
    struct tag own[OWN_TAGS_MAX];
    struct query q;
    struct xml *xml;
    snprintf(index, sizeof index, "%lld", (long long)first_index);
    query_init(&q, "CreateTags");
    query_add(&q, "ResourceId.1", id);
    size_t len = own_tags(s->run, node, first_index < 0 ? NULL : index, own);
    for (size_t i = 0; i < len; i++) {
        query_add_at(&q, "Tag.%zu.Key", i + 1, own[i].key);
        query_add_at(&q, "Tag.%zu.Value", i + 1, own[i].value);
    }
    return ec2_call(s, &q, "CreateTags", false, arena, &xml, err);
}
