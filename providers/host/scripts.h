/* The shell that every probe and every converge starts with. */
#pragma once

extern const char script_common[], script_probe[];
extern const char *const script_converge[]; /* parts, ends with NULL */
