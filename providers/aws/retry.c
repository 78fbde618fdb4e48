#include "providers/aws/retry.h"

#include <stddef.h>
#include <string.h>

enum { COST = 5, COST_TIMEOUT = 10, PAUSE_MAX_S = 20 };

/* Calls a second: where a limit begins, its least, what a good answer adds, and where it ends. EC2
 * refills the buckets of its calls by 2 to 20 a second.
 * https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html */
#define RATE_FIRST 8.0
#define RATE_MIN 0.5
#define RATE_STEP 0.5
#define RATE_MAX 20.0
#define CUT_EVERY_S 1.0

/* The lists of the SDKs' standard mode, as botocore's retries/standard.py has them. */
static const char *const throttles[] = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "SlowDown",
    "PriorRequestNotComplete",
    "TransactionInProgressException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    NULL,
};
static const char *const transients[] = {"RequestTimeout", "RequestTimeoutException", NULL};
/* What services answer when the date is not theirs; AuthFailure is EC2's. */
static const char *const skews[] = {
    "RequestExpired",
    "RequestTimeTooSkewed",
    "RequestInTheFuture",
    "SignatureDoesNotMatch",
    "AuthFailure",
    "InvalidSignatureException",
    "AuthorizationHeaderMalformed",
    NULL,
};

static bool is_in(const char *const *list, const char *code) {
    for (; *list != NULL; list++)
        if (strcmp(*list, code) == 0)
            return true;
    return false;
}

/* RequestExpired is EC2's word for a clock that is off, too. */
static const char *const expiries[] = {"ExpiredToken", "ExpiredTokenException", "RequestExpired",
                                       NULL};

static bool is_throttle(const char *code) { return is_in(throttles, code); }

bool retry_is_throttle(const struct retry_try *t) {
    return t->status == 429 || is_throttle(t->code);
}

bool retry_is_expiry(const char *code) { return is_in(expiries, code); }

bool retry_is_skew(const char *code) { return is_in(skews, code); }

static bool is_transient(const struct retry_try *t) {
    return t->status == 0 || t->status == 500 || t->status == 502 || t->status == 503 ||
           t->status == 504 || is_in(transients, t->code);
}

int retry_cost(const struct retry_try *t) {
    if (t->number >= t->max_attempts || t->permanent)
        return 0;
    /* EC2 says that it has no capacity with a 500: asking again at once would not help. */
    if (strcmp(t->code, "InsufficientInstanceCapacity") == 0)
        return 0;
    bool safe = !t->once || t->unsent || retry_is_throttle(t);
    bool worth = retry_is_throttle(t) || is_transient(t);
    if (!safe || !worth)
        return 0;
    return t->timed_out ? COST_TIMEOUT : COST;
}

bool retry_spend(int *quota, int cost) {
    if (cost > *quota)
        return false;
    *quota -= cost;
    return true;
}

void retry_give_back(int *quota, int last_cost) {
    *quota += last_cost > 0 ? last_cost : 1;
    if (*quota > RETRY_QUOTA_MAX)
        *quota = RETRY_QUOTA_MAX;
}

double retry_pause_s(int number, uint32_t random) {
    double most = 1;
    for (int i = 1; i < number && most < PAUSE_MAX_S; i++)
        most *= 2;
    if (most > PAUSE_MAX_S)
        most = PAUSE_MAX_S;
    return most * (double)random / (double)UINT32_MAX;
}

double retry_rate_reserve(struct retry_rate *rate, double now_s) {
    if (rate->per_s <= 0)
        return now_s;
    double at = rate->next_s > now_s ? rate->next_s : now_s;
    rate->next_s = at + 1 / rate->per_s;
    return at;
}

void retry_rate_cut(struct retry_rate *rate, double now_s) {
    bool begins = rate->per_s <= 0;
    if (!begins && now_s - rate->cut_s < CUT_EVERY_S)
        return;
    rate->per_s = begins ? RATE_FIRST : rate->per_s / 2 > RATE_MIN ? rate->per_s / 2 : RATE_MIN;
    rate->cut_s = now_s;
    if (rate->next_s < now_s + 1 / rate->per_s)
        rate->next_s = now_s + 1 / rate->per_s;
}

void retry_rate_recover(struct retry_rate *rate) {
    if (rate->per_s <= 0)
        return;
    rate->per_s += RATE_STEP;
    if (rate->per_s > RATE_MAX)
        *rate = (struct retry_rate){0};
}
