/* rope.c: rotary positions: the angles of a pass, and the turning of heads by them. */
#include "operation.h"
#include "tile.h"
#include "simd.h"
#include <assert.h>

/* Both of a, to 1e-14 while |a| < 2^22: the nearest multiple of pi / 2 is taken off in three parts, of which the first
 * two have so few bits that their products are exact (Cody & Waite 1980); then the series of what is left. */
static void sine_cosine(double a, double *sine, double *cosine)
{
    double n = __builtin_rint(a * 0x1.45f306dc9c883p-1);
    double r = a - n * 0x1.921fb544p+0 - n * 0x1.0b4611a6p-34 - n * 0x1.3198a2e037073p-69, z = r * r;
    double s = r + r * z * (-1.0 / 6 + z * (1.0 / 120 + z * (-1.0 / 5040 + z * (1.0 / 362880 + z * (-1.0 / 39916800
        + z * (1.0 / 6227020800))))));
    double c = 1 + z * (-1.0 / 2 + z * (1.0 / 24 + z * (-1.0 / 720 + z * (1.0 / 40320 + z * (-1.0 / 3628800
        + z * (1.0 / 479001600 + z * (-1.0 / 87178291200)))))));
    int quarter = (int) (int64_t) n & 3;
    *sine = quarter == 0 ? s : quarter == 1 ? c : quarter == 2 ? -s : -c;
    *cosine = quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s;
}

void cmha_rope_table_f32(const cmha_rope_table *a, size_t row0, size_t row1)
{
    assert(row1 <= a->rows);
    for (size_t r = row0; r < row1; r++) {
        float *to = a->table + r * 2 * a->pairs;
        for (size_t i = 0; i < a->pairs; i++) {
            double s, c;
            sine_cosine((double) a->positions[r] * a->frequencies[i], &s, &c);
            to[i] = (float) (a->factor * c);
            to[a->pairs + i] = (float) (a->factor * s);
        }
    }
}

/* One head. */
static void turn_heads(const cmha_rope *a, float *x, const float *cosines)
{
    const float *sines = cosines + a->pairs;
    size_t i = 0;
    if (a->pairing == CMHA_PAIRING_PAIRS) {
        for (; i < a->pairs; i++) {
            float p = x[2 * i], q = x[2 * i + 1];
            x[2 * i] = p * cosines[i] - q * sines[i];
            x[2 * i + 1] = q * cosines[i] + p * sines[i];
        }
        return;
    }
    for (float *other = x + a->pairs; i < a->pairs; i += 4) {
        size_t left = a->pairs - i;
        f4 p = f4_load_part(x + i, left, 0.0f), q = f4_load_part(other + i, left, 0.0f);
        f4 c = f4_load_part(cosines + i, left, 0.0f), s = f4_load_part(sines + i, left, 0.0f);
        f4_store_part(x + i, f4_sub(f4_mul(p, c), f4_mul(q, s)), left);
        f4_store_part(other + i, f4_add(f4_mul(q, c), f4_mul(p, s)), left);
    }
}

void cmha_rope_f32(const cmha_rope *a, size_t row0, size_t row1)
{
    assert(row1 <= a->rows && 2 * a->pairs <= a->head_dim && a->pairing <= CMHA_PAIRING_PAIRS);
    for (size_t r = row0; r < row1; r++) {
        for (size_t h = 0; h < a->heads; h++) {
            float *x = a->x + r * a->x_stride + h * a->head_dim;
            turn_heads(a, x, a->table + r * 2 * a->pairs);
            if (a->round) cmha_round_f32(x, x, a->head_dim, a->round);
        }
    }
}

static size_t rope_table_tasks(const void *arguments)
{
    const cmha_rope_table *a = arguments;
    return row_tasks(a->rows, 16 * a->pairs);
}

static void rope_table_run(const void *arguments, size_t first, size_t end, size_t thread)
{
    const cmha_rope_table *a = arguments;
    (void) thread;
    cmha_rope_table_f32(a, task_row(a->rows, 16 * a->pairs, first), task_row(a->rows, 16 * a->pairs, end));
}

static double rope_table_work(const void *arguments)
{
    const cmha_rope_table *a = arguments;
    return 64.0 * (double) a->rows * (double) a->pairs;
}

const operation rope_table = { .tasks = rope_table_tasks, .run = rope_table_run, .work = rope_table_work };

static size_t rope_tasks(const void *arguments)
{
    const cmha_rope *a = arguments;
    return row_tasks(a->rows, 2 * a->heads * a->pairs);
}

static void rope_run(const void *arguments, size_t first, size_t end, size_t thread)
{
    const cmha_rope *a = arguments;
    (void) thread;
    cmha_rope_f32(a, task_row(a->rows, 2 * a->heads * a->pairs, first), task_row(a->rows, 2 * a->heads * a->pairs, end));
}

static double rope_work(const void *arguments)
{
    const cmha_rope *a = arguments;
    return 4.0 * (double) a->rows * (double) a->heads * (double) a->pairs;
}

const operation rope = { .tasks = rope_tasks, .run = rope_run, .work = rope_work };
