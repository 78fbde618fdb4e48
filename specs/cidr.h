/* Blocks of addresses, IPv4 and IPv6 (RFC 4632, RFC 4291): "203.0.113.0/24", "2001:db8::/32". */
#pragma once

#include "specs/str.h"

#include <stdbool.h>
#include <stddef.h>

struct cidr {
    bool v6;
    unsigned char bytes[16]; /* 4 of them for IPv4 */
    int bits;                /* length of the prefix */
};

enum { CIDR_TEXT_SIZE = 50 };

/* Reads it; NULL when it is good, else what was expected. `ret` is untouched then. */
const char *cidr_parse(struct str text, struct cidr *ret);
/* The block of one address alone; false when it is no address. */
bool cidr_parse_address(struct str text, struct cidr *ret);
/* Clears the bits behind the prefix; were any set? EC2 keeps the network alone. */
bool cidr_mask(struct cidr *cidr);
bool cidr_is_world(const struct cidr *cidr); /* all of the addresses of its family */
/* As EC2 writes it: shortest form, small letters. */
void cidr_print(const struct cidr *cidr, char ret[CIDR_TEXT_SIZE]);
