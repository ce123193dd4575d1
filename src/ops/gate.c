/* gate.c: the product of one half of a row, activated, with the other. */
#include "operation.h"
#include "tile.h"
#include "simd.h"
#include <assert.h>

/* Activated this many numbers at a time, where y cannot hold them because it is b. */
enum { STRIP = 256 };

void cmha_gate_f32(const cmha_gate *a, size_t row0, size_t row1)
{
    assert(row1 <= a->rows);
    for (size_t r = row0; r < row1; r++) {
        const float *x = a->a + r * a->a_stride, *b = a->b + r * a->b_stride;
        float *y = a->y + r * a->y_stride, z[STRIP];
        for (size_t c = 0, n; c < a->n; c += n) {
            n = least(a->n - c, STRIP);
            for (size_t i = 0; a->each && i < n; i++) z[i] = x[(c + i) / a->each];
            cmha_activation_f32(z, a->each ? z : x + c, n, a->activation);
            if (a->round) cmha_round_f32(z, z, n, a->round);
            for (size_t i = 0; i < n; i += 4) {
                f4 product = f4_mul(f4_load_part(z + i, n - i, 0.0f), f4_load_part(b + c + i, n - i, 0.0f));
                f4_store_part(y + c + i, product, n - i);
            }
            if (a->round) cmha_round_f32(y + c, y + c, n, a->round);
        }
    }
}

static size_t gate_tasks(const void *arguments)
{
    const cmha_gate *a = arguments;
    return row_tasks(a->rows, a->n);
}

static void gate_run(const void *arguments, size_t first, size_t end, size_t thread)
{
    const cmha_gate *a = arguments;
    (void) thread;
    cmha_gate_f32(a, task_row(a->rows, a->n, first), task_row(a->rows, a->n, end));
}

static double gate_work(const void *arguments)
{
    const cmha_gate *a = arguments;
    return 8.0 * (double) a->rows * (double) a->n;
}

const operation gate = { .tasks = gate_tasks, .run = gate_run, .work = gate_work };
