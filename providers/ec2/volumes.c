/* The volumes of a project: what READ_VOLUMES asks, and which of them is a server's root disk. */
#include "providers/ec2/internal.h"

void volumes_ask_live(struct ec2_session *s, struct query *q) {
    query_init(q, "DescribeVolumes");
    query_add_filter(q, 1, "tag:berth:name", (const char *const[]){s->run->name, NULL});
    query_add(q, "MaxResults", "500"); /* the most that EC2 takes */
}

int volumes_by_attachment(const struct ec2_answers *answers, struct arena *arena,
                          struct ec2_attachments *ret) {
    const struct ec2_answer *volumes = &answers->of[READ_VOLUMES];
    struct ec2_attachments all = {arena_calloc(arena, volumes->len + 1, sizeof *all.items), 0};
    if (all.items == NULL)
        return -ERRC_NOMEM;
    for (size_t i = 0; i < volumes->len; i++) {
        /* Only volumes that several servers may share have more than one. */
        const struct xml *a = xml_first_item(volumes->items[i], "attachmentSet");
        const char *id = xml_text(a, "instanceId"), *device = xml_text(a, "device");
        if (id != NULL && device != NULL)
            all.items[all.len++] = (struct ec2_attached){id, device, volumes->items[i]};
    }
    ec2_sort_attached(&all);
    *ret = all;
    return 0;
}
