/* The services that speak JSON 1.1, by X-Amz-Target: SSM for the images that there are, and the
 * price list (api_prices.c). */
#include "providers/sandbox/api.h"
#include "providers/sandbox/faults.h"
#include "providers/sandbox/http.h"
#include "providers/sandbox/images.h"
#include "providers/sandbox/internal.h"

#include <stdio.h>
#include <string.h>

static const struct image *image_of_parameter(const char *name) {
    for (const struct image *i = images; i->name != NULL; i++)
        if (name != NULL && strcmp(i->parameter, name) == 0)
            return i;
    return NULL;
}

static cJSON *parameters(struct sandbox *s, const cJSON *body, struct api_error *e) {
    (void)s, (void)e;
    cJSON *answer = cJSON_CreateObject();
    cJSON *found = cJSON_AddArrayToObject(answer, "Parameters");
    cJSON *unknown = cJSON_AddArrayToObject(answer, "InvalidParameters");
    const cJSON *name;
    cJSON_ArrayForEach(name, cJSON_GetObjectItem(body, "Names")) {
        const char *text = cJSON_GetStringValue(name);
        const struct image *image = image_of_parameter(text);
        if (image == NULL) {
            cJSON_AddItemToArray(unknown, cJSON_Duplicate(name, true));
            continue;
        }
        cJSON *item = cJSON_CreateObject();
        set_text(item, "Name", text);
        set_text(item, "Type", "String");
        set_text(item, "Value", image->ami);
        set_number(item, "Version", 1);
        cJSON_AddItemToArray(found, item);
    }
    return answer;
}

/* The answer, or NULL with *e set. */
static const struct service_target {
    const char *name, *service, *action; /* the whole target; what faults know it by */
    cJSON *(*handle)(struct sandbox *s, const cJSON *body, struct api_error *e);
} targets[] = {
    {"AmazonSSM.GetParameters", "ssm", "GetParameters", parameters},
    {"AWSPriceListService.GetProducts", "pricing", "GetProducts", prices_products},
};

static const struct service_target *find_target(struct str name) {
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        if (str_eqc(name, targets[i].name))
            return &targets[i];
    return NULL;
}

/* They have names of their own for who asks, and for what goes wrong. */
static void own_code(struct api_error *e) {
    static const struct {
        const char *ec2, *json;
        int status;
    } codes[] = {{"AuthFailure", "UnrecognizedClientException", 400},
                 {"IncompleteSignature", "IncompleteSignatureException", 400},
                 {"RequestExpired", "InvalidSignatureException", 400},
                 {"SignatureDoesNotMatch", "InvalidSignatureException", 400},
                 {"UnauthorizedOperation", "AccessDeniedException", 400},
                 {"RequestLimitExceeded", "ThrottlingException", 400},
                 {"InternalError", "InternalServerError", 500}};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(e->code, codes[i].ec2) == 0) {
            snprintf(e->code, sizeof e->code, "%s", codes[i].json);
            e->status = codes[i].status;
            return;
        }
}

static cJSON *answer(struct sandbox *s, const struct http_request *r, struct api_error *e) {
    char service[16] = "";
    const struct service_target *target = find_target(http_header(r, "x-amz-target"));
    if (api_authenticate(s, r, service, e) < 0)
        return NULL;
    if (target == NULL) {
        api_fail(e, "UnknownOperationException", "the sandbox does not know this operation");
        return NULL;
    }
    cJSON *body = cJSON_ParseWithLength(r->body.ptr, r->body.len);
    cJSON *answer = NULL;
    if (body == NULL)
        api_fail(e, "SerializationException", "the body is not JSON");
    else if (faults_before(s, target->service, target->action, body, false, e) == 0)
        answer = target->handle(s, body, e);
    if (answer != NULL)
        faults_after(s, target->action, body, STR(""), e);
    cJSON_Delete(body);
    return answer;
}

int api_handle_target(struct sandbox *s, const struct http_request *r, struct buf *out) {
    struct api_error e = {.status = 200};
    cJSON *json = answer(s, r, &e);
    if (json == NULL) {
        own_code(&e);
        json = cJSON_CreateObject();
        set_text(json, "__type", e.code);
        set_text(json, "message", e.message);
    }
    char *text = cJSON_PrintUnformatted(json);
    buf_adds(out, text == NULL ? "{}" : text);
    cJSON_free(text);
    cJSON_Delete(json);
    return e.status < 0 ? 0 : e.status;
}
