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

/* The same for a panel of keys of floats as they lie, eight at a time. */
static void turn_panel(const cmha_turn *a, float *keys)
{
    size_t step = (a->pairing ? 2 : 1) * CMHA_PANEL, apart = (a->pairing ? 1 : a->pairs) * CMHA_PANEL;
    for (size_t i = 0; i < a->pairs; i++) {
        f4 c = f4_load_splat(a->table + i), s = f4_load_splat(a->table + a->pairs + i);
        for (float *x = keys + i * step, *end = x + CMHA_PANEL; x < end; x += 4) {
            f4 p = f4_load(x), q = f4_load(x + apart);
            f4_store(x, f4_sub(f4_mul(p, c), f4_mul(q, s)));
            f4_store(x + apart, f4_add(f4_mul(q, c), f4_mul(p, s)));
        }
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

static void turn_task(const cmha_turn *a, size_t i)
{
    const cmha_cache *c = a->cache;
    const cache_type *type = type_of(c);
    size_t parts = turn_parts(a);
    assert(c->d <= CMHA_MOST_TURNED && 2 * a->pairs <= c->d);
    float row[CMHA_MOST_TURNED];
    size_t s = a->from + i % parts * turn_step(a), end = least(s + turn_step(a), a->to);
    while (s < end) {
        void *page = page_of(c, i / parts, s);
        size_t whole = c->type == CMHA_KEPT_F32 && !a->round && s % CMHA_PANEL == 0 && s + CMHA_PANEL <= end;
        for (size_t g = 0; whole && g < c->heads; g++) turn_panel(a, page_key(c, page, g, s % c->page));
        for (size_t g = 0; !whole && g < c->heads; g++) {
            type->load_key(c, page, g, s % c->page, row);
            turn_row(a, row);
            if (a->round) cmha_round_f32(row, row, c->d, a->round);
            type->store_key(c, page, g, s % c->page, row);
        }
        s += whole ? CMHA_PANEL : 1;
    }
}

static void turn_run(const void *arguments, size_t first, size_t end, size_t thread)
{
    (void) thread;
    for (size_t i = first; i < least(end, turn_tasks(arguments)); i++) turn_task(arguments, i);
}

static double turn_work(const void *arguments)
{
    const cmha_turn *a = arguments;
    double rows = a->to > a->from ? (double) a->batch * (double) (a->to - a->from) * (double) a->cache->heads : 0.0;
    return 4.0 * rows * (double) a->pairs;
}

const operation turn = { .tasks = turn_tasks, .run = turn_run, .work = turn_work };

void cmha_cache_turn(const cmha_turn *a)
{
    turn_run(a, 0, turn_tasks(a), 0);
}
