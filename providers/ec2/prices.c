/* Unit prices: from the price list, and from the spot market. All that are not kept from an earlier
 * run are asked for side by side. */
#include "providers/ec2/prices.h"

#include "providers/aws/cache.h"
#include "providers/aws/pricing.h"
#include "providers/ec2/internal.h"

#include <string.h>

enum { AT_ONCE = 16, SPOT_AGE_S = 10 * 60 };

/* One price that is asked for. */
struct question {
    struct ec2_session *s;
    struct price *price;
    struct arena *arena;
    const struct source *source;
    const char *rest; /* of the name, behind the source's prefix */
    struct buf body;
};

/* Where prices come from, by the beginning of their names. */
struct source {
    const char *prefix;
    enum aws_service service;
    const char *action;
    int64_t age_s; /* that it stays good for */
    int (*ask)(struct question *q);
    int (*read)(const struct question *q, const struct aws_call *call, double *ret_usd,
                struct err *err);
};

/* ---- The price list */

static struct pricing_product instance_product(const struct question *q) {
    return (struct pricing_product){.service = "AmazonEC2",
                                    .attributes = {{"instanceType", q->rest},
                                                   {"regionCode", q->s->config.region},
                                                   {"operatingSystem", "Linux"},
                                                   {"tenancy", "Shared"},
                                                   {"preInstalledSw", "NA"},
                                                   {"capacitystatus", "Used"}},
                                    .unit = PRICING_HOUR};
}

static struct pricing_product volume_product(const struct question *q) {
    return (struct pricing_product){.service = "AmazonEC2",
                                    .attributes = {{"volumeApiName", q->rest},
                                                   {"regionCode", q->s->config.region},
                                                   {"productFamily", "Storage"}},
                                    .unit = PRICING_GB_MONTH};
}

/* Idle ones cost the same; contiguous blocks of them, which are in the same group, do not. */
static struct pricing_product ipv4_product(const struct question *q) {
    return (struct pricing_product){
        .service = "AmazonVPC",
        .attributes = {{"group", "VPCPublicIPv4Address"}, {"regionCode", q->s->config.region}},
        .usage = "PublicIPv4:InUseAddress",
        .unit = PRICING_HOUR};
}

static int ask_list(struct question *q, struct pricing_product product) {
    pricing_ask(&product, &q->body);
    return q->body.failed ? -ERRC_NOMEM : 0;
}

static int ask_instance(struct question *q) { return ask_list(q, instance_product(q)); }
static int ask_volume(struct question *q) { return ask_list(q, volume_product(q)); }
static int ask_ipv4(struct question *q) { return ask_list(q, ipv4_product(q)); }

static int read_list(struct pricing_product product, const struct aws_call *call, double *ret_usd,
                     struct err *err) {
    return pricing_read(&product, buf_str(&call->answer), ret_usd, err);
}

static int read_instance(const struct question *q, const struct aws_call *call, double *ret_usd,
                         struct err *err) {
    return read_list(instance_product(q), call, ret_usd, err);
}

static int read_volume(const struct question *q, const struct aws_call *call, double *ret_usd,
                       struct err *err) {
    return read_list(volume_product(q), call, ret_usd, err);
}

static int read_ipv4(const struct question *q, const struct aws_call *call, double *ret_usd,
                     struct err *err) {
    return read_list(ipv4_product(q), call, ret_usd, err);
}

/* ---- The spot market
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotPriceHistory.html */

/* "t3.small eu-west-1a", or without a zone. */
static const char *spot_zone(const struct question *q, struct str *ret_type) {
    const char *space = strchr(q->rest, ' ');
    *ret_type = str_of(q->rest);
    if (space != NULL)
        ret_type->len = (size_t)(space - q->rest);
    return space == NULL ? NULL : space + 1;
}

