/* activation.c: ReLU and its square (So et al. 2021), the forms of GELU (Hendrycks & Gimpel 2016), SiLU, Mish (Misra 2019), the
 * logistic function, tanh, soft caps. */
#include "cmha.h"
#include "simd.h"
#include <assert.h>

/* x / 2 * (1 + tanh(u)) = x / (1 + e^(-2u)), u = sqrt(2 / pi) * (x + 0.044715 x^3). */
INLINE f4 gelu_tanh(const exp2_constants *k, f4 x)
{
    f4 cubic = f4_madd(f4_mul(x, x), f4_splat(0.044715f), k->one);
    f4 power = f4_mul(f4_mul(x, cubic), f4_splat(-1.5957691216057308f * LOG2_E));
    return f4_div(x, f4_add(k->one, f4_exp2(k, f4_min(f4_splat(127.0f), power))));
}

/* x / 2 * erfc(-z), z = x / sqrt(2). erfc(|z|) = e^(-z^2) t P(t), t = 1 / (1 + 0.4 |z|), P a minimax polynomial of
 * relative error 6e-8, so that the far side of zero keeps its relative accuracy. */
INLINE f4 gelu_erf(const exp2_constants *k, f4 x)
{
    static const float p[] = {
        0.041253019f, -0.14031914f, 0.083987087f, 0.087964565f, 0.079756342f, 0.19339328f, 0.20188758f, 0.22644311f,
        0.22563423f,
    };
    f4 z = f4_mul(x, f4_splat(0.70710678f));
    f4 far = f4_max(z, f4_sub(f4_splat(0.0f), z));
    f4 t = f4_div(k->one, f4_madd(far, f4_splat(0.4f), k->one));
    f4 sum = f4_splat(p[0]);
    for (size_t i = 1; i < sizeof p / sizeof *p; i++) sum = f4_madd(sum, t, f4_splat(p[i]));
    f4 e = f4_exp2(k, f4_mul(f4_mul(z, z), f4_splat(-LOG2_E)));
    f4 half = f4_mul(f4_min(f4_splat(3e38f), x), f4_splat(0.5f)); /* finite: infinity times zero is not zero */
    f4 tail = f4_mul(f4_mul(half, e), f4_mul(sum, t));             /* x / 2 * erfc(|z|) */
    return f4_select(f4_less(x, f4_splat(0.0f)), tail, f4_sub(x, tail));
}

/* x / (1 + e^(-steep x)) */
INLINE f4 silu(const exp2_constants *k, f4 x, float steep)
{
    f4 power = f4_min(f4_splat(126.0f), f4_mul(x, f4_splat(-LOG2_E * steep)));
    return f4_div(x, f4_add(k->one, f4_exp2(k, power)));
}

/* 1 / (1 + e^-x). */
INLINE f4 sigmoid(const exp2_constants *k, f4 x)
{
    f4 power = f4_mul(x, f4_splat(-LOG2_E));
    return f4_div(k->one, f4_add(k->one, f4_exp2(k, f4_min(f4_splat(127.0f), power))));
}

/* max(0, x) */
INLINE f4 relu(f4 x)
{
    return f4_max(f4_splat(0.0f), x);
}

/* tanh(log(1 + n)) = (n^2 + 2 n) / (n^2 + 2 n + 2), n = e^x; 1 from x = 20 on. */
INLINE f4 mish(const exp2_constants *k, f4 x)
{
    f4 n = f4_exp2(k, f4_mul(f4_min(f4_splat(20.0f), x), f4_splat(LOG2_E))), two = f4_splat(2.0f);
    f4 square = f4_mul(n, f4_add(n, two));
    return f4_mul(x, f4_div(square, f4_add(square, two)));
}

/* tanh(u) = 1 - 2 / (1 + e^(2 u)), and near zero, where that cancels, the first terms of its series. */
INLINE f4 f4_tanh(const exp2_constants *k, f4 u)
{
    f4 power = f4_min(f4_splat(126.0f), f4_mul(u, f4_splat(2.0f * LOG2_E)));
    f4 far = f4_sub(k->one, f4_div(f4_splat(2.0f), f4_add(k->one, f4_exp2(k, power))));
    f4 square = f4_mul(u, u), p = f4_splat(62.0f / 2835.0f);
    p = f4_madd(p, square, f4_splat(-17.0f / 315.0f));
    p = f4_madd(p, square, f4_splat(2.0f / 15.0f));
    p = f4_madd(p, square, f4_splat(-1.0f / 3.0f));
    f4 near = f4_madd(f4_mul(p, square), u, u);
    return f4_select(f4_less(square, f4_splat(0.0625f)), near, far);
}

INLINE f4 activated(const exp2_constants *k, f4 x, uint32_t activation)
{
    switch (activation) {
        case CMHA_ACTIVATION_RELU: return relu(x);
        case CMHA_ACTIVATION_GELU_TANH: return gelu_tanh(k, x);
        case CMHA_ACTIVATION_GELU_ERF: return gelu_erf(k, x);
        case CMHA_ACTIVATION_SILU: return silu(k, x, 1.0f);
        case CMHA_ACTIVATION_SIGMOID: return sigmoid(k, x);
        case CMHA_ACTIVATION_TANH: return f4_tanh(k, x);
        case CMHA_ACTIVATION_QUICK_GELU: return silu(k, x, 1.702f);
        case CMHA_ACTIVATION_RELU2: return f4_mul(relu(x), relu(x));
        case CMHA_ACTIVATION_MISH: return mish(k, x);
        default: return x;
    }
}

void cmha_activation_f32(float *y, const float *x, size_t n, uint32_t activation)
{
    assert(activation <= CMHA_ACTIVATION_MISH);
    exp2_constants k = exp2_load();
    for (size_t i = 0; i < n; i += 4) {
        f4 a = f4_load_part(x + i, n - i, 0.0f);
        f4_store_part(y + i, activated(&k, a, activation), n - i);
    }
}

void cmha_softcap_f32(float *y, const float *x, size_t n, float cap)
{
    assert(cap > 0);
    exp2_constants k = exp2_load();
    f4 share = f4_splat(1.0f / cap), factor = f4_splat(cap);
    for (size_t i = 0; i < n; i += 4) {
        f4 z = f4_tanh(&k, f4_mul(f4_load_part(x + i, n - i, 0.0f), share));
        f4_store_part(y + i, f4_mul(z, factor), n - i);
    }
}
