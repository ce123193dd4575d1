/* cache.h: where in a cache a number lies, and how; not exported. The layout of a page stands in cmha.h. */
#ifndef CMHA_CACHE_H
#define CMHA_CACHE_H

#include "cmha.h"
#include "simd.h"

/* What has to be known of a way to keep numbers. `row` is one head's key or value of a position, all of it. */
typedef struct cache_type {
    size_t number, scale;   /* see CMHA_CACHE_TYPES */
    void (*store_key)(const cmha_cache *c, void *page, size_t g, size_t j, const float *row);
    void (*store_value)(const cmha_cache *c, void *page, size_t g, size_t j, const float *row);
    void (*load_key)(const cmha_cache *c, const void *page, size_t g, size_t j, float *row);
    void (*load_value)(const cmha_cache *c, const void *page, size_t g, size_t j, float *row);
    /* NULL: they lie as cmha.h says of floats. Positions [j0, j0 + n) of a head become [j1, j1 + n), in order. */
    void (*move)(const cmha_cache *c, void *to, size_t g, size_t j1, const void *from, size_t j0, size_t n);
    /* NULL: floats as they lie. to[e][8] = elements e0 + e, e < n, of the keys of positions [j, j + 8), without their
     * scales; j a multiple of 8. */
    void (*widen_keys)(const cmha_cache *c, const void *page, size_t g, size_t j, size_t e0, size_t n, float *to);
    /* to[c] = elements c0 + c, c < n, of the value of position j, without its scale; c0 a multiple of 8, and `to` has room for
     * n rounded up to one. */
    void (*widen_value)(const cmha_cache *c, const void *page, size_t g, size_t j, size_t c0, size_t n, float *to);
    /* NULL: none. tile_f32() of the numbers as they lie; 0: not of these (tile.h). */
    int (*tile)(size_t m, size_t panels, size_t k, const float *x, size_t x_stride, const void *b, size_t panel_stride,
        float *y, size_t y_stride, const float *alpha);
    /* NULL: none. What the numbers of each position of a head are to be multiplied by, [page]. */
    const float *(*key_scales)(const cmha_cache *c, const void *page, size_t g);
    const float *(*value_scales)(const cmha_cache *c, const void *page, size_t g);
} cache_type;

#define X(KIND, object, number, scale) extern const cache_type object;
CMHA_CACHE_TYPES(X)
#undef X

/* f16.c: in panels of 8 positions, `panel` halves each, of which the first `count` rows of 8 are meant: positions
 * [j0, j0 + n) become [j1, j1 + n), in order. */
void move_halves(uint16_t *to, size_t j1, const uint16_t *from, size_t j0, size_t n, size_t count, size_t panel);

/* store.c */
const cache_type *type_of(const cmha_cache *c);

enum {
#define X(KIND, object, number, scale) NUMBER_##KIND = number, SCALE_##KIND = scale,
    CMHA_CACHE_TYPES(X)
#undef X
};

/* Bytes of a page's keys, or of its values, of that width; scales stand behind the numbers. */
INLINE double kept_bytes(const cache_type *t, size_t page, size_t heads, size_t width)
{
    return (double) page * (double) heads * ((double) width * (double) t->number + (double) t->scale);
}

/* Page p of batch entry b, and the one that holds position s. */
INLINE void *page_at(const cmha_cache *c, size_t b, size_t p)
{
    return c->pages[b * c->row_pages + p];
}
INLINE void *page_of(const cmha_cache *c, size_t b, size_t s)
{
    return page_at(c, b, s / c->page);
}

/* Which key of a page's keys comes first in the panel of position j of head g, counted in elements; and a value's. */
INLINE size_t key_at(const cmha_cache *c, size_t g, size_t j)
{
    return (g * c->page + j / CMHA_PANEL * CMHA_PANEL) * c->d + j % CMHA_PANEL;
}
INLINE size_t value_at(const cmha_cache *c, size_t g, size_t j)
{
    return (g * c->page + j) * c->v;
}

/* The same as addresses. */
INLINE const void *key_place(const cmha_cache *c, const void *page, size_t g, size_t j)
{
    return (const char *) page + key_at(c, g, j) * type_of(c)->number;
}
INLINE const void *value_place(const cmha_cache *c, const void *page, size_t g, size_t j)
{
    const cache_type *t = type_of(c);
    return (const char *) page + (size_t) kept_bytes(t, c->page, c->heads, c->d) + value_at(c, g, j) * t->number;
}

/* And in pages of floats: element e of a key lies e * CMHA_PANEL further. */
INLINE float *page_key(const cmha_cache *c, void *page, size_t g, size_t j)
{
    return (float *) page + key_at(c, g, j);
}
INLINE float *page_value(const cmha_cache *c, void *page, size_t g, size_t j)
{
    return (float *) page + c->heads * c->page * c->d + value_at(c, g, j);
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
