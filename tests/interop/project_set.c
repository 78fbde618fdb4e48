/* What berth makes of a project, to be compared with what others do. project_set SPEC PYTHON
 * MACHINE: what is to be installed for that Python ("3.12.4") on that machine, a line "NAME
 * VERSION" each; without the two, whether it is known before these are, and for which Pythons.
 * project_set -toml FILE: as JSON. Mistakes go to stderr, and it ends with 1. */
#include "engine/compile.h"
#include "engine/inputs.h"
#include "providers/host/python_env.h"
#include "specs/fs.h"
#include "specs/toml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *environment(void *ctx, const char *name) {
    (void)ctx;
    return getenv(name);
}

static int print_toml(const char *path) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    struct err err = {0};
    cJSON *toml = NULL;
    if (fs_read(path, &text, &err) < 0 || toml_parse(buf_str(&text), &toml, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    char *json = cJSON_PrintUnformatted(toml);
    if (json != NULL)
        puts(json);
    cJSON_free(json);
    cJSON_Delete(toml);
    return 0;
}

static const void *find_python(void *ctx, const char *address, const struct kind **ret_kind) {
    (void)address;
    if (ret_kind != NULL)
        *ret_kind = &host_python_kind;
    return ctx;
}

static void print(const struct node *node, const struct host_python_record *python,
                  struct arena *arena) {
    struct host_python_packages_record r =
        *(const struct host_python_packages_record *)node->desired;
    const struct lookup lookup = {find_python, (void *)python};
    uint64_t unknown = node->unknown;
    if (python->python == NULL) {
        puts((unknown & 1) != 0 ? "unknown" : "known");
        return;
    }
    if (node->kind->resolve(node, &lookup, arena, &r, &unknown) < 0 || (unknown & 1) != 0)
        puts("unknown");
    for (size_t i = 0; i < r.packages.len; i++)
        printf("%s %s\n", r.packages.items[i].key, r.packages.items[i].value);
}

static int print_set(const char *path, const struct host_python_record *python, struct arena *arena,
                     struct inputs *inputs) {
    static const struct kind *const kinds[] = {&host_python_kind, &host_python_packages_kind, NULL};
    const struct inputs_source source = {.spec_dir = ".", .project_dir = ".", .env = environment};
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM), out = BUF_INIT(BUF_MEDIUM);
    struct err err = {0};
    if (fs_read(path, &text, &err) < 0)
        return 2;
    struct diags diags = {.arena = arena, .file = path, .source = buf_str(&text)};
    const struct spec *spec = spec_compile(arena, &diags);
    struct desired desired = {0};
    int rc = spec == NULL ? -ERRC_INVALID : inputs_gather(inputs, kinds, spec, &source, &err);
    if (rc == 0)
        rc = compile_some(kinds, spec, inputs, "l", arena, &diags, &desired, &err);
    diags_render(&diags, false, 100, &out);
    fprintf(stderr, "%s%s", buf_cstr(&out), err.msg);
    const struct node *node =
        rc < 0 ? NULL : nodes_find(&desired.nodes, "server[0].python.packages");
    if (node == NULL)
        return 1;
    print(node, python, arena);
    return 0;
}

int main(int argc, char **argv) {
    _cleanup_arena_ struct arena arena = {0};
    if (argc == 3 && strcmp(argv[1], "-toml") == 0)
        return print_toml(argv[2]);
    struct inputs *inputs = calloc(1, sizeof *inputs);
    const struct host_python_record python = {.python = argc > 2 ? argv[2] : NULL,
                                              .machine = argc > 3 ? argv[3] : NULL};
    if (argc < 2 || inputs == NULL)
        return 2;
    inputs->arena = &arena;
    int rc = print_set(argv[1], &python, &arena, inputs);
    inputs_free(inputs);
    free(inputs);
    return rc;
}
