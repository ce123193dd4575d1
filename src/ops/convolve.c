/* convolve.c: short causal convolutions over what a cache holds. */
#include "operation.h"
#include "cache/cache.h"
#include "tile.h"
#include <assert.h>

/* y += w * the inputs of a position: its keys, then its values. */
static void add_position(const cmha_cache *c, size_t position, const float *w, float *y)
{
    const cache_type *type = type_of(c);
    float x[CMHA_MOST_TURNED];
    for (size_t head = 0; head < 2 * c->heads; head++) {
        int is_key = head < c->heads;
        size_t n = is_key ? c->d : c->v;
        (is_key ? type->load_key : type->load_value)(c, page_of(c, 0, position), head % c->heads, position % c->page, x);
        for (size_t i = 0; i < n; i++) *y++ += *w++ * x[i];
    }
}

static size_t channels(const cmha_convolve *a)
{
    return a->cache->heads * (a->cache->d + a->cache->v);
}

static size_t convolve_tasks(const void *arguments)
{
    const cmha_convolve *a = arguments;
    return row_tasks(a->t, channels(a));
}

static void convolve_run(const void *arguments, size_t first, size_t end, size_t thread)
{
    const cmha_convolve *a = arguments;
    size_t n = channels(a);
    (void) thread;
    assert(a->taps > 0 && a->known < a->taps && a->cache->d <= CMHA_MOST_TURNED && a->cache->v <= CMHA_MOST_TURNED);
    for (size_t r = task_row(a->t, n, first); r < task_row(a->t, n, end); r++) {
        float *y = a->out + r * a->out_stride;
        const float *gate = a->gate + r * a->gate_stride;
        for (size_t i = 0; i < n; i++) y[i] = a->bias ? a->bias[i] : 0.0f;
        for (size_t back = least(a->taps - 1, a->known + r) + 1; back-- > 0;) {
            size_t position = back <= r ? a->index + r - back : a->past[back - r - 1];
            add_position(a->cache, position, a->w + (a->taps - 1 - back) * n, y);
        }
        for (size_t i = 0; i < n; i++) y[i] *= gate[i];
    }
}

static double convolve_work(const void *arguments)
{
    const cmha_convolve *a = arguments;
    return (double) a->taps * (double) a->t * (double) channels(a);
}

const operation convolve = { .tasks = convolve_tasks, .run = convolve_run, .work = convolve_work };
