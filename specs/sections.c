#include "specs/sections/sections.h"

/* Refused until it is built. */
static const struct section section_cluster = {
    .name = "cluster", .doc = "Several kinds of server.", .later = true};

/* One row a section; the top level's scalars first, since others look at the provider. */
const struct section *const sections[] = {
    &section_top,     &section_server,   &section_key_pair,
    &section_access,  &section_packages, &section_files,
    &section_jupyter, &section_cluster,  NULL,
};

_Static_assert(sizeof sections / sizeof sections[0] <= SECTION_MAX + 1, "SECTION_MAX is too small");
