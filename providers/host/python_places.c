/* Where packages may be installed: the Pythons and machines that markers may tell apart. */
#include "providers/host/internal.h"
#include "providers/host/python_project.h"
#include "specs/sections/sections.h"

#include <string.h>

enum { ANY_PATCH = 99 };

/* Those that Jupyter Server runs on, the one to take first. */
static const char *const pythons[] = {"3.12", "3.13", "3.11", "3.14", "3.10"};
enum { ARM = 1 };
static const char *const machines[] = {"x86_64", [ARM] = "aarch64"};

static bool allows(const char *requires, const char *minor, int patch, struct arena *arena) {
    const char *version = arena_printf(arena, "%s.%d", minor, patch);
    return requires == NULL || (version != NULL && pep440_matches(version, requires));
}

const char *project_pythons(const char *requires_python, struct arena *arena) {
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    static const int patches[] = {0, ANY_PATCH};
    for (size_t k = 0; k < 2 && out.len == 0; k++)
        for (size_t i = 0; i < sizeof pythons / sizeof pythons[0]; i++)
            if (allows(requires_python, pythons[i], patches[k], arena))
                buf_addf(&out, "%s%s", out.len == 0 ? "" : " ", pythons[i]);
    return arena_dup_str(arena, buf_str(&out));
}

bool project_allows(const char *requires_python, const char *minor, struct arena *arena) {
    return allows(requires_python, minor, 0, arena) ||
           allows(requires_python, minor, ANY_PATCH, arena);
}

static void add_place(struct python_project *p, const char *minor, int64_t patch,
                      const char *machine) {
    for (size_t i = 0; i < p->places_len; i++)
        if (strcmp(p->places[i].minor, minor) == 0 && p->places[i].patch == patch &&
            strcmp(p->places[i].machine, machine) == 0)
            return;
    if (p->places_len < PROJECT_PLACES_MAX)
        p->places[p->places_len++] = (struct project_place){minor, patch, machine};
}

/* Of each patch level that a marker names, and of the first, which "3.11" means: itself, and what
 * is after it. */
static void add_minor(struct python_project *p, const struct desire *in, const char *minor,
                      const struct strlist *patches) {
    const char *type = spec_server(in->spec)->type; /* NULL: a server that is there */
    for (size_t m = 0; m < sizeof machines / sizeof machines[0]; m++) {
        if (type != NULL && instance_type_is_arm(type) != (m == ARM))
            continue;
        add_place(p, minor, 0, machines[m]);
        add_place(p, minor, 1, machines[m]);
        for (size_t i = 0; i < patches->len; i++) {
            struct str patch = str_of(patches->items[i]);
            size_t len = strlen(minor);
            int64_t number;
            if (!str_starts(patch, str_of(minor)) || patch.ptr[len] != '.' ||
                !str_to_i64((struct str){patch.ptr + len + 1, patch.len - len - 1}, 0, 10000,
                            &number))
                continue;
            add_place(p, minor, number, machines[m]);
            add_place(p, minor, number + 1, machines[m]);
        }
    }
}

void project_add_places(struct python_project *p, const struct desire *in, const char *list,
                        const struct strlist *patches, struct arena *arena) {
    struct str rest = str_of(list == NULL ? "" : list), minor;
    while (rest.len > 0 && str_split(&rest, ' ', &minor)) {
        const char *text = arena_dup_str(arena, minor);
        if (text != NULL)
            add_minor(p, in, text, patches);
    }
}

struct marker_env project_env(const struct python_project *p, size_t place, struct arena *arena) {
    const struct project_place *at = &p->places[place];
    const char *python = arena_printf(arena, "%s.%lld", at->minor, (long long)at->patch);
    return (struct marker_env){.python = python == NULL ? "3" : python, .machine = at->machine};
}

int project_where(const struct python_project *p, struct str marker, struct arena *arena,
                  uint64_t *ret) {
    uint64_t places = 0;
    for (size_t i = 0; i < p->places_len; i++) {
        const struct marker_env env = project_env(p, i, arena);
        int holds = marker_holds(marker, &env);
        if (holds < 0)
            return holds;
        places |= (uint64_t)holds << i;
    }
    *ret = places;
    return 0;
}
