/* Projections of random shapes in exactly sized blocks, against sums in double. */
#include "native.h"

static void one(uint64_t *r)
{
    size_t rows = random_below(r, 20), k = 1 + random_below(r, 40), n = 1 + random_below(r, 50);
    size_t heads = 1 + random_below(r, 3), dim = 1 + random_below(r, 12), index = random_below(r, 9);
    uint32_t layout = (uint32_t) random_below(r, 3);
    if (layout != CMHA_LAYOUT_ROWS) n = heads * dim;
    float *x = floats(r, rows * k), *w = floats(r, k * n), *bias = floats(r, n), *panels = packed(w, k, n);
    size_t other = 1 + random_below(r, 4), page = 8 * (1 + random_below(r, 3)), which = layout == CMHA_LAYOUT_VALUES;
    size_t d = which ? other : dim, v = which ? dim : other;
    cmha_cache cache = cache_of(CMHA_KEPT_F32, 1, index + rows + 1, page, heads, d, v);
    float *y = unset(rows * n);
    cmha_op op = { .kind = CMHA_OP_LINEAR, .u.linear = {
        .x = x, .x_stride = k, .rows = rows, .k = k, .n = n, .w = panels, .bias = bias, .y = y, .y_stride = n,
        .layout = layout, .t = rows, .index = index, .cache = &cache,
    } };
    run_alone(&op, 1);
    for (size_t i = 0; i < rows; i++) {
        for (size_t c = 0; c < n; c++) {
            double sum = bias[c];
            for (size_t j = 0; j < k; j++) sum += (double) x[i * k + j] * w[j * n + c];
            float got = layout == CMHA_LAYOUT_ROWS ? y[i * n + c]
                : *kept(&cache, which, 0, index + i, c / dim, c % dim);
            CHECK(fabs(got - sum) < 1e-5, "layout %u, row %zu, column %zu: %g, not %g", layout, i, c, got, sum);
        }
    }
    free(x); free(w); free(bias); free(panels); free(y);
    free_cache(&cache, 1);
}

int main(void)
{
    uint64_t r = 1;
    for (int i = 0; i < 400; i++) one(&r);
    return 0;
}
