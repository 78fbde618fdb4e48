#include "engine/compile.h"

#include "engine/graph.h"

int compile_ask(const struct kind *const *kinds, const struct spec *spec, struct inputs *inputs,
                struct err *err) {
    for (; *kinds != NULL; kinds++) {
        bool asks = (*kinds)->ask != NULL && world_serves((*kinds)->world, spec->provider);
        int rc = asks ? (*kinds)->ask(spec, inputs) : 0;
        if (rc < 0)
            return err_set(err, (enum err_code) - rc, "too many files are named in the spec");
    }
    return 0;
}

static void diagnose_missing(const struct spec *spec, const struct inputs *inputs,
                             struct diags *diags) {
    static const char *const words[] = {[INPUT_FILE] = "file",
                                        [INPUT_TREE] = "file or folder",
                                        [INPUT_ENV] = "environment variable",
                                        [INPUT_LOCAL] = "file",
                                        [INPUT_MY_IP] = "address of this machine",
                                        [INPUT_CLOCK] = "clock of this machine"};
    _Static_assert(sizeof words / sizeof words[0] == INPUT_CLOCK + 1, "one word a type of input");
    for (size_t i = 0; i < inputs->len; i++) {
        const struct input *in = &inputs->items[i];
        if (in->required && !in->found)
            diag_add(diags, spec_mark(spec, in->spec_path),
                     in->type == INPUT_ENV ? "set it, then run again"
                                           : "paths are relative to the spec",
                     "%s `%s` does not exist", words[in->type], in->name);
    }
}

int compile_some(const struct kind *const *kinds, const struct spec *spec,
                 const struct inputs *inputs, const char *lineage, struct arena *arena,
                 struct diags *diags, struct desired *ret, struct err *err) {
    diagnose_missing(spec, inputs, diags);
    if (diags->errors > 0)
        return err_set(err, ERRC_INVALID, "the spec has errors");
    struct desired desired = {.arena = arena, .spec = spec, .nodes = {.arena = arena}};
    const struct desire in = {.spec = spec, .inputs = inputs, .lineage = lineage};
    for (; *kinds != NULL; kinds++) {
        if (!world_serves((*kinds)->world, spec->provider))
            continue;
        int rc = (*kinds)->desire(&in, &desired.nodes, diags);
        if (rc < 0)
            return err_set(err, (enum err_code) - rc, "cannot work out the %s nodes",
                           (*kinds)->name);
    }
    if (diags->errors > 0)
        return err_set(err, ERRC_INVALID, "the spec has errors");
    *ret = desired;
    return 0;
}

int compile_nodes(const struct kind *const *kinds, const struct spec *spec,
                  const struct inputs *inputs, const char *lineage, struct arena *arena,
                  struct diags *diags, struct desired *ret, struct err *err) {
    struct desired desired;
    int rc = compile_some(kinds, spec, inputs, lineage, arena, diags, &desired, err);
    if (rc == 0)
        rc = graph_sort_nodes(&desired.nodes, err);
    if (rc < 0)
        return rc;
    *ret = desired;
    return 0;
}
