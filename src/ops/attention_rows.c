/* attention_rows.c: attention with whole rows of probabilities: Keras's explicit path, and its fused path under a half
 * policy, where the finished probabilities are rounded before they meet the values. */
#include "attention.h"
#include <assert.h>

int attention_by_rows(const cmha_attention *a)
{
    return (a->flags & CMHA_ATTEND_EXPLICIT) || a->round != CMHA_ROUND_NONE;
}

/* Per thread: scaled query rows, and rows of probabilities if the caller does not want them. */
size_t attention_rows_scratch(const cmha_attention *a)
{
    return TILE_ROWS * (a->cache->d + (a->scores ? 0 : a->s));
}

/* Threefry-2x32, 20 rounds (Salmon et al. 2011): two random words for a counter under a key. */
static void threefry(const uint32_t key[2], uint32_t x[2])
{
    static const uint8_t turn[8] = { 13, 15, 26, 6, 17, 29, 16, 24 };
    const uint32_t schedule[3] = { key[0], key[1], key[0] ^ key[1] ^ 0x1bd11bdau };
    x[0] += schedule[0];
    x[1] += schedule[1];
    for (uint32_t round = 0; round < 20; round++) {
        x[0] += x[1];
        x[1] = (x[1] << turn[round % 8] | x[1] >> (32 - turn[round % 8])) ^ x[0];
        if (round % 4 == 3) {
            uint32_t k = round / 4 + 1;
            x[0] += schedule[k % 3];
            x[1] += schedule[(k + 1) % 3] + k;
        }
    }
}

/* to[c] = dropout of p[c], positions j + c of query row i, j even. The counter is (row of all rows, position / 2). */
static void drop_row(const tile_of_rows *t, size_t i, size_t j, size_t n, const float *from, float *to)
{
    const cmha_attention *a = t->a;
    float keep = 1.0f - a->dropout;
    for (size_t c = 0; c < n; c += 2) {
        uint32_t x[2] = { (uint32_t) ((t->b * a->heads + t->h) * a->t + i), (uint32_t) ((j + c) / 2) };
        threefry(a->seed, x);
        for (size_t e = 0; e < 2 && c + e < n; e++) {
            float uniform = (float) (x[e] >> 8) * 0x1p-24f;
            to[c + e] = uniform >= a->dropout ? from[c + e] / keep : 0.0f;
        }
    }
    if (a->round) cmha_round_f32(to, to, n, a->round);
}

/* Positions [j, end) in steps that are skipped together, no farther than the end of a page. */
static size_t step_of(const cmha_attention *a, size_t j, size_t end, size_t longest)
{
    return least(least(end - j, longest), a->cache->page - j % a->cache->page);
}

/* Pass 1: logits of the tile for positions [start, end), as q . k; where nothing is kept they stay unset. */
static void row_logits(const tile_of_rows *t, const float *q, size_t q_stride, size_t start, size_t end, float *rows)
{
    const cmha_attention *a = t->a;
    const cmha_cache *cache = a->cache;
    for (size_t j = start / CMHA_PANEL * CMHA_PANEL, n; j < end; j += n) {
        n = step_of(a, j, end, SKIP);
        size_t panels = n / CMHA_PANEL, tail = n % CMHA_PANEL;
        if (!any_kept(t, j, n)) continue;
        void *page = page_of(cache, t->b, j);
        size_t local = j % cache->page;
        key_dots(cache, page, t->g, local, panels, t->m, q, q_stride, rows + j, a->s);
        if (tail == 0) continue;
        float last[TILE_ROWS * CMHA_PANEL];
        key_dots(cache, page, t->g, local + panels * CMHA_PANEL, 1, t->m, q, q_stride, last, CMHA_PANEL);
        for (size_t r = 0; r < t->m; r++) {
            memcpy(rows + r * a->s + j + panels * CMHA_PANEL, last + r * CMHA_PANEL, tail * sizeof *last);
        }
    }
}

