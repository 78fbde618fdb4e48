/* Which IAM instance profile a server has: given, changed and taken away while it runs. */
#include "providers/ec2/internal.h"

/* The association of now; NULL: it has none. One that is being taken away is none. */
static int find(struct ec2_session *s, const char *id, struct arena *arena, const char **ret,
                struct err *err) {
    struct query q;
    struct xml *xml = NULL;
    *ret = NULL;
    query_init(&q, "DescribeIamInstanceProfileAssociations");
    query_add_filter(&q, 1, "instance-id", (const char *const[]){id, NULL});
    int rc = ec2_call(s, &q, "DescribeIamInstanceProfileAssociations", false, arena, &xml, err);
    for (const struct xml *item = rc < 0 ? NULL
                                         : xml_first_item(xml, "iamInstanceProfileAssociationSet");
         item != NULL; item = xml_next_item(item))
        if (cstr_eq(xml_text(item, "state"), "associated") ||
            cstr_eq(xml_text(item, "state"), "associating"))
            *ret = xml_text(item, "associationId");
    return rc;
}

int server_update_profile(struct ec2_session *s, const char *id, const char *profile,
                          struct arena *arena, struct err *err) {
    const char *association = NULL;
    struct query q;
    struct xml *xml;
    int rc = find(s, id, arena, &association, err);
    if (rc < 0 || (association == NULL && profile == NULL))
        return rc;
    const char *action = profile == NULL       ? "DisassociateIamInstanceProfile"
                         : association == NULL ? "AssociateIamInstanceProfile"
                                               : "ReplaceIamInstanceProfileAssociation";
    query_init(&q, action);
    query_add(&q, "AssociationId", association);
    query_add(&q, "InstanceId", association == NULL ? id : NULL);
    query_add(&q, "IamInstanceProfile.Name", profile);
    rc = ec2_call(s, &q, action, false, arena, &xml, err);
    if (rc < 0 && profile != NULL && !ec2_is(err, "UnauthorizedOperation"))
        err_hint(err, "is there an instance profile %s? aws iam list-instance-profiles", profile);
    return rc;
}
