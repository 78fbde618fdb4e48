/* What is asked for of a package, as plans show it. */
#include "providers/host/internal.h"
#include "providers/host/pep508.h"

#include <ctype.h>
#include <string.h>

const char *specifier_shown(const char *specifier) {
    bool one = strncmp(specifier, "==", 2) == 0 && isalnum((unsigned char)specifier[2]) != 0 &&
               strpbrk(specifier, ",*;") == NULL;
    return specifier[0] == '\0' ? "any" : specifier + (one ? 2 : 0);
}

bool specifier_is_version(const char *shown) {
    return isalnum((unsigned char)shown[0]) != 0 && strcmp(shown, "any") != 0;
}

void specifier_add(struct buf *out, const char *name, const char *shown) {
    bool any = strcmp(shown, "any") == 0;
    buf_addf(out, "%s%s%s", name, specifier_is_version(shown) ? "==" : "", any ? "" : shown);
}

bool specifier_allows(const char *shown, const char *version) {
    if (!specifier_is_version(shown))
        return pep440_matches(version, shown);
    _cleanup_buf_ struct buf clause = BUF_INIT(BUF_SMALL);
    specifier_add(&clause, "", shown);
    return pep440_matches(version, buf_cstr(&clause));
}

const char *specifier_join(struct arena *arena, const char *shown, const char *other) {
    if (strcmp(shown, "any") == 0 || strcmp(shown, other) == 0)
        return other;
    if (strcmp(other, "any") == 0)
        return shown;
    return arena_printf(arena, "%s%s,%s%s", specifier_is_version(shown) ? "==" : "", shown,
                        specifier_is_version(other) ? "==" : "", other);
}

const char *specifier_both(struct arena *arena, const char *shown, const char *other) {
    if (specifier_is_version(shown) && specifier_allows(other, shown))
        return shown;
    if (specifier_is_version(other) && specifier_allows(shown, other))
        return other;
    return specifier_join(arena, shown, other);
}
