/* The shell that every probe and every converge starts with. */
#pragma once

extern const char script_common[], script_probe[];
extern const char *const script_converge[]; /* parts, ends with NULL */
/* A command of its own: the script that runs on the host starts no further step. */
extern const char script_stop[];
