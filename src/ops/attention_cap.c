/* attention_cap.c: logits that are kept within bounds. */
#include "attention.h"

/* tanh: near zero an odd polynomial, elsewhere 1 - 2 / (e^2x + 1). */
INLINE f4 f4_tanh(const exp2_constants *k, f4 x)
{
    /* (tanh x - x) / x^3 for |x| < 0.6, by interpolation in x^2 at the nodes of Chebyshev: relative error 1.3e-8. */
    static const float p[] = { -0x1.9ada6p-8f, 0x1.59e1c8p-6f, -0x1.b955dcp-5f, 0x1.110eep-3f, -0x1.555554p-2f };
    f4 square = f4_mul(x, x), sum = f4_splat(p[0]);
    for (size_t i = 1; i < sizeof p / sizeof *p; i++) sum = f4_madd(sum, square, f4_splat(p[i]));
    f4 near = f4_madd(f4_mul(x, square), sum, x);
    f4 power = f4_exp2(k, f4_min(f4_splat(60.0f), f4_mul(x, f4_splat(2.0f * LOG2_E))));
    f4 far = f4_sub(k->one, f4_div(f4_splat(2.0f), f4_add(power, k->one)));
    return f4_select(f4_less(square, f4_splat(0.36f)), near, far);
}

void cap_logits(float *x, size_t n, float scale, float cap)
{
    exp2_constants k = exp2_load();
    f4 inner = f4_splat(scale / cap), outer = f4_splat(cap);
    for (size_t c = 0; c < n; c += 4) {
        f4 y = f4_tanh(&k, f4_mul(f4_load_part(x + c, n - c, 0.0f), inner));
        f4_store_part(x + c, f4_mul(outer, y), n - c);
    }
}
