/* round_rows.c: activations as integers of eight bits, a scale to a row, as Keras quantizes them. */
#include "operation.h"
#include "tile.h"
#include <assert.h>

void cmha_round_rows_f32(const cmha_round_rows *a, size_t row0, size_t row1)
{
    assert(row1 <= a->rows);
    for (size_t r = row0; r < row1; r++) {
        const float *x = a->x + r * a->x_stride;
        float *y = a->y + r * a->k, most = 0.0f, none = 0.0f;
        for (size_t i = 0; i < a->k; i++) {
            float size = __builtin_fabsf(x[i]);
            most = size > most ? size : most;
            none += size * 0.0f;    /* NaN where x is NaN or infinite: comparisons would lose it */
        }
        float scale = 127.0f / (most + none + 1e-7f);
        for (size_t i = 0; i < a->k; i++) {
            float q = __builtin_rintf(x[i] * scale);
            y[i] = q < -127.0f ? -127.0f : q > 127.0f ? 127.0f : q;
        }
        a->scales[r] = scale;
    }
}

static size_t round_rows_tasks(const void *arguments)
{
    const cmha_round_rows *a = arguments;
    return row_tasks(a->rows, a->k);
}

static void round_rows_run(const void *arguments, size_t first, size_t end, size_t thread)
{
    const cmha_round_rows *a = arguments;
    (void) thread;
    cmha_round_rows_f32(a, task_row(a->rows, a->k, first), task_row(a->rows, a->k, end));
}

static double round_rows_work(const void *arguments)
{
    const cmha_round_rows *a = arguments;
    return 4.0 * (double) a->rows * (double) a->k;
}

const operation round_rows = { .tasks = round_rows_tasks, .run = round_rows_run, .work = round_rows_work };
