#include "specs/sections/check.h"
#include "specs/sections/sections.h"

#include <stdio.h>
#include <string.h>

static const char *const interfaces[] = {"lab", "notebook", NULL};
static const char *const tls_modes[] = {"self-signed", "none", "files", NULL};

static const struct field tls_fields[] = {
    {.name = "mode",
     .doc = "self-signed (as without it): a certificate by a project CA that you trust once; none: "
            "only with access.jupyter: tunnel; files: yours, as `cert` and `key` say.",
     .type = FIELD_STR,
     .offset = offsetof(struct jupyter_tls, mode),
     .choices = tls_modes},
    {.name = "cert",
     .doc = "Your own certificate, a PEM file here, with those between it and its authority.",
     .type = FIELD_STR,
     .offset = offsetof(struct jupyter_tls, cert),
     .check = check_nonempty},
    {.name = "key",
     .doc = "The private key of `cert`, a PEM file here without a passphrase.",
     .type = FIELD_STR,
     .offset = offsetof(struct jupyter_tls, key),
     .check = check_nonempty},
    {.name = "host",
     .doc =
         "The name in `cert` that Jupyter is opened by, {n} for the number of the server; without "
         "it the first one that is no wildcard.",
     .type = FIELD_STR,
     .offset = offsetof(struct jupyter_tls, host),
     .check = check_host_name,
     .pattern = "^([A-Za-z0-9-]|\\{n\\})+(\\.([A-Za-z0-9-]|\\{n\\})+)*$"},
    FIELD_END,
};

static const struct field extension_fields[] = {
    {.name = "name",
     .doc = "A requirement, such as jupyterlab-git or \"jupyter-resource-usage>=1.0\".",
     .type = FIELD_STR,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct jupyter_extension, name),
     .check = check_requirement},
    {.name = "enabled",
     .doc = "false: it is installed, and switched off.",
     .type = FIELD_BOOL,
     .offset = offsetof(struct jupyter_extension, enabled),
     .def = "true"},
    FIELD_END,
};

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
     .doc = "Where the certificate comes from: self-signed, none, or files of yours.",
     .type = FIELD_GROUP,
     .flags = FIELD_SHORT,
     .offset = offsetof(struct jupyter_section, tls),
     .sub = tls_fields},
    {.name = "password",
     .doc = "Where the password is: { env: NAME } or { file: PATH }; without it a token is made.",
     .type = FIELD_SECRET_REF,
     .offset = offsetof(struct jupyter_section, password)},
    {.name = "extensions",
     .doc =
         "Packages that extend Jupyter, such as jupyterlab-git: installed beside it, enabled, and "
         "checked.",
     .type = FIELD_RECORDS,
     .flags = FIELD_SHORT,
     .offset = offsetof(struct jupyter_section, extensions),
     .sub = extension_fields,
     .sub_size = sizeof(struct jupyter_extension),
     .max = 64},
    {.name = "settings",
     .doc = "Jupyter's own settings, as in jupyter_server_config.json.",
     .type = FIELD_JSON,
     .offset = offsetof(struct jupyter_section, settings)},
    {.name = "kernels",
     .doc = "Further kernels, each in an environment of its own.",
     .type = FIELD_RECORDS,
     .offset = offsetof(struct jupyter_section, kernels),
     .max = 20,
     .sub = kernel_fields,
     .sub_size = sizeof(struct kernel_item)},
    FIELD_END,
};

/* Traits that berth sets itself, or that would lead it astray, and the field to use instead. */
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
    {"PasswordIdentityProvider.token", "jupyter.password"}, /* inherited: it would win */
    {"ServerApp.base_url", NULL},                           /* it is asked, and opened, at / */
    {"ServerApp.base_project_url", NULL},
    {"ServerApp.sock", "access.jupyter"},
    {"ServerApp.client_ca", "access.jupyter"}, /* who asks for Jupyter's health has none */
};

/* What Jupyter 6 called the class is taken for it by notebook_shim. */
static struct tree *find_trait(struct tree *settings, const char *trait) {
    static const char now[] = "ServerApp.", before[] = "NotebookApp.";
    struct tree *found = tree_get(settings, trait);
    char old[64];
    if (found != NULL || strncmp(trait, now, strlen(now)) != 0)
        return found;
    snprintf(old, sizeof old, "%s%s", before, trait + strlen(now));
    return tree_get(settings, old);
}

static void check_tls(const struct spec *spec, const struct jupyter_tls *tls, struct tree *tree,
                      struct diags *diags) {
    const struct tree *mode = tree->type == TREE_MAP ? tree_get(tree, "mode") : tree;
    bool files = tls->mode == NULL || cstr_eq(tls->mode, "files");
    if (cstr_eq(tls->mode, "none") && !spec_has_tunnel(spec))
        diag_add(diags, mode->mark, "write `access: { jupyter: tunnel }`, or take self-signed",
                 "without TLS, the token would travel open to all in between");
    if (cstr_eq(tls->mode, "files") ? tls->cert == NULL || tls->key == NULL
                                    : (tls->cert == NULL) != (tls->key == NULL))
        diag_add(diags, tree->mark, "write both: tls: { cert: FILE, key: FILE }",
                 "`%s` is missing in `tls`", tls->cert == NULL ? "cert" : "key");
    else if (!files && tls->cert != NULL)
        diag_add(diags, mode->mark, "leave `mode` out, or write files",
                 "`mode: %s` has no use for files of yours", tls->mode);
    else if (tls->host != NULL && tls->cert == NULL)
        diag_add(diags, tree_get(tree, "host")->mark,
                 "give it by cert and key, or leave `host` out",
                 "`host` is a name in a certificate of yours");
}

static void check_jupyter(const struct spec *spec, const void *record, struct tree *tree,
                          struct diags *diags) {
    const struct jupyter_section *jupyter = record;
    struct tree *tls = tree_get(tree, "tls");
    if (tls != NULL)
        check_tls(spec, &jupyter->tls, tls, diags);
    struct tree *settings = tree_get(tree, "settings");
    for (size_t i = 0; settings != NULL && settings->type == TREE_MAP && i < settings->len; i++) {
        if (settings->items[i]->type != TREE_MAP)
            diag_add(diags, settings->key_marks[i],
                     "expected a class with its traits, such as ServerApp: { … }",
                     "`%s` is not a map", settings->keys[i].ptr);
    }
    for (size_t i = 0; settings != NULL && i < sizeof owned / sizeof owned[0]; i++) {
        const struct tree *value = find_trait(settings, owned[i].trait);
        if (value == NULL)
            continue;
        char help[96];
        if (owned[i].use == NULL)
            snprintf(help, sizeof help, "leave it out: berth asks and opens Jupyter at /");
        else
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

bool spec_has_tls(const struct spec *spec) {
    return !cstr_eq(spec_jupyter(spec)->tls.mode, "none");
}

bool spec_has_own_tls(const struct spec *spec) { return spec_jupyter(spec)->tls.cert != NULL; }

const struct jupyter_section *spec_jupyter(const struct spec *spec) {
    return spec_record(spec, &section_jupyter);
}
