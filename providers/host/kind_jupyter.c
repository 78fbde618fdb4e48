/* server[N].jupyter: Jupyter's own configuration, jupyter_server_config.json, compared trait by
 * trait. Token and password are in it and nowhere else: a plan compares keyed hashes. */
#include "providers/host/internal.h"
#include "providers/host/jupyter_login.h"
#include "specs/json_text.h"
#include "specs/sections/sections.h"

#include <cjson/cJSON.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define RECORD struct host_jupyter_record

enum { F_SETTINGS, F_TOKEN, F_PASSWORD, F_MODE };

#define CONFIG_MODE "600" /* the token stands in it */

static const struct field fields[] = {
    [F_SETTINGS] = {.name = "settings",
                    .doc = "Traits of the configuration, without its secrets.",
                    .type = FIELD_MAP,
                    .offset = offsetof(RECORD, settings)},
    [F_TOKEN] = {.name = "token_hash",
                 .doc = "Keyed hash of the token.",
                 .type = FIELD_STR,
                 .flags = FIELD_ROTATED,
                 .offset = offsetof(RECORD, token_tag)},
    [F_PASSWORD] = {.name = "password_hash",
                    .doc = "Keyed hash of the password.",
                    .type = FIELD_STR,
                    .offset = offsetof(RECORD, password_tag)},
    [F_MODE] = {.name = "mode",
                .doc = "Permissions of the file.",
                .type = FIELD_STR,
                .offset = offsetof(RECORD, mode)},
    {.name = "argon2_hash",
     .doc = "Keyed hash of the password's argon2 hash.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, hash_tag)},
    FIELD_END,
};

/* What a step needs and no plan may show. */
struct extra {
    struct str secret;   /* of the project; empty when it is yet to be made */
    struct str password; /* empty: none */
    const char *root_dir;
};

static int password_input(const struct spec *spec, enum input_type *ret_type,
                          const char **ret_name) {
    const char *ref = spec_jupyter(spec)->password;
    if (ref == NULL)
        return 0;
    bool env = strncmp(ref, "env:", 4) == 0;
    *ret_type = env ? INPUT_ENV : INPUT_FILE;
    *ret_name = ref + strlen(env ? "env:" : "file:");
    return 1;
}

static int ask(const struct spec *spec, struct inputs *inputs) {
    enum input_type type;
    const char *name;
    if (!spec_has(spec, &section_jupyter))
        return 0;
    int rc = inputs_ask(inputs, INPUT_LOCAL, "secret", "jupyter", false);
    if (rc == 0)
        rc = inputs_ask(inputs, INPUT_LOCAL, "token", "jupyter", false);
    if (rc == 0 && password_input(spec, &type, &name))
        rc = inputs_ask(inputs, type, name, "jupyter.password", true);
    return rc;
}

static int set(struct arena *arena, RECORD *r, const char *trait, const char *json) {
    return json == NULL ? -ERRC_NOMEM : strmap_set(arena, &r->settings, trait, json);
}

static const char *quoted(struct arena *arena, const char *text) {
    cJSON *json = text == NULL ? NULL : cJSON_CreateString(text);
    const char *out = json == NULL ? NULL : json_text_of_json(arena, json);
    cJSON_Delete(json);
    return out;
}

/* {"ServerApp":{"port":1}} → "ServerApp.port" → "1" */
static int flatten(struct arena *arena, const cJSON *json, struct strmap *map) {
    const cJSON *class;
    cJSON_ArrayForEach(class, json) {
        const cJSON *trait;
        cJSON_ArrayForEach(trait, class) {
            const char *name = arena_printf(arena, "%s.%s", class->string, trait->string);
            const char *value = json_text_of_json(arena, trait);
            if (name == NULL || value == NULL || strmap_set(arena, map, name, value) < 0)
                return -ERRC_NOMEM;
        }
    }
    return 0;
}

static int fill_settings(const struct desire *in, RECORD *r, struct arena *arena,
                         const char *user) {
    const struct jupyter_section *j = spec_jupyter(in->spec);
    if (j->settings != NULL) {
        cJSON *json = cJSON_Parse(j->settings);
        int rc = flatten(arena, json, &r->settings);
        cJSON_Delete(json);
        if (rc < 0)
            return rc;
    }
    const char *port = arena_printf(arena, "%lld", (long long)j->port);
    const char *ip = spec_listen_address(in->spec);
    const char *root = quoted(arena, host_path(arena, user, j->root_dir));
    if (set(arena, r, "ServerApp.ip", quoted(arena, ip)) < 0 ||
        set(arena, r, "ServerApp.port", port) < 0 ||
        set(arena, r, "ServerApp.port_retries", "0") < 0 ||
        set(arena, r, "ServerApp.open_browser", "false") < 0 ||
        set(arena, r, "ServerApp.allow_remote_access", "true") < 0 ||
        set(arena, r, "ServerApp.root_dir", root) < 0 ||
        set(arena, r, "PasswordIdentityProvider.allow_password_change", "false") < 0)
        return -ERRC_NOMEM;
    if (spec_has_tls(in->spec) &&
        (set(arena, r, "ServerApp.certfile", quoted(arena, HOST_CERT)) < 0 ||
         set(arena, r, "ServerApp.keyfile", quoted(arena, HOST_KEY)) < 0))
        return -ERRC_NOMEM;
    strmap_sort(&r->settings);
    return 0;
}

static struct str input_text(const struct inputs *inputs, enum input_type type, const char *name) {
    const struct input *in = inputs_get(inputs, type, name);
    return in == NULL || !in->found ? (struct str){NULL, 0} : secret_reveal(&in->content);
}

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)ctx;
    RECORD *r = node->desired;
    struct extra *extra = ARENA_NEW(arena, struct extra);
    enum input_type type;
    const char *name;
    if (extra == NULL || fill_settings(in, r, arena, "USER") < 0)
        return -ERRC_NOMEM;
    r->mode = CONFIG_MODE;
    extra->root_dir = spec_jupyter(in->spec)->root_dir;
    extra->secret = input_text(in->inputs, INPUT_LOCAL, "secret");
    struct str token = str_trim(input_text(in->inputs, INPUT_LOCAL, "token"));
    if (password_input(in->spec, &type, &name))
        extra->password = str_trim(input_text(in->inputs, type, name));
    node->extra = extra;
    if (extra->secret.len > 0 && token.len > 0)
        r->token_tag = host_secret_tag(arena, extra->secret, "token", token);
    else
        node->unknown |= 1u << F_TOKEN;
    if (extra->password.len > 0 && extra->secret.len > 0)
        r->password_tag = host_secret_tag(arena, extra->secret, "password", extra->password);
    else if (extra->password.len > 0)
        node->unknown |= 1u << F_PASSWORD;
    /* Whose home the root folder is in depends on the server's image. */
    node->unknown |= 1u << F_SETTINGS;
    return host_after_data(in, node, arena, extra->root_dir);
}

