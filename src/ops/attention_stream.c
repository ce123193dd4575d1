/* attention_stream.c: the streaming softmax (Milakov & Gimelshein 2018; Dao et al. 2022), page by page.
 *
 * A page is computed by itself: logits, their maximum, powers of two and their sum, the values weighted by them. Pages
 * are merged in order. So the bits of a row depend on nothing but what it may see (cmha.h). Logits are in units of ln
 * 2. */
#include "attention.h"
#include <assert.h>

enum {
    STREAMS = 4,        /* pages that a single row takes its keys, then its values from at once */
    STEP = 2,           /* positions from each of them before the next */
    MOST_RUNS = CMHA_PAGE / SKIP / 2,
};

/* ------------------------------------------------------------------------------------------------ what is read */

/* The positions of a page that any row of a tile may see, in order: runs of blocks that the mask does not rule out. */
typedef struct runs {
    size_t count, from[MOST_RUNS], to[MOST_RUNS];
} runs;

static size_t within(size_t position, size_t j0, size_t page)
{
    return position <= j0 ? 0 : least(position - j0, page);
}

OUTLINE runs kept_runs(const tile_of_rows *t, size_t j0)
{
    const cmha_attention *a = t->a;
    size_t page = a->cache->page, start = within(seen_start(a, t->i), j0, page);
    size_t end = within(seen_end(a, row_index(t, t->m - 1)), j0, page);
    runs k = { .count = !a->mask && start < end, .from = { start }, .to = { end } };
    for (size_t j = start, next; a->mask && j < end; j = next) {
        next = least(end, (j / SKIP + 1) * SKIP);
        if (!any_kept(t, j0 + j, next - j)) continue;
        if (k.count > 0 && k.to[k.count - 1] == j) {
            k.to[k.count - 1] = next;
        } else {
            k.from[k.count] = j;
            k.to[k.count++] = next;
        }
    }
    return k;
}

INLINE size_t panel_start(size_t j) { return j / CMHA_PANEL * CMHA_PANEL; }
INLINE size_t panel_end(size_t j) { return panel_start(j + CMHA_PANEL - 1); }

/* ------------------------------------------------------------------------------------------------ one page */

/* x[c] = -infinity for the positions j0 + c, from <= c < to, that row r may not see; to is rounded up to a panel. */
static void rule_out(const tile_of_rows *t, size_t r, size_t j0, size_t from, size_t to, float *x)
{
    const cmha_attention *a = t->a;
    const uint8_t *mask = row_mask(t, r);
    size_t start = within(seen_start(a, row_index(t, r)), j0, to), end = within(seen_end(a, row_index(t, r)), j0, to);
    f4 nothing = f4_splat(-__builtin_inff());
    if (mask && a->mask_s == 0 && *mask == 0) end = 0;
    if (mask && a->mask_s) {
        for (size_t c = from; c < to; c += 4) {
            f4_store(x + c, f4_select(f4_keep_part(mask + j0 + c, to - c), f4_load(x + c), nothing));
        }
    }
    for (size_t c = from; c < start; c++) x[c] = -__builtin_inff();
    for (size_t c = most_of(end, from); c < panel_end(to); c++) x[c] = -__builtin_inff();
}

/* x[c] = 2^(x[c] scale - top), from <= c < end, panels; adds them up. */
static void soften(float *x, size_t from, size_t end, f4 scale, float top, f4 total[2])
{
    exp2_constants k = exp2_load();
    f4 shift = f4_splat(-top), total0 = total[0], total1 = total[1];
    for (size_t c = from; c < end; c += 8) {
        f4 w0 = f4_exp2(&k, f4_madd(f4_load(x + c), scale, shift));
        f4 w1 = f4_exp2(&k, f4_madd(f4_load(x + c + 4), scale, shift));
        f4_store(x + c, w0);
        f4_store(x + c + 4, w1);
        total0 = f4_add(total0, w0);
        total1 = f4_add(total1, w1);
    }
    total[0] = total0;
    total[1] = total1;
}

