/* When a call is sent again: the SDKs' standard mode. Pure: what happened, the quota and the random
 * number are inputs, so that every rule can be tested without a network.
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { RETRY_QUOTA_MAX = 500 };

/* How one try ended. */
struct retry_try {
    int number; /* of the try, from 1 */
    int max_attempts;
    bool once;        /* the call is not idempotent and carries no token */
    bool unsent;      /* certainly not carried out: no connection was made */
    bool permanent;   /* the same again would end the same: a bad certificate, too long an answer */
    bool timed_out;   /* no answer in time */
    long status;      /* HTTP status; 0 when there was no answer */
    const char *code; /* AWS's error code, or "" */
};

/* What sending it again costs of the quota; 0 when it is not to be sent again. A call that may have
 * been carried out and must not be twice is sent again only when AWS said that it was not
 * (throttled) or nothing left this machine. */
int retry_cost(const struct retry_try *t);
/* Takes the cost; false, and nothing taken, when the quota has not so much left. */
bool retry_spend(int *quota, int cost);
/* A good answer gives back what its last retry had cost, or 1 when it needed none. */
void retry_give_back(int *quota, int last_cost);
/* Pause in seconds before try number + 1: full jitter under min(2^(number-1), 20 s). `random` is
 * uniform over all its values. */
double retry_pause_s(int number, uint32_t random);
/* Was it refused because of too many calls? */
bool retry_is_throttle(const struct retry_try *t);
/* Codes of a session that has ended. */
bool retry_is_expiry(const char *code);

/* How fast a service may be called, shared by all who call it: no limit until it says that it is
 * too much; then a slow rate, halved by each further throttle (of one second: several calls that
 * were under way together count once) and raised by each good answer until it is fast enough to
 * be none. The SDKs' adaptive mode has the same aim. Zero-initialise it. */
struct retry_rate {
    double per_s;  /* 0: no limit */
    double next_s; /* when the next call may go, by the clock of `now_s` */
    double cut_s;  /* when it was last cut */
};
/* When a call that wants to go now may go; its place is taken. */
double retry_rate_reserve(struct retry_rate *rate, double now_s);
void retry_rate_cut(struct retry_rate *rate, double now_s);
void retry_rate_recover(struct retry_rate *rate);
/* Codes that a clock too far off may be the reason of. */
bool retry_is_skew(const char *code);
