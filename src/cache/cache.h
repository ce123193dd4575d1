/* cache.h: where in a cache a number lies; not exported. The layout of a page stands in cmha.h. */
#ifndef CMHA_CACHE_H
#define CMHA_CACHE_H

#include "cmha.h"
#include "simd.h"

/* Page p of batch entry b, and the one that holds position s. */
INLINE float *page_at(const cmha_cache *c, size_t b, size_t p)
{
    return c->pages[b * c->row_pages + p];
}
INLINE float *page_of(const cmha_cache *c, size_t b, size_t s)
{
    return page_at(c, b, s / c->page);
}

/* Keys and values of head g in a page. */
INLINE float *page_keys(const cmha_cache *c, float *page, size_t g)
{
    return page + g * c->page * c->d;
}
INLINE float *page_values(const cmha_cache *c, float *page, size_t g)
{
    return page + (c->heads * c->d + g * c->v) * c->page;
}

/* Element 0 of the key of position s; element e lies e * CMHA_PANEL further. */
INLINE float *kept_key(const cmha_cache *c, size_t b, size_t g, size_t s)
{
    size_t local = s % c->page;
    return page_keys(c, page_of(c, b, s), g) + local / CMHA_PANEL * CMHA_PANEL * c->d + local % CMHA_PANEL;
}

/* The value of position s. */
INLINE float *kept_value(const cmha_cache *c, size_t b, size_t g, size_t s)
{
    return page_values(c, page_of(c, b, s), g) + s % c->page * c->v;
}

/* Elements of a key from a row to their places and back. */
INLINE void keep_key(float *key, const float *row, size_t n)
{
    for (size_t e = 0; e < n; e++) key[e * CMHA_PANEL] = row[e];
}
INLINE void read_key(float *row, const float *key, size_t n)
{
    for (size_t e = 0; e < n; e++) row[e] = key[e * CMHA_PANEL];
}

/* Short copies, where memcpy would be a call out of the module. */
INLINE void copy_f32(float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) f4_store(y + i, f4_load(x + i));
    for (; i < n; i++) y[i] = x[i];
}

#endif
