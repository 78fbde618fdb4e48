/* Prints the shell by which a host's node is probed or made so, to be run somewhere else than down
 * a connection: host_script probe|step disk|data|swap [GIB [VOLUME MOUNT]]; a step without a size
 * is a removal. What was recorded is what is wanted. host_script commands: those that steps are
 * made of, without what a run begins with. host_script watch: the program that stops an idle host.
 */
#include "providers/host/internal.h"
#include "providers/host/scripts.h"
#include "specs/field.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

union record {
    struct host_disk_record disk;
    struct host_data_record data;
    struct host_swap_record swap;
};

static const struct host_kind *find(const char *name) {
    char full[64];
    snprintf(full, sizeof full, "server.%s", name);
    for (size_t i = 0; host_kinds[i] != NULL; i++)
        if (strcmp(host_kinds[i]->kind->name, full) == 0)
            return host_kinds[i];
    return NULL;
}

static int print_commands(void) {
    printf("%svalue() { :; }\nset -e\n", script_common);
    for (size_t i = 1; script_converge[i] != NULL; i++)
        fputs(script_converge[i], stdout);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "commands") == 0)
        return print_commands();
    if (argc == 2 && strcmp(argv[1], "watch") == 0)
        return fputs(script_watch, stdout) == EOF;
    _cleanup_buf_ struct buf script = BUF_INIT(BUF_LARGE);
    _cleanup_arena_ struct arena arena = {0};
    struct host_connection connection = {.endpoint = {.user = "root"}};
    const struct host_kind *kind = argc < 3 ? NULL : find(argv[2]);
    int64_t gib = argc > 3 ? strtoll(argv[3], NULL, 10) : 0;
    union record r = {0};
    struct err err = {0};
    if (kind == NULL)
        return 2;
    if (kind == &host_data_host)
        r.data = (struct host_data_record){.size_gib = gib,
                                           .volume = argc > 5 ? argv[4] : NULL,
                                           .mount = argc > 5 ? argv[5] : NULL};
    else if (kind == &host_disk_host)
        r.disk.size_gib = gib;
    else
        r.swap.size_gib = gib;
    const struct recorded recorded = {.record = &r};
    const struct change change = {.kind = kind->kind, .recorded = &recorded};
    struct host_node node = {
        .address = "n", .desired = &r, .recorded = &r, .connection = &connection, .arena = &arena};
    struct host_step step = {
        .node = &node, .change = &change, .after = gib > 0 ? &r : NULL, .record = &r};
    bool probe = strcmp(argv[1], "probe") == 0;
    buf_adds(&script, script_common);
    if (probe)
        buf_adds(&script, script_probe);
    buf_adds(&script, probe ? "node=n\n" : "value() { :; }\nsystemctl() { :; }\nset -e\n");
    int rc = probe ? kind->probe(&node, &script) : kind->step(&step, &script, &err);
    if (rc < 0 || script.failed)
        return 1;
    fputs(buf_cstr(&script), stdout);
    return 0;
}