OUTLINE int any_nan(const runs *k, const float *x)
{
    for (size_t u = 0; u < k->count; u++) {
        for (size_t c = k->from[u]; c < k->to[u]; c++) if (x[c] != x[c]) return 1;
    }
    return 0;
}

/* Row r of a page: logits in x become weights 2^(logit - top); top and the sum of weights go to top_sum. A row that
 * keeps nothing has top FUSED_MASKED and weighs nothing. */
static void soften_row(const tile_of_rows *t, size_t r, size_t j0, const runs *k, float *x, float top_sum[2])
{
    const cmha_attention *a = t->a;
    f4 scale = f4_splat(are_shaped(a) ? LOG2_E : a->scale * LOG2_E);
    f4 most0 = f4_splat(-__builtin_inff()), most1 = most0, total[2] = { f4_splat(0.0f), f4_splat(0.0f) };
    for (size_t u = 0; u < k->count; u++) {
        size_t from = panel_start(k->from[u]), end = panel_end(k->to[u]);
        if (are_shaped(a)) shape_logits(t, r, j0 + from, k->to[u] - from, a->scale, x + from);
        rule_out(t, r, j0, from, k->to[u], x);
        for (size_t c = from; c < end; c += 8) {
            most0 = f4_max(most0, f4_load(x + c));
            most1 = f4_max(most1, f4_load(x + c + 4));
        }
    }
    /* Scaling keeps their order. */
    float top = f4_top(f4_max(most0, most1)) * f4_lane(scale, 0);
    /* A maximum may have lost a NaN to what is ruled out behind it. */
    if (top <= FUSED_MASKED && any_nan(k, x)) top = __builtin_nanf("");
    int nothing = top <= FUSED_MASKED;
    for (size_t u = 0; u < k->count; u++) {
        size_t from = panel_start(k->from[u]), end = panel_end(k->to[u]);
        if (!nothing) soften(x, from, end, scale, top, total);
        for (size_t c = from; nothing && c < end; c += 4) f4_store(x + c, f4_splat(0.0f));
    }
    top_sum[0] = nothing ? FUSED_MASKED : top;
    top_sum[1] = f4_sum(f4_add(total[0], total[1]));
}

/* A row alone waits for memory, which gives more to several streams: a panel from each quarter of the keys. Floats. */
static void dots_alone(const float *q, const float *keys, size_t panels, size_t d, float *x)
{
    size_t panel = CMHA_PANEL * d, part = panels / STREAMS, done = STREAMS * part;
    for (size_t c = 0; c < part; c++) {
        float z[STREAMS * CMHA_PANEL];
        tile_f32(1, STREAMS, d, q, 0, keys + c * panel, CMHA_PANEL, part * panel, z, 0, NULL);
        for (size_t k = 0; k < STREAMS; k++) copy_f32(x + (k * part + c) * CMHA_PANEL, z + k * CMHA_PANEL, CMHA_PANEL);
    }
    tile_f32(1, panels - done, d, q, 0, keys + done * panel, CMHA_PANEL, panel, x + done * CMHA_PANEL, 0, NULL);
}

/* x[r][c] = row r of q times the key of position c of the page, where runs are; stride CMHA_PAGE. */
static void page_logits(const tile_of_rows *t, void *page, const runs *k, float *x)
{
    const cmha_cache *c = t->a->cache;
    int alone = t->m == 1 && c->type == CMHA_KEPT_F32;
    byte_rows queries;
    if (met_as_bytes(c)) byte_queries(t, &queries);
    for (size_t u = 0; u < k->count; u++) {
        size_t from = panel_start(k->from[u]), panels = (panel_end(k->to[u]) - from) / CMHA_PANEL;
        if (met_as_bytes(c)) byte_dots(t, page, &queries, from, panels, x + from);
        else if (alone) dots_alone(tile_q(t), page_key(c, page, t->g, from), panels, c->d, x + from);
        else key_dots(c, page, t->g, from, panels, t->m, tile_q(t), tile_q_stride(t), x + from, CMHA_PAGE);
    }
}

