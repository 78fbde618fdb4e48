/* Text for people out of the field tables: the berth.yaml that `berth init` writes, and the
 * reference of the language (docs/spec.md). */
#pragma once

#include "specs/buf.h"
#include "specs/str.h"

/* Append a commented berth.yaml that compiles as it stands: what a first server needs is live,
 * everything else stands behind "# " with its meaning. `name` must satisfy check_spec_name;
 * `provider` is one of the language's. */
void spec_template(struct buf *out, const char *name, const char *provider);

/* Append the reference of the language as Markdown. */
void spec_reference_markdown(struct buf *out);
