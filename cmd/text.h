/* Small pure helpers for text that people read: colours, columns, wrapping, the line diff. */
#pragma once

#include "cmd/cmd.h"

enum paint { PAINT_BOLD, PAINT_DIM, PAINT_RED, PAINT_GREEN, PAINT_YELLOW };

/* `text` in a colour when the look has colours, else as it is. */
void text_paint(const struct look *look, enum paint paint, const char *text, struct buf *out);
/* Bytes from elsewhere (a host, AWS): control characters and what is no UTF-8 become "?", so that
 * they cannot move the cursor or forge lines. */
void text_add_clean(struct str text, struct buf *out);
/* As one word of a shell, quoted where it has to be. */
void text_shell_word(struct str text, struct buf *out);
/* "->" or "→". */
const char *text_arrow(const struct look *look);
/* "x" or "×". */
const char *text_times(const struct look *look);
/* Append `text` from column `col`, broken at spaces (or hard) at look->width; further lines start
 * at column `indent`. Ends without a newline. ASCII stand-ins where the look is not UTF-8. */
void text_wrap(const struct look *look, struct str text, size_t col, size_t indent,
               struct buf *out);
/* A line of its own at `indent`; where it is broken, it goes on two further in. */
void text_line(const struct look *look, struct str text, size_t indent, struct buf *out);
/* Lines of `before` and `after`: "- x", "+ y", and up to two of context, each at `indent`. Texts
 * over 400 lines a side are said to differ, by their counts. */
void text_diff(const struct look *look, struct str before, struct str after, size_t indent,
               struct buf *out);