/* ------------------------------------------------------------------------------------------------ merging pages */

/* What becomes of a row: its largest logit, the sum of 2^(logit - largest). */
typedef struct running {
    float top, sum;
} running;

/* How a page's values join those of the pages before it. */
typedef struct joint {
    enum { NOTHING, FIRST, LATER } how;
    float before, page;
} joint;

OUTLINE joint join(running *row, const float top_sum[2])
{
    if (top_sum[0] == FUSED_MASKED) return (joint) { NOTHING, 1.0f, 0.0f };
    if (row->top == FUSED_MASKED) {
        *row = (running) { top_sum[0], top_sum[1] };
        return (joint) { FIRST, 0.0f, 1.0f };
    }
    float top = top_sum[0] <= row->top ? row->top : top_sum[0];     /* NaN stays */
    exp2_constants k = exp2_load();
    f4 factors = f4_exp2(&k, f4_load((const float[4]) { row->top - top, top_sum[0] - top, 0.0f, 0.0f }));
    joint how = { LATER, f4_lane(factors, 0), f4_lane(factors, 1) };
    *row = (running) { top, row->sum * how.before + top_sum[1] * how.page };
    return how;
}

OUTLINE void join_values(joint how, float *out, const float *page, size_t n)
{
    if (how.how == NOTHING) return;
    if (how.how == FIRST) {
        copy_f32(out, page, n);
        return;
    }
    f4 before = f4_splat(how.before), now = f4_splat(how.page);
    for (size_t c = 0; c < n; c += 4) {
        f4 sum = f4_mul(f4_load_part(out + c, n - c, 0.0f), before);
        f4_store_part(out + c, f4_madd(f4_load_part(page + c, n - c, 0.0f), now, sum), n - c);
    }
}

/* Pages of the whole cache. */
static size_t all_pages(const cmha_attention *a)
{
    return (a->s + a->cache->page - 1) / a->cache->page;
}

double attention_parts_size(const cmha_attention *a)
{
    return (double) (a->batch * a->heads * a->t) * (double) all_pages(a) * (double) (a->cache->v + 2);
}

/* Where page p of a row is kept until its pages are merged: [V] weighted values, the largest logit, the sum. */
static size_t part_of(const cmha_attention *a, size_t b, size_t h, size_t i, size_t p)
{
    return (((b * a->heads + h) * a->t + i) * all_pages(a) + p) * (a->cache->v + 2);
}

static float *out_of(const cmha_attention *a, size_t b, size_t h, size_t i)
{
    return a->out + (b * a->t + i) * a->out_stride + h * a->cache->v;
}

/* What a page does to a row: it joins what is there, or is kept apart. */
static joint take_page(const tile_of_rows *t, size_t r, size_t p, const float top_sum[2], running *row, float *parts)
{
    if (!parts) return join(row, top_sum);
    const cmha_attention *a = t->a;
    float *part = parts + part_of(a, t->b, row_head(t, r), row_index(t, r), p);
    copy_f32(part + a->cache->v, top_sum, 2);
    return (joint) { top_sum[0] == FUSED_MASKED ? NOTHING : FIRST, 0.0f, 1.0f };
}

/* Where the values of row r go. */
static float *target_of(const tile_of_rows *t, size_t r, size_t p, float *parts)
{
    const cmha_attention *a = t->a;
    size_t h = row_head(t, r), i = row_index(t, r);
    return parts ? parts + part_of(a, t->b, h, i, p) : out_of(a, t->b, h, i);
}

/* ------------------------------------------------------------------------------------------------ tiles of rows */

/* y = columns [c0, c0 + n) of a page's values, weighted by x, or by what bytes are met with. */
static void weigh_page(const tile_of_rows *t, void *page, const runs *k, const float *x, const byte_rows *weights, size_t c0,
    size_t n, float *y, size_t stride)
{
    if (met_as_bytes(t->a->cache)) {
        byte_values(t, page, weights, k->from[0], k->to[k->count - 1], c0, n, y, stride);
        return;
    }
    for (size_t u = 0; u < k->count; u++) {
        weigh_values(t->a->cache, page, t->g, k->from[u], c0, n, t->m, k->to[u] - k->from[u], x + k->from[u],
            CMHA_PAGE, y, stride, u ? CARRY_ON : NULL);
    }
}

