/* SHA-256 of bytes in memory, as hex. */
#pragma once

#include "specs/str.h"

enum { SHA256_HEX_SIZE = 65 };

/* 64 lower-case hex digits and a NUL (FIPS 180-4). */
void sha256_hex(struct str bytes, char ret_hex[SHA256_HEX_SIZE]);
