/* Any bytes as an answer of EC2: reading them never crashes, whatever they claim to be, and what is
 * made of them is whole: live nodes have an address, those of ours an id and a record. */
#include "providers/aws/client.h"
#include "providers/aws/ini.h"
#include "providers/ec2/internal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int no_random(void *buffer, size_t len) {
    memset(buffer, 7, len);
    return 0;
}

static void add_node(struct nodes *nodes, const struct kind *kind, const char *address) {
    struct node *node = nodes_add(nodes, kind, address, NULL);
    if (node == NULL)
        return;
    if (kind == &server_kind) {
        struct server_record *r = node->desired;
        r->image = "debian-12";
        r->user = "admin";
    }
    if (kind == &key_pair_kind)
        node->unknown = 2;
}

static void check_live(const struct observed *out) {
    for (size_t i = 0; i < out->len; i++) {
        const struct live *live = &out->items[i];
        bool whole = live->presence != LIVE_OURS || live->record != NULL;
        if (live->address == NULL || live->kind == NULL || !whole)
            abort();
    }
}

static void read_all(const struct xml *xml) {
    const struct run run = {.name = "fuzz", .project_dir = "/nonexistent", .random = no_random};
    struct ec2_session session = {.run = &run, .object_name = "berth-fuzz", .ami = "ami-1"};
    _cleanup_arena_ struct arena arena = {0};
    struct nodes nodes = {.arena = &arena};
    struct observed out = {0};
    struct err err;
    struct server_record remembered = {.image = "debian-12"};
    struct recorded recorded[] = {
        {.address = "server[1]", .kind = &server_kind, .id = "i-1", .record = &remembered},
        {.address = "access", .kind = &access_kind, .id = "sg-1"},
        {.address = "key_pair", .kind = &key_pair_kind, .id = "key-1"}};
    const struct recorded_list known = {.items = recorded,
                                        .len = sizeof recorded / sizeof recorded[0]};
    add_node(&nodes, &key_pair_kind, "key_pair");
    add_node(&nodes, &access_kind, "access");
    add_node(&nodes, &server_kind, "server[0]");
    const struct observe_in in = {.nodes = &nodes, .recorded = &known};
    struct ec2_answers answers = {.arena = &arena};
    for (int i = 0; i < READ_COUNT; i++) /* whatever it is, it may be the answer of each */
        if (ec2_add_page(&answers, (enum ec2_read_id)i, xml) < 0)
            abort();
    key_pair_read_live(&session, &in, &answers, &out, &err);
    access_read_live(&session, &in, &answers, &out, &err);
    address_read_live(&session, &in, &answers, &out, &err);
    server_read_live(&session, &in, &answers, &out, &err);
    volume_read_live(&session, &in, &answers, &out, &err);
    check_live(&out);
    arena_free(&out.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct str bytes = {(const char *)data, size};
    _cleanup_arena_ struct arena arena = {.max = 16 * 1024 * 1024};
    struct err err = {0};
    struct str value;
    struct xml *root = xml_parse(&arena, bytes, &err);
    if ((root == NULL) != (err.code != 0))
        abort();
    if (root != NULL)
        read_all(root);
    aws_read_error("Fuzz", 400, bytes, &err);
    if (memchr(err.aws_code, '\0', sizeof err.aws_code) == NULL)
        abort();
    if (ini_get(bytes, "default", NULL, "region", &value) && value.len > size)
        abort();
    (void)ini_get(bytes, "services x", "ec2", "endpoint_url", &value);
    return 0;
}
