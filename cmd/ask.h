/* Asks the person at the terminal. */
#pragma once

#include "cmd/cmd.h"

/* Print the question on stderr and read a line. 0 when the answer is one of `yes` (ends with NULL;
 * case does not matter); -ERRC_CANCELLED for any other answer; -ERRC_INVALID when there is no
 * terminal to ask at. */
int ask_person(const struct cmd *cmd, const char *question, const char *const *yes,
               struct err *err);
