/* What AWS means by a refusal, and what its user can do about it. */
#include "providers/aws/client.h"

#include "providers/aws/retry.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#define DENIED_HINT                                                                                \
    "these credentials may not do this; `berth doctor` says which permissions are missing, and "   \
    "prints the policy to ask for"

/* What to do about AWS's codes. */
static const struct {
    const char *code;
    const char *hint;
} hints[] = {
    {"AuthFailure", "the access key is unknown or its secret is wrong; check the keys, and that "
                    "this account may use the region"},
    {"InvalidClientTokenId", "the access key is unknown; check the keys"},
    {"UnrecognizedClientException", "the access key is unknown; check the keys"},
    {"SignatureDoesNotMatch", "the secret key is wrong, or this machine's clock is off"},
    {"InvalidSignatureException", "the secret key is wrong, or this machine's clock is off"},
    /* EC2's word for both. */
    {"RequestExpired",
     "the session has ended: log in again; or this machine's clock is off: set it"},
    {"ExpiredToken", "the session has ended; log in again"},
    {"ExpiredTokenException", "the session has ended; log in again"},
    {"UnauthorizedOperation", DENIED_HINT},
    {"AccessDeniedException", DENIED_HINT},
    {"AccessDenied", DENIED_HINT},
    {"OptInRequired", "the account must first accept the terms, or enable the region"},
    {"VcpuLimitExceeded", "ask AWS for a higher vCPU quota, or choose a smaller type"},
    {"InstanceLimitExceeded", "ask AWS for a higher quota, or run fewer servers"},
    {"InsufficientInstanceCapacity", "AWS has none of this type here now; wait, or choose another"},
    {"SpotMaxPriceTooLow", "raise server.spot.max_price, or leave it out: then it is the price on "
                           "demand"},
    {"MaxSpotInstanceCountExceeded",
     "ask AWS for a higher quota of spot requests, or say server.spot: false"},
    {"Unsupported", "this type is not offered here; choose another type or region"},
    {"InvalidKeyPair.Duplicate", "a key pair of that name exists; rename the spec or delete it"},
    {"InvalidGroup.Duplicate",
     "a security group of that name exists; rename the spec or delete it"},
    {"DependencyViolation", "something still uses it; look in the EC2 console"},
    {"InvalidAMIID.NotFound", "the image is not in this region"},
    {"InvalidAMIID.Malformed", "an image id looks like ami-0123456789abcdef0"},
    {"VPCIdNotSpecified", "the region has no default VPC; make one: aws ec2 create-default-vpc"},
    {"IdempotentParameterMismatch", "an earlier, different request used the same token; run again"},
};

static void copy(char *to, size_t size, const char *from) {
    if (from != NULL)
        snprintf(to, size, "%s", from);
}

static void read_xml(struct str body, char *code, size_t code_size, char *message, size_t size,
                     char *id, size_t id_size) {
    struct arena arena = {.max = 1024 * 1024};
    struct err ignored;
    const struct xml *root = xml_parse(&arena, body, &ignored);
    const struct xml *error = xml_get(root, "Errors/Error");
    if (error == NULL)
        error = xml_get(root, "Error");
    copy(code, code_size, xml_text(error, "Code"));
    copy(message, size, xml_text(error, "Message"));
    copy(id, id_size, xml_text(root, "RequestID"));
    if (id[0] == '\0')
        copy(id, id_size, xml_text(root, "RequestId"));
    arena_free(&arena);
}

static void read_json(struct str body, char *code, size_t code_size, char *message, size_t size) {
    cJSON *json = cJSON_ParseWithLength(body.ptr, body.len);
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "__type"));
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(json, "message"));
    const char *hash = type == NULL ? NULL : strrchr(type, '#');
    copy(code, code_size, hash != NULL ? hash + 1 : type);
    copy(message, size, text);
    cJSON_Delete(json);
}

static const char denial_mark[] = "Encoded authorization failure message: ";

/* It is for a machine, and longer than all the rest. */
static void cut_denial(char *message) {
    char *mark = strstr(message, denial_mark);
    if (mark == NULL)
        return;
    while (mark > message && (mark[-1] == ' ' || mark[-1] == '.'))
        mark--;
    *mark = '\0';
}

bool aws_encoded_denial(struct str body, struct buf *ret) {
    struct arena arena = {.max = 1024 * 1024};
    struct err ignored;
    const char *text = NULL;
    if (body.len > 0 && body.ptr[0] == '<')
        text = xml_text(xml_parse(&arena, body, &ignored), "Errors/Error/Message");
    const char *mark = text == NULL ? NULL : strstr(text, denial_mark);
    if (mark != NULL) {
        const char *from = mark + sizeof denial_mark - 1;
        buf_add(ret, from, strcspn(from, " \t\r\n"));
    }
    arena_free(&arena);
    return mark != NULL && ret->len > 0;
}

void aws_read_error(const char *action, long status, struct str body, struct err *err) {
    char code[96] = "", message[600] = "", id[96] = "";
    if (body.len > 0 && body.ptr[0] == '{')
        read_json(body, code, sizeof code, message, sizeof message);
    else if (body.len > 0)
        read_xml(body, code, sizeof code, message, sizeof message, id, sizeof id);
    cut_denial(message);
    err_set(err, ERRC_AWS, "%s: %s", action, message[0] == '\0' ? "AWS gave no reason" : message);
    if (code[0] == '\0')
        err_set(err, ERRC_NET, "%s: the answer was HTTP %ld and not AWS's", action, status);
    snprintf(err->aws_code, sizeof err->aws_code, "%s", code);
    snprintf(err->aws_request_id, sizeof err->aws_request_id, "%s", id);
    err->aws_http_status = (int)status;
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        if (strcmp(code, hints[i].code) == 0)
            err_hint(err, "%s", hints[i].hint);
}

bool aws_blames_credentials(const struct err *err) {
    /* SSM says with a 400 what others say with a 403. */
    static const char *const codes[] = {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    };
    if (err->aws_http_status == 401 || err->aws_http_status == 403 || retry_is_skew(err->aws_code))
        return true;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(err->aws_code, codes[i]) == 0)
            return true;
    return false;
}
