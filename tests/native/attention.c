/* Attention of random shapes, masks and forms in exactly sized blocks, against sums in double. */
#include "native.h"

/* Unwritten scratch for one thread. */
static float *scratch_of(const cmha_attention *a)
{
    cmha_op op = { .kind = CMHA_OP_ATTENTION, .u.attention = *a };
    return unset((size_t) cmha_op_scratch(&op, 1) / sizeof(float));
}

typedef struct problem {
    cmha_attention a;
    float *q, *keys, *values, *out, *scores, *scratch;
    uint8_t *mask;
} problem;

static size_t up_to(uint64_t *r, size_t n) { return 1 + random_below(r, n); }

static problem make(uint64_t *r)
{
    size_t b = up_to(r, 2), g = up_to(r, 2), h = g * up_to(r, 2), t = up_to(r, 30), s = up_to(r, 200);
    size_t d = up_to(r, 20), v = up_to(r, 20);
    if (random_below(r, 20) == 0) {         /* a cache that is cut */
        t = up_to(r, 4);
        s = 1000 + up_to(r, 2000);
        v = up_to(r, 80);
    }
    size_t key_head = cmha_keys_size(s, d);
    problem p = { .q = floats(r, b * t * h * d), .keys = unset(b * g * key_head), .values = floats(r, b * g * s * v) };
    float *rows = floats(r, b * g * s * d);
    for (size_t i = 0; i < b * g; i++) cmha_keys_store(p.keys + i * key_head, rows + i * s * d, 0, s, d, d);
    free(rows);
    p.out = unset(b * t * h * v);
    p.a = (cmha_attention) {
        .q = p.q, .q_stride = h * d, .keys = p.keys, .keys_head_stride = key_head, .keys_batch_stride = g * key_head,
        .values = p.values, .values_head_stride = s * v, .values_batch_stride = g * s * v,
        .out = p.out, .out_stride = h * v,
        .batch = b, .heads = h, .kv_heads = g, .t = t, .s = s, .d = d, .v = v, .scale = 1.7f,
    };
    if (random_below(r, 2)) {
        p.a.flags |= CMHA_ATTEND_CAUSAL;
        p.a.causal_offset = random_below(r, s + 3);
    }
    if (random_below(r, 2)) {
        p.a.flags |= CMHA_ATTEND_EXPLICIT;
        if (random_below(r, 2)) p.scores = unset(b * h * t * s);
    }
    if (random_below(r, 2)) {
        size_t across = random_below(r, 5) ? s : 1, down = random_below(r, 2) ? t : 1;
        size_t each = random_below(r, 2) ? h : 1, n = b * each * down * across, rare = up_to(r, 60);
        p.mask = malloc(n);
        for (size_t i = 0; i < n; i++) p.mask[i] = random_below(r, rare) == 0;
        p.a.mask_s = across > 1;
        p.a.mask_t = down > 1 ? across : 0;
        p.a.mask_h = each > 1 ? down * across : 0;
        p.a.mask_b = each * down * across;
    }
    p.a.mask = p.mask;
    p.a.scores = p.scores;
    p.a.scratch = p.scratch = scratch_of(&p.a);
    return p;
}

static int is_kept(const cmha_attention *a, size_t b, size_t h, size_t i, size_t j)
{
    if ((a->flags & CMHA_ATTEND_CAUSAL) && j > i + a->causal_offset) return 0;
    return !a->mask || a->mask[b * a->mask_b + h * a->mask_h + i * a->mask_t + j * a->mask_s];
}

static void check_row(const cmha_attention *a, size_t b, size_t h, size_t i)
{
    size_t g = h / (a->heads / a->kv_heads);
    const float *q = a->q + (b * a->t + i) * a->q_stride + h * a->d;
    const float *keys = a->keys + b * a->keys_batch_stride + g * a->keys_head_stride;
    const float *values = a->values + b * a->values_batch_stride + g * a->values_head_stride;
    double *p = malloc(a->s * sizeof *p), top = -INFINITY, total = 0;
    for (size_t j = 0; j < a->s; j++) {
        p[j] = 0;
        for (size_t e = 0; e < a->d; e++) p[j] += (double) q[e] * keys[(j / 8 * a->d + e) * 8 + j % 8];
        p[j] = is_kept(a, b, h, i, j) ? p[j] * a->scale : a->flags & CMHA_ATTEND_EXPLICIT ? -1e9 : -2.37e38;
        if (p[j] > top) top = p[j];
    }
    for (size_t j = 0; j < a->s; j++) total += p[j] = exp(p[j] - top);
    for (size_t j = 0; j < a->s; j++) {
        p[j] = (a->flags & CMHA_ATTEND_EXPLICIT) && !is_kept(a, b, h, i, j) ? 0 : p[j] / total;
        if (a->scores) {
            float score = a->scores[((b * a->heads + h) * a->t + i) * a->s + j];
            CHECK(fabs(score - p[j]) < 1e-5, "score %zu %zu %zu %zu: %g, not %g", b, h, i, j, score, p[j]);
        }
    }
    for (size_t c = 0; c < a->v; c++) {
        double sum = 0;
        for (size_t j = 0; j < a->s; j++) sum += p[j] * values[j * a->v + c];
        float y = a->out[(b * a->t + i) * a->out_stride + h * a->v + c];
        CHECK(fabs(y - sum) < 2e-5, "out %zu %zu %zu %zu: %g, not %g", b, i, h, c, y, sum);
    }
    free(p);
}

int main(void)
{
    uint64_t r = 2;
    for (int n = 0; n < 500; n++) {
        problem p = make(&r);
        cmha_op ops[2] = {
            { .kind = CMHA_OP_ATTENTION, .u.attention = p.a }, { .kind = CMHA_OP_ATTENTION_MERGE, .u.attention = p.a },
        };
        run_alone(ops, cmha_op_next(ops) ? 2 : 1);
        for (size_t b = 0; b < p.a.batch; b++) {
            for (size_t h = 0; h < p.a.heads; h++) {
                for (size_t i = 0; i < p.a.t; i++) check_row(&p.a, b, h, i);
            }
        }
        /* Dropout and the half policies only for what they touch: results are checked in tests/unit. */
        ops[0].u.attention.flags |= CMHA_ATTEND_EXPLICIT;
        ops[0].u.attention.dropout = 0.5f;
        ops[0].u.attention.round = 1 + (uint32_t) n % 2;
        free(p.scratch);
        ops[0].u.attention.scratch = p.scratch = scratch_of(&ops[0].u.attention);
        run_alone(ops, 1);
        free(p.q); free(p.keys); free(p.values); free(p.out); free(p.scores); free(p.scratch); free(p.mask);
    }
    return 0;
}
