/* The newest AMI of the image that the spec names, as AWS publishes it in SSM. */
#include "providers/aws/cache.h"
#include "providers/ec2/internal.h"

#include <cjson/cJSON.h>

/* The image that the spec names; NULL where it writes an ami-… id, or wants no server. */
static const struct image *named_image(const struct observe_in *in, const char **ret_type) {
    const struct node *node = nodes_find(in->nodes, "server[0]");
    const struct server_record *r = node == NULL ? NULL : node->desired;
    *ret_type = r == NULL ? NULL : r->type;
    return r == NULL ? NULL : image_find(r->image);
}

/* Is a server to be made, as far as the state tells? */
static bool is_to_be_made(const struct observe_in *in) {
    for (size_t i = 0; i < in->nodes->len; i++) {
        const struct node *node = &in->nodes->items[i];
        const struct recorded *known =
            node->kind == &server_kind ? recorded_find(in->recorded, node->address) : NULL;
        const struct server_record *wanted = node->desired;
        const struct server_record *was = known == NULL ? NULL : known->record;
        if (node->kind == &server_kind && (known == NULL || known->id == NULL || was == NULL ||
                                           !cstr_eq(was->image, wanted->image)))
            return true;
    }
    return false;
}

static int keep(struct ec2_session *s, struct str ami, bool cached) {
    s->ami = arena_dup_str(&s->arena, ami);
    s->ami_err = (struct err){0};
    s->ami_cached = cached;
    return s->ami == NULL ? -ERRC_NOMEM : 0;
}

/* For the note that there is a newer one, an answer of the last day is good enough; for a launch it
 * is not: images are withdrawn. */
int ami_begin(struct ec2_session *s, const struct observe_in *in, struct err *err) {
    _cleanup_buf_ struct buf known = BUF_INIT(BUF_SMALL);
    const char *type;
    const struct image *image = named_image(in, &type);
    struct cache cache;
    s->ami_parameter = image == NULL ? NULL : image_parameter(image, type);
    if (s->ami_parameter == NULL || is_to_be_made(in))
        return 0;
    cache_init(s->run, &cache);
    if (!cache_get(&cache, s->config.endpoints[AWS_SSM], s->config.region, s->ami_parameter,
                   CACHE_DAY_S, &known))
        return 0;
    s->ami_parameter = NULL;
    return keep(s, buf_str(&known), true) < 0 ? err_no_memory(err) : 0;
}

void ami_body(const char *parameter, struct buf *out) {
    buf_addf(out, "{\"Names\":[\"%s\"]}", parameter == NULL ? "" : parameter);
}

/* SSM answers unknown names in a list of their own, not as an error: then it is "". */
static int parse(struct ec2_session *s, const char *parameter, const struct aws_call *call,
                 struct buf *out, struct err *err) {
    cJSON *json = cJSON_ParseWithLength(call->answer.ptr, call->answer.len);
    const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "Parameters"), 0);
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItem(first, "Value"));
    int rc = json == NULL ? err_set(err, ERRC_NET, "GetParameters: the answer is not JSON") : 0;
    buf_adds(out, value == NULL ? "" : value);
    if (value != NULL && value[0] != '\0') {
        struct cache cache;
        cache_init(s->run, &cache);
        cache_put(&cache, s->config.endpoints[AWS_SSM], s->config.region, parameter, str_of(value));
    }
    cJSON_Delete(json);
    return rc;
}

int ami_read(struct ec2_session *s, const struct aws_call *call, struct err *err) {
    _cleanup_buf_ struct buf value = BUF_INIT(BUF_SMALL);
    struct err why = {0};
    if (call->rc < 0)
        why = call->err;
    else
        parse(s, s->ami_parameter, call, &value, &why);
    if (keep(s, buf_str(&value), false) < 0)
        return err_no_memory(err);
    s->ami_err = why;
    return 0;
}

int ami_find(struct ec2_session *s, const struct server_record *r, struct arena *arena,
             const char **ret, struct err *err) {
    const struct image *image = image_find(r->image);
    const char *parameter = image == NULL ? NULL : image_parameter(image, r->type);
    _cleanup_buf_ struct buf body = BUF_INIT(BUF_SMALL), value = BUF_INIT(BUF_SMALL);
    *ret = image == NULL ? r->image : s->ami;
    if (image != NULL && s->ami_err.code != 0) {
        *err = s->ami_err;
        return -err->code;
    }
    if (parameter != NULL && s->ami_cached) {
        ami_body(parameter, &body);
        struct aws_call call = {
            .service = AWS_SSM, .action = "GetParameters", .body = buf_str(&body), .arena = arena};
        int rc = aws_call(s->client, &call, err);
        if (rc == 0)
            rc = parse(s, parameter, &call, &value, err);
        buf_free(&call.answer);
        if (rc < 0)
            return rc;
        *ret = arena_dup(arena, buf_cstr(&value));
    }
    if (*ret == NULL || (*ret)[0] == '\0')
        return err_set(err, ERRC_NOTFOUND, "no AMI is published for %s in %s", r->image,
                       s->config.region);
    return 0;
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
        err_set(&why, ERRC_NOTFOUND, "no AMI is published for %s, for the processors of %s, in %s",
                image->name, type, s->config.region);
        err_hint(&why, "choose another image or type, or write an ami-… id");
    }
    *ret = why;
    return true;
}
