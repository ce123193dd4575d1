/* store.c: rows in Keras's order to the pages of a cache, and back. */
#include "operation.h"
#include "cache/cache.h"
#include "tile.h"
#include <assert.h>

const cache_type *type_of(const cmha_cache *c)
{
    static const cache_type *const types[] = {
#define X(KIND, object, number, scale) [CMHA_KEPT_##KIND] = &object,
        CMHA_CACHE_TYPES(X)
#undef X
    };
    assert(c->type < sizeof types / sizeof *types);
    return types[c->type];
}

double cmha_cache_page_bytes(uint32_t type, size_t page, size_t heads, size_t d, size_t v)
{
    const cache_type *kept = type_of(&(cmha_cache) { .type = type });
    return kept_bytes(kept, page, heads, d) + kept_bytes(kept, page, heads, v);
}

/* Rows [r0, r1) of batch entry b. Rounding is for pages of floats: narrower types round by themselves. */
static void store_rows(const cmha_transfer *a, size_t b, size_t r0, size_t r1)
{
    const cmha_cache *c = a->cache;
    const cache_type *type = type_of(c);
    assert(a->round == CMHA_ROUND_NONE || c->type == CMHA_KEPT_F32);
    for (size_t r = r0; r < r1; r++) {
        size_t j = (a->index + r) % c->page;
        void *page = page_of(c, a->first + b, a->index + r);
        for (size_t g = 0; a->keys && g < c->heads; g++) {
            type->store_key(c, page, g, j, a->keys + b * a->keys_batch + r * a->keys_stride + g * c->d);
            float *key = page_key(c, page, g, j);
            for (size_t e = 0; a->round && e < c->d; e++) {
                cmha_round_f32(key + e * CMHA_PANEL, key + e * CMHA_PANEL, 1, a->round);
            }
        }
        for (size_t g = 0; a->values && g < c->heads; g++) {
            type->store_value(c, page, g, j, a->values + b * a->values_batch + r * a->values_stride + g * c->v);
            if (a->round) cmha_round_f32(page_value(c, page, g, j), page_value(c, page, g, j), c->v, a->round);
        }
    }
}

static void load_rows(const cmha_transfer *a, size_t b, size_t r0, size_t r1)
{
    const cmha_cache *c = a->cache;
    const cache_type *type = type_of(c);
    for (size_t r = r0; r < r1; r++) {
        size_t j = (a->index + r) % c->page;
        const void *page = page_of(c, a->first + b, a->index + r);
        for (size_t g = 0; a->keys && g < c->heads; g++) {
            type->load_key(c, page, g, j, a->keys + b * a->keys_batch + r * a->keys_stride + g * c->d);
        }
        for (size_t g = 0; a->values && g < c->heads; g++) {
            type->load_value(c, page, g, j, a->values + b * a->values_batch + r * a->values_stride + g * c->v);
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

static void transfer_run(const cmha_transfer *a, size_t first, size_t end,
    void (*rows)(const cmha_transfer *a, size_t b, size_t r0, size_t r1))
{
    size_t parts = transfer_parts(a), step = transfer_rows(a);
    for (size_t i = first; i < least(end, a->batch * parts); i++) {
        size_t r0 = i % parts * step;
        rows(a, i / parts, r0, least(r0 + step, a->t));
    }
}

static void store_run(const void *arguments, size_t first, size_t end, size_t thread)
{
    (void) thread;
    transfer_run(arguments, first, end, store_rows);
}

static void load_run(const void *arguments, size_t first, size_t end, size_t thread)
{
    (void) thread;
    transfer_run(arguments, first, end, load_rows);
}

/* Nothing is multiplied: by itself it wakes nobody. */
static double transfer_work(const void *arguments)
{
    (void) arguments;
    return 0.0;
}

const operation store = { .tasks = transfer_tasks, .run = store_run, .work = transfer_work };
const operation load = { .tasks = transfer_tasks, .run = load_run, .work = transfer_work };

/* ------------------------------------------------------------------------------------------------ moving */

/* n keys of a head from place j0 of one page of floats to place j1 of another, or of the same. */
static void move_keys(const cmha_cache *c, size_t g, void *to, size_t j1, const void *from, size_t j0, size_t n)
{
    while (n > 0) {
        /* What lies in one panel on both sides. */
        size_t step = least(n, least(CMHA_PANEL - j0 % CMHA_PANEL, CMHA_PANEL - j1 % CMHA_PANEL));
        float *y = (float *) to + key_at(c, g, j1);
        const float *x = (const float *) from + key_at(c, g, j0);
        for (size_t e = 0; e < c->d; e++, y += CMHA_PANEL, x += CMHA_PANEL) {
            for (size_t i = 0; i < step; i++) y[i] = x[i];
        }
        j1 += step;
        j0 += step;
        n -= step;
    }
}

/* n positions, all heads, that lie in one page on both sides. */
static void move_positions(const cmha_cache *c, void *to, size_t j1, void *from, size_t j0, size_t n)
{
    const cache_type *type = type_of(c);
    for (size_t g = 0; g < c->heads; g++) {
        if (type->move) {
            type->move(c, to, g, j1, from, j0, n);
            continue;
        }
        move_keys(c, g, to, j1, from, j0, n);
        copy_f32(page_value(c, to, g, j1), page_value(c, from, g, j0), n * c->v);
    }
}

void cmha_cache_move(const cmha_cache *cache, size_t batch, size_t from, size_t to, size_t n)
{
    size_t page = cache->page;
    assert(to <= from || to >= from + n);
    for (size_t b = 0; b < batch; b++) {
        for (size_t i = 0, step; i < n; i += step) {
            size_t j1 = (to + i) % page, j0 = (from + i) % page;
            step = j1 < j0 ? page - j0 : page - j1;
            step = least(n - i, step);
            move_positions(cache, page_of(cache, b, to + i), j1, page_of(cache, b, from + i), j0, step);
        }
    }
}
