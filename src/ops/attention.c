/* attention.c: how attention is cut into tasks.
 *
 * A task takes up to TASK_ROWS query rows that meet the same keys and values through one stretch of pages. Keys and
 * values of a page come from the nearest caches for all rows but the first. */
#include "attention.h"
#include "operation.h"
#include <assert.h>

/* Pages per task when a single task's rows meet a long cache: those that a row alone takes abreast (attention_stream.c). Where
 * heads share theirs there are few tasks besides. */
enum { SPLIT = 4, SPLIT_SHARED = 1 };

typedef struct cut {
    int beside;         /* heads that share a key head are taken together */
    size_t heads;       /* query heads, or key heads where those are taken together */
    size_t rows;        /* query rows per task */
    size_t tiles;       /* tasks for all rows */
    size_t split, splits;   /* pages of a stretch, stretches per tile */
} cut;

static cut attention_cut(const cmha_attention *a)
{
    int by_rows = attention_by_rows(a);
    size_t group = a->heads / a->cache->heads;
    cut c = { .beside = !by_rows && group > 1 && a->t * group <= TASK_ROWS, .splits = 1 };
    c.split = c.beside ? SPLIT_SHARED : SPLIT;
    c.heads = c.beside ? a->cache->heads : a->heads;
    c.rows = least(by_rows ? TILE_ROWS : TASK_ROWS, a->t ? a->t : 1);
    c.tiles = (a->t + c.rows - 1) / c.rows;
    if (!by_rows && c.tiles == 1) {
        size_t positions = c.split * a->cache->page;
        c.splits = (seen_end(a, a->t - 1) + positions - 1) / positions;
    }
    return c;
}

static size_t attention_tasks(const void *arguments)
{
    const cmha_attention *a = arguments;
    cut c = attention_cut(a);
    return a->batch * c.heads * c.tiles * c.splits;
}

/* Query rows [i0, i1) as register tiles; returns how many. */
static size_t make_tiles(const cmha_attention *a, const cut *c, size_t b, size_t h, size_t i0, size_t i1,
    tile_of_rows *tiles)
{
    size_t group = a->heads / a->cache->heads, n = 0;
    if (!c->beside) {
        for (size_t i = i0; i < i1; i += TILE_ROWS) {
            tiles[n++] = (tile_of_rows) { a, b, h / group, h, i, least(i1 - i, TILE_ROWS), 0 };
        }
        return n;
    }
    size_t parts = (group + TILE_ROWS - 1) / TILE_ROWS, m = (group + parts - 1) / parts;
    for (size_t i = i0; i < i1; i++) {
        for (size_t k = 0; k < group; k += m) {
            tiles[n++] = (tile_of_rows) { a, b, h, h * group + k, i, least(group - k, m), 1 };
        }
    }
    return n;
}

static void attention_task(const cmha_attention *a, size_t index, size_t thread)
{
    cut c = attention_cut(a);
    size_t per_head = c.tiles * c.splits;
    if (index >= a->batch * c.heads * per_head) return;
    /* The last tiles first: under a causal mask they are the longest. */
    size_t head = index % (a->batch * c.heads), part = per_head - 1 - index / (a->batch * c.heads);
    size_t b = head / c.heads, i = part / c.splits * c.rows, i1 = least(i + c.rows, a->t);
    tile_of_rows tiles[TASK_ROWS];
    size_t n = make_tiles(a, &c, b, head % c.heads, i, i1, tiles);
    if (attention_by_rows(a)) {
        attention_rows(tiles, thread);
        return;
    }
    size_t step = c.splits > 1 ? c.split : SIZE_MAX, p = part % c.splits * (c.splits > 1 ? step : 0);
    size_t pages = (seen_end(a, i1 - 1) + a->cache->page - 1) / a->cache->page;
    attention_stream(tiles, n, p, least(pages - p, step) + p, c.splits > 1 ? a->scratch : NULL);
}

static void attention_run(const void *arguments, size_t first, size_t end, size_t thread)
{
    for (size_t i = first; i < end; i++) attention_task(arguments, i, thread);
}

static double attention_work(const void *arguments)
{
    const cmha_attention *a = arguments;
    double seen = (double) (a->window && a->window < a->s ? a->window : a->s);
    return (double) a->batch * (double) a->heads * (double) a->t * seen * (double) (a->cache->d + a->cache->v);
}

static double attention_scratch(const void *arguments, size_t threads)
{
    const cmha_attention *a = arguments;
    if (attention_by_rows(a)) return sizeof(float) * (double) threads * (double) attention_rows_scratch(a);
    return attention_cut(a).splits > 1 ? sizeof(float) * attention_parts_size(a) : 0.0;
}

static uint32_t attention_next(const void *arguments)
{
    return attention_cut(arguments).splits > 1 ? CMHA_OP_ATTENTION_MERGE : CMHA_OP_NONE;
}

const operation attention = {
    .tasks = attention_tasks, .run = attention_run, .work = attention_work, .scratch = attention_scratch,
    .next = attention_next,
};

static size_t merge_tasks(const void *arguments)
{
    const cmha_attention *a = arguments;
    return a->batch * a->heads;
}

static void merge_run(const void *arguments, size_t first, size_t end, size_t thread)
{
    const cmha_attention *a = arguments;
    (void) thread;
    for (size_t index = first; index < least(end, merge_tasks(a)); index++) {
        for (size_t i = 0; i < a->t; i++) attention_merge_row(a, index / a->heads, index % a->heads, i, a->scratch);
    }
}

static double merge_work(const void *arguments)
{
    return attention_parts_size(arguments);
}

const operation attention_merge = { .tasks = merge_tasks, .run = merge_run, .work = merge_work };
