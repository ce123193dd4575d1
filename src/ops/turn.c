/* turn.c: keys that lie in a cache, turned to where they have moved. */
#include "operation.h"
#include "cache/cache.h"
#include "tile.h"
#include <assert.h>

static void turn_row(const cmha_turn *a, float *row)
{
    size_t step = a->pairing ? 2 : 1, apart = a->pairing ? 1 : a->pairs;
    for (size_t i = 0; i < a->pairs; i++) {
        float c = a->table[i], s = a->table[a->pairs + i], p = row[i * step], q = row[i * step + apart];
        row[i * step] = p * c - q * s;
        row[i * step + apart] = q * c + p * s;
    }
}

/* Positions per task. */
static size_t turn_step(const cmha_turn *a)
{
    return row_block(a->cache->heads * a->cache->d);
}

static size_t turn_parts(const cmha_turn *a)
{
    return a->to > a->from ? (a->to - a->from + turn_step(a) - 1) / turn_step(a) : 0;
}

static size_t turn_tasks(const void *arguments)
{
    const cmha_turn *a = arguments;
    return a->batch * turn_parts(a);
}

static void turn_task(const void *arguments, size_t i, size_t thread)
{
    const cmha_turn *a = arguments;
    const cmha_cache *c = a->cache;
    const cache_type *type = type_of(c);
    size_t parts = turn_parts(a);
    (void) thread;
    assert(c->d <= CMHA_MOST_TURNED && 2 * a->pairs <= c->d);
    if (parts == 0 || i >= a->batch * parts) return;
    float row[CMHA_MOST_TURNED];
    size_t s = a->from + i % parts * turn_step(a), end = a->to - s < turn_step(a) ? a->to : s + turn_step(a);
    for (; s < end; s++) {
        void *page = page_of(c, i / parts, s);
        for (size_t g = 0; g < c->heads; g++) {
            type->load_key(c, page, g, s % c->page, row);
            turn_row(a, row);
            if (a->round) cmha_round_f32(row, row, c->d, a->round);
            type->store_key(c, page, g, s % c->page, row);
        }
    }
}

static double turn_work(const void *arguments)
{
    const cmha_turn *a = arguments;
    double rows = a->to > a->from ? (double) a->batch * (double) (a->to - a->from) * (double) a->cache->heads : 0.0;
    return 4.0 * rows * (double) a->pairs;
}

const operation turn = { .tasks = turn_tasks, .task = turn_task, .work = turn_work };

void cmha_cache_turn(const cmha_turn *a)
{
    for (size_t i = 0, n = turn_tasks(a); i < n; i++) turn_task(a, i, 0);
}
