/* What is behind an UnauthorizedOperation: EC2 says it in a message that only those may read who
 * are allowed to.
 * https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html */
#include "providers/aws/client.h"
#include "providers/aws/query.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

static const char *text_of(const cJSON *json, const char *name) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
}

static void append(struct err *err, const char *text) {
    size_t used = strlen(err->msg);
    snprintf(err->msg + used, sizeof err->msg - used, "%s", text);
}

/* Action, resource and reason of a decoded message. */
static bool read_decoded(const char *text, struct err *err) {
    cJSON *json = text == NULL ? NULL : cJSON_Parse(text);
    const cJSON *context = cJSON_GetObjectItemCaseSensitive(json, "context");
    const char *action = text_of(context, "action");
    const char *resource = text_of(context, "resource");
    bool explicitly = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "explicitDeny"));
    char line[480];
    if (action != NULL) {
        snprintf(line, sizeof line, "; denied: %.80s on %.240s, %s", action,
                 resource == NULL ? "*" : resource,
                 explicitly ? "which a policy forbids" : "which no policy allows");
        append(err, line);
        err_hint(err,
                 explicitly ? "a Deny in some policy stands against %.80s; ask who wrote it"
                            : "ask for %.80s; `berth doctor` prints all that the spec needs",
                 action);
    }
    cJSON_Delete(json);
    return action != NULL;
}

void aws_explain_denial(struct aws_client *client, struct str encoded, struct err *err) {
    struct query q;
    struct arena arena = {0};
    struct err ignored = {0};
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    buf_addstr(&text, encoded);
    query_init_sts(&q, "DecodeAuthorizationMessage");
    query_add(&q, "EncodedMessage", buf_cstr(&text));
    struct aws_call call = {.service = AWS_STS,
                            .action = "DecodeAuthorizationMessage",
                            .body = buf_str(&q.body),
                            .probe = true,
                            .arena = &arena};
    bool read =
        !q.body.failed && aws_call(client, &call, &ignored) == 0 &&
        read_decoded(xml_text(call.xml, "DecodeAuthorizationMessageResult/DecodedMessage"), err);
    buf_free(&call.answer);
    query_free(&q);
    arena_free(&arena);
    if (read)
        return;
    err_hint(err, "these credentials may not do this; `berth doctor` says which permissions are "
                  "missing. Somebody who may reads AWS's reason by: aws sts "
                  "decode-authorization-message --encoded-message MESSAGE");
    if (strlen(err->msg) + encoded.len + 64 < sizeof err->msg) {
        append(err, "; the encoded message: ");
        append(err, buf_cstr(&text));
    }
}
