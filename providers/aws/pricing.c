#include "providers/aws/pricing.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>
#include <strings.h>

enum { DIGITS_MAX = 30 };

/* A unit goes by several names in the lists. */
static const char *const unit_names[][4] = {
    [PRICING_HOUR] = {"Hrs", "Hours", "Hour", NULL},
    [PRICING_GB_MONTH] = {"GB-Mo", "GB-month", NULL},
};

void pricing_ask(const struct pricing_product *product, struct buf *out) {
    cJSON *body = cJSON_CreateObject();
    cJSON_AddStringToObject(body, "ServiceCode", product->service);
    cJSON_AddStringToObject(body, "FormatVersion", "aws_v1");
    cJSON_AddNumberToObject(body, "MaxResults", PRICING_PRODUCTS_MAX);
    cJSON *filters = cJSON_AddArrayToObject(body, "Filters");
    for (const struct pricing_attribute *a = product->attributes; a->field != NULL; a++) {
        cJSON *filter = cJSON_CreateObject();
        cJSON_AddStringToObject(filter, "Type", "TERM_MATCH");
        cJSON_AddStringToObject(filter, "Field", a->field);
        cJSON_AddStringToObject(filter, "Value", a->value);
        cJSON_AddItemToArray(filters, filter);
    }
    char *text = cJSON_PrintUnformatted(body);
    if (text == NULL)
        out->failed = true;
    else
        buf_adds(out, text);
    cJSON_free(text);
    cJSON_Delete(body);
}

bool pricing_amount(struct str text, double *ret_usd) {
    double whole = 0, fraction = 0, place = 1;
    bool behind_point = false, any = false;
    if (text.len > DIGITS_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.' && !behind_point) {
            behind_point = true;
            continue;
        }
        if (c < '0' || c > '9')
            return false;
        any = true;
        if (behind_point)
            fraction = fraction * 10 + (c - '0'), place *= 10;
        else
            whole = whole * 10 + (c - '0');
    }
    double usd = whole + fraction / place;
    if (!any || usd <= 0 || usd > 1e6) /* no price of anything that there is */
        return false;
    *ret_usd = usd;
    return true;
}

static const char *text_of(const cJSON *object, const char *name) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static bool matches(const struct pricing_product *wanted, const cJSON *attributes) {
    const char *place = text_of(attributes, "locationType");
    const char *market = text_of(attributes, "marketoption");
    const char *usage = text_of(attributes, "usagetype");
    for (const struct pricing_attribute *a = wanted->attributes; a->field != NULL; a++) {
        const char *value = text_of(attributes, a->field);
        /* productFamily stands beside the attributes, not among them */
        if (strcmp(a->field, "productFamily") != 0 &&
            (value == NULL || strcmp(value, a->value) != 0))
            return false;
    }
    return (place == NULL || strcmp(place, "AWS Region") == 0) &&
           (market == NULL || strcmp(market, "OnDemand") == 0) &&
           (wanted->usage == NULL ||
            (usage != NULL && str_ends(str_of(usage), str_of(wanted->usage))));
}

static bool is_unit(enum pricing_unit unit, const char *name) {
    for (size_t i = 0; name != NULL && unit_names[unit][i] != NULL; i++)
        if (strcasecmp(unit_names[unit][i], name) == 0)
            return true;
    return false;
}

/* All dimensions of a product's on-demand terms. Steps for those who use more begin above 0. */
static int read_terms(const struct pricing_product *wanted, const cJSON *product, double *usd,
                      struct err *err) {
    const cJSON *terms = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(product, "terms"), "OnDemand");
    const cJSON *term, *dimension;
    cJSON_ArrayForEach(term, terms) {
        cJSON_ArrayForEach(dimension, cJSON_GetObjectItemCaseSensitive(term, "priceDimensions")) {
            const char *begin = text_of(dimension, "beginRange");
            const char *amount =
                text_of(cJSON_GetObjectItemCaseSensitive(dimension, "pricePerUnit"), "USD");
            double found;
            if ((begin != NULL && strcmp(begin, "0") != 0) ||
                !is_unit(wanted->unit, text_of(dimension, "unit")) ||
                !pricing_amount(str_of(amount), &found))
                continue;
            if (*usd > 0 && fabs(*usd - found) > 1e-12)
                return err_set(err, ERRC_CONFLICT, "several prices fit: %g and %g USD", *usd,
                               found);
            *usd = found;
        }
    }
    return 0;
}

/* An entry is JSON in a string; the SDKs show it so, and some proxies unpack it. */
static int read_entry(const struct pricing_product *wanted, const cJSON *entry, double *usd,
                      struct err *err) {
    cJSON *parsed = cJSON_IsString(entry) ? cJSON_Parse(entry->valuestring) : NULL;
    const cJSON *product = parsed != NULL ? parsed : entry;
    const cJSON *attributes = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(product, "product"), "attributes");
    int rc = attributes != NULL && matches(wanted, attributes)
                 ? read_terms(wanted, product, usd, err)
                 : 0;
    cJSON_Delete(parsed);
    return rc;
}

int pricing_read(const struct pricing_product *product, struct str answer, double *ret_usd,
                 struct err *err) {
    cJSON *json = cJSON_ParseWithLength(answer.ptr == NULL ? "" : answer.ptr, answer.len);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "PriceList");
    const cJSON *entry;
    double usd = 0;
    int rc = cJSON_IsArray(list)
                 ? 0
                 : err_set(err, ERRC_NET, "GetProducts: the answer is not a price list");
    cJSON_ArrayForEach(entry, list) if (rc == 0) rc = read_entry(product, entry, &usd, err);
    cJSON_Delete(json);
    if (rc == 0 && usd <= 0)
        rc = err_set(err, ERRC_NOTFOUND, "the price list has none");
    if (rc == 0)
        *ret_usd = usd;
    return rc;
}
