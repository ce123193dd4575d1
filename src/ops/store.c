/* store.c: rows in Keras's order to the pages of a cache, and back. */
#include "operation.h"
#include "cache/cache.h"
#include "tile.h"
#include <assert.h>

const cache_type *type_of(const cmha_cache *c)
{
    static const cache_type *const types[] = {
#define X(KIND, object) [CMHA_KEPT_##KIND] = &object,
        CMHA_CACHE_TYPES(X)
#undef X
    };
    assert(c->type < sizeof types / sizeof *types);
    return types[c->type];
}

double cmha_cache_page_bytes(uint32_t type, size_t page, size_t heads, size_t d, size_t v)
{
    const cache_type *kept = type_of(&(cmha_cache) { .type = type });
    return kept->bytes(page, heads, d) + kept->bytes(page, heads, v);
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

/* ------------------------------------------------------------------------------------------------ moving */

/* Copies n numbers of `size` bytes, `step` numbers apart. */
static void move_numbers(char *to, const char *from, size_t n, size_t step, size_t size)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t e = 0; e < size; e++) to[i * step * size + e] = from[i * step * size + e];
    }
}

/* One position, all heads. */
static void move_position(const cmha_cache *c, const cache_type *type, char *to, size_t j1, const char *from, size_t j0)
{
    size_t values = (size_t) type->bytes(c->page, c->heads, c->d), size = type->size;
    for (size_t g = 0; g < c->heads; g++) {
        move_numbers(to + key_at(c, g, j1) * size, from + key_at(c, g, j0) * size, c->d, CMHA_PANEL, size);
        move_numbers(to + values + value_at(c, g, j1) * size, from + values + value_at(c, g, j0) * size, c->v, 1, size);
        if (!type->key_scales) continue;
        ((float *) (uintptr_t) type->key_scales(c, to, g))[j1] = type->key_scales(c, from, g)[j0];
        ((float *) (uintptr_t) type->value_scales(c, to, g))[j1] = type->value_scales(c, from, g)[j0];
    }
}

void cmha_cache_move(const cmha_cache *cache, size_t batch, size_t from, size_t to, size_t n)
{
    const cache_type *type = type_of(cache);
    assert(to <= from);
    for (size_t b = 0; b < batch; b++) {
        for (size_t i = 0; i < n; i++) {
            move_position(cache, type, page_of(cache, b, to + i), (to + i) % cache->page, page_of(cache, b, from + i),
                (from + i) % cache->page);
        }
    }
}
