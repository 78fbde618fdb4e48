/* Requirements and their markers as PEP 508 has them, and the markers of uv.lock, which are the
 * same (https://packaging.python.org/en/latest/specifications/dependency-specifiers/). */
#pragma once

#include "specs/arena.h"
#include "specs/buf.h"
#include "specs/list.h"

/* Where packages are to be installed: Linux with glibc, by CPython. */
struct marker_env {
    const char *python;           /* "3.12.4" */
    const char *machine;          /* "x86_64", "aarch64" */
    const struct strlist *extras; /* that `extra == "x"` is true for; NULL: none */
};

/* True or false, or -ERRC_INVALID for what is no marker. "" is true. */
int marker_holds(struct str marker, const struct marker_env *env);

/* Of one environment; whoever asks for more has taken something else for a list of packages. */
enum { REQUIREMENTS_MAX = 5000 };

struct requirement {
    const char *name;      /* canonical: PEP 503 */
    const char *extras;    /* "[a,b]", or "" */
    const char *specifier; /* ">=2,<3", "" for any version */
    const char *url;       /* "name @ URL", or NULL */
    struct str marker;     /* in the text that was parsed */
};

/* 0, -ERRC_INVALID or -ERRC_NOMEM; texts live in `arena`. */
int requirement_parse(struct arena *arena, struct str text, struct requirement *ret);
/* "Scikit_Learn" → "scikit-learn" (PEP 503). NULL without memory. */
const char *package_name(struct arena *arena, struct str name);
/* Versions of Python with a patch level in the marker ("3.11.3"), added to `patches` once. 0 or
 * -ERRC_NOMEM. */
int marker_patches(struct arena *arena, struct str marker, struct strlist *patches);
/* ---- Specifiers as they are shown (specifier.c) */

/* "2.2.3" of "==2.2.3", which one version alone fits; any other specifier as it is; "any" of "". */
const char *specifier_shown(const char *specifier);
/* Is that a version, and not a specifier or "any"? */
bool specifier_is_version(const char *shown);
/* "pandas==2.2.3": as an installer reads a name and what is shown of its specifier. */
void specifier_add(struct buf *out, const char *name, const char *shown);
/* Is `version` one that fits what is shown? */
bool specifier_allows(const char *shown, const char *version);
/* Both hold, as ">=1,<2". NULL without memory. */
const char *specifier_join(struct arena *arena, const char *shown, const char *other);
/* The same; where one is a version that fits the other, that. */
const char *specifier_both(struct arena *arena, const char *shown, const char *other);
