#include "cmd/verbs.h"

#include <string.h>

const struct verb *const verbs_table[] = {
#define X(name) &verb_##name,
    VERBS(X)
#undef X
        NULL,
};

const struct verb *verbs_find(const struct verb *const *verbs, const char *name) {
    for (; *verbs != NULL; verbs++)
        if (strcmp((*verbs)->name, name) == 0)
            return *verbs;
    return NULL;
}

const char *verbs_nearest(const struct verb *const *verbs, const char *name) {
    enum { NAMES_MAX = 63 };
    const char *names[NAMES_MAX + 1] = {0};
    for (size_t i = 0; verbs[i] != NULL && i < NAMES_MAX; i++)
        names[i] = verbs[i]->name;
    return str_nearest(str_of(name), names);
}
