/* attention.h: what the two forms of attention share; not exported. */
#ifndef CMHA_ATTENTION_H
#define CMHA_ATTENTION_H

#include "simd.h"
#include "tile.h"

enum {
    BLOCK = 256,        /* positions between two updates of the running softmax */
    MASK_BLOCK = 64,    /* with a mask: positions that are skipped together */
};

/* What Keras makes of a masked logit on its fused path: -0.7 times the largest bfloat16. */
#define FUSED_MASKED (-2.37267197e38f)

/* One (batch, head): its rows of q, its keys, values and mask. */
typedef struct place {
    const cmha_attention *a;
    const float *q, *keys, *values;
    const uint8_t *mask;
    size_t b, h;
} place;

INLINE place place_of(const cmha_attention *a, size_t b, size_t h)
{
    size_t g = h / (a->heads / a->kv_heads);
    return (place) {
        a, a->q + b * a->t * a->q_stride + h * a->d, a->keys + b * a->keys_batch_stride + g * a->keys_head_stride,
        a->values + b * a->values_batch_stride + g * a->values_head_stride,
        a->mask ? a->mask + b * a->mask_b + h * a->mask_h : NULL, b, h,
    };
}

/* One past the last position that causality lets query row i see. */
INLINE size_t causal_end(const cmha_attention *a, size_t i)
{
    return (a->flags & CMHA_ATTEND_CAUSAL) && i + a->causal_offset < a->s ? i + a->causal_offset + 1 : a->s;
}

INLINE f4 first_lanes(size_t n)
{
    return f4_less(f4_load((const float[4]) { 0, 1, 2, 3 }), f4_splat((float) n));
}

/* Does the mask keep any of the rows [i, i + m) by the positions [j, j + n)? */
int any_kept(const place *p, size_t i, size_t m, size_t j, size_t n);

/* out[r] = alpha[r] * out[r] + sum over n positions of weights[r] * values, r < m; overwritten where alpha is NULL. */
void weigh_values(const cmha_attention *a, const float *values, size_t m, size_t n, const float *weights,
    size_t weights_stride, float *out, size_t out_stride, const float *alpha);

/* attention_rows.c: the form that holds whole rows of probabilities. */
int attention_by_rows(const cmha_attention *a);
void attention_rows(const cmha_attention *a, size_t b, size_t h, size_t i, size_t m, size_t thread);
size_t attention_rows_scratch(const cmha_attention *a);

#endif
