/* attention.c: the streaming softmax (Milakov & Gimelshein 2018; Dao et al. 2022), and how attention is cut into tasks.
 *
 * A task takes up to TASK_ROWS query rows of one (batch, head) through one stretch of positions, a block at a time:
 * logits of the block, new maximum, probabilities, and the values weighted by them on top of what was there, rescaled.
 * Keys and values of a block come from the nearest caches for all rows but the first. */
#include "attention.h"
#include "operation.h"
#include <assert.h>

enum {
    TASK_ROWS = 4 * TILE_ROWS,
    SPLIT = 1024,       /* positions per task when a single tile of rows meets a long cache */
    ROW_BLOCK = SPLIT,  /* BLOCK for a single row, whose keys and values come from memory in any case */
    STREAMS = 4,        /* places that a single row takes its keys, then its values from at once */
    STEP = 4,           /* positions from each of them before the next */
};

/* ------------------------------------------------------------------------------------------ what both forms share */

int any_kept(const place *p, size_t i, size_t m, size_t j, size_t n)
{
    const cmha_attention *a = p->a;
    if (!a->mask) return 1;
    if (a->mask_t == 0) m = 1;
    if (a->mask_s == 0) n = 1;
    for (size_t r = 0; r < m; r++) {
        const uint8_t *row = p->mask + (i + r) * a->mask_t + j * a->mask_s;
        size_t c = 0;
        for (; c + 8 <= n; c += 8) {
            uint64_t eight;
            memcpy(&eight, row + c, sizeof eight);
            if (eight) return 1;
        }
        for (; c < n; c++) {
            if (row[c]) return 1;
        }
    }
    return 0;
}

/* The last columns, fewer than a panel, by way of a padded copy: a panel's load would run past the last row's end. */
static void weigh_tail(const cmha_attention *a, const float *values, size_t m, size_t n, const float *weights,
    size_t weights_stride, float *out, size_t out_stride, const float *alpha)
{
    size_t tail = a->v % CMHA_PANEL, c0 = a->v - tail;
    float panel[BLOCK * CMHA_PANEL], last[TILE_ROWS * CMHA_PANEL];
    assert(n <= BLOCK);
    for (size_t j = 0; j < n; j++) {
        for (size_t c = 0; c < CMHA_PANEL; c++) panel[j * CMHA_PANEL + c] = c < tail ? values[j * a->v + c0 + c] : 0.0f;
    }
    for (size_t r = 0; r < m; r++) {
        for (size_t c = 0; c < CMHA_PANEL; c++) {
            last[r * CMHA_PANEL + c] = alpha && c < tail ? out[r * out_stride + c0 + c] : 0.0f;
        }
    }
    tile_f32(m, 1, n, weights, weights_stride, panel, CMHA_PANEL, 0, last, CMHA_PANEL, alpha);
    for (size_t r = 0; r < m; r++) memcpy(out + r * out_stride + c0, last + r * CMHA_PANEL, tail * sizeof *out);
}

/* out[c] += sum over STEP positions from each of STREAMS places, `part` positions apart, c < 4 * fours, a constant. */
INLINE void weigh_step(const int fours, const float *values, size_t v, const float *weights, size_t part, float *out)
{
    f4 sum[8];
    for (int c = 0; c < fours; c++) sum[c] = f4_load(out + 4 * c);
    for (int k = 0; k < STREAMS; k++, values += part * v, weights += part) {
        for (int e = 0; e < STEP; e++) {
            f4 weight = f4_load_splat(weights + e);
            for (int c = 0; c < fours; c++) sum[c] = f4_madd(weight, f4_load(values + e * v + 4 * c), sum[c]);
        }
    }
    for (int c = 0; c < fours; c++) f4_store(out + 4 * c, sum[c]);
}

/* Functions of their own, or the engine runs out of registers. */
__attribute__((noinline)) static void weigh_32(const float *values, size_t v, const float *weights, size_t part,
    float *out)
{
    weigh_step(8, values, v, weights, part, out);
}

__attribute__((noinline)) static void weigh_8(const float *values, size_t v, const float *weights, size_t part,
    float *out)
{
    weigh_step(2, values, v, weights, part, out);
}

