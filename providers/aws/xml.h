/* EC2's XML answers as a small tree. Depth, size and number of elements are capped; a DOCTYPE is
 * refused (expat would otherwise expand entities). */
#pragma once

#include "specs/arena.h"
#include "specs/err.h"
#include "specs/str.h"

struct xml {
    const char *name;
    const char *text; /* character data of a leaf; "" otherwise */
    struct xml *child, *next;
};

enum { XML_BYTES_MAX = 32 * 1024 * 1024, XML_DEPTH_MAX = 32, XML_ELEMENTS_MAX = 2000000 };

/* NULL with *err set: ERRC_NET for what is not good XML, ERRC_LIMIT, ERRC_NOMEM.
 * Everything lives in `arena`. */
struct xml *xml_parse(struct arena *arena, struct str bytes, struct err *err);
/* First descendant by path ("Errors/Error/Code"), or NULL; both take NULL. */
const struct xml *xml_get(const struct xml *node, const char *path);
/* Its text; NULL when absent. */
const char *xml_text(const struct xml *node, const char *path);
/* EC2 lists are <xSet><item>…: the first item, then ->next through xml_next_item. */
const struct xml *xml_first_item(const struct xml *node, const char *path);
const struct xml *xml_next_item(const struct xml *item);
