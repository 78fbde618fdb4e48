/* What a stream can show: asked once at start-up. */
#pragma once

#include "cmd/cmd.h"

/* `no_color`: the option; NO_COLOR, TERM=dumb and the locale's variables are read here. A stream
 * that is no terminal has WIDTH_PLAIN columns, no colours and no redrawing. */
struct look look_at(FILE *stream, bool no_color);
