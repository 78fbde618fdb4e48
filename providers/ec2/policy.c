/* The least IAM policy for a spec: by region, and by our tag, so that it is of no use against what
 * others have made.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/supported-iam-actions-tagging.html */
#include "providers/ec2/permissions.h"
#include "providers/ec2/permissions_table.h"
#include "specs/buf.h"
#include "specs/list.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

struct scope {
    const char *name; /* of the spec */
    const char *region;
    char partition[24], account[24];
    unsigned needs;
    bool failed;
};

/* "arn:PARTITION:sts::ACCOUNT:…". */
static void read_arn(const char *arn, struct scope *s) {
    struct str rest = str_of(arn), part;
    snprintf(s->partition, sizeof s->partition, "aws");
    snprintf(s->account, sizeof s->account, "*");
    for (int i = 0; arn != NULL && i < 5 && str_split(&rest, ':', &part); i++) {
        if (i == 1 && part.len > 0 && part.len < sizeof s->partition)
            snprintf(s->partition, sizeof s->partition, "%.*s", STR_FMT(part));
        if (i == 4 && part.len > 0 && part.len < sizeof s->account)
            snprintf(s->account, sizeof s->account, "%.*s", STR_FMT(part));
    }
}

static cJSON *add_array(struct scope *s, cJSON *to, const char *name) {
    cJSON *array = cJSON_AddArrayToObject(to, name);
    s->failed |= array == NULL;
    return array;
}

static void add_text(struct scope *s, cJSON *array, const char *text) {
    const cJSON *item;
    cJSON_ArrayForEach(item, array) {
        if (strcmp(item->valuestring, text) == 0)
            return;
    }
    s->failed |= !cJSON_AddItemToArray(array, cJSON_CreateString(text));
}

/* "CONDITION": {"KEY": "VALUE"} */
static void add_condition(struct scope *s, cJSON *statement, const char *condition, const char *key,
                          const char *value) {
    cJSON *all = cJSON_GetObjectItemCaseSensitive(statement, "Condition");
    if (all == NULL)
        all = cJSON_AddObjectToObject(statement, "Condition");
    cJSON *one = cJSON_GetObjectItemCaseSensitive(all, condition);
    if (one == NULL)
        one = cJSON_AddObjectToObject(all, condition);
    s->failed |= cJSON_AddStringToObject(one, key, value) == NULL;
}

/* Images and snapshots are nobody's: their names have no account. */
static void add_types(struct scope *s, cJSON *resources, const char *types) {
    struct str rest = str_of(types), type;
    char arn[192];
    while (types != NULL && str_split(&rest, ' ', &type)) {
        bool open = str_eqc(type, "image");
        snprintf(arn, sizeof arn, "arn:%s:ec2:%s:%s:%.*s/*", s->partition, s->region,
                 open ? "" : s->account, STR_FMT(type));
        add_text(s, resources, arn);
    }
}

static bool applies(const struct scope *s, const struct permission_row *row, enum part part) {
    return row->part == part && (row->when & s->needs) != 0;
}

/* Begins a statement with the actions of a part; NULL when it has none. */
static cJSON *begin(struct scope *s, cJSON *statements, const char *sid, enum part part) {
    cJSON *actions = NULL, *statement = NULL;
    for (const struct permission_row *row = permission_rows; row->action != NULL; row++) {
        if (!applies(s, row, part))
            continue;
        if (statement == NULL) {
            statement = cJSON_CreateObject();
            s->failed |= cJSON_AddStringToObject(statement, "Sid", sid) == NULL ||
                         cJSON_AddStringToObject(statement, "Effect", "Allow") == NULL ||
                         !cJSON_AddItemToArray(statements, statement);
            actions = add_array(s, statement, "Action");
        }
        add_text(s, actions, row->action);
    }
    return statement;
}

static void add_resource(struct scope *s, cJSON *statement, const char *resource) {
    s->failed |=
        statement != NULL && cJSON_AddStringToObject(statement, "Resource", resource) == NULL;
}

static void add_resources(struct scope *s, cJSON *statement, enum part part, bool uses) {
    cJSON *resources = add_array(s, statement, "Resource");
    for (const struct permission_row *row = permission_rows; row->action != NULL; row++)
        if (applies(s, row, part))
            add_types(s, resources, uses ? row->uses : row->types);
}