static void stream_page(const tile_of_rows *t, size_t p, running *rows, float *parts)
{
    const cmha_cache *cache = t->a->cache;
    float x[TILE_ROWS * CMHA_PAGE];
    void *page = page_at(cache, t->b, p);
    joint how[TILE_ROWS];
    runs k = kept_runs(t, p * cache->page);
    int fresh = 1;      /* nothing is there yet that values have to join */
    if (k.count == 0 && !parts) return;
    page_logits(t, page, &k, x);
    for (size_t r = 0; r < t->m; r++) {
        float top_sum[2];
        soften_row(t, r, p * cache->page, &k, x + r * CMHA_PAGE, top_sum);
        how[r] = take_page(t, r, p, top_sum, rows + r, parts);
        fresh &= how[r].how == FIRST || (how[r].how == NOTHING && rows[r].top == FUSED_MASKED);
    }
    if (k.count == 0) return;
    byte_rows weights;
    if (met_as_bytes(cache)) byte_weights(t, page, k.from, k.to, k.count, x, &weights);
    float *first = target_of(t, 0, p, parts);
    size_t stride = t->m > 1 ? (size_t) (target_of(t, 1, p, parts) - first) : 0;
    for (size_t c0 = 0; c0 < cache->v; c0 += CHUNK) {
        size_t n = least(cache->v - c0, CHUNK);
        if (fresh && n % CMHA_PANEL == 0) {
            weigh_page(t, page, &k, x, &weights, c0, n, first + c0, stride);
            continue;
        }
        float y[TILE_ROWS * CHUNK];
        weigh_page(t, page, &k, x, &weights, c0, n, y, CHUNK);
        for (size_t r = 0; r < t->m; r++) join_values(how[r], target_of(t, r, p, parts) + c0, y + r * CHUNK, n);
    }
}

/* ------------------------------------------------------------------------------------------------ a row alone */

/* A row alone waits for memory, which gives more to several streams: a panel from each of w pages, a constant. */
INLINE void dots(const int w, size_t d, const float *q, const float *const *keys, size_t end, float *x)
{
    for (size_t at = 0; at < end; at += CMHA_PANEL) {
        const float *k[STREAMS];
        f4 sum[2 * STREAMS];
        for (int i = 0; i < w; i++) {
            k[i] = keys[i] + at * d;
            sum[2 * i] = sum[2 * i + 1] = f4_splat(0.0f);
        }
#ifdef __clang__
#pragma clang loop unroll(disable)
#endif
        for (size_t e = 0; e < d; e++) {
            f4 a = f4_load_splat(q + e);
            for (int i = 0; i < w; i++) {
                sum[2 * i] = f4_madd(a, f4_load(k[i]), sum[2 * i]);
                sum[2 * i + 1] = f4_madd(a, f4_load(k[i] + 4), sum[2 * i + 1]);
                k[i] += CMHA_PANEL;
            }
        }
        for (int i = 0; i < w; i++) {
            f4_store(x + i * CMHA_PAGE + at, sum[2 * i]);
            f4_store(x + i * CMHA_PAGE + at + 4, sum[2 * i + 1]);
        }
    }
}

/* Functions of their own, or the engine runs out of registers. */
#define DOTS(w) \
    OUTLINE void dots_##w(size_t d, const float *q, const float *const *keys, size_t end, \
        float *x) \
    { \
        dots(w, d, q, keys, end, x); \
    }
DOTS(2)
DOTS(3)
DOTS(4)