static void add_time(struct query *q, const char *name, time_t when) {
    struct tm utc;
    char text[32];
    gmtime_r(&when, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    query_add(q, name, text);
}

static int ask_spot(struct question *q) {
    struct str type;
    struct query query;
    const char *zone = spot_zone(q, &type);
    query_init(&query, "DescribeSpotPriceHistory");
    query_addf(&query, "InstanceType.1", "%.*s", STR_FMT(type));
    query_add(&query, "ProductDescription.1", "Linux/UNIX");
    query_add(&query, "AvailabilityZone", zone);
    /* A history that begins now has the price of now of each zone, and nothing older. */
    add_time(&query, "StartTime", q->s->run->now(q->s->run->clock_ctx));
    buf_addstr(&q->body, buf_str(&query.body));
    bool failed = query.body.failed || q->body.failed;
    query_free(&query);
    return failed ? -ERRC_NOMEM : 0;
}

/* The newest price of each zone, and of these the highest: where no zone is known, nobody pays
 * more. */
static int read_spot(const struct question *q, const struct aws_call *call, double *ret_usd,
                     struct err *err) {
    double usd = 0;
    struct str type;
    const char *zone = spot_zone(q, &type);
    struct strmap seen = {0}; /* zone → time */
    for (const struct xml *item = xml_first_item(call->xml, "spotPriceHistorySet"); item != NULL;
         item = xml_next_item(item)) {
        const char *of = xml_text(item, "availabilityZone"), *when = xml_text(item, "timestamp");
        double found;
        if (of == NULL || when == NULL || !str_eq(str_of(xml_text(item, "instanceType")), type) ||
            !cstr_eq(xml_text(item, "productDescription"), "Linux/UNIX") ||
            (zone != NULL && strcmp(zone, of) != 0) ||
            !pricing_amount(str_of(xml_text(item, "spotPrice")), &found))
            continue;
        /* Newest first, as EC2 sends them; an older one of the same zone is history. */
        const char *newest = strmap_get(&seen, of);
        if (newest != NULL)
            continue;
        if (strmap_set(q->arena, &seen, of, when) < 0)
            return err_no_memory(err);
        usd = found > usd ? found : usd;
    }
    if (usd <= 0)
        return err_set(err, ERRC_NOTFOUND, "the spot market has none");
    *ret_usd = usd;
    return 0;
}

static const struct source sources[] = {
    {PRICE_INSTANCE, AWS_PRICING, "GetProducts", CACHE_DAY_S, ask_instance, read_instance},
    {PRICE_VOLUME, AWS_PRICING, "GetProducts", CACHE_DAY_S, ask_volume, read_volume},
    {PRICE_IPV4, AWS_PRICING, "GetProducts", CACHE_DAY_S, ask_ipv4, read_ipv4},
    {PRICE_SPOT, AWS_EC2, "DescribeSpotPriceHistory", SPOT_AGE_S, ask_spot, read_spot},
};

/* ---- Asking */

static const char *cache_key(const struct question *q) {
    return arena_printf(q->arena, "price %s", q->price->name);
}

static bool find_kept(const struct question *q, const struct cache *cache) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    const char *key = cache_key(q), *endpoint = q->s->config.endpoints[q->source->service];
    double usd;
    if (key == NULL ||
        !cache_get(cache, endpoint, q->s->config.region, key, q->source->age_s, &text) ||
        !pricing_amount(buf_str(&text), &usd))
        return false;
    *q->price = (struct price){.name = q->price->name, .known = true, .usd = usd};
    return true;
}

static void keep(const struct question *q, const struct cache *cache) {
    const char *key = cache_key(q), *text = arena_printf(q->arena, "%.12f", q->price->usd);
    if (key != NULL && text != NULL)
        cache_put(cache, q->s->config.endpoints[q->source->service], q->s->config.region, key,
                  str_of(text));
}

static const char *say(const struct question *q, const struct err *err) {
    bool denied = aws_blames_credentials(err);
    const char *may =
        q->source->service == AWS_PRICING ? "pricing:GetProducts" : "ec2:DescribeSpotPriceHistory";
    const char *text = denied ? arena_printf(q->arena, "%s (the permission is %s)", err->msg, may)
                              : arena_dup(q->arena, err->msg);
    return text == NULL ? "out of memory" : text;
}

static void read_answer(const struct question *q, const struct aws_call *call,
                        const struct cache *cache) {
    struct err err = {0};
    double usd;
    int rc = call->rc < 0 ? call->rc : q->source->read(q, call, &usd, &err);
    if (call->rc < 0)
        err = call->err;
    if (rc == 0) {
        *q->price = (struct price){.name = q->price->name, .known = true, .usd = usd};
        keep(q, cache);
    } else if (rc != -ERRC_CANCELLED) { /* else it is late, which the caller says */
        q->price->why = say(q, &err);
    }
}

static void ask_some(struct question *questions, size_t n, const struct cache *cache,
                     struct arena *arena, const atomic_int *stop) {
    struct aws_call calls[AT_ONCE] = {0};
    struct err ignored;
    for (size_t i = 0; i < n; i++)
        calls[i] = (struct aws_call){.service = questions[i].source->service,
                                     .action = questions[i].source->action,
                                     .body = buf_str(&questions[i].body),
                                     .arena = arena,
                                     .stop = stop};
    aws_call_many(questions[0].s->client, calls, n, &ignored);
    for (size_t i = 0; i < n; i++) {
        read_answer(&questions[i], &calls[i], cache);
        buf_free(&calls[i].answer);
        buf_free(&questions[i].body);
    }
}

static const struct source *source_of(const char *name) {
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        if (strncmp(name, sources[i].prefix, strlen(sources[i].prefix)) == 0)
            return &sources[i];
    return NULL;
}

void ec2_price(void *session, struct price *prices, size_t len, struct arena *arena,
               const atomic_int *stop) {
    struct question questions[AT_ONCE];
    struct cache cache;
    struct ec2_session *s = session;
    size_t n = 0;
    cache_init(s->run, &cache);
    for (size_t i = 0; i <= len; i++) {
        if (n == AT_ONCE || (i == len && n > 0)) {
            ask_some(questions, n, &cache, arena, stop);
            n = 0;
        }
        const struct source *source = i == len ? NULL : source_of(prices[i].name);
        struct question *q = &questions[n];
        if (source == NULL)
            continue;
        *q = (struct question){.s = s,
                               .price = &prices[i],
                               .arena = arena,
                               .source = source,
                               .rest = prices[i].name + strlen(source->prefix),
                               .body = BUF_INIT(BUF_SMALL)};
        if (!find_kept(q, &cache) && source->ask(q) == 0)
            n++;
        else
            buf_free(&q->body);
    }
}
