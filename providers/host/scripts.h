/* The shell that every probe and every converge starts with. */
#pragma once

extern const char script_common[], script_busy[], script_probe_lock[], script_probe[];
extern const char *const script_converge[]; /* parts, ends with NULL */
/* Commands; what follows are the length of the script; or RUN PID FROM (the byte, from 1). */
extern const char script_start[], script_rejoin[];
/* The end of a probe that is kept for the converge behind it: what follows on its input then are
 * the length of the script on a line, and the script. */
extern const char script_keep[];
#define SCRIPT_KEPT "berth\tkept\t" /* the line that says so */
/* For kinds that look at, or change, file systems: they bring these along. */
extern const char script_storage_probe[], script_storage[];
/* Append converge_extensions, of kind_extensions.c. */
struct buf;
void script_add_extensions(struct buf *script);
/* A command of its own, with the name of a run: that one starts no further step. */
extern const char script_stop[];
/* The program that stops an idle host (kind_stop.c). */
extern const char script_watch[];