/* How many of the positions [start, end) row r keeps. */
static size_t count_kept(const tile_of_rows *t, size_t r, size_t start, size_t end)
{
    const uint8_t *mask = row_mask(t, r);
    if (!mask || t->a->mask_s == 0) return end - start;
    size_t kept = 0;
    for (size_t j = start; j < end; j++) kept += mask[j] != 0;
    return kept;
}

/* Logits [start, end) of row r, shaped and scaled, -infinity where they do not count; the largest of them. What is
 * before the start, down to a multiple of 4, counts for nothing either. */
static float row_kept(const tile_of_rows *t, size_t r, size_t start, size_t end, float *row)
{
    const cmha_attention *a = t->a;
    const uint8_t *mask = a->mask_s ? row_mask(t, r) : NULL;
    int fused = !(a->flags & CMHA_ATTEND_EXPLICIT), shaped = are_shaped(a);
    f4 nothing = f4_splat(-__builtin_inff()), highest = nothing, scale = f4_splat(fused && !shaped ? a->scale : 1.0f);
    if (!fused && a->round) cmha_round_f32(row + start, row + start, end - start, a->round);
    if (shaped) shape_logits(t, r, start, end - start, fused ? a->scale : 1.0f, row + start);
    if (shaped && a->round) cmha_round_f32(row + start, row + start, end - start, a->round);
    for (size_t j = start - start % 4; j < start; j++) row[j] = -__builtin_inff();
    for (size_t j = start - start % 4; j < end; j += 4) {
        size_t left = least(end - j, 4);
        f4 x = f4_mul(f4_load_part(row + j, left, 0.0f), scale);
        if (mask) x = f4_select(f4_keep_part(mask + j, left), x, nothing);
        highest = f4_max(highest, f4_select(first_lanes(left), x, nothing));
        f4_store_part(row + j, x, left);
    }
    return f4_top(highest);
}

/* row[j] = e^(row[j] - top) / (their sum + rest), j in [start, end), start a multiple of 4. */
static void row_divide(float *row, size_t start, size_t end, float top, float rest)
{
    exp2_constants k = exp2_load();
    f4 total = f4_splat(0.0f), unit = f4_splat(LOG2_E), highest = f4_splat(top);
    for (size_t j = start; j < end; j += 4) {
        f4 e = f4_exp2(&k, f4_mul(f4_sub(f4_load_part(row + j, end - j, -__builtin_inff()), highest), unit));
        total = f4_add(total, e);
        f4_store_part(row + j, e, end - j);
    }
    f4 divisor = f4_splat(rest + f4_sum(total));
    for (size_t j = start; j < end; j += 4) {
        f4_store_part(row + j, f4_div(f4_load_part(row + j, end - j, 0.0f), divisor), end - j);
    }
}

/* Pass 2: row r of logits to probabilities, [0, S). Widens [*first, *last), where the tile's rows can be other than
 * zero. A masked logit takes part as a constant: in the maximum, in the sum, and (fused form, when nothing is kept) as
 * the uniform rest; as a probability it is exactly zero otherwise. */
static void row_softmax(const tile_of_rows *t, size_t r, float *row, size_t *first, size_t *last)
{
    const cmha_attention *a = t->a;
    const uint8_t *mask = row_mask(t, r);
    int fused = !(a->flags & CMHA_ATTEND_EXPLICIT);
    float masked = fused ? FUSED_MASKED : a->round == CMHA_ROUND_F16 ? -3e4f : -1e9f;
    size_t end = mask && a->mask_s == 0 && *mask == 0 ? 0 : seen_end(a, t->i + r);
    size_t start = least(seen_start(a, t->i + r), end);
    size_t kept = count_kept(t, r, start, end);
    if (fused && kept == 0) {
        start = 0;
        end = a->s;
        for (size_t j = 0; j < end; j++) row[j] = 1.0f / (float) a->s;
    } else {
        float most = row_kept(t, r, start, end, row);
        float top = kept < a->s ? f4_lane(f4_max(f4_splat(masked), f4_splat(most)), 0) : most;
        float rest = kept < a->s ? (float) (a->s - kept) * exp2_f32((masked - top) * LOG2_E) : 0.0f;
        memset(row, 0, (start - start % 4) * sizeof *row);
        row_divide(row, start - start % 4, end, top, rest);
        memset(row + end, 0, (a->s - end) * sizeof *row);
    }
    if (a->round) cmha_round_f32(row + start, row + start, end - start, a->round);
    *first = least(*first, start);
    *last = most_of(*last, end);
}

