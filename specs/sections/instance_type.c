#include "specs/sections/sections.h"

#include <string.h>

/* Graviton families carry a g behind their generation: t4g, m7gd, c6gn; a1 is the first. */
bool instance_type_is_arm(const char *type) {
    if (strncmp(type, "a1.", 3) == 0)
        return true;
    const char *digit = strpbrk(type, "0123456789");
    while (digit != NULL && *digit >= '0' && *digit <= '9')
        digit++;
    return digit != NULL && *digit == 'g';
}