/* weigh_values for a row alone and many positions, whose values come from memory, which gives more to several streams.
 * Only whole panels of columns. Positions of all parts come by turns: every value is read once. */
static void weigh_alone(const cmha_attention *a, const float *values, size_t n, const float *weights, float *out,
    const float *alpha)
{
    size_t v = a->v, columns = v - v % CMHA_PANEL, part = n / STREAMS / STEP * STEP, done = STREAMS * part;
    const float one = 1.0f;
    for (size_t c = 0; c < columns; c += 4) {
        f4_store(out + c, alpha ? f4_mul(f4_load_splat(alpha), f4_load(out + c)) : f4_splat(0.0f));
    }
    for (size_t j = 0; j < part; j += STEP) {
        size_t c = 0;
        for (; c + 32 <= columns; c += 32) weigh_32(values + j * v + c, v, weights + j, part, out + c);
        for (; c < columns; c += 8) weigh_8(values + j * v + c, v, weights + j, part, out + c);
    }
    tile_f32(1, columns / CMHA_PANEL, n - done, weights + done, 0, values + done * v, v, CMHA_PANEL, out, 0, &one);
}

void weigh_values(const cmha_attention *a, const float *values, size_t m, size_t n, const float *weights,
    size_t weights_stride, float *out, size_t out_stride, const float *alpha)
{
    if (m == 1 && n > BLOCK) weigh_alone(a, values, n, weights, out, alpha);
    else tile_f32(m, a->v / CMHA_PANEL, n, weights, weights_stride, values, a->v, CMHA_PANEL, out, out_stride, alpha);
    if (a->v % CMHA_PANEL == 0) return;
    const float one = 1.0f;
    for (size_t j = 0; j < n; j += BLOCK) {
        weigh_tail(a, values + j * a->v, m, n - j < BLOCK ? n - j : BLOCK, weights + j, weights_stride, out, out_stride,
            j ? &one : alpha);
    }
}

/* ------------------------------------------------------------------------------------------------------ streaming */

/* Query rows per task, tiles of them per (batch, head), stretches of positions per tile. */
typedef struct cut {
    size_t rows, tiles, splits;
} cut;

static cut attention_cut(const cmha_attention *a)
{
    cut c = { attention_by_rows(a) ? TILE_ROWS : TASK_ROWS, 0, 1 };
    if (a->t < c.rows) c.rows = a->t ? a->t : 1;
    c.tiles = (a->t + c.rows - 1) / c.rows;
    if (!attention_by_rows(a) && c.tiles == 1) c.splits = (causal_end(a, a->t - 1) + SPLIT - 1) / SPLIT;
    return c;
}

/* What a query row knows of the positions it has met: the largest logit, the sum of 2^(logit - largest). Logits are in
 * units of ln 2, so that the softmax is one of powers of two. */
typedef struct running {
    float top[TASK_ROWS], sum[TASK_ROWS];
} running;

/* Masks and scales the first `live` logits of row i, positions from j on. */
static void mask_row(const place *p, float *logits, size_t live, size_t i, size_t j, f4 scale)
{
    const cmha_attention *a = p->a;
    const uint8_t *mask = p->mask + i * a->mask_t + j * a->mask_s;
    f4 masked = f4_splat(FUSED_MASKED), all = f4_less(f4_splat(0.0f), f4_splat((float) *mask));
    for (size_t c = 0; c < live; c += 4) {
        f4 keep = a->mask_s ? f4_keep_part(mask + c, live - c) : all;
        f4_store(logits + c, f4_select(keep, f4_mul(f4_load(logits + c), scale), masked));
    }
}

/* Logits of a row to weights 2^(logit - top). Of n logits the first `live` count, the rest weighs nothing; the row has
 * room for n rounded up to 8. Updates the running maximum and sum; returns the factor for what was there before. */
