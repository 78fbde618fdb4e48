/* The text format of AWS's shared files, ~/.aws/config and ~/.aws/credentials.
 * https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html */
#pragma once

#include "specs/str.h"

#include <stdbool.h>

/* The value of `key` in `[section]`; with `parent`, of the key indented below "parent =". The last
 * one counts when there are several. White space inside the section's name counts once. The view
 * is into `text`. False when absent. */
bool ini_get(struct str text, const char *section, const char *parent, const char *key,
             struct str *ret);
bool ini_has_section(struct str text, const char *section);
