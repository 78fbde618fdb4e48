/* This machine's public address, as AWS sees it. */
#pragma once

#include "specs/err.h"

#include <stddef.h>

/* Asks https://checkip.amazonaws.com (5 s at most). Writes a CIDR: "203.0.113.7/32",
 * "2001:db8::1/128". -ERRC_NET when it cannot be reached, -ERRC_INVALID when the answer is no
 * address. */
int my_ip_ask(char *ret, size_t size, struct err *err);
/* Pure: an address's text to a CIDR of it alone, a CIDR block as it is; white space around it is
 * dropped. -ERRC_INVALID when it is neither. */
int my_ip_to_cidr(const char *text, char *ret, size_t size, struct err *err);
