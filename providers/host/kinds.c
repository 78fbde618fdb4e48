#include "providers/host/internal.h"
#include "specs/sections/sections.h"

/* One row a kind, in the order in which a host is probed and converged. */
const struct host_kind *const host_kinds[] = {
    &host_key_host,
    &host_disk_host,
    &host_data_host,
    &host_swap_host,
    &host_packages_host,
    &host_gpu_host,
    &host_python_host,
    &host_python_packages_host,
    &host_kernel_host,
    &host_files_host,
    &host_tls_host,
    &host_jupyter_host,
    &host_extensions_host,
    &host_service_host,
    &host_health_host,
    &host_stop_host,
    NULL,
};

const struct host_kind *host_kind_of(const struct kind *kind) {
    for (size_t i = 0; host_kinds[i] != NULL; i++)
        if (host_kinds[i]->kind == kind)
            return host_kinds[i];
    return NULL;
}

bool host_is_wanted(const struct spec *spec) {
    return spec_has_data(spec) || spec_server(spec)->swap_gib != FIELD_UNSET ||
           spec_has(spec, &section_packages) || spec_has(spec, &section_files) ||
           spec_has(spec, &section_jupyter) || spec_has_stop(spec);
}

/* "server[N].WHAT", or the server's own address for "". */
static const char *child_address(struct arena *arena, int64_t server, const char *what) {
    return arena_printf(arena, "server[%lld]%s%s", (long long)server, what[0] == '\0' ? "" : ".",
                        what);
}

int host_desire_each(const struct desire *in, struct nodes *out, const struct kind *kind,
                     const char *what, const char *const *deps,
                     int (*fill)(const struct desire *in, struct node *node, struct arena *arena,
                                 void *fill_ctx),
                     void *fill_ctx) {
    for (int64_t i = 0; i < spec_server(in->spec)->count; i++) {
        const char *parent = child_address(out->arena, i, "");
        const char *address = child_address(out->arena, i, what);
        struct node *node =
            parent == NULL || address == NULL ? NULL : nodes_add(out, kind, address, parent);
        if (node == NULL)
            return -ERRC_NOMEM;
        for (size_t d = 0; deps != NULL && deps[d] != NULL; d++) {
            const char *dep = child_address(out->arena, i, deps[d]);
            if (dep == NULL || strlist_add(out->arena, &node->deps, dep) < 0)
                return -ERRC_NOMEM;
        }
        int rc = fill(in, node, out->arena, fill_ctx);
        if (rc < 0)
            return rc;
    }
    return 0;
}

struct endpoint host_endpoint(const struct node *node, const struct lookup *lookup,
                              struct arena *arena) {
    const struct kind *kind = NULL;
    const void *parent = lookup->record(lookup->ctx, node->parent, &kind);
    struct endpoint e = {0};
    bool known =
        parent != NULL && kind->endpoint != NULL && kind->endpoint(parent, "", arena, &e) == 0;
    return known ? e : (struct endpoint){0};
}

const char *host_batch(const struct change *change, struct arena *arena) {
    return arena_dup(arena, change->parent);
}
