/* norm.c: normalization of rows, or of groups within them, by mean and variance or by the mean square alone. */
#include "operation.h"
#include "tile.h"
#include "simd.h"
#include <assert.h>
#include <math.h>

/* Sum of (x - shift)^power over a row, power 1 or 2, in four lanes and then across. */
static float row_sum(const float *x, size_t n, float shift, int power)
{
    f4 sum = f4_splat(0.0f);
    for (size_t i = 0; i < n; i += 4) {
        f4 a = f4_sub(f4_load_part(x + i, n - i, shift), f4_splat(shift));
        sum = power == 2 ? f4_madd(a, a, sum) : f4_add(sum, a);
    }
    return f4_sum(sum);
}

/* One group. */
static void norm_group(const cmha_norm *a, const float *x, const float *gamma, const float *beta, const float *residual,
    float *y)
{
    /* Two passes: the variance of what is left after the mean, free of cancellation. */
    float mean = a->kind == CMHA_NORMALIZE_RMS ? 0.0f : row_sum(x, a->n, 0.0f, 1) / (float) a->n;
    float variance = row_sum(x, a->n, mean, 2) / (float) a->n;
    f4 scale = f4_splat(1.0f / sqrtf(variance + a->epsilon));
    for (size_t i = 0; i < a->n; i += 4) {
        size_t left = a->n - i;
        f4 z = f4_mul(f4_sub(f4_load_part(x + i, left, 0.0f), f4_splat(mean)), scale);
        if (gamma) {
            f4 factor = f4_load_part(gamma + i, left, 0.0f);
            if (a->offset != 0.0f) factor = f4_add(factor, f4_splat(a->offset));
            z = f4_mul(z, factor);
        }
        if (beta) z = f4_add(z, f4_load_part(beta + i, left, 0.0f));
        if (residual) z = f4_add(z, f4_load_part(residual + i, left, 0.0f));
        f4_store_part(y + i, z, left);
    }
}

static size_t groups_of(const cmha_norm *a)
{
    return a->groups ? a->groups : 1;
}

void cmha_layer_norm_f32(const cmha_norm *a, size_t row0, size_t row1)
{
    assert(row1 <= a->rows && (a->n > 0 || row0 >= row1));
    size_t groups = groups_of(a);
    for (size_t r = row0; r < row1; r++) {
        for (size_t g = 0; g < groups; g++) {
            size_t at = g * a->n, own = g * a->group_stride;
            norm_group(a, a->x + r * a->x_stride + at, a->gamma ? a->gamma + own : NULL, a->beta ? a->beta + own : NULL,
                a->residual ? a->residual + r * a->residual_stride + at : NULL, a->y + r * a->y_stride + at);
        }
    }
}

static size_t norm_tasks(const void *arguments)
{
    const cmha_norm *a = arguments;
    return row_tasks(a->rows, groups_of(a) * a->n);
}

static void norm_run(const void *arguments, size_t first, size_t end, size_t thread)
{
    const cmha_norm *a = arguments;
    (void) thread;
    cmha_layer_norm_f32(a, task_row(a->rows, groups_of(a) * a->n, first), task_row(a->rows, groups_of(a) * a->n, end));
}

static double norm_work(const void *arguments)
{
    const cmha_norm *a = arguments;
    return 4.0 * (double) a->rows * (double) (groups_of(a) * a->n);
}

const operation layer_norm = { .tasks = norm_tasks, .run = norm_run, .work = norm_work };