/* A variable that is set to nothing, an empty file: not what was meant by asking for a password. */
static void check_password(const struct desire *in, struct diags *diags) {
    enum input_type type;
    const char *name;
    if (!password_input(in->spec, &type, &name))
        return;
    const struct input *input = inputs_get(in->inputs, type, name);
    if (input != NULL && input->found && str_trim(secret_reveal(&input->content)).len == 0)
        diag_add(diags, spec_mark(in->spec, "jupyter.password"),
                 "set it, or leave jupyter.password out and log in by token",
                 "the password in %s %s is empty", type == INPUT_ENV ? "the variable" : "the file",
                 name);
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    const char *const deps[] = {"python.packages", spec_has_tls(in->spec) ? "tls" : NULL, NULL};
    if (spec_has(in->spec, &section_jupyter))
        check_password(in, diags);
    return spec_has(in->spec, &section_jupyter)
               ? host_desire_each(in, out, &host_jupyter_kind, "jupyter", deps, fill, NULL)
               : 0;
}

static int resolve(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown) {
    RECORD *r = record;
    const struct extra *extra = node->extra;
    struct endpoint e = host_endpoint(node, lookup, arena);
    if (e.user == NULL)
        return 0;
    *unknown &= ~(UINT64_C(1) << F_SETTINGS);
    return set(arena, r, "ServerApp.root_dir",
               quoted(arena, host_path(arena, e.user, extra->root_dir)));
}

static int probe(const struct host_node *node, struct buf *script) {
    (void)node;
    buf_adds(script, "fact64 config " HOST_CONFIG "\n"
                     "fact mode \"$(stat -L -c %a " HOST_CONFIG " 2>/dev/null)\"\n");
    return 0;
}

static const char *text_at(const struct strmap *map, const char *trait, struct buf *out) {
    const char *json = strmap_get(map, trait);
    cJSON *value = json == NULL ? NULL : cJSON_Parse(json);
    const char *text = cJSON_GetStringValue(value);
    if (text != NULL)
        buf_adds(out, text);
    cJSON_Delete(value);
    return text == NULL ? NULL : buf_cstr(out);
}

static bool is_secret(const char *trait) {
    return strcmp(trait, "IdentityProvider.token") == 0 ||
           strcmp(trait, "PasswordIdentityProvider.hashed_password") == 0;
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)err;
    RECORD *r = record;
    const RECORD *recorded = node->recorded;
    const struct extra *extra = node->extra;
    struct strmap all = {0};
    _cleanup_secret_buf_ struct buf config = BUF_INIT(BUF_MEDIUM);
    _cleanup_secret_buf_ struct buf token = BUF_INIT(BUF_SMALL);
    _cleanup_secret_buf_ struct buf hash = BUF_INIT(BUF_SMALL);
    *ret = LIVE_NONE;
    if (!facts_get_base64(facts, node->address, "config", &config))
        return 0;
    *ret = LIVE_OURS;
    r->mode = arena_dup(node->arena, facts_get(facts, node->address, "mode"));
    cJSON *json = cJSON_ParseWithLength(config.ptr, config.len);
    int rc = flatten(node->arena, json, &all);
    cJSON_Delete(json);
    for (size_t i = 0; rc == 0 && i < all.len; i++)
        if (!is_secret(all.items[i].key))
            rc = strmap_set(node->arena, &r->settings, all.items[i].key, all.items[i].value);
    strmap_sort(&r->settings);
    struct str secret = extra == NULL ? (struct str){NULL, 0} : extra->secret;
    if (rc < 0 || secret.len == 0)
        return rc;
    if (text_at(&all, "IdentityProvider.token", &token) != NULL)
        r->token_tag = host_secret_tag(node->arena, secret, "token", buf_str(&token));
    if (text_at(&all, "PasswordIdentityProvider.hashed_password", &hash) != NULL) {
        r->hash_tag = host_secret_tag(node->arena, secret, "hash", buf_str(&hash));
        bool same = recorded != NULL && cstr_eq(recorded->hash_tag, r->hash_tag);
        r->password_tag = same ? recorded->password_tag : "another";
    }
    return 0;
}

