#include "cmd/show_node.h"

#include "cmd/show_value.h"
#include "cmd/text.h"

#include <string.h>

void show_node(const struct recorded *r, const struct look *look, struct buf *out) {
    text_paint(look, PAINT_BOLD, r->address, out);
    if (r->id != NULL && strcmp(r->id, r->address) != 0)
        buf_addf(out, "  %s", r->id);
    if (r->status == RECORDED_PENDING)
        buf_adds(out, "  (being created when the run was interrupted)");
    if (r->status == RECORDED_FAILED)
        buf_adds(out, "  (not finished: berth apply goes on)");
    buf_addc(out, '\n');
    if (r->kind == NULL)
        buf_addf(out, "  (of a kind that this berth does not know: %s)\n", r->kind_name);
    for (size_t i = 0; r->kind != NULL && r->record != NULL && r->kind->fields[i].name != NULL; i++)
        show_field(look, &r->kind->fields[i], r->record, false, 2, out);
}
