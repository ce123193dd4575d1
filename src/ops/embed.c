/* embed.c: token and position embeddings. */
#include "operation.h"
#include "tile.h"
#include <assert.h>

void cmha_embed_f32(const cmha_embed *a, size_t row0, size_t row1)
{
    assert(row1 <= a->rows);
    for (size_t r = row0; r < row1; r++) {
        assert(a->tokens[r] < a->n);
        float *y = a->y + r * a->k;
        cmha_weight_row(a->type, y, a->w, a->k, a->tokens[r]);
        if (a->divisors) {
            for (size_t i = 0; i < a->k; i++) y[i] /= a->divisors[a->tokens[r]];
        }
        if (a->scale != 0.0f) {
            for (size_t i = 0; i < a->k; i++) y[i] *= a->scale;
        }
        if (!a->table) continue;
        const float *position = a->table + (a->positions ? a->positions[r] : a->index + r % a->t) * a->k;
        for (size_t i = 0; i < a->k; i++) y[i] += position[i];
    }
}

static size_t embed_tasks(const void *arguments)
{
    const cmha_embed *a = arguments;
    return row_tasks(a->rows, a->k);
}

static void embed_run(const void *arguments, size_t first, size_t end, size_t thread)
{
    const cmha_embed *a = arguments;
    (void) thread;
    cmha_embed_f32(a, task_row(a->rows, a->k, first), task_row(a->rows, a->k, end));
}

static double embed_work(const void *arguments)
{
    const cmha_embed *a = arguments;
    return (double) a->rows * (double) a->k;
}

const operation embed = { .tasks = embed_tasks, .run = embed_run, .work = embed_work };
