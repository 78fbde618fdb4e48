/* Which of the files beside this one applies a batch of servers. */
#include "providers/ec2/internal.h"

int server_apply(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                 struct err *err) {
    struct change *first = batch->changes[0];
    if (first->action == ACTION_DESTROY) {
        server_terminate_all(s, batch, ops, err);
        return 0;
    }
    if (first->action == ACTION_CREATE || first->action == ACTION_RESUME) {
        server_launch_all(s, batch, ops, err);
        return 0;
    }
    if (first->action == ACTION_UPDATE && server_is_power_alone(first)) {
        server_power_all(s, batch, ops, err);
        return 0;
    }
    if (first->action == ACTION_UPDATE && server_is_tags_alone(first)) {
        server_tag_all(s, batch, ops, err);
        return 0;
    }
    for (size_t i = 0; i < batch->len; i++) {
        struct change *c = batch->changes[i];
        struct batch one = {&batch->changes[i], 1, batch->arena};
        if (c->action == ACTION_REPLACE) {
            /* Nothing is given up for a successor that cannot be. */
            if (server_check_launch(s, c->after, batch->arena, err) < 0 ||
                server_terminate(s, &c, 1, ops, batch->arena, err) < 0)
                ops->failed(ops->ctx, c, err);
            else
                server_launch_all(s, &one, ops, err);
        } else if (server_update(s, c, ops, batch->arena, err) < 0) {
            ops->failed(ops->ctx, c, err);
        }
    }
    return 0;
}