static float stream_row(const place *p, float *logits, size_t n, size_t live, size_t i, size_t j, float *top,
    float *sum)
{
    f4 scale = f4_splat(p->a->scale * LOG2_E), most0 = f4_splat(-__builtin_inff()), most1 = most0;
    if (p->mask) {
        mask_row(p, logits, live, i, j, scale);
        scale = f4_splat(1.0f);
    }
    size_t c = live;
    for (; c % 8 != 0; c++) logits[c] = FUSED_MASKED;
    size_t end = c;
    for (c = 0; c < end; c += 8) {
        most0 = f4_max(most0, f4_load(logits + c));
        most1 = f4_max(most1, f4_load(logits + c + 4));
    }
    /* Scaling keeps their order. */
    float before = *top, now = f4_top(f4_max(most0, most1)) * f4_lane(scale, 0), factor = 1.0f;
    now = now <= before ? before : now;
    c = 0;
    if (now > FUSED_MASKED || now != now) {
        exp2_constants k = exp2_load();
        f4 total0 = f4_splat(0.0f), total1 = total0, shift = f4_splat(-now);
        for (; c < end; c += 8) {
            f4 e0 = f4_exp2(&k, f4_madd(f4_load(logits + c), scale, shift));
            f4 e1 = f4_exp2(&k, f4_madd(f4_load(logits + c + 4), scale, shift));
            f4_store(logits + c, e0);
            f4_store(logits + c + 4, e1);
            total0 = f4_add(total0, e0);
            total1 = f4_add(total1, e1);
        }
        factor = exp2_f32(before - now);
        *sum = *sum * factor + f4_sum(f4_add(total0, total1));
        *top = now;
    }
    for (; c < n; c += 4) f4_store(logits + c, f4_splat(0.0f));
    return factor;
}

/* logits[r][c] = row i + r of q times the key of position j + c, r < m, c < n rounded up to CMHA_PANEL; stride BLOCK */
static void block_logits(const place *p, size_t i, size_t m, size_t j, size_t n, float *logits)
{
    const cmha_attention *a = p->a;
    const float *q = p->q + i * a->q_stride, *keys = p->keys + j * a->d;
    size_t panel = CMHA_PANEL * a->d, panels = (n + CMHA_PANEL - 1) / CMHA_PANEL, done = 0;
    if (m == 1) {
        /* A row alone waits for memory, which gives more to several streams: a panel from each part of the block. */
        size_t part = panels / STREAMS;
        for (size_t c = 0; c < part; c++) {
            float z[STREAMS * CMHA_PANEL];
            tile_f32(1, STREAMS, a->d, q, a->q_stride, keys + c * panel, CMHA_PANEL, part * panel, z, 0, NULL);
            for (size_t k = 0; k < STREAMS; k++) {
                float *to = logits + (k * part + c) * CMHA_PANEL;
                f4_store(to, f4_load(z + k * CMHA_PANEL));
                f4_store(to + 4, f4_load(z + k * CMHA_PANEL + 4));
            }
        }
        done = STREAMS * part;
    }
    tile_f32(m, panels - done, a->d, q, a->q_stride, keys + done * panel, CMHA_PANEL, panel, logits + done * CMHA_PANEL,
        BLOCK, NULL);
}

/* Rows [i, i + m) against positions [j, j + n), n <= BLOCK, or ROW_BLOCK where m is 1: updates top, sum and out (the
 * first: overwrites). */
static void stream_block(const place *p, size_t i, size_t m, size_t j, size_t n, float *top, float *sum, float *out,
    size_t out_stride, int first)
{
    const cmha_attention *a = p->a;
    float logits[TILE_ROWS * BLOCK > ROW_BLOCK ? TILE_ROWS * BLOCK : ROW_BLOCK], factor[TILE_ROWS];
    block_logits(p, i, m, j, n, logits);
    for (size_t r = 0; r < m; r++) {
        size_t end = causal_end(a, i + r), live = end <= j ? 0 : end - j < n ? end - j : n;
        factor[r] = stream_row(p, logits + r * BLOCK, n, live, i + r, j, top + r, sum + r);
    }
    weigh_values(a, p->values + j * a->v, m, n, logits, BLOCK, out, out_stride, first ? NULL : factor);
}

/* out = the mean of all values: what is left of a softmax when all logits are equal. */
static void mean_values(const place *p, float *out)
{
    const cmha_attention *a = p->a;
    float weights[BLOCK], one = 1.0f;
    for (size_t i = 0; i < BLOCK; i++) weights[i] = 1.0f / (float) a->s;
    for (size_t j = 0; j < a->s; j += BLOCK) {
        weigh_values(a, p->values + j * a->v, 1, a->s - j < BLOCK ? a->s - j : BLOCK, weights, BLOCK, out, a->v,
            j ? &one : NULL);
    }
}

