#include "specs/hash.h"

#include <openssl/sha.h>
#include <stdio.h>

void sha256_hex(struct str bytes, char ret_hex[SHA256_HEX_SIZE]) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)bytes.ptr, bytes.len, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
}
