/* f32.c: a cache of floats. */
#include "cache/cache.h"

static void store_key(const cmha_cache *c, void *page, size_t g, size_t j, const float *row)
{
    keep_key(page_key(c, page, g, j), row, c->d);
}

static void store_value(const cmha_cache *c, void *page, size_t g, size_t j, const float *row)
{
    copy_f32(page_value(c, page, g, j), row, c->v);
}

static void load_key(const cmha_cache *c, const void *page, size_t g, size_t j, float *row)
{
    read_key(row, (const float *) page + key_at(c, g, j), c->d);
}

static void load_value(const cmha_cache *c, const void *page, size_t g, size_t j, float *row)
{
    copy_f32(row, (const float *) page + c->heads * c->page * c->d + value_at(c, g, j), c->v);
}

const cache_type cache_f32 = {
    .number = NUMBER_F32, .scale = SCALE_F32, .store_key = store_key, .store_value = store_value, .load_key = load_key,
    .load_value = load_value,
};
