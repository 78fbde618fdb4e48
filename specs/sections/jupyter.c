#include "specs/sections/check.h"
#include "specs/sections/sections.h"

#include <stdio.h>

static const char *const interfaces[] = {"lab", "notebook", NULL};
static const char *const tls[] = {"self-signed", "none", NULL};
static const char *const later_tls[] = {"{}", NULL};

static const struct field jupyter_fields[] = {
    {.name = "interface",
     .doc = "JupyterLab, or the classic notebook.",
     .type = FIELD_STR,
     .offset = offsetof(struct jupyter_section, interface),
     .choices = interfaces,
     .def = "lab"},
    {.name = "port",
     .doc = "Port that Jupyter listens on.",
     .type = FIELD_INT,
     .offset = offsetof(struct jupyter_section, port),
     .min = 1024,
     .max = 65535,
     .def = "8888"},
    {.name = "root_dir",
     .doc = "Folder that Jupyter shows.",
     .type = FIELD_STR,
     .offset = offsetof(struct jupyter_section, root_dir),
     .check = check_remote_path,
     .pattern = "^(~|~/.*|/.*)$",
     .def = "~"},
    {.name = "tls",
     .doc = "self-signed: a certificate by a project CA that you trust once; or none, with "
            "access.jupyter: tunnel.",
     .type = FIELD_STR,
     .offset = offsetof(struct jupyter_section, tls),
     .choices = tls,
     .later = later_tls,
     .def = "self-signed"},
    {.name = "password",
     .doc = "Where the password is: { env: NAME } or { file: PATH }; without it a token is made.",
     .type = FIELD_SECRET_REF,
     .offset = offsetof(struct jupyter_section, password)},
    {.name = "settings",
     .doc = "Jupyter's own settings, as in jupyter_server_config.json.",
     .type = FIELD_JSON,
     .offset = offsetof(struct jupyter_section, settings)},
    FIELD_END,
};

/* Traits that berth sets itself, and the field to use instead. */
static const struct {
    const char *trait;
    const char *use;
} owned[] = {
    {"ServerApp.port", "jupyter.port"},
    {"ServerApp.root_dir", "jupyter.root_dir"},
    {"ServerApp.notebook_dir", "jupyter.root_dir"},
    {"ServerApp.certfile", "jupyter.tls"},
    {"ServerApp.keyfile", "jupyter.tls"},
    {"ServerApp.ip", "access.jupyter"},
    {"ServerApp.port_retries", "jupyter.port"},
    {"ServerApp.password", "jupyter.password"},
    {"ServerApp.token", "jupyter.password"},
    {"ServerApp.allow_password_change", "jupyter.password"},
    {"ServerApp.open_browser", "berth open"},
    {"ServerApp.allow_remote_access", "access.jupyter"},
    {"IdentityProvider.token", "jupyter.password"},
    {"PasswordIdentityProvider.hashed_password", "jupyter.password"},
    {"PasswordIdentityProvider.allow_password_change", "jupyter.password"},
    {"PasswordIdentityProvider.password_required", "jupyter.password"},
};

static void check_jupyter(const struct spec *spec, const void *record, struct tree *tree,
                          struct diags *diags) {
    const struct jupyter_section *jupyter = record;
    const struct tree *cert = tree_get(tree, "tls");
    if (cert != NULL && cstr_eq(jupyter->tls, "none") && !spec_has_tunnel(spec))
        diag_add(diags, cert->mark, "write `access: { jupyter: tunnel }`, or take self-signed",
                 "without TLS, the token would travel open to all in between");
    struct tree *settings = tree_get(tree, "settings");
    for (size_t i = 0; settings != NULL && settings->type == TREE_MAP && i < settings->len; i++) {
        if (settings->items[i]->type != TREE_MAP)
            diag_add(diags, settings->key_marks[i],
                     "expected a class with its traits, such as ServerApp: { … }",
                     "`%s` is not a map", settings->keys[i].ptr);
    }
    for (size_t i = 0; settings != NULL && i < sizeof owned / sizeof owned[0]; i++) {
        const struct tree *value = tree_get(settings, owned[i].trait);
        if (value == NULL)
            continue;
        char help[96];
        snprintf(help, sizeof help, "use `%s`", owned[i].use);
        diag_add(diags, value->mark, help, "`%s` is set by berth", owned[i].trait);
    }
}

const struct section section_jupyter = {
    .name = "jupyter",
    .doc = "The Jupyter server.",
    .fields = jupyter_fields,
    .size = sizeof(struct jupyter_section),
    .check = check_jupyter,
};

bool spec_has_tls(const struct spec *spec) { return !cstr_eq(spec_jupyter(spec)->tls, "none"); }

const struct jupyter_section *spec_jupyter(const struct spec *spec) {
    return spec_record(spec, &section_jupyter);
}
