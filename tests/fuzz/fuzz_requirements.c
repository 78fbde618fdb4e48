/* Any bytes as files of requirements, which may name each other: refused at a place in them, or
 * used. The bytes up to a line "=NAME" are the first file; what follows is the file NAME. */
#include "providers/host/requirements.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Cut behind the last line before one that begins with "=". */
static struct str cut(struct str *rest) {
    struct str line, head = *rest;
    struct str tail = *rest;
    while (str_split(&tail, '\n', &line))
        if (line.len > 1 && *line.ptr == '=') {
            head.len = (size_t)(line.ptr - head.ptr);
            *rest = (struct str){line.ptr, rest->len - head.len};
            return head;
        }
    *rest = (struct str){NULL, 0};
    return head;
}

static void load(struct inputs *inputs, struct str text) {
    for (; inputs->loaded < inputs->len; inputs->loaded++) {
        struct input *in = &inputs->items[inputs->loaded];
        struct str rest = text, content = cut(&rest);
        in->found = strcmp(in->name, "r.txt") == 0;
        while (!in->found && rest.len > 0) {
            struct str name;
            if (!str_split(&rest, '\n', &name))
                abort();
            content = cut(&rest);
            in->found = str_eqc((struct str){name.ptr + 1, name.len - 1}, in->name);
        }
        in->sha256 = "";
        if (in->found && secret_set(&in->content, content) < 0)
            abort();
    }
}

static void check(const struct requirements *all, const struct requirement_lines *list) {
    for (size_t i = 0; i < list->len; i++) {
        const struct requirement_line *line = &list->items[i];
        if (line->q.url != NULL || line->q.name[0] == '-' || line->mark.line == 0)
            abort();
        if (list == &all->wanted && all->hashed && line->hashes.len == 0)
            abort();
        if (strpbrk(line->q.name, " '\"$;`\n") != NULL ||
            strpbrk(line->q.specifier, " '\"$;`\n") != NULL)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_buf_ struct buf shown = BUF_INIT(BUF_MEDIUM);
    struct inputs *inputs = calloc(1, sizeof *inputs);
    struct diags diags = {.arena = &arena, .file = "berth.yaml", .source = STR("x")};
    struct requirements all = {0};
    size_t before;
    if (inputs == NULL)
        abort();
    inputs->arena = &arena;
    int rc;
    do {
        before = inputs->len;
        rc = requirements_ask(inputs, "r.txt", "packages.python.requirements");
        load(inputs, (struct str){(const char *)data, size});
    } while (rc == 0 && inputs->len > before);
    if (rc < 0 && inputs->len < INPUT_MAX)
        abort();
    if (requirements_read(inputs, "r.txt", NULL, &arena, &diags, &all) < 0)
        abort();
    diags_render(&diags, false, 80, &shown);
    if (diags.errors == 0) {
        check(&all, &all.wanted);
        check(&all, &all.limits);
    } else if (shown.len == 0) {
        abort();
    }
    inputs_free(inputs);
    free(inputs);
    return 0;
}