/* y[c] += sum over STEP positions of weights * values, c < 4 * fours, a constant. */
INLINE void weigh_step(const int fours, const float *values, size_t v, const float *weights, float *y)
{
    f4 first = f4_load_splat(weights), second = f4_load_splat(weights + 1);
    for (int c = 0; c < 4 * fours; c += 4) {
        f4 sum = f4_madd(first, f4_load(values + c), f4_load(y + c));
        f4_store(y + c, f4_madd(second, f4_load(values + v + c), sum));
    }
}

/* Pages p to p + w, of which the row sees positions [0, to[i]). */
typedef struct abreast {
    size_t p, w, to[STREAMS], common;
    void *page[STREAMS];
    const float *keys[STREAMS], *values[STREAMS];
} abreast;

/* As many pages as can be read at once, from p on: those that the row sees from their first position, without a gap. */
static abreast pages_abreast(const tile_of_rows *t, size_t p, size_t p1)
{
    const cmha_cache *cache = t->a->cache;
    abreast s = { .p = p, .common = CMHA_PAGE };
    for (; s.w < STREAMS && p + s.w < p1; s.w++) {
        runs k = kept_runs(t, (p + s.w) * cache->page);
        if (k.count != 1 || k.from[0] != 0) break;
        s.page[s.w] = page_at(cache, t->b, p + s.w);
        s.to[s.w] = k.to[0];
        s.keys[s.w] = page_key(cache, s.page[s.w], t->g, 0);
        s.values[s.w] = page_value(cache, s.page[s.w], t->g, 0);
        s.common = least(s.common, k.to[0]);
    }
    return s;
}

/* A few columns of STEP positions of each page by turns: every value is read once, and what lies beside it arrives
 * meanwhile. A function of its own, or the engine runs out of registers. */
OUTLINE void weigh_by_turns(const abreast *s, size_t v, size_t c0, size_t whole, size_t end,
    const float *x, float *y)
{
    for (size_t j = 0; j < end; j += STEP) {
        for (size_t c = 0, n; c < whole; c += n) {
            n = whole - c >= 32 ? 32 : 8;
            for (size_t i = 0; i < s->w; i++) {
                const float *values = s->values[i] + j * v + c0 + c, *weights = x + i * CMHA_PAGE + j;
                float *to = y + i * CHUNK + c;
                if (n == 32) weigh_step(8, values, v, weights, to);
                else weigh_step(2, values, v, weights, to);
            }
        }
    }
}

/* y[i] = columns [c0, c0 + n) of the values of page i, weighted by x[i]. */
static void weigh_abreast(const cmha_cache *c, size_t g, const abreast *s, size_t c0, size_t n, const float *x,
    float *y)
{
    static const float one = 1.0f;
    size_t whole = n - n % CMHA_PANEL, common = s->common / STEP * STEP;
    for (size_t e = 0; e < s->w * CHUNK; e += 4) f4_store(y + e, f4_splat(0.0f));
    weigh_by_turns(s, c->v, c0, whole, common, x, y);
    for (size_t i = 0; i < s->w; i++) {
        const float *weights = x + i * CMHA_PAGE;
        if (s->to[i] > common) {
            weigh_values(c, s->page[i], g, common, c0, whole, 1, s->to[i] - common, weights + common, 0,
                y + i * CHUNK, 0, &one);
        }
        if (n > whole) {
            weigh_values(c, s->page[i], g, 0, c0 + whole, n - whole, 1, s->to[i], weights, 0, y + i * CHUNK + whole, 0,
                NULL);
        }
    }
}

