/* Text as a YAML scalar: plain where no reader could take it for something else, else in double
 * quotes with every doubtful character escaped (YAML 1.2, 5.7). */
#pragma once

#include "specs/buf.h"
#include "specs/str.h"

/* `text` is UTF-8. */
void yaml_text_print(struct str text, struct buf *out);
/* The same with ": " behind it, as a key of a flow or block map of any length. */
void yaml_text_print_key(struct str text, struct buf *out);
