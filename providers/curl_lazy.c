/* libcurl, loaded when it is first called instead of when the program starts: with the two dozen
 * libraries that it brings along it takes 6 ms of every start, and most verbs ask nothing of the
 * network. The functions below have libcurl's own names and pass on to it; the program is linked
 * without it. libcurl's ABI is stable within libcurl.so.4: https://curl.se/libcurl/abi.html */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#undef curl_easy_setopt
#undef curl_easy_getinfo

#define FUNCTIONS(X)                                                                               \
    X(curl_global_init)                                                                            \
    X(curl_global_cleanup)                                                                         \
    X(curl_getdate)                                                                                \
    X(curl_slist_append)                                                                           \
    X(curl_slist_free_all)                                                                         \
    X(curl_easy_init)                                                                              \
    X(curl_easy_setopt)                                                                            \
    X(curl_easy_getinfo)                                                                           \
    X(curl_easy_perform)                                                                           \
    X(curl_easy_strerror)                                                                          \
    X(curl_easy_cleanup)                                                                           \
    X(curl_multi_init)                                                                             \
    X(curl_multi_add_handle)                                                                       \
    X(curl_multi_remove_handle)                                                                    \
    X(curl_multi_perform)                                                                          \
    X(curl_multi_poll)                                                                             \
    X(curl_multi_info_read)                                                                        \
    X(curl_multi_cleanup)

/* Written once, under pthread_once; read only afterwards. */
static struct {
    bool loaded;
#define X(name) __typeof__(name) *name;
    FUNCTIONS(X)
#undef X
} lib;

static void load_once(void) {
    void *handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    bool good = handle != NULL;
    void *symbol;
/* POSIX: the pointer that dlsym gives can be stored into a function pointer's memory. */
#define X(name)                                                                                    \
    symbol = good ? dlsym(handle, #name) : NULL;                                                   \
    good = symbol != NULL;                                                                         \
    memcpy(&lib.name, &symbol, sizeof lib.name);
    FUNCTIONS(X)
#undef X
    lib.loaded = good;
}

static bool load(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_once);
    return lib.loaded;
}

CURLcode curl_global_init(long flags) {
    return load() ? lib.curl_global_init(flags) : CURLE_FAILED_INIT;
}

void curl_global_cleanup(void) {
    if (load())
        lib.curl_global_cleanup();
}

time_t curl_getdate(const char *text, const time_t *unused) {
    return load() ? lib.curl_getdate(text, unused) : -1;
}

struct curl_slist *curl_slist_append(struct curl_slist *list, const char *text) {
    return load() ? lib.curl_slist_append(list, text) : NULL;
}

void curl_slist_free_all(struct curl_slist *list) {
    if (load())
        lib.curl_slist_free_all(list);
}

CURL *curl_easy_init(void) { return load() ? lib.curl_easy_init() : NULL; }

/* The option's number tells the type of the one argument: CURLOPTTYPE_* in curl.h. */
CURLcode curl_easy_setopt(CURL *curl, CURLoption option, ...) {
    CURLcode code;
    va_list ap;
    if (!load())
        return CURLE_FAILED_INIT;
    va_start(ap, option);
    if (option < CURLOPTTYPE_OBJECTPOINT)
        code = lib.curl_easy_setopt(curl, option, va_arg(ap, long));
    else if (option >= CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB)
        code = lib.curl_easy_setopt(curl, option, va_arg(ap, curl_off_t));
    else
        code = lib.curl_easy_setopt(curl, option, va_arg(ap, void *));
    va_end(ap);
    return code;
}

/* Every information is written through a pointer. */
CURLcode curl_easy_getinfo(CURL *curl, CURLINFO info, ...) {
    va_list ap;
    if (!load())
        return CURLE_FAILED_INIT;
    va_start(ap, info);
    CURLcode code = lib.curl_easy_getinfo(curl, info, va_arg(ap, void *));
    va_end(ap);
    return code;
}

CURLcode curl_easy_perform(CURL *curl) {
    return load() ? lib.curl_easy_perform(curl) : CURLE_FAILED_INIT;
}

const char *curl_easy_strerror(CURLcode code) {
    return load() ? lib.curl_easy_strerror(code) : "libcurl.so.4 cannot be loaded";
}

void curl_easy_cleanup(CURL *curl) {
    if (load())
        lib.curl_easy_cleanup(curl);
}

CURLM *curl_multi_init(void) { return load() ? lib.curl_multi_init() : NULL; }

CURLMcode curl_multi_add_handle(CURLM *multi, CURL *curl) {
    return load() ? lib.curl_multi_add_handle(multi, curl) : CURLM_INTERNAL_ERROR;
}

CURLMcode curl_multi_remove_handle(CURLM *multi, CURL *curl) {
    return load() ? lib.curl_multi_remove_handle(multi, curl) : CURLM_INTERNAL_ERROR;
}

CURLMcode curl_multi_perform(CURLM *multi, int *running) {
    return load() ? lib.curl_multi_perform(multi, running) : CURLM_INTERNAL_ERROR;
}

CURLMcode curl_multi_poll(CURLM *multi, struct curl_waitfd *extra, unsigned len, int timeout_ms,
                          int *ret) {
    return load() ? lib.curl_multi_poll(multi, extra, len, timeout_ms, ret) : CURLM_INTERNAL_ERROR;
}

CURLMsg *curl_multi_info_read(CURLM *multi, int *left) {
    return load() ? lib.curl_multi_info_read(multi, left) : NULL;
}

CURLMcode curl_multi_cleanup(CURLM *multi) {
    return load() ? lib.curl_multi_cleanup(multi) : CURLM_INTERNAL_ERROR;
}
