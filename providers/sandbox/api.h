/* The API: a request and its answer, forms (Query parameters) and XML. */
#pragma once

#include "providers/sandbox/http.h"
#include "providers/sandbox/internal.h"

/* Handle one request; the answer goes to `out`; returns the HTTP status. */
int api_handle(struct sandbox *s, const struct http_request *request, struct buf *out,
               const char **ret_type);

struct api_error {
    char code[96];
    char message[2048];
    int status;
};
/* Fills *e with an error of AWS's kind and HTTP status 400; returns -1. */
int api_fail(struct api_error *e, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Builds the same canonical request from what arrived, and compares signatures. */
int api_authenticate(struct sandbox *s, const struct http_request *r, char service[16],
                     struct api_error *e);

struct action {
    const char *name;
    /* Mutex held. Appends the inner XML. 0 or -1 with *e set. */
    int (*handle)(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e);
    bool changes; /* the world is saved afterwards */
};
/* Of EC2, then of STS. */
extern const struct action instance_actions[], launch_actions[], state_actions[],
    attribute_actions[], group_actions[], rule_actions[], key_actions[], tag_actions[],
    place_actions[], type_actions[], address_actions[], interface_actions[], volume_actions[],
    volume_change_actions[], spot_actions[], profile_actions[];
extern const struct action sts_actions[];

/* The price list: what AWSPriceListService.GetProducts answers, or NULL with *e set. */
cJSON *prices_products(struct sandbox *s, const cJSON *body, struct api_error *e);
/* Handle a request to a service that speaks JSON: it names a target. Mutex held. */
int api_handle_target(struct sandbox *s, const struct http_request *request, struct buf *out);

/* ---- Forms, as form_decode() makes them */

/* Values of NAME.1, NAME.2, … */
cJSON *form_list(const cJSON *form, const char *name);
/* Tags of TagSpecification.N for that resource type, as a JSON object. */
cJSON *form_tags(const cJSON *form, const char *resource);
/* What a page of an answer has of all that matches. */
struct page {
    int64_t from, most, seen;
};
/* MaxResults, from `least` to `most`, and NextToken. */
int form_page(const cJSON *form, int least, int most, struct page *ret, struct api_error *e);
/* Is the next one that matches on this page? */
bool page_has(struct page *page);
/* Appends the NextToken, where more match. */
void page_end(const struct page *page, struct buf *out);
bool list_has(const cJSON *list, const char *text);
/* Does the item pass every Filter of the form? `value` gives an item's value of a filter name. */
bool form_filter(const cJSON *form, cJSON *item,
                 bool (*matches)(cJSON *item, const char *filter, const char *value));
/* Filters that are not known are refused, as EC2 does: they would match nothing in silence. */
int form_check_filters(const cJSON *form, const char *const known[], struct api_error *e);
/* For items whose members are named after filters: `tags`, and texts or arrays of them. */
bool member_matches(cJSON *item, const char *filter, const char *value);
bool tag_matches(const cJSON *tags, const char *filter, const char *value, bool *ret_matched);
bool pattern_matches(const char *pattern, const char *text); /* * and ? */

/* ---- XML */

void xml_add(struct buf *out, const char *name, const char *value); /* escaped */
void xml_add_number(struct buf *out, const char *name, double value);
void xml_add_tags(struct buf *out, const cJSON *tags);
