#include "engine/address.h"

#include "specs/str.h"

#include <string.h>

/* "[3]" or "[0..2]" at the head of both; steps over them. */
static bool index_matches(struct str *pattern, struct str *address) {
    const char *end = memchr(pattern->ptr, ']', pattern->len);
    const char *address_end = memchr(address->ptr, ']', address->len);
    if (end == NULL || address_end == NULL || address->ptr[0] != '[')
        return false;
    struct str wanted = {pattern->ptr + 1, (size_t)(end - pattern->ptr - 1)};
    const struct str is = {address->ptr + 1, (size_t)(address_end - address->ptr - 1)};
    int64_t first, last, index;
    size_t dots = 0;
    while (dots + 1 < wanted.len && memcmp(wanted.ptr + dots, "..", 2) != 0)
        dots++;
    bool range = dots + 1 < wanted.len;
    struct str low = {wanted.ptr, range ? dots : wanted.len};
    struct str high = range ? (struct str){wanted.ptr + dots + 2, wanted.len - dots - 2} : low;
    pattern->len -= wanted.len + 2;
    pattern->ptr += wanted.len + 2;
    address->len -= is.len + 2;
    address->ptr += is.len + 2;
    return str_to_i64(low, 0, INT32_MAX, &first) && str_to_i64(high, 0, INT32_MAX, &last) &&
           str_to_i64(is, 0, INT32_MAX, &index) && first <= index && index <= last;
}

bool address_matches(const char *pattern, const char *address, bool below) {
    struct str p = str_of(pattern), a = str_of(address);
    if (p.len == 0)
        return false;
    while (p.len > 0) {
        if (p.ptr[0] == '[') {
            if (!index_matches(&p, &a))
                return false;
            continue;
        }
        if (a.len == 0 || p.ptr[0] != a.ptr[0])
            return false;
        p = (struct str){p.ptr + 1, p.len - 1};
        a = (struct str){a.ptr + 1, a.len - 1};
    }
    if (a.len > 0 && a.ptr[0] == '[') { /* "server": all of them */
        const char *end = memchr(a.ptr, ']', a.len);
        size_t skip = end == NULL ? 0 : (size_t)(end + 1 - a.ptr);
        a = (struct str){a.ptr + skip, a.len - skip};
    }
    return a.len == 0 || (below && a.ptr[0] == '.');
}

bool address_matches_any(const struct strlist *patterns, const char *address, bool below) {
    bool any = patterns == NULL || patterns->len == 0;
    for (size_t i = 0; !any && i < patterns->len; i++)
        any = address_matches(patterns->items[i], address, below);
    return any;
}

const char *address_nearest(const char *pattern, const char *const *addresses, size_t len,
                            struct arena *arena) {
    const char **names = arena_calloc(arena, len + 1, sizeof *names);
    if (names == NULL)
        return NULL;
    memcpy(names, addresses, len * sizeof *names);
    const char *near = str_nearest(str_of(pattern), names);
    if (near != NULL)
        return near;
    /* "server[7]" where there are three: the kind is right. */
    size_t stem = strcspn(pattern, "[.");
    for (size_t i = len; i > 0 && stem > 0; i--)
        if (strncmp(pattern, addresses[i - 1], stem) == 0)
            return addresses[i - 1];
    return NULL;
}
