/* store.c: rows in Keras's order to the pages of a cache, and back. */
#include "operation.h"
#include "cache/cache.h"
#include "tile.h"
#include <assert.h>

double cmha_cache_page_bytes(uint32_t type, size_t page, size_t heads, size_t d, size_t v)
{
    assert(type == CMHA_KEPT_F32);
    (void) type;
    return (double) sizeof(float) * (double) page * (double) heads * ((double) d + (double) v);
}

/* to = from, rounded, n elements of a key or a value, by pieces. */
static void store_row(const cmha_transfer *a, float *to, const float *from, size_t n, int key)
{
    enum { PIECE = 64 };
    float z[PIECE];
    for (size_t e = 0; e < n; e += PIECE) {
        size_t m = n - e < PIECE ? n - e : PIECE;
        cmha_round_f32(z, from + e, m, a->round);
        if (key) keep_key(to + e * CMHA_PANEL, z, m);
        else copy_f32(to + e, z, m);
    }
}

/* Rows [r0, r1) of batch entry b. */
static void store_rows(const cmha_transfer *a, size_t b, size_t r0, size_t r1)
{
    const cmha_cache *c = a->cache;
    for (size_t r = r0; r < r1; r++) {
        size_t s = a->index + r;
        for (size_t g = 0; a->keys && g < c->heads; g++) {
            const float *from = a->keys + b * a->keys_batch + r * a->keys_stride + g * c->d;
            store_row(a, kept_key(c, a->first + b, g, s), from, c->d, 1);
        }
        for (size_t g = 0; a->values && g < c->heads; g++) {
            const float *from = a->values + b * a->values_batch + r * a->values_stride + g * c->v;
            store_row(a, kept_value(c, a->first + b, g, s), from, c->v, 0);
        }
    }
}

static void load_rows(const cmha_transfer *a, size_t b, size_t r0, size_t r1)
{
    const cmha_cache *c = a->cache;
    for (size_t r = r0; r < r1; r++) {
        size_t s = a->index + r;
        for (size_t g = 0; a->keys && g < c->heads; g++) {
            read_key(a->keys + b * a->keys_batch + r * a->keys_stride + g * c->d, kept_key(c, a->first + b, g, s), c->d);
        }
        for (size_t g = 0; a->values && g < c->heads; g++) {
            copy_f32(a->values + b * a->values_batch + r * a->values_stride + g * c->v, kept_value(c, a->first + b, g, s), c->v);
        }
    }
}

void cmha_cache_store(const cmha_transfer *a)
{
    for (size_t b = 0; b < a->batch; b++) store_rows(a, b, 0, a->t);
}

void cmha_cache_load(const cmha_transfer *a)
{
    for (size_t b = 0; b < a->batch; b++) load_rows(a, b, 0, a->t);
}

/* Rows per task, and tasks per batch entry. */
static size_t transfer_rows(const cmha_transfer *a)
{
    return row_block(a->cache->heads * (a->cache->d + a->cache->v));
}

static size_t transfer_parts(const cmha_transfer *a)
{
    size_t rows = transfer_rows(a);
    return a->t / rows + (a->t % rows != 0);
}

static size_t transfer_tasks(const void *arguments)
{
    const cmha_transfer *a = arguments;
    return a->batch * transfer_parts(a);
}

static void transfer_task(const cmha_transfer *a, size_t i,
    void (*rows)(const cmha_transfer *a, size_t b, size_t r0, size_t r1))
{
    size_t parts = transfer_parts(a), step = transfer_rows(a);
    if (parts == 0 || i >= a->batch * parts) return;
    size_t r0 = i % parts * step;
    rows(a, i / parts, r0, a->t - r0 < step ? a->t : r0 + step);
}

static void store_task(const void *arguments, size_t i, size_t thread)
{
    (void) thread;
    transfer_task(arguments, i, store_rows);
}

static void load_task(const void *arguments, size_t i, size_t thread)
{
    (void) thread;
    transfer_task(arguments, i, load_rows);
}

/* Nothing is multiplied: by itself it wakes nobody. */
static double transfer_work(const void *arguments)
{
    (void) arguments;
    return 0.0;
}

const operation store = { .tasks = transfer_tasks, .task = store_task, .work = transfer_work };
const operation load = { .tasks = transfer_tasks, .task = load_task, .work = transfer_work };
