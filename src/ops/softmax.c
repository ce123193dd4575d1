/* softmax.c: the softmax of one long row, such as the logits of a vocabulary. */
#include "cmha.h"
#include "simd.h"
#include <assert.h>

static float largest(const float *x, size_t n)
{
    f4 most0 = f4_splat(-__builtin_inff()), most1 = most0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        most0 = f4_max(most0, f4_load(x + i));
        most1 = f4_max(most1, f4_load(x + i + 4));
    }
    for (; i < n; i += 4) most0 = f4_max(most0, f4_load_part(x + i, n - i, -__builtin_inff()));
    return f4_top(f4_max(most0, most1));
}

void cmha_softmax_f32(float *y, const float *x, size_t n, float scale)
{
    assert(scale > 0);
    exp2_constants k = exp2_load();
    f4 most = f4_splat(largest(x, n)), unit = f4_splat(scale * LOG2_E), sum0 = f4_splat(0.0f), sum1 = sum0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        f4 e0 = f4_exp2(&k, f4_mul(f4_sub(f4_load(x + i), most), unit));
        f4 e1 = f4_exp2(&k, f4_mul(f4_sub(f4_load(x + i + 4), most), unit));
        f4_store(y + i, e0);
        f4_store(y + i + 4, e1);
        sum0 = f4_add(sum0, e0);
        sum1 = f4_add(sum1, e1);
    }
    for (; i < n; i += 4) {
        f4 e = f4_exp2(&k, f4_mul(f4_sub(f4_load_part(x + i, n - i, -__builtin_inff()), most), unit));
        f4_store_part(y + i, e, n - i);
        sum0 = f4_add(sum0, e);
    }
    f4 share = f4_splat(1.0f / f4_sum(f4_add(sum0, sum1)));
    for (i = 0; i < n; i += 4) f4_store_part(y + i, f4_mul(f4_load_part(y + i, n - i, 0.0f), share), n - i);
}
