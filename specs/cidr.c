#include "specs/cidr.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>

static size_t bytes_of(const struct cidr *cidr) { return cidr->v6 ? 16 : 4; }

bool cidr_parse_address(struct str text, struct cidr *ret) {
    char copy[INET6_ADDRSTRLEN];
    struct cidr c = {.bits = 32};
    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    snprintf(copy, sizeof copy, "%.*s", STR_FMT(text));
    if (inet_pton(AF_INET, copy, c.bytes) != 1) {
        if (inet_pton(AF_INET6, copy, c.bytes) != 1)
            return false;
        c.v6 = true;
        c.bits = 128;
    }
    *ret = c;
    return true;
}

const char *cidr_parse(struct str text, struct cidr *ret) {
    struct str rest = text;
    struct str head = {NULL, 0};
    struct cidr c;
    int64_t bits = 0;
    if (!str_split(&rest, '/', &head) || !cidr_parse_address(head, &c))
        return "a CIDR block such as 203.0.113.7/32 or 2001:db8::/64";
    if (rest.ptr == NULL)
        return c.v6 ? "a CIDR block: write /128 behind it for this one address"
                    : "a CIDR block: write /32 behind it for this one address";
    if (!str_to_i64(rest, 0, c.bits, &bits))
        return c.v6 ? "a prefix length of 0 to 128" : "a prefix length of 0 to 32";
    c.bits = (int)bits;
    *ret = c;
    return NULL;
}

bool cidr_mask(struct cidr *cidr) {
    bool changed = false;
    for (size_t i = 0; i < bytes_of(cidr); i++) {
        int kept = cidr->bits - (int)i * 8; /* bits of this byte that are the network's */
        int cleared = kept >= 8 ? 0 : kept <= 0 ? 8 : 8 - kept;
        unsigned char byte = (unsigned char)(cidr->bytes[i] >> cleared << cleared);
        changed = changed || byte != cidr->bytes[i];
        cidr->bytes[i] = byte;
    }
    return changed;
}

bool cidr_is_world(const struct cidr *cidr) { return cidr->bits == 0; }

void cidr_print(const struct cidr *cidr, char ret[CIDR_TEXT_SIZE]) {
    char address[INET6_ADDRSTRLEN] = "";
    inet_ntop(cidr->v6 ? AF_INET6 : AF_INET, cidr->bytes, address, sizeof address);
    snprintf(ret, CIDR_TEXT_SIZE, "%s/%d", address, cidr->bits);
}
