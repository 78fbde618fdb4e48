/* The journal: `.berth/NAME/journal`, one JSON line an event. What a step may not be taken without
 * is on disk (fsync) before it. A torn last line is ignored: its step was not taken. */
#pragma once

#include "providers/provider.h"

struct journal;
struct state;

/* Opens the journal of a project for appending, made with 0600 where it is not there; its folder is
 * synced. -ERRC_IO, -ERRC_NOMEM. Close with journal_close, which takes NULL. */
int journal_open(const char *project_dir, struct journal **ret, struct err *err);
void journal_close(struct journal *journal);
/* The first line of a run: which state it belongs to, also when that was never written yet. */
int journal_begin(struct journal *journal, const struct state *state, struct err *err);
/* Append what `entry` became (pending, ok, failed), or that it is gone. Thread-safe. When it
 * returns, a kill of this process takes nothing back; a crash of the machine may, until the next
 * journal_sync. */
int journal_put(struct journal *journal, const struct recorded *entry, struct err *err);
int journal_remove(struct journal *journal, const char *address, struct err *err);
/* All that was appended before is on disk (fsync) when it returns. Thread-safe. */
int journal_sync(struct journal *journal, struct err *err);
/* Apply the lines of an interrupted run to a state in memory. `text` is the file's content. */
int journal_replay(struct str text, const struct kind *const *kinds, struct state *state,
                   struct err *err);