static void stream_abreast(const tile_of_rows *t, const abreast *s, running *row, float *parts)
{
    const cmha_cache *cache = t->a->cache;
    size_t d = cache->d, common = panel_start(s->common);
    float x[STREAMS * CMHA_PAGE], y[STREAMS * CHUNK];
    joint how[STREAMS];
    (s->w == 4 ? dots_4 : s->w == 3 ? dots_3 : dots_2)(d, tile_q(t), s->keys, common, x);
    for (size_t i = 0; i < s->w; i++) {
        runs k = { .count = 1, .to = { s->to[i] } };
        float *logits = x + i * CMHA_PAGE, top_sum[2];
        dots_alone(tile_q(t), s->keys[i] + common * d, (panel_end(s->to[i]) - common) / CMHA_PANEL, d, logits + common);
        soften_row(t, 0, (s->p + i) * cache->page, &k, logits, top_sum);
        how[i] = take_page(t, 0, s->p + i, top_sum, row, parts);
    }
    for (size_t c0 = 0; c0 < cache->v; c0 += CHUNK) {
        size_t n = least(cache->v - c0, CHUNK);
        weigh_abreast(cache, t->g, s, c0, n, x, y);
        for (size_t i = 0; i < s->w; i++) {
            join_values(how[i], target_of(t, 0, s->p + i, parts) + c0, y + i * CHUNK, n);
        }
    }
}

/* ------------------------------------------------------------------------------------------------ all of it */

/* out = the mean of all values: what is left of a softmax when all logits are equal. */
OUTLINE void mean_values(const cmha_attention *a, size_t b, size_t g, float *out)
{
    const cmha_cache *cache = a->cache;
    float weights[CMHA_PAGE], y[CHUNK], one = 1.0f;
    for (size_t i = 0; i < CMHA_PAGE; i++) weights[i] = 1.0f / (float) a->s;
    for (size_t c0 = 0; c0 < cache->v; c0 += CHUNK) {
        size_t n = least(cache->v - c0, CHUNK);
        for (size_t j = 0; j < a->s; j += cache->page) {
            weigh_values(cache, page_of(cache, b, j), g, 0, c0, n, 1, least(a->s - j, cache->page), weights, 0, y, 0,
                j ? &one : NULL);
        }
        copy_f32(out + c0, y, n);
    }
}

/* Divides by the sum; a row that kept nothing becomes the mean of all values. */
OUTLINE void finish_row(const cmha_attention *a, size_t b, size_t h, size_t i, running row)
{
    float *out = out_of(a, b, h, i);
    size_t v = a->cache->v;
    if (row.top == FUSED_MASKED) {
        mean_values(a, b, h / (a->heads / a->cache->heads), out);
        return;
    }
    for (size_t c = 0; c < v; c += 4) {
        f4_store_part(out + c, f4_div(f4_load_part(out + c, v - c, 0.0f), f4_splat(row.sum)), v - c);
    }
}

void attention_stream(const tile_of_rows *tiles, size_t n, size_t p0, size_t p1, float *parts)
{
    running rows[TASK_ROWS];
    int alone = n == 1 && tiles->m == 1 && tiles->a->cache->type == CMHA_KEPT_F32;
    for (size_t i = 0, r = 0; i < n; r += tiles[i++].m) {
        for (size_t e = 0; e < tiles[i].m; e++) rows[r + e] = (running) { FUSED_MASKED, 0.0f };
    }
    for (size_t p = p0, step; p < p1; p += step) {
        step = 1;
        if (alone && p + 1 < p1) {
            abreast s = pages_abreast(tiles, p, p1);
            if (s.w > 1) {
                stream_abreast(tiles, &s, rows, parts);
                step = s.w;
                continue;
            }
        }
        for (size_t i = 0, r = 0; i < n; r += tiles[i++].m) stream_page(tiles + i, p, rows + r, parts);
    }
    for (size_t i = 0, at = 0; !parts && i < n; at += tiles[i++].m) {
        const tile_of_rows *t = tiles + i;
        for (size_t r = 0; r < t->m; r++) finish_row(t->a, t->b, row_head(t, r), row_index(t, r), rows[at + r]);
    }
}

void attention_merge_row(const cmha_attention *a, size_t b, size_t h, size_t i, const float *parts)
{
    size_t v = a->cache->v, pages = (seen_end(a, i) + a->cache->page - 1) / a->cache->page;
    running row = { FUSED_MASKED, 0.0f };
    for (size_t p = 0; p < pages; p++) {
        const float *part = parts + part_of(a, b, h, i, p);
        join_values(join(&row, part + v), out_of(a, b, h, i), part, v);
    }
    finish_row(a, b, h, i, row);
}
