#include "specs/template.h"

#include "specs/spec.h"

#include <string.h>

enum { COMMENT_COL = 44 };

/* What a row shows; a field without a row here shows its default behind "# ". */
struct sample {
    const char *path;
    const char *value;
    bool live;
};

static const struct sample samples[] = {
    {"berth", "1", true},
    {"region", "us-east-1", false},
    {"profile", "research", false},
    {"server", NULL, true},
    {"server.image", "debian-12", true},
    {"server.type", "t3.small", true},
    {"server.disk.size", "30 GiB", false},
    {"server.stop", NULL, false},
    {"server.stop.idle", "60 min", false},
    {"server.stop.after", "12 h", false},
    {"server.subnet", "subnet-0123456789abcdef0", false},
    {"server.iam_profile", "notebooks", false},
    {"server.spot.enabled", "true", false},
    {"server.spot.max_price", "0.01", false},
    {"server.tags", "{ team: growth }", false},
    {"key_pair.public_key", "~/.ssh/id_ed25519.pub", false},
    {"access", NULL, true},
    {"access.ssh", "my-ip", true},
    {"access.jupyter", "my-ip", true},
    {"packages", NULL, true},
    {"packages.system", "[git]", true},
    {"packages.python", NULL, true},
    {"packages.python.version", "\"3.12\"", false},
    {"packages.python.requirements", "requirements.txt", false},
    {"packages.python.project", "analysis", false},
    {"packages.python.extras", "[plots]", false},
    {"packages.python.groups", "[dev]", false},
    {"packages.python.packages", "[pandas]", true},
    {"packages.python.index_url", "https://pypi.example/simple", false},
    {"files.from", "notebooks/", false},
    {"files.to", "~/notebooks", false},
    {"files.mode", "\"0644\"", false},
    {"files.owner", "www-data", false},
    {"jupyter", NULL, true},
    {"server.data.size", "50 GiB", false},
    {"server.data.mount", "~/work", false},
    {"server.swap", "2 GiB", false},
    {"jupyter.interface", "lab", true},
    {"jupyter.root_dir", "\"~\"", false},
    {"jupyter.tls.mode", "files", false},
    {"jupyter.tls.cert", "~/tls/fullchain.pem", false},
    {"jupyter.tls.key", "~/tls/privkey.pem", false},
    {"jupyter.tls.host", "jupyter.example.org", false},
    {"jupyter.kernels", "[{ name: torch, packages: [torch] }]", false},
    {"jupyter.password", "{ env: JUPYTER_PASSWORD }", false},
    {"jupyter.extensions", "[jupyterlab-git]", false},
    {"jupyter.settings", "{ ServerApp: { shutdown_no_activity_timeout: 3600 } }", false},
};

/* Of a server that berth does not make, where the table above is of one that it makes. */
static const struct sample given_samples[] = {
    {"server.host", "me@192.0.2.7", true},
    {"server.port", "22", false},
    {"server.key", "~/.ssh/id_ed25519", false},
    {"server.jump", "me@bastion.example:22", false},
    {"server.host_key", "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", false},
    {"access.jupyter", "tunnel", true},
};

struct template {
    struct buf *out;
    const char *name;
    const char *provider;
    bool given;
};

static const struct sample *find_sample(const struct template *t, const char *path) {
    for (size_t i = 0; t->given && i < sizeof given_samples / sizeof given_samples[0]; i++)
        if (strcmp(given_samples[i].path, path) == 0)
            return &given_samples[i];
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        if (strcmp(samples[i].path, path) == 0)
            return &samples[i];
    return NULL;
}

/* One line: indent, "# " unless live, the text, and the comment at its column. */
static void add_line(const struct template *t, size_t indent, bool live, struct str text,
                     const char *doc) {
    size_t width = indent + (live ? 0 : 2) + text.len;
    buf_addn(t->out, ' ', indent);
    if (!live)
        buf_adds(t->out, "# ");
    buf_addstr(t->out, text);
    buf_addn(t->out, ' ', width < COMMENT_COL ? COMMENT_COL - width : 1);
    buf_addf(t->out, "# %s\n", doc);
}

static void add_fields(const struct template *t, const struct field *fields, const char *path,
                       size_t indent, bool item) {
    for (const struct field *f = fields; f->name != NULL; f++) {
        if (f->flags & (FIELD_LATER | FIELD_REFUSED))
            continue;
        _cleanup_buf_ struct buf inner = BUF_INIT(BUF_SMALL);
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
        buf_addf(&inner, "%s%s%s", path, path[0] == '\0' ? "" : ".", f->name);
        const struct sample *sample = find_sample(t, buf_cstr(&inner));
        const char *value = sample != NULL && sample->value != NULL ? sample->value : f->def;
        bool live = sample != NULL && sample->live;
        if (strcmp(buf_cstr(&inner), "name") == 0) {
            value = t->name;
            live = true;
        } else if (strcmp(buf_cstr(&inner), "provider") == 0) {
            value = t->provider;
            live = true;
        }
        buf_addf(&text, "%s%s:", item ? f == fields ? "- " : "  " : "", f->name);
        if (f->type != FIELD_GROUP)
            buf_addf(&text, " %s", value == NULL ? "null" : value);
        if (inner.failed || text.failed)
            t->out->failed = true;
        add_line(t, indent, live, buf_str(&text), f->doc);
        if (f->type == FIELD_GROUP)
            add_fields(t, f->sub, buf_cstr(&inner), indent + 2, false);
    }
}

void spec_template(struct buf *out, const char *name, const char *provider) {
    const struct template t = {out, name, provider, strcmp(provider, "host") == 0};
    buf_adds(out, "# What the server is. `berth plan` says what differs from it, `berth apply` "
                  "makes it true.\n");
    add_fields(&t, t.given ? sections[0]->given : sections[0]->fields, "", 0, false);
    for (size_t i = 1; sections[i] != NULL; i++) {
        const struct section *section = sections[i];
        if (section->later || (t.given && section->not_given != NULL))
            continue;
        const struct field *fields =
            t.given && section->given != NULL ? section->given : section->fields;
        const struct sample *sample = find_sample(&t, section->name);
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
        buf_addf(&text, "%s:", section->name);
        if (text.failed)
            out->failed = true;
        buf_addc(out, '\n');
        add_line(&t, 0, sample != NULL && sample->live, buf_str(&text), section->doc);
        bool items = section->item_fields != NULL;
        add_fields(&t, items ? section->item_fields : fields, section->name, 2, items);
    }
}