static int all_zero(const float *weights, size_t stride, size_t m, size_t n)
{
    for (size_t r = 0; r < m; r++) {
        for (size_t c = 0; c < n; c++) {
            if (weights[r * stride + c] != 0.0f) return 0;
        }
    }
    return 1;
}

/* Pass 3: y = columns [c0, c0 + n) of the values, weighted by the probabilities [start, end) after dropout. */
static void row_values(const tile_of_rows *t, size_t start, size_t end, size_t c0, size_t n, const float *rows,
    float *y)
{
    const cmha_attention *a = t->a;
    const cmha_cache *cache = a->cache;
    float dropped[TILE_ROWS * CMHA_PAGE];
    int first = 1;
    for (size_t j = start, more; j < end; j += more) {
        more = step_of(a, j, end, a->mask ? SKIP : CMHA_PAGE);
        size_t stride = a->s;
        const float *weights = rows + j;
        if (a->mask && all_zero(weights, a->s, t->m, more)) continue;
        if (a->dropout > 0.0f) {
            for (size_t r = 0; r < t->m; r++) {
                drop_row(t, t->i + r, j, more, weights + r * stride, dropped + r * CMHA_PAGE);
            }
            weights = dropped;
            stride = CMHA_PAGE;
        }
        weigh_values(cache, page_of(cache, t->b, j), t->g, j % cache->page, c0, n, t->m, more, weights, stride, y,
            CHUNK, first ? NULL : CARRY_ON);
        first = 0;
    }
    if (first) memset(y, 0, TILE_ROWS * CHUNK * sizeof *y);
}

void attention_rows(const tile_of_rows *t, size_t thread)
{
    const cmha_attention *a = t->a;
    size_t d = a->cache->d, v = a->cache->v, first = a->s, last = 0, q_stride = tile_q_stride(t);
    float *own = a->scratch + thread * attention_rows_scratch(a);
    float *rows = a->scores ? a->scores + ((t->b * a->heads + t->h) * a->t + t->i) * a->s : own + TILE_ROWS * d;
    const float *q = tile_q(t);
    if (a->flags & CMHA_ATTEND_EXPLICIT) {
        for (size_t r = 0; r < t->m; r++) {
            for (size_t e = 0; e < d; e++) own[r * d + e] = q[r * q_stride + e] * a->scale;
        }
        if (a->round) cmha_round_f32(own, own, t->m * d, a->round);
        q = own;
        q_stride = d;
    }
    row_logits(t, q, q_stride, seen_start(a, t->i), seen_end(a, t->i + t->m - 1), rows);
    for (size_t r = 0; r < t->m; r++) row_softmax(t, r, rows + r * a->s, &first, &last);
    if (a->dropout > 0.0f) first -= first % 2;
    for (size_t c0 = 0; c0 < v; c0 += CHUNK) {
        float y[TILE_ROWS * CHUNK];
        size_t n = least(v - c0, CHUNK);
        row_values(t, first, last, c0, n, rows, y);
        for (size_t r = 0; r < t->m; r++) {
            float *out = a->out + (t->b * a->t + t->i + r) * a->out_stride + t->h * v + c0;
            if (a->round) cmha_round_f32(out, y + r * CHUNK, n, a->round);
            else copy_f32(out, y + r * CHUNK, n);
        }
    }
}
