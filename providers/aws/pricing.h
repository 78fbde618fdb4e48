/* The price list's GetProducts: what to ask for, and the one price in what comes back. Pure.
 * https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
 */
#pragma once

#include "specs/buf.h"
#include "specs/err.h"
#include "specs/str.h"

enum pricing_unit { PRICING_HOUR, PRICING_GB_MONTH };

enum { PRICING_ATTRIBUTES_MAX = 8, PRICING_PRODUCTS_MAX = 100 };

/* Products are told apart by attributes; all must match. */
struct pricing_product {
    const char *service; /* "AmazonEC2" */
    struct pricing_attribute {
        const char *field, *value; /* ends with a NULL field */
    } attributes[PRICING_ATTRIBUTES_MAX + 1];
    const char *usage; /* end of the attribute usagetype, which no filter can ask for; or NULL */
    enum pricing_unit unit;
};

/* Append the call's body. */
void pricing_ask(const struct pricing_product *product, struct buf *out);
/* The on-demand price of a unit, in USD. Products that do not match, or that are not of a region as
 * a whole (local zones), do not count, whatever the service sent. -ERRC_NET for an answer that is
 * none; -ERRC_NOTFOUND when nothing fits, -ERRC_CONFLICT when several prices do: nobody can say
 * then which is charged. */
int pricing_read(const struct pricing_product *product, struct str answer, double *ret_usd,
                 struct err *err);
/* A decimal amount of more than zero, such as "0.0208000000". False for anything else. */
bool pricing_amount(struct str text, double *ret_usd);
