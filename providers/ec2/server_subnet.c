/* The subnet that the spec names: is it there, and in which VPC? */
#include "providers/ec2/internal.h"

#define RECORD struct server_record

static const char *wanted(const struct observe_in *in) {
    const struct node *node = nodes_find(in->nodes, "server[0]");
    return node == NULL ? NULL : ((const RECORD *)node->desired)->subnet;
}

/* Is it to be made there, or to move there, as far as the state tells? */
static bool is_to_move(const struct observe_in *in, const struct node *node) {
    const struct recorded *known = recorded_find(in->recorded, node->address);
    const RECORD *was = known == NULL || known->id == NULL ? NULL : known->record;
    return was == NULL || !cstr_eq(was->subnet, ((const RECORD *)node->desired)->subnet);
}

bool subnet_is_needed(const struct observe_in *in) {
    const struct recorded *group = recorded_find(in->recorded, "access");
    if (wanted(in) == NULL)
        return false;
    for (size_t i = 0; i < in->nodes->len; i++)
        if (in->nodes->items[i].kind == &server_kind && is_to_move(in, &in->nodes->items[i]))
            return true;
    return group == NULL || group->id == NULL;
}

static void ask(struct query *q, const char *subnet) {
    query_init(q, "DescribeSubnets");
    query_add_filter(q, 1, "subnet-id", (const char *const[]){subnet, NULL});
}

void subnet_ask_live(struct ec2_session *s, struct query *q) {
    ask(q, s->subnet == NULL ? "" : s->subnet);
}

void subnet_begin(struct ec2_session *s, const struct observe_in *in) {
    s->subnet = wanted(in);
    s->subnet_vpc = NULL;
}

static bool is_wrong(struct ec2_session *s, const struct ec2_answers *answers, struct err *ret) {
    const struct ec2_answer *groups = &answers->of[READ_GROUPS];
    if (s->subnet_vpc == NULL) {
        err_set(ret, ERRC_NOTFOUND, "there is no subnet %s in %s", s->subnet, s->config.region);
        err_hint(ret, "aws ec2 describe-subnets lists those that there are");
        return true;
    }
    for (size_t i = 0; i < groups->len; i++) {
        const char *vpc = xml_text(groups->items[i], "vpcId");
        if (vpc == NULL || !ec2_is_ours(groups->items[i], s->run) || cstr_eq(vpc, s->subnet_vpc))
            continue;
        err_set(ret, ERRC_CONFLICT, "%s is in %s, and the security group of this spec in %s",
                s->subnet, s->subnet_vpc, vpc);
        err_hint(ret, "a group does not move: to go there, destroy and apply");
        return true;
    }
    return false;
}

int subnet_read(struct ec2_session *s, const struct observe_in *in,
                const struct ec2_answers *answers, struct observed *out, struct err *err) {
    const struct ec2_answer *found = &answers->of[READ_SUBNET];
    struct err why = {0};
    if (!ec2_has(answers, READ_SUBNET))
        return 0;
    s->subnet_vpc =
        arena_dup(&s->arena, found->len == 0 ? NULL : xml_text(found->items[0], "vpcId"));
    bool wrong = is_wrong(s, answers, &why);
    const char *zone = found->len == 0 ? NULL : xml_text(found->items[0], "availabilityZone");
    for (size_t i = 0; i < in->nodes->len; i++) {
        const struct node *node = &in->nodes->items[i];
        bool server = node->kind == &server_kind && is_to_move(in, node);
        struct live *live = observed_find(out, node->address);
        const char *data = server && !wrong ? zones_of_data(out, node->address) : NULL;
        if (data != NULL && !cstr_eq(data, zone)) {
            err_set(&why, ERRC_CONFLICT, "%s is in %s, and the data volume of %s in %s", s->subnet,
                    zone == NULL ? "?" : zone, node->address, data);
            err_hint(&why, "choose a subnet there: a volume never leaves its zone");
        } else if (!wrong) {
            continue;
        }
        if (!server && !(node->kind == &access_kind && live != NULL && live->presence == LIVE_NONE))
            continue;
        if (live == NULL)
            live = observed_add(out, node->kind, node->address, LIVE_UNREADABLE);
        if (live == NULL)
            return err_no_memory(err);
        live->presence = LIVE_UNREADABLE;
        live->err = why;
    }
    return 0;
}

int subnet_find_vpc(struct ec2_session *s, const char *subnet, struct arena *arena,
                    const char **ret, struct err *err) {
    struct query q;
    struct xml *xml = NULL;
    *ret = subnet == NULL ? NULL : s->subnet_vpc;
    if (subnet == NULL || s->subnet_vpc != NULL)
        return 0;
    ask(&q, subnet);
    int rc = ec2_call(s, &q, "DescribeSubnets", false, arena, &xml, err);
    if (rc < 0)
        return rc;
    *ret = xml_text(xml_first_item(xml, "subnetSet"), "vpcId");
    return *ret == NULL ? err_set(err, ERRC_NOTFOUND, "there is no subnet %s", subnet) : 0;
}