/* How many of the positions [j, end) a single row takes together: none if the mask rules out the first ones, else those
 * before some that it rules out. */
static size_t kept_run(const place *p, size_t i, size_t j, size_t end)
{
    size_t n = 0, step = p->a->mask ? MASK_BLOCK : ROW_BLOCK;
    while (n < ROW_BLOCK && j + n < end) {
        size_t more = end - j - n < step ? end - j - n : step;
        if (!any_kept(p, i, 1, j + n, more)) break;
        n += more;
    }
    return n;
}

/* Row i against positions [j0, j1), unnormalized, into out. */
static void stream_alone(const place *p, size_t i, size_t j0, size_t j1, running *state, float *out)
{
    size_t end = causal_end(p->a, i), n;
    int first = 1;
    if (end > j1) end = j1;
    for (size_t j = j0; j < end; j += n ? n : MASK_BLOCK) {
        n = kept_run(p, i, j, end);
        if (n == 0) continue;
        stream_block(p, i, 1, j, n, state->top, state->sum, out, 0, first);
        first = 0;
    }
}

/* Rows [i0, i1) against positions [j0, j1), unnormalized, into out. */
static void stream(const place *p, size_t i0, size_t i1, size_t j0, size_t j1, running *state, float *out,
    size_t out_stride)
{
    const cmha_attention *a = p->a;
    size_t step = a->mask ? MASK_BLOCK : BLOCK;
    unsigned started = 0;       /* a bit per register tile */
    for (size_t r = 0; r < i1 - i0; r++) {
        state->top[r] = FUSED_MASKED;
        state->sum[r] = 0.0f;
    }
    if (i1 - i0 == 1) {
        stream_alone(p, i0, j0, j1, state, out);
        return;
    }
    for (size_t j = j0; j < j1; j += step) {
        for (size_t i = i0, bit = 1; i < i1; i += TILE_ROWS, bit <<= 1) {
            size_t m = i1 - i < TILE_ROWS ? i1 - i : TILE_ROWS, end = causal_end(a, i + m - 1);
            if (end > j1) end = j1;
            if (end <= j) continue;
            size_t n = end - j < step ? end - j : step;
            if (!any_kept(p, i, m, j, n)) continue;
            stream_block(p, i, m, j, n, state->top + (i - i0), state->sum + (i - i0), out + (i - i0) * out_stride,
                out_stride, !(started & bit));
            started |= (unsigned) bit;
        }
    }
}

/* Divides by the sum; a row that kept nothing becomes the mean of all values. */
static void finish_row(const place *p, float top, float sum, float *out)
{
    if (top == FUSED_MASKED) {
        mean_values(p, out);
        return;
    }
    for (size_t c = 0; c < p->a->v; c += 4) {
        size_t left = p->a->v - c;
        f4_store_part(out + c, f4_div(f4_load_part(out + c, left, 0.0f), f4_splat(sum)), left);
    }
}

/* Partial results of a split: per row and split [V] weighted values, the largest logit, the sum. */
static float *partial(const cmha_attention *a, size_t splits, size_t b, size_t h, size_t i, size_t split)
{
    return a->scratch + (((b * a->heads + h) * a->t + i) * splits + split) * (a->v + 2);
}

static void stream_task(const cmha_attention *a, const cut *c, size_t b, size_t h, size_t i0, size_t split)
{
    place p = place_of(a, b, h);
    running state;
    size_t i1 = i0 + c->rows < a->t ? i0 + c->rows : a->t;
    if (c->splits == 1) {
        float *out = a->out + (b * a->t + i0) * a->out_stride + h * a->v;
        stream(&p, i0, i1, 0, a->s, &state, out, a->out_stride);
        for (size_t r = 0; r < i1 - i0; r++) finish_row(&p, state.top[r], state.sum[r], out + r * a->out_stride);
        return;
    }
    float *out = partial(a, c->splits, b, h, i0, split);
    size_t stride = c->splits * (a->v + 2), j0 = split * SPLIT;
    stream(&p, i0, i1, j0, a->s - j0 < SPLIT ? a->s : j0 + SPLIT, &state, out, stride);
    for (size_t r = 0; r < i1 - i0; r++) {
        out[r * stride + a->v] = state.top[r];
        out[r * stride + a->v + 1] = state.sum[r];
    }
}

