/* STS: who asks, and what a refusal says. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/internal.h"

static int identity(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    (void)s, (void)form, (void)e;
    xml_add(out, "Arn", SANDBOX_USER_ARN);
    xml_add(out, "UserId", SANDBOX_USER_ID);
    xml_add(out, "Account", SANDBOX_OWNER);
    return 0;
}

/* https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html */
static int decode(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    (void)s;
    bool good = buf_add_base64_decoded(&text, str_of(text_of(form, "EncodedMessage")));
    cJSON *json = good ? cJSON_ParseWithLength(text.ptr, text.len) : NULL;
    bool own = cJSON_GetObjectItem(json, "allowed") != NULL;
    cJSON_Delete(json);
    if (!own)
        return api_fail(e, "InvalidAuthorizationMessageException",
                        "Message is not a valid encoded authorization message");
    xml_add(out, "DecodedMessage", buf_cstr(&text));
    return 0;
}

const struct action sts_actions[] = {
    {"GetCallerIdentity", identity, false},
    {"DecodeAuthorizationMessage", decode, false},
    {NULL, NULL, false},
};
