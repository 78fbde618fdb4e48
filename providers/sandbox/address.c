/* Which addresses the guests' proxy may dial. */
#include "providers/sandbox/guest.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static bool v4_may_dial(uint32_t a) {
    static const struct {
        uint32_t net;
        int bits;
    } refused[] = {
        {0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},
        {0xa9fe0000, 16}, {0xac100000, 12}, {0xc0000000, 24}, {0xc0a80000, 16},
        {0xc6120000, 15}, {0xe0000000, 4},  {0xf0000000, 4},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if ((a ^ refused[i].net) >> (32 - refused[i].bits) == 0)
            return false;
    return true;
}

/* IPv6 addresses that stand for an IPv4 one, and where in them it is. */
static const struct {
    unsigned char prefix[12];
    size_t prefix_len, at;
} holders[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 12, 12}, /* mapped */
    {{0}, 12, 12},                                        /* compatible; ::1 and :: among them */
    {{0, 0x64, 0xff, 0x9b}, 12, 12},                      /* NAT64, RFC 6052 */
    {{0x20, 0x02}, 2, 2},                                 /* 6to4, RFC 3056 */
};

static bool v6_may_dial(const unsigned char a[16]) {
    for (size_t i = 0; i < sizeof holders / sizeof holders[0]; i++) {
        uint32_t v4;
        if (memcmp(a, holders[i].prefix, holders[i].prefix_len) != 0)
            continue;
        memcpy(&v4, a + holders[i].at, sizeof v4);
        return v4_may_dial(ntohl(v4));
    }
    /* Unique local, link-local and site-local, multicast, Teredo, RFC 8215's local NAT64. */
    return (a[0] & 0xfe) != 0xfc && !(a[0] == 0xfe && a[1] >= 0x80) && a[0] != 0xff &&
           memcmp(a, "\x20\x01\0\0", 4) != 0 && memcmp(a, "\0\x64\xff\x9b\0\x01", 6) != 0;
}

bool proxy_may_dial(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        return v4_may_dial(ntohl(in->sin_addr.s_addr));
    }
    if (address->sa_family != AF_INET6)
        return false;
    return v6_may_dial(((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr);
}

static size_t bytes_of(const struct sockaddr *address, const unsigned char **ret) {
    if (address != NULL && address->sa_family == AF_INET) {
        *ret =
            (const unsigned char *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
        return 4;
    }
    if (address != NULL && address->sa_family == AF_INET6) {
        *ret = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr;
        return 16;
    }
    return 0;
}

bool address_is_near(const struct sockaddr *address) {
    struct ifaddrs *list = NULL;
    const unsigned char *a = NULL, *own = NULL, *mask = NULL;
    size_t len = bytes_of(address, &a);
    bool near = false;
    if (getifaddrs(&list) < 0)
        return true;
    for (const struct ifaddrs *i = list; i != NULL && len > 0; i = i->ifa_next) {
        if (bytes_of(i->ifa_addr, &own) != len || bytes_of(i->ifa_netmask, &mask) != len)
            continue;
        bool same = mask[0] != 0; /* a mask of nothing says nothing */
        for (size_t n = 0; n < len; n++)
            same = same && ((a[n] ^ own[n]) & mask[n]) == 0;
        near |= same || memcmp(a, own, len) == 0;
    }
    freeifaddrs(list);
    return near;
}
