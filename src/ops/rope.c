/* rope.c: rotary positions: a table of cosines and sines for a pass, and the rotation that all heads and layers take from it. */
#include "operation.h"
#include "tile.h"
#include <assert.h>

/* Cosine and sine of an angle below 2^30 or so, within 1e-15 * (1 + |angle| / 1e6). The angle is reduced by a multiple of pi / 2 in
 * three parts (Cody & Waite 1980), the first two with so few bits that their products are exact; then Taylor's series, whose
 * next term is below 1e-17 for |r| <= pi / 4. */
static void cos_sin(double angle, double *c, double *s)
{
    double turns = __builtin_floor(angle * 0x1.45f306dc9c883p-1 + 0.5);
    double r = ((angle - turns * 0x1.921fb544p+0) - turns * 0x1.0b4611a6p-34) - turns * 0x1.3198a2e037073p-69;
    double q = r * r;
    double sine = r + r * q * (-1.0 / 6 + q * (1.0 / 120 + q * (-1.0 / 5040 + q * (1.0 / 362880 + q * (-1.0 / 39916800
        + q * (1.0 / 6227020800.0 - q / 1307674368000.0))))));
    double cosine = 1.0 + q * (-0.5 + q * (1.0 / 24 + q * (-1.0 / 720 + q * (1.0 / 40320 + q * (-1.0 / 3628800
        + q * (1.0 / 479001600.0 + q * (-1.0 / 87178291200.0 + q / 20922789888000.0)))))));
    switch ((int64_t) turns & 3) {
    case 0: *c = cosine; *s = sine; break;
    case 1: *c = -sine; *s = cosine; break;
    case 2: *c = -cosine; *s = -sine; break;
    default: *c = sine; *s = -cosine; break;
    }
}

void cmha_rope_table_f32(const cmha_rope_table *a, size_t row0, size_t row1)
{
    assert(row1 <= a->rows);
    for (size_t r = row0; r < row1; r++) {
        float *row = a->table + r * 2 * a->half;
        for (size_t i = 0; i < a->half; i++) {
            double c, s;
            cos_sin((double) a->positions[r] * a->frequencies[i], &c, &s);
            row[i] = (float) (c * a->scale);
            row[a->half + i] = (float) (s * a->scale);
        }
    }
}

static size_t table_tasks(const void *arguments)
{
    const cmha_rope_table *a = arguments;
    size_t block = row_block(32 * a->half);
    return a->rows / block + (a->rows % block != 0);
}

static void table_task(const void *arguments, size_t i, size_t thread)
{
    const cmha_rope_table *a = arguments;
    size_t block = row_block(32 * a->half), row0 = i * block;
    (void) thread;
    if (row0 >= a->rows) return;
    cmha_rope_table_f32(a, row0, a->rows - row0 < block ? a->rows : row0 + block);
}

static double table_work(const void *arguments)
{
    const cmha_rope_table *a = arguments;
    return 32.0 * (double) a->rows * (double) a->half;
}

const operation rope_table = { .tasks = table_tasks, .task = table_task, .work = table_work };

void cmha_rope_f32(const cmha_rope *a, size_t row0, size_t row1)
{
    assert(row1 <= a->rows && 2 * a->half <= a->d);
    size_t step = a->pairing == CMHA_PAIRING_ADJACENT ? 2 : 1, other = a->pairing == CMHA_PAIRING_ADJACENT ? 1 : a->half;
    for (size_t r = row0; r < row1; r++) {
        const float *cosines = a->table + r * a->table_stride, *sines = cosines + a->half;
        for (size_t h = 0; h < a->heads; h++) {
            float *x = a->x + r * a->x_stride + h * a->d;
            for (size_t i = 0; i < a->half; i++) {
                float u = x[i * step], v = x[i * step + other];
                x[i * step] = u * cosines[i] - v * sines[i];
                x[i * step + other] = v * cosines[i] + u * sines[i];
            }
            if (a->round) cmha_round_f32(x, x, a->d, a->round);
        }
    }
}

static size_t rope_tasks(const void *arguments)
{
    const cmha_rope *a = arguments;
    size_t block = row_block(a->heads * a->d);
    return a->rows / block + (a->rows % block != 0);
}

static void rope_task(const void *arguments, size_t i, size_t thread)
{
    const cmha_rope *a = arguments;
    size_t block = row_block(a->heads * a->d), row0 = i * block;
    (void) thread;
    if (row0 >= a->rows) return;
    cmha_rope_f32(a, row0, a->rows - row0 < block ? a->rows : row0 + block);
}

static double rope_work(const void *arguments)
{
    const cmha_rope *a = arguments;
    return 4.0 * (double) (a->rows * a->heads) * (double) a->half;
}

const operation rope = { .tasks = rope_tasks, .task = rope_task, .work = rope_work };