/* Splits in order of position, whoever computed them. */
static void merge_row(const cmha_attention *a, size_t splits, size_t b, size_t h, size_t i)
{
    place p = place_of(a, b, h);
    const float *parts = partial(a, splits, b, h, i, 0);
    size_t stride = a->v + 2;
    float *out = a->out + (b * a->t + i) * a->out_stride + h * a->v;
    f4 most = f4_splat(FUSED_MASKED);
    for (size_t k = 0; k < splits; k++) most = f4_max(most, f4_splat(parts[k * stride + a->v]));
    float top = f4_lane(most, 0), sum = 0.0f;
    int first = 1;
    for (size_t k = 0; k < splits; k++) {
        const float *part = parts + k * stride;
        if (part[a->v] == FUSED_MASKED) continue;   /* nothing kept there: its values were not written */
        float weight = exp2_f32(part[a->v] - top);
        sum += weight * part[a->v + 1];
        for (size_t c = 0; c < a->v; c += 4) {
            size_t left = a->v - c;
            f4 before = first ? f4_splat(0.0f) : f4_load_part(out + c, left, 0.0f);
            f4_store_part(out + c, f4_madd(f4_load_part(part + c, left, 0.0f), f4_splat(weight), before), left);
        }
        first = 0;
    }
    finish_row(&p, top, sum, out);
}

static size_t attention_tasks(const void *arguments)
{
    const cmha_attention *a = arguments;
    cut c = attention_cut(a);
    return a->batch * a->heads * c.tiles * c.splits;
}

static void attention_task(const void *arguments, size_t index, size_t thread)
{
    const cmha_attention *a = arguments;
    cut c = attention_cut(a);
    size_t per_head = c.tiles * c.splits;
    if (index >= a->batch * a->heads * per_head) return;
    /* The last tiles first: under a causal mask they are the longest. */
    size_t head = index % (a->batch * a->heads), part = per_head - 1 - index / (a->batch * a->heads);
    size_t b = head / a->heads, h = head % a->heads, i = part / c.splits * c.rows;
    if (attention_by_rows(a)) attention_rows(a, b, h, i, i + c.rows < a->t ? c.rows : a->t - i, thread);
    else stream_task(a, &c, b, h, i, part % c.splits);
}

static double attention_work(const void *arguments)
{
    const cmha_attention *a = arguments;
    return (double) a->batch * (double) a->heads * (double) a->t * (double) a->s * (double) (a->d + a->v);
}

static double attention_scratch(const void *arguments, size_t threads)
{
    const cmha_attention *a = arguments;
    cut c = attention_cut(a);
    if (attention_by_rows(a)) return sizeof(float) * (double) threads * (double) attention_rows_scratch(a);
    return c.splits > 1 ? sizeof(float) * (double) (a->batch * a->heads * a->t) * (double) (c.splits * (a->v + 2)) : 0.0;
}

static uint32_t attention_next(const void *arguments)
{
    return attention_cut(arguments).splits > 1 ? CMHA_OP_ATTENTION_MERGE : CMHA_OP_NONE;
}

const operation attention = {
    .tasks = attention_tasks, .task = attention_task, .work = attention_work, .scratch = attention_scratch,
    .next = attention_next,
};

static size_t merge_tasks(const void *arguments)
{
    const cmha_attention *a = arguments;
    return a->batch * a->heads;
}

static void merge_task(const void *arguments, size_t index, size_t thread)
{
    const cmha_attention *a = arguments;
    size_t splits = attention_cut(a).splits;
    (void) thread;
    if (index >= a->batch * a->heads) return;
    for (size_t i = 0; i < a->t; i++) merge_row(a, splits, index / a->heads, index % a->heads, i);
}

static double merge_work(const void *arguments)
{
    const cmha_attention *a = arguments;
    return (double) (a->batch * a->heads * a->t) * (double) (attention_cut(a).splits * a->v);
}

const operation attention_merge = { .tasks = merge_tasks, .task = merge_task, .work = merge_work };
