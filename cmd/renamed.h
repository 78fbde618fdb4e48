/* What a spec leaves behind whose name was changed: it runs on and costs, and no plan shows it. */
#pragma once

#include "cmd/session.h"

/* A note on stderr for each project folder beside this one that records something and that no
 * *.yaml beside the spec names. To be called where nothing is recorded for the spec itself. */
void renamed_note(const struct session *s);
