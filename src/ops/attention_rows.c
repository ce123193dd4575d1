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
    return TILE_ROWS * (a->d + (a->scores ? 0 : a->s));
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
static void drop_row(const place *p, size_t i, size_t j, size_t n, const float *from, float *to)
{
    const cmha_attention *a = p->a;
    float keep = 1.0f - a->dropout;
    for (size_t c = 0; c < n; c += 2) {
        uint32_t x[2] = { (uint32_t) ((p->b * a->heads + p->h) * a->t + i), (uint32_t) ((j + c) / 2) };
        threefry(a->seed, x);
        for (size_t e = 0; e < 2 && c + e < n; e++) {
            float uniform = (float) (x[e] >> 8) * 0x1p-24f;
            to[c + e] = uniform >= a->dropout ? from[c + e] / keep : 0.0f;
        }
    }
    if (a->round) cmha_round_f32(to, to, n, a->round);
}

/* Pass 1: logits of rows [i, i + m) up to position `end`, as q . k; where nothing is kept they stay unset. */
static void row_logits(const place *p, const float *q, size_t q_stride, size_t i, size_t m, size_t end, float *rows)
{
    const cmha_attention *a = p->a;
    for (size_t j = 0; j < end; j += MASK_BLOCK) {
        size_t n = end - j < MASK_BLOCK ? end - j : MASK_BLOCK, panels = n / CMHA_PANEL, tail = n % CMHA_PANEL;
        const float *keys = p->keys + j * a->d;
        if (!any_kept(p, i, m, j, n)) continue;
        tile_f32(m, panels, a->d, q, q_stride, keys, CMHA_PANEL, CMHA_PANEL * a->d, rows + j, a->s, NULL);
        if (tail == 0) continue;
        float last[TILE_ROWS * CMHA_PANEL];
        tile_f32(m, 1, a->d, q, q_stride, keys + panels * CMHA_PANEL * a->d, CMHA_PANEL, 0, last, CMHA_PANEL, NULL);
        for (size_t r = 0; r < m; r++) {
            memcpy(rows + r * a->s + j + panels * CMHA_PANEL, last + r * CMHA_PANEL, tail * sizeof *last);
        }
    }
}

/* Pass 2: one row of logits to probabilities, [0, S). Returns how far the row can be other than zero.
 * A masked logit takes part as a constant: in the maximum, in the sum, and (fused form, when nothing is kept) as the
 * uniform rest; as a probability it is exactly zero otherwise. */
static size_t row_softmax(const place *p, size_t i, float *row)
{
    const cmha_attention *a = p->a;
    const uint8_t *mask = a->mask ? p->mask + i * a->mask_t : NULL;
    int fused = !(a->flags & CMHA_ATTEND_EXPLICIT);
    float masked = fused ? FUSED_MASKED : a->round == CMHA_ROUND_F16 ? -3e4f : -1e9f;
    size_t end = causal_end(a, i), kept = 0;
    f4 nothing = f4_splat(-__builtin_inff()), most = nothing, scale = f4_splat(fused ? a->scale : 1.0f);
    if (!fused && a->round) cmha_round_f32(row, row, end, a->round);
    if (mask && a->mask_s == 0) end = *mask ? end : 0;
    for (size_t j = 0; j < end; j += 4) {
        size_t left = end - j < 4 ? end - j : 4;
        f4 x = f4_mul(f4_load_part(row + j, left, 0.0f), scale);
        if (mask && a->mask_s) {
            x = f4_select(f4_keep_part(mask + j, left), x, nothing);
            for (size_t e = 0; e < left; e++) kept += mask[j + e] != 0;
        } else {
            kept += left;
        }
        most = f4_max(most, f4_select(first_lanes(left), x, nothing));
        f4_store_part(row + j, x, left);
    }
    if (fused && kept == 0) {
        for (size_t j = 0; j < a->s; j++) row[j] = 1.0f / (float) a->s;
        end = a->s;
    } else {
        float top = f4_top(kept < a->s ? f4_max(f4_splat(masked), most) : most);
        float sum = kept < a->s ? (float) (a->s - kept) * exp2_f32((masked - top) * LOG2_E) : 0.0f;
        exp2_constants k = exp2_load();
        f4 total = f4_splat(0.0f), unit = f4_splat(LOG2_E), highest = f4_splat(top);
        for (size_t j = 0; j < end; j += 4) {
            f4 e = f4_exp2(&k, f4_mul(f4_sub(f4_load_part(row + j, end - j, -__builtin_inff()), highest), unit));
            total = f4_add(total, e);
            f4_store_part(row + j, e, end - j);
        }
        f4 divisor = f4_splat(sum + f4_sum(total));
        for (size_t j = 0; j < end; j += 4) {
            f4_store_part(row + j, f4_div(f4_load_part(row + j, end - j, 0.0f), divisor), end - j);
        }
        memset(row + end, 0, (a->s - end) * sizeof *row);
    }
    if (a->round) cmha_round_f32(row, row, end, a->round);
    return end;
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

/* Pass 3: values weighted by the first `end` probabilities, after dropout. */
static void row_values(const place *p, size_t i, size_t m, size_t end, const float *rows, float *out)
{
    const cmha_attention *a = p->a;
    float ones[TILE_ROWS], dropped[TILE_ROWS * BLOCK];
    size_t step = p->mask ? MASK_BLOCK : BLOCK;
    int first = 1;
    for (size_t r = 0; r < TILE_ROWS; r++) ones[r] = 1.0f;
    for (size_t j = 0; j < end; j += step) {
        size_t n = end - j < step ? end - j : step, stride = a->s;
        const float *weights = rows + j;
        if (p->mask && all_zero(weights, a->s, m, n)) continue;
        if (a->dropout > 0.0f) {
            for (size_t r = 0; r < m; r++) drop_row(p, i + r, j, n, weights + r * stride, dropped + r * BLOCK);
            weights = dropped;
            stride = BLOCK;
        }
        weigh_values(a, p->values + j * a->v, m, n, weights, stride, out, a->out_stride, first ? NULL : ones);
        first = 0;
    }
    for (size_t r = 0; first && r < m; r++) memset(out + r * a->out_stride, 0, a->v * sizeof *out);
    for (size_t r = 0; a->round && r < m; r++) {
        cmha_round_f32(out + r * a->out_stride, out + r * a->out_stride, a->v, a->round);
    }
}

void attention_rows(const cmha_attention *a, size_t b, size_t h, size_t i, size_t m, size_t thread)
{
    place p = place_of(a, b, h);
    float *own = a->scratch + thread * attention_rows_scratch(a);
    float *rows = a->scores ? a->scores + ((b * a->heads + h) * a->t + i) * a->s : own + TILE_ROWS * a->d;
    const float *q = p.q + i * a->q_stride;
    size_t q_stride = a->q_stride, end = 0;
    if (a->flags & CMHA_ATTEND_EXPLICIT) {
        for (size_t r = 0; r < m; r++) {
            for (size_t e = 0; e < a->d; e++) own[r * a->d + e] = q[r * q_stride + e] * a->scale;
        }
        if (a->round) cmha_round_f32(own, own, m * a->d, a->round);
        q = own;
        q_stride = a->d;
    }
    row_logits(&p, q, q_stride, i, m, causal_end(a, i + m - 1), rows);
    for (size_t r = 0; r < m; r++) {
        size_t row_end = row_softmax(&p, i + r, rows + r * a->s);
        if (row_end > end) end = row_end;
    }
    row_values(&p, i, m, end, rows, a->out + (b * a->t + i) * a->out_stride + h * a->v);
}
