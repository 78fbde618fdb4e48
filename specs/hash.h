/* Hashes of bytes in memory. */
#pragma once

#include "specs/str.h"

#include <stdint.h>

enum { SHA256_HEX_SIZE = 65 };

/* 64 lower-case hex digits and a NUL (FIPS 180-4). */
void sha256_hex(struct str bytes, char ret_hex[SHA256_HEX_SIZE]);

/* For tables in memory: FNV-1a of 64 bits, to begin with HASH_START and go on with.
 * http://www.isthe.com/chongo/tech/comp/fnv/ */
#define HASH_START UINT64_C(14695981039346656037)
uint64_t hash_more(uint64_t hash, struct str bytes);
