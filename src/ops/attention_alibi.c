/* attention_alibi.c: logits that are biased by distance (ALiBi; Press et al. 2022). */
#include "attention.h"

/* x[c] = scale * x[c] + slope * (position of key j + c - at), c < n. A distance is a whole number, and exact. */
static void bias_logits(float *x, size_t n, float scale, float slope, const float *places, size_t j, size_t at)
{
    for (size_t c = 0; c < n; c += 4) {
        f4 place = f4_load((const float[4]) { 0, 1, 2, 3 });
        float first = (float) ((ptrdiff_t) (j + c) - (ptrdiff_t) at);
        if (places) {
            place = f4_load_part(places + j + c, n - c, 0.0f);
            first = -(float) at;
        }
        f4 scaled = f4_mul(f4_load_part(x + c, n - c, 0.0f), f4_splat(scale));
        f4_store_part(x + c, f4_madd(f4_splat(slope), f4_add(place, f4_splat(first)), scaled), n - c);
    }
}

void shape_logits(const tile_of_rows *t, size_t r, size_t j, size_t n, float scale, float *x)
{
    const cmha_attention *a = t->a;
    if (a->softcap > 0.0f) {
        cap_logits(x, n, scale, a->softcap);
        scale = 1.0f;
    }
    if (a->slopes) {
        bias_logits(x, n, scale, a->slopes[row_head(t, r)], a->places, j, row_index(t, r) + a->causal_offset);
    }
}
