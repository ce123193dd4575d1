/* attention.h: what the forms of attention share; not exported. */
#ifndef CMHA_ATTENTION_H
#define CMHA_ATTENTION_H

#include "cache/cache.h"
#include "simd.h"
#include "tile.h"

enum {
    SKIP = 64,          /* positions that are skipped together */
    CHUNK = 64,         /* columns of values that are summed at a time: sums stay in the nearest cache */
};

/* What Keras makes of a masked logit on its fused path: -0.7 times the largest bfloat16. */
#define FUSED_MASKED (-2.37267197e38f)

/* Up to TILE_ROWS query rows that meet the same keys and values: rows i, i + 1, ... of head h, or, `beside` each other,
 * row i of heads h, h + 1, ... that share a key head. */
typedef struct tile_of_rows {
    const cmha_attention *a;
    size_t b, g, h, i, m;
    int beside;
} tile_of_rows;

INLINE size_t row_head(const tile_of_rows *t, size_t r) { return t->beside ? t->h + r : t->h; }
INLINE size_t row_index(const tile_of_rows *t, size_t r) { return t->beside ? t->i : t->i + r; }
INLINE const float *tile_q(const tile_of_rows *t)
{
    return t->a->q + (t->b * t->a->t + t->i) * t->a->q_stride + t->h * t->a->cache->d;
}
INLINE size_t tile_q_stride(const tile_of_rows *t) { return t->beside ? t->a->cache->d : t->a->q_stride; }
/* Of row r; NULL: no mask. */
INLINE const uint8_t *row_mask(const tile_of_rows *t, size_t r)
{
    const cmha_attention *a = t->a;
    return a->mask ? a->mask + t->b * a->mask_b + row_head(t, r) * a->mask_h + row_index(t, r) * a->mask_t : NULL;
}

/* One past the last position, and the first one, that causality and the window let query row i see. */
INLINE size_t seen_end(const cmha_attention *a, size_t i)
{
    return (a->flags & CMHA_ATTEND_CAUSAL) && i + a->causal_offset < a->s ? i + a->causal_offset + 1 : a->s;
}
INLINE size_t seen_start(const cmha_attention *a, size_t i)
{
    return a->window && i + a->causal_offset >= a->window ? i + a->causal_offset + 1 - a->window : 0;
}

INLINE size_t most_of(size_t a, size_t b) { return a > b ? a : b; }

INLINE f4 first_lanes(size_t n)
{
    return f4_less(f4_load((const float[4]) { 0, 1, 2, 3 }), f4_splat((float) n));
}

/* ---- attention_parts.c */

/* Does the mask keep any of the tile's rows by the positions [j, j + n)? */
int any_kept(const tile_of_rows *t, size_t j, size_t n);

/* x[r][j] = row r of q times the key of position from + j of head g, r < m, j < 8 * panels; from is a multiple of 8.
 * Sums run over D in order, whatever m and panels are. */
void key_dots(const cmha_cache *c, void *page, size_t g, size_t from, size_t panels, size_t m, const float *q,
    size_t q_stride, float *x, size_t x_stride);

/* y[r][e] = alpha[r] * y[r][e] + sum over n positions from j on of weights[r] times element c0 + e of their values, r <
 * m, e < columns <= CHUNK, in order of position; overwritten where alpha is NULL. y has room for columns rounded up to
 * CMHA_PANEL. */
void weigh_values(const cmha_cache *c, void *page, size_t g, size_t j, size_t c0, size_t columns, size_t m, size_t n,
    const float *weights, size_t stride, float *y, size_t y_stride, const float *alpha);

/* ---- attention_cap.c */

/* x[c] = cap * tanh(scale * x[c] / cap), c < n */
void cap_logits(float *x, size_t n, float scale, float cap);

/* ---- attention_alibi.c */

/* Whether logits are more than products times the scale. */
INLINE int are_shaped(const cmha_attention *a) { return a->softcap > 0.0f || a->slopes; }

/* Products of row r with the keys of positions [j, j + n) become its logits: scaled, capped, biased. */
void shape_logits(const tile_of_rows *t, size_t r, size_t j, size_t n, float scale, float *x);

/* ---- attention_bytes.c: a page of bytes, for the streaming form */

/* Keys as wide as this at most: sums of D products of 7 and 15 bits then fit in 31. */
enum { BYTES_MOST = 512 };
INLINE int met_as_bytes(const cmha_cache *c) { return c->type == CMHA_KEPT_I8 && c->d <= BYTES_MOST; }

/* Query rows of a tile, or the weights that they give to a page's values: numbers of 16 bits, and the units of them. */
typedef struct byte_rows {
    float unit[TILE_ROWS];
    int16_t numbers[TILE_ROWS][BYTES_MOST];
} byte_rows;

void byte_queries(const tile_of_rows *t, byte_rows *rows);

/* As key_dots: x[r][j], stride CMHA_PAGE. */
void byte_dots(const tile_of_rows *t, const void *page, const byte_rows *rows, size_t from, size_t panels, float *x);

/* Of the positions [from[u], to[u]) of a page; x as above, zero in what else their panels hold; becomes x times scales. */
void byte_weights(const tile_of_rows *t, const void *page, const size_t *from, const size_t *to, size_t count, float *x,
    byte_rows *rows);

/* As weigh_values: y[r][e] of positions [from, to). */
void byte_values(const tile_of_rows *t, const void *page, const byte_rows *rows, size_t from, size_t to, size_t c0, size_t n,
    float *y, size_t stride);

/* ---- attention_stream.c: page by page, the softmax merged as it goes */

/* Rows of the tiles that a task takes, at most. */
enum { TASK_ROWS = 4 * TILE_ROWS };

/* Pages [p0, p1) for n tiles of at most TASK_ROWS query rows in all. `parts` NULL: finished rows go to a->out; else every
 * page's own result goes to parts (see part_of() in attention_stream.c), for attention_merge_row to merge. */
void attention_stream(const tile_of_rows *tiles, size_t n, size_t p0, size_t p1, float *parts);
void attention_merge_row(const cmha_attention *a, size_t b, size_t h, size_t i, const float *parts);
/* Floats of the parts of all rows. */
double attention_parts_size(const cmha_attention *a);

/* ---- attention_rows.c: whole rows of probabilities */

int attention_by_rows(const cmha_attention *a);
void attention_rows(const tile_of_rows *t, size_t thread);
size_t attention_rows_scratch(const cmha_attention *a);

#endif
