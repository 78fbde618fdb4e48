/* Asks the person at the terminal. */
#pragma once

#include "cmd/cmd.h"

/* Print the question on stderr and read a line. 0 when the answer is one of `yes` (ends with NULL;
 * case does not matter); -ERRC_CANCELLED for any other answer; -ERRC_INVALID when there is no
 * terminal to ask at. */
int ask_person(const struct cmd *cmd, const char *question, const char *const *yes,
               struct err *err);
/* A secret (an MFA code) at the terminal of the command, whatever stdin and stderr are; it is not
 * echoed. -ERRC_AUTH when there is no terminal, -ERRC_CANCELLED when nothing is given. */
int ask_secret(const char *question, struct secret *ret, struct err *err);
