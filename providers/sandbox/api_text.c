/* What handlers of actions share: XML out, forms in, filters. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/internal.h"

#include <stdio.h>
#include <string.h>

/* ---- XML */

/* How long the UTF-8 sequence is that starts here; 0: it is none. */
static size_t utf8_length(const unsigned char *c) {
    size_t len = c[0] < 0x80                   ? 1
                 : c[0] >= 0xc2 && c[0] < 0xe0 ? 2
                 : c[0] >= 0xe0 && c[0] < 0xf0 ? 3
                 : c[0] >= 0xf0 && c[0] < 0xf5 ? 4
                                               : 0;
    for (size_t i = 1; i < len; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates, and what XML has no place for. */
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
        (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f) ||
        (c[0] == 0xef && c[1] == 0xbf && c[2] >= 0xbe))
        return 0;
    return len;
}

/* What XML cannot hold becomes U+FFFD: one odd tag must not make every answer unreadable. */
void xml_add(struct buf *out, const char *name, const char *value) {
    buf_addf(out, "<%s>", name);
    while (*value != '\0') {
        size_t len = utf8_length((const unsigned char *)value);
        if (*value == '&')
            buf_adds(out, "&amp;");
        else if (*value == '<')
            buf_adds(out, "&lt;");
        else if (*value == '>')
            buf_adds(out, "&gt;");
        else if (*value == '\r')
            buf_adds(out, "&#13;");
        else if (len == 0 || ((unsigned char)*value < 0x20 && *value != '\t' && *value != '\n'))
            buf_adds(out, "\xef\xbf\xbd");
        else
            buf_add(out, value, len);
        value += len == 0 ? 1 : len;
    }
    buf_addf(out, "</%s>", name);
}

void xml_add_number(struct buf *out, const char *name, double value) {
    buf_addf(out, "<%s>%.0f</%s>", name, value, name);
}

void xml_add_tags(struct buf *out, const cJSON *tags) {
    const cJSON *tag;
    buf_adds(out, "<tagSet>");
    cJSON_ArrayForEach(tag, tags) {
        buf_adds(out, "<item>");
        xml_add(out, "key", tag->string);
        xml_add(out, "value", tag->valuestring);
        buf_adds(out, "</item>");
    }
    buf_adds(out, "</tagSet>");
}

/* ---- Forms */

cJSON *form_list(const cJSON *form, const char *name) {
    cJSON *list = cJSON_CreateArray();
    char key[128];
    for (int i = 1; i <= 1000; i++) {
        snprintf(key, sizeof key, "%s.%d", name, i);
        const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(form, key));
        if (value == NULL)
            break;
        cJSON_AddItemToArray(list, cJSON_CreateString(value));
    }
    return list;
}

cJSON *form_tags(const cJSON *form, const char *resource) {
    cJSON *tags = cJSON_CreateObject();
    char key[128];
    for (int s = 1; s <= 20; s++) {
        snprintf(key, sizeof key, "TagSpecification.%d.ResourceType", s);
        const char *type = text_of(form, key);
        if (type[0] == '\0')
            break;
        if (strcmp(type, resource) != 0)
            continue;
        for (int t = 1; t <= 50; t++) {
            snprintf(key, sizeof key, "TagSpecification.%d.Tag.%d.Key", s, t);
            const char *name = text_of(form, key);
            if (name[0] == '\0')
                break;
            snprintf(key, sizeof key, "TagSpecification.%d.Tag.%d.Value", s, t);
            set_text(tags, name, text_of(form, key));
        }
    }
    return tags;
}

bool pattern_matches(const char *pattern, const char *text) {
    const char *star = NULL, *from = NULL; /* where to go on when the last * takes one more */
    while (*text != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            from = text;
        } else if (*pattern != '\0' && (*pattern == '?' || *pattern == *text)) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

int form_check_filters(const cJSON *form, const char *const known[], struct api_error *e) {
    char key[64];
    for (int f = 1; f <= 50; f++) {
        snprintf(key, sizeof key, "Filter.%d.Name", f);
        const char *name = text_of(form, key);
        bool good = strncmp(name, "tag:", 4) == 0 || strcmp(name, "tag-key") == 0;
        if (name[0] == '\0')
            return 0;
        for (size_t i = 0; known[i] != NULL && !good; i++)
            good = strcmp(known[i], name) == 0;
        if (!good)
            return api_fail(e, "InvalidParameterValue", "The filter '%.80s' is invalid", name);
    }
    return 0;
}

bool tag_matches(const cJSON *tags, const char *filter, const char *value, bool *ret_matched) {
    const cJSON *tag;
    *ret_matched = false;
    if (strncmp(filter, "tag:", 4) == 0) {
        tag = cJSON_GetObjectItemCaseSensitive(tags, filter + 4);
        *ret_matched = tag != NULL && pattern_matches(value, tag->valuestring);
        return true;
    }
    if (strcmp(filter, "tag-key") != 0)
        return false;
    cJSON_ArrayForEach(tag, tags) *ret_matched |= pattern_matches(value, tag->string);
    return true;
}

bool form_filter(const cJSON *form, cJSON *item,
                 bool (*matches)(cJSON *item, const char *filter, const char *value)) {
    char key[64];
    for (int f = 1; f <= 50; f++) {
        snprintf(key, sizeof key, "Filter.%d.Name", f);
        const char *name = text_of(form, key);
        if (name[0] == '\0')
            return true;
        bool any = false;
        for (int v = 1; v <= 200 && !any; v++) {
            snprintf(key, sizeof key, "Filter.%d.Value.%d", f, v);
            const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(form, key));
            if (value == NULL)
                break;
            any = matches(item, name, value);
        }
        if (!any)
            return false;
    }
    return true;
}

bool list_has(const cJSON *list, const char *text) {
    const cJSON *item;
    cJSON_ArrayForEach(item, list) if (strcmp(cJSON_GetStringValue(item), text) == 0) return true;
    return false;
}

bool member_matches(cJSON *item, const char *filter, const char *value) {
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(item, filter);
    const cJSON *one;
    bool matched = false;
    if (tag_matches(cJSON_GetObjectItemCaseSensitive(item, "tags"), filter, value, &matched))
        return matched;
    if (!cJSON_IsArray(member))
        return member != NULL && pattern_matches(value, text_of(item, filter));
    cJSON_ArrayForEach(one, member) matched |= pattern_matches(value, cJSON_GetStringValue(one));
    return matched;
}

int form_page(const cJSON *form, int least, int most, struct page *ret, struct api_error *e) {
    const char *limit = text_of(form, "MaxResults"), *token = text_of(form, "NextToken");
    *ret = (struct page){.most = INT32_MAX};
    if (limit[0] != '\0' && !str_to_i64(str_of(limit), least, most, &ret->most))
        return api_fail(e, "InvalidParameterValue", "MaxResults must be from %d to %d", least,
                        most);
    if (token[0] != '\0' && !str_to_i64(str_of(token), 1, INT32_MAX, &ret->from))
        return api_fail(e, "InvalidParameterValue", "Unable to parse pagination token");
    return 0;
}

bool page_has(struct page *page) {
    page->seen++;
    return page->seen > page->from && page->seen <= page->from + page->most;
}

void page_end(const struct page *page, struct buf *out) {
    if (page->seen > page->from + page->most)
        xml_add_number(out, "nextToken", (double)(page->from + page->most));
}
