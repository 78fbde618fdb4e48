/* What the files of the TOML reader share; nobody else includes it. */
#pragma once

#include "specs/buf.h"
#include "specs/toml.h"

/* Where the reader is. */
struct toml {
    const char *at, *end;
    size_t line;
    cJSON *root, *table;
    struct buf text; /* of the string or key that is read */
    struct err *err;
};

int toml_fail(const struct toml *t, const char *what); /* "line N: WHAT" */
int toml_no_memory(const struct toml *t);

/* ---- toml_scan.c: what is next in the text */

bool toml_is_at(const struct toml *t, const char *word);
bool toml_take(struct toml *t, const char *word);
void toml_skip_blanks(struct toml *t);
bool toml_take_newline(struct toml *t);
/* A comment up to the end of its line. */
int toml_skip_comment(struct toml *t);
/* White space, comments and line breaks, where a value may go on in another line. */
int toml_skip_all(struct toml *t);
/* From its quotes on; a key, bare or quoted. Into t->text, which they begin anew. */
int toml_string(struct toml *t);
int toml_key(struct toml *t);

/* ---- toml_word.c */

/* A value that is no string, array or table: a number, a truth, a date. */
int toml_word(struct toml *t, cJSON **ret);
