/* The newest AMI of the image that the spec names, as AWS publishes it in SSM. */
#include "providers/ec2/internal.h"

#include <cjson/cJSON.h>

/* The image that the spec names; NULL where it writes an ami-… id, or wants no server. */
static const struct image *named_image(const struct observe_in *in, const char **ret_type) {
    const struct node *node = nodes_find(in->nodes, "server[0]");
    const struct server_record *r = node == NULL ? NULL : node->desired;
    *ret_type = r == NULL ? NULL : r->type;
    return r == NULL ? NULL : image_find(r->image);
}

const char *ami_parameter(const struct observe_in *in) {
    const char *type;
    const struct image *image = named_image(in, &type);
    return image == NULL ? NULL : image_parameter(image, type);
}

/* SSM answers unknown names in a list of their own, not as an error. */
int ami_read(struct ec2_session *s, const struct aws_call *call, struct err *err) {
    cJSON *json = cJSON_ParseWithLength(call->answer.ptr, call->answer.len);
    const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "Parameters"), 0);
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItem(first, "Value"));
    s->ami = arena_dup(&s->arena, value == NULL ? "" : value);
    s->ami_err = call->rc < 0 ? call->err : (struct err){0};
    if (call->rc == 0 && json == NULL)
        err_set(&s->ami_err, ERRC_NET, "GetParameters: the answer is not JSON");
    cJSON_Delete(json);
    return s->ami == NULL ? err_set(err, ERRC_NOMEM, "out of memory") : 0;
}

bool ami_is_missing(const struct ec2_session *s, const struct observe_in *in, struct err *ret) {
    struct err why = s->ami_err;
    const char *type;
    const struct image *image = named_image(in, &type);
    if (image == NULL || (s->ami != NULL && s->ami[0] != '\0'))
        return false;
    if (image_parameter(image, type) == NULL) {
        err_set(&why, ERRC_NOTFOUND, "%s is not published for the processors of %s", image->name,
                type);
        err_hint(&why, "choose another image or type, or write an ami-… id");
    } else if (why.code == 0) {
        err_set(&why, ERRC_NOTFOUND, "no AMI is published for %s in %s", image->name,
                s->config.region);
        err_hint(&why, "choose another image, or write an ami-… id");
    }
    *ret = why;
    return true;
}