/* ---- Making it */

static bool add_trait(cJSON *root, const char *trait, cJSON *value) {
    char class[128];
    const char *dot = strchr(trait, '.');
    snprintf(class, sizeof class, "%.*s", (int)(dot - trait), trait);
    cJSON *object = cJSON_GetObjectItemCaseSensitive(root, class);
    if (object == NULL)
        object = cJSON_AddObjectToObject(root, class);
    return object != NULL && value != NULL && cJSON_AddItemToObject(object, dot + 1, value);
}

static int compose(const RECORD *r, const struct buf *token, const struct buf *hash,
                   struct buf *out) {
    cJSON *root = cJSON_CreateObject();
    bool good = root != NULL;
    for (size_t i = 0; good && i < r->settings.len; i++)
        good = add_trait(root, r->settings.items[i].key, cJSON_Parse(r->settings.items[i].value));
    good = good && add_trait(root, "IdentityProvider.token", cJSON_CreateString(buf_cstr(token)));
    if (good && hash->len > 0)
        good = add_trait(root, "PasswordIdentityProvider.hashed_password",
                         cJSON_CreateString(buf_cstr(hash)));
    char *text = good ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    if (text == NULL)
        return -ERRC_NOMEM;
    buf_adds(out, text);
    buf_addc(out, '\n');
    cJSON_free(text);
    return 0;
}

static int tag_secrets(struct host_step *s, const struct buf *token, struct str password,
                       const struct buf *hash, struct err *err) {
    RECORD *r = s->record;
    unsigned char bytes[SSHKEY_SEED_SIZE];
    int rc = project_secret(s->node->session->run->project_dir, s->node->session->run->random,
                            bytes, err);
    if (rc < 0)
        return rc;
    struct str secret = {(const char *)bytes, sizeof bytes};
    r->token_tag = host_secret_tag(s->node->arena, secret, "token", buf_str(token));
    r->password_tag =
        password.len == 0 ? NULL : host_secret_tag(s->node->arena, secret, "password", password);
    r->hash_tag =
        hash->len == 0 ? NULL : host_secret_tag(s->node->arena, secret, "hash", buf_str(hash));
    OPENSSL_cleanse(bytes, sizeof bytes);
    return r->token_tag == NULL ? err_no_memory(err) : 0;
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const struct extra *extra = s->node->extra;
    const struct run *run = s->node->session->run;
    const RECORD *after = s->after;
    _cleanup_secret_buf_ struct buf token = BUF_INIT(BUF_SMALL);
    _cleanup_secret_buf_ struct buf hash = BUF_INIT(BUF_SMALL);
    _cleanup_secret_buf_ struct buf config = BUF_INIT(BUF_MEDIUM);
    if (after == NULL) {
        buf_adds(script, "rm -f " HOST_CONFIG "\n");
        return 0;
    }
    pthread_mutex_lock(s->node->session->mutex); /* several hosts, one token to make */
    int rc = jupyter_token(run, &token, err);
    if (rc == 0 && extra->password.len > 0)
        rc = jupyter_hash_password(run, extra->password, &hash, err);
    if (rc == 0)
        rc = tag_secrets(s, &token, extra->password, &hash, err);
    pthread_mutex_unlock(s->node->session->mutex);
    if (rc == 0 && compose(after, &token, &hash, &config) < 0)
        rc = err_no_memory(err);
    if (rc < 0)
        return rc;
    const char *user = s->node->connection->endpoint.user;
    const char *root = host_path(s->node->arena, user, extra->root_dir);
    buf_addf(script, "home_dirs %s ", user);
    shell_quote(script, root);
    buf_adds(script, "/.\n");
    buf_adds(script, "stale_jupyter\n"); /* before: this run may be cut */
    shell_write_file(script, HOST_CONFIG, buf_str(&config), user, CONFIG_MODE);
    return 0;
}

const struct kind host_jupyter_kind = {
    .name = "server.jupyter",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .ask = ask,
    .desire = desire,
    .resolve = resolve,
    .besides = HOST_RESTARTS,
    .beside = &host_service_kind,
    .batch = host_batch,
};

const struct host_kind host_jupyter_host = {
    .kind = &host_jupyter_kind,
    .restarts_jupyter = true,
    .probe = probe,
    .read = read,
    .step = step,
};
