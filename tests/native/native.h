/* native.h: what the native tests share: random numbers, exactly sized blocks, checks that stay on in every build. */
#ifndef CMHA_TESTS_NATIVE_H
#define CMHA_TESTS_NATIVE_H

#include "cmha.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition, ...) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__); \
            fprintf(stderr, "\n"); \
            exit(1); \
        } \
    } while (0)

/* splitmix64 */
static inline uint64_t random_bits(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline size_t random_below(uint64_t *state, size_t n) { return (size_t) (random_bits(state) % n); }

/* A block of exactly n floats in [-1, 1): the address sanitizer sees every access beyond it. */
static inline float *floats(uint64_t *state, size_t n)
{
    float *x = malloc(n * sizeof *x + (n == 0));
    for (size_t i = 0; i < n; i++) x[i] = (float) ((double) (random_bits(state) >> 11) * 0x1p-52 - 1.0);
    return x;
}

/* A block of n floats that nobody has written: NaN. */
static inline float *unset(size_t n)
{
    float *x = malloc(n * sizeof *x + (n == 0));
    for (size_t i = 0; i < n; i++) x[i] = NAN;
    return x;
}

/* Packs a [K][N] matrix into a block of its own. */
static inline float *packed(const float *w, size_t k, size_t n)
{
    float *panels = unset(cmha_packed_size(k, n));
    cmha_pack_f32(panels, w, k, n, 0, n, 1);
    return panels;
}

/* A cache whose pages, unwritten, are blocks of their own; to be freed by free_cache(). */
static inline cmha_cache cache_of(uint32_t type, size_t batch, size_t s, size_t page, size_t heads, size_t d, size_t v)
{
    size_t row_pages = (s + page - 1) / page;
    void **pages = malloc(batch * row_pages * sizeof *pages + 1);
    double bytes = cmha_cache_page_bytes(type, page, heads, d, v);
    for (size_t i = 0; i < batch * row_pages; i++) pages[i] = unset((size_t) bytes / sizeof(float));
    return (cmha_cache) { pages, row_pages, page, heads, d, v, type };
}

static inline void free_cache(const cmha_cache *c, size_t batch)
{
    for (size_t i = 0; i < batch * c->row_pages; i++) free(c->pages[i]);
    free((void *) (uintptr_t) c->pages);
}

/* Where element e of head g at position s lies: keys (which = 0) or values (1). Floats, as cmha.h says, spelled out. */
static inline float *kept(const cmha_cache *c, int which, size_t b, size_t s, size_t g, size_t e)
{
    float *page = c->pages[b * c->row_pages + s / c->page];
    size_t j = s % c->page;
    return which ? page + c->heads * c->page * c->d + (g * c->page + j) * c->v + e
        : page + g * c->page * c->d + (j / 8 * c->d + e) * 8 + j % 8;
}

/* Runs operations as a program of one thread. */
static inline void run_alone(cmha_op *ops, uint32_t count)
{
    static uint32_t epoch = 0;
    cmha_control control = { .epoch = ++epoch, .ops = ops, .count = count, .threads = 1 };
    cmha_program_begin(ops, count, epoch);
    CHECK(cmha_program_run(&control, epoch, 0) == CMHA_RUN_LAST, "alone");
}

#endif