static void add_looks(struct scope *s, cJSON *statements) {
    char arn[160];
    cJSON *look = begin(s, statements, "Look", PART_LOOK);
    add_resource(s, look, "*");
    add_condition(s, look, "StringEquals", "aws:RequestedRegion", s->region);
    cJSON *images = begin(s, statements, "FindImages", PART_IMAGES);
    snprintf(arn, sizeof arn, "arn:%s:ssm:%s::parameter/aws/service/*", s->partition, s->region);
    add_resource(s, images, arn);
    add_resource(s, begin(s, statements, "Prices", PART_PRICES), "*");
}

/* What is made must carry the tag; what is used for it, images and the like, need not. */
static void add_makes(struct scope *s, cJSON *statements) {
    cJSON *make = begin(s, statements, "MakeWithTag", PART_MAKE);
    if (make == NULL)
        return;
    add_resources(s, make, PART_MAKE, false);
    add_condition(s, make, "StringEquals", "aws:RequestTag/berth:name", s->name);
    cJSON *use = begin(s, statements, "MakeFrom", PART_MAKE);
    add_resources(s, use, PART_MAKE, true);
    /* Only actions that need something. */
    cJSON_DeleteItemFromObjectCaseSensitive(use, "Action");
    cJSON *actions = add_array(s, use, "Action");
    for (const struct permission_row *row = permission_rows; row->action != NULL; row++)
        if (applies(s, row, PART_MAKE) && row->uses != NULL)
            add_text(s, actions, row->action);
    cJSON *tag = cJSON_CreateObject();
    s->failed |= cJSON_AddStringToObject(tag, "Sid", "TagWhatIsMade") == NULL ||
                 cJSON_AddStringToObject(tag, "Effect", "Allow") == NULL ||
                 cJSON_AddStringToObject(tag, "Action", "ec2:CreateTags") == NULL ||
                 !cJSON_AddItemToArray(statements, tag);
    add_resources(s, tag, PART_MAKE, false);
    cJSON *condition = cJSON_AddObjectToObject(tag, "Condition");
    cJSON *equals = cJSON_AddObjectToObject(condition, "StringEquals");
    cJSON *names = add_array(s, equals, "ec2:CreateAction");
    for (const struct permission_row *row = permission_rows; row->action != NULL; row++)
        if (applies(s, row, PART_MAKE))
            add_text(s, names, strchr(row->action, ':') + 1);
}

static void add_changes(struct scope *s, cJSON *statements) {
    char arn[160];
    cJSON *change = begin(s, statements, "ChangeWhatIsTagged", PART_CHANGE);
    add_resources(s, change, PART_CHANGE, false);
    add_condition(s, change, "StringEquals", "aws:ResourceTag/berth:name", s->name);
    cJSON *pass = begin(s, statements, "PassRole", PART_PASS);
    if (pass != NULL) {
        snprintf(arn, sizeof arn, "arn:%s:iam::%s:role/*", s->partition, s->account);
        add_resource(s, pass, arn);
        add_condition(s, pass, "StringLike", "iam:PassedToService", "ec2.amazonaws.com*");
    }
    cJSON *spot = begin(s, statements, "SpotRole", PART_SPOT);
    if (spot != NULL) {
        snprintf(arn, sizeof arn,
                 "arn:%s:iam::%s:role/aws-service-role/spot.amazonaws.com/"
                 "AWSServiceRoleForEC2Spot",
                 s->partition, s->account);
        add_resource(s, spot, arn);
        add_condition(s, spot, "StringEquals", "iam:AWSServiceName", "spot.amazonaws.com");
    }
}

struct cJSON *ec2_policy(const struct spec *spec, const char *region, const char *arn) {
    struct scope s = {.name = spec->name, .region = region, .needs = permission_needs(spec)};
    cJSON *policy = cJSON_CreateObject();
    read_arn(arn, &s);
    s.failed |= cJSON_AddStringToObject(policy, "Version", "2012-10-17") == NULL;
    cJSON *statements = add_array(&s, policy, "Statement");
    add_looks(&s, statements);
    add_makes(&s, statements);
    add_changes(&s, statements);
    if (!s.failed)
        return policy;
    cJSON_Delete(policy);
    return NULL;
}
