/* Fail the Nth allocation of the whole process: define malloc and friends over glibc's own. Include
 * in exactly one source of a test program. Sanitizers and valgrind own malloc: there
 * fail_alloc_possible() is false and the test skips. One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define FAIL_ALLOC_OFF
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FAIL_ALLOC_OFF
#endif
#endif

static struct {
    size_t left;  /* allocations until the failing one; 0: none fails */
    size_t count; /* allocations since fail_alloc_at */
    long live;    /* blocks allocated and not freed, since the program started */
    bool hit;
} fail_alloc_state;

/* The nth allocation from now on fails (1 is the next), once; 0 lets all pass. */
static inline void fail_alloc_at(size_t nth) {
    fail_alloc_state.left = nth;
    fail_alloc_state.count = 0;
    fail_alloc_state.hit = false;
}

/* To compare before and after: blocks that are allocated now. */
static inline long fail_alloc_live(void) { return fail_alloc_state.live; }

static inline bool fail_alloc_hit(void) { return fail_alloc_state.hit; }

#ifdef FAIL_ALLOC_OFF

static inline bool fail_alloc_possible(void) { return false; }

#else

#include <errno.h>

#include <stdlib.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void __libc_free(void *ptr);

static bool fail_alloc_now(void) {
    fail_alloc_state.count++;
    if (fail_alloc_state.left == 0 || --fail_alloc_state.left > 0)
        return false;
    fail_alloc_state.hit = true;
    errno = ENOMEM;
    return true;
}

static void *fail_alloc_took(void *ptr) {
    fail_alloc_state.live += ptr != NULL;
    return ptr;
}

void *malloc(size_t size) { return fail_alloc_now() ? NULL : fail_alloc_took(__libc_malloc(size)); }

void *calloc(size_t count, size_t size) {
    return fail_alloc_now() ? NULL : fail_alloc_took(__libc_calloc(count, size));
}

void *realloc(void *ptr, size_t size) {
    if (fail_alloc_now())
        return NULL;
    void *moved = __libc_realloc(ptr, size);
    return ptr == NULL ? fail_alloc_took(moved) : moved;
}

void free(void *ptr) {
    fail_alloc_state.live -= ptr != NULL;
    __libc_free(ptr);
}

/* Tried out, because valgrind puts its own malloc in front of this one. */
static inline bool fail_alloc_possible(void) {
    fail_alloc_at(1);
    void *volatile ptr = malloc(1);
    bool hit = fail_alloc_hit();
    fail_alloc_at(0);
    free(ptr);
    return hit;
}

#endif
