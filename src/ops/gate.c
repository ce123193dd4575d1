/* gate.c: one branch of a feed-forward network, activated, times the other (Shazeer 2020, "GLU Variants"). */
#include "operation.h"
#include "tile.h"
#include "simd.h"
#include <assert.h>

/* Elements that are activated at a time, on the stack: y may be b. */
enum { PART = 256 };

void cmha_gate_f32(const cmha_gate *a, size_t row0, size_t row1)
{
    float part[PART];
    assert(row1 <= a->rows);
    for (size_t r = row0; r < row1; r++) {
        const float *x = a->a + r * a->a_stride, *b = a->b + r * a->b_stride;
        float *y = a->y + r * a->y_stride;
        for (size_t i = 0; i < a->n; i += PART) {
            size_t n = a->n - i < PART ? a->n - i : PART;
            cmha_activation_f32(part, x + i, n, a->activation);
            if (a->round) cmha_round_f32(part, part, n, a->round);
            for (size_t j = 0; j < n; j += 4) {
                f4 z = f4_mul(f4_load_part(part + j, n - j, 0.0f), f4_load_part(b + i + j, n - j, 0.0f));
                f4_store_part(y + i + j, z, n - j);
            }
            if (a->round) cmha_round_f32(y + i, y + i, n, a->round);
        }
    }
}

static size_t gate_tasks(const void *arguments)
{
    const cmha_gate *a = arguments;
    size_t block = row_block(4 * a->n);
    return a->rows / block + (a->rows % block != 0);
}

static void gate_task(const void *arguments, size_t i, size_t thread)
{
    const cmha_gate *a = arguments;
    size_t block = row_block(4 * a->n), row0 = i * block;
    (void) thread;
    if (row0 >= a->rows) return;
    cmha_gate_f32(a, row0, a->rows - row0 < block ? a->rows : row0 + block);
}

static double gate_work(const void *arguments)
{
    const cmha_gate *a = arguments;
    return 8.0 * (double) a->rows * (double) a->n;
}

const operation gate = { .tasks = gate_tasks, .task = gate_task, .work = gate_work };
