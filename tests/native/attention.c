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
    cmha_cache cache;
    float *keys, *values;   /* what the cache holds, [B][S][G][D] and [B][S][G][V] */
    float *q, *out, *scores, *scratch, *slopes, *places;
    uint8_t *mask;
} problem;

static size_t up_to(uint64_t *r, size_t n) { return 1 + random_below(r, n); }

/* A cache of random numbers; the page may be smaller than the cache. */
static void random_cache(uint64_t *r, problem *p, size_t b, size_t g, size_t s, size_t d, size_t v)
{
    uint32_t type = random_below(r, 2) ? CMHA_KEPT_F32 : random_below(r, 2) ? CMHA_KEPT_F16 : CMHA_KEPT_I8;
    size_t page = s < 256 && random_below(r, 2) ? (s + 7) / 8 * 8 : random_below(r, 3) ? 256 : 8 * up_to(r, 32);
    p->cache = cache_of(type, b, s, page, g, d, v);
    p->keys = floats(r, b * s * g * d);
    p->values = floats(r, b * s * g * v);
    /* A key too small for a scale of its own. */
    for (size_t e = 0, tiny = random_below(r, 8) == 0; tiny && e < d; e++) p->keys[e] *= 1e-39f;
    cmha_transfer transfer = {
        .keys = p->keys, .keys_stride = g * d, .keys_batch = s * g * d, .values = p->values, .values_stride = g * v,
        .values_batch = s * g * v, .cache = &p->cache, .batch = b, .t = s,
    };
    cmha_cache_store(&transfer);
    if (type != CMHA_KEPT_F32) {
        cmha_cache_load(&transfer);
        return;
    }
    for (size_t i = 0; i < b * s * g; i++) {
        for (size_t e = 0; e < d; e++) {
            CHECK(*kept(&p->cache, 0, i / g / s, i / g % s, i % g, e) == p->keys[i * d + e], "key");
        }
        for (size_t e = 0; e < v; e++) {
            CHECK(*kept(&p->cache, 1, i / g / s, i / g % s, i % g, e) == p->values[i * v + e], "value");
        }
    }
}

static void make(uint64_t *r, problem *p)
{
    size_t b = up_to(r, 2), g = up_to(r, 2), h = g * up_to(r, 7), t = up_to(r, 30), s = up_to(r, 200);
    size_t d = up_to(r, 20), v = up_to(r, 20);
    if (random_below(r, 20) == 0) {         /* a cache that is cut */
        t = up_to(r, 4);
        s = 1000 + up_to(r, 2000);
        v = up_to(r, 80);
    }
    *p = (problem) { .q = floats(r, b * t * h * d) };
    random_cache(r, p, b, g, s, d, v);
    p->out = unset(b * t * h * v);
    p->a = (cmha_attention) {
        .q = p->q, .q_stride = h * d, .cache = &p->cache, .out = p->out, .out_stride = h * v,
        .batch = b, .heads = h, .t = t, .s = s, .scale = 1.7f,
    };
    if (random_below(r, 2)) {
        p->a.flags |= CMHA_ATTEND_CAUSAL;
        p->a.causal_offset = random_below(r, s + 3);
    }
    if (random_below(r, 3) == 0) p->a.window = up_to(r, s + 5);
    if (random_below(r, 3) == 0) p->a.softcap = 1.5f;
    if (random_below(r, 3) == 0) {
        p->a.slopes = p->slopes = floats(r, h);
        for (size_t i = 0; i < h; i++) p->slopes[i] *= 8.0f / (float) s;   /* so that biases are small enough to be compared */
        if (random_below(r, 2)) p->a.places = p->places = floats(r, s);
        for (size_t j = 0; p->places && j < s; j++) p->places[j] = (float) random_below(r, 2 * s);
    }
    if (random_below(r, 2)) {
        p->a.flags |= CMHA_ATTEND_EXPLICIT;
        if (random_below(r, 2)) p->scores = unset(b * h * t * s);
    }
    if (random_below(r, 2)) {
        size_t across = random_below(r, 5) ? s : 1, down = random_below(r, 2) ? t : 1;
        size_t each = random_below(r, 2) ? h : 1, n = b * each * down * across, rare = up_to(r, 60);
        p->mask = malloc(n);
        for (size_t i = 0; i < n; i++) p->mask[i] = random_below(r, rare) == 0;
        p->a.mask_s = across > 1;
        p->a.mask_t = down > 1 ? across : 0;
        p->a.mask_h = each > 1 ? down * across : 0;
        p->a.mask_b = each * down * across;
    }
    p->a.mask = p->mask;
    p->a.scores = p->scores;
    p->a.scratch = p->scratch = scratch_of(&p->a);
}

static int is_kept(const cmha_attention *a, size_t b, size_t h, size_t i, size_t j)
{
    if ((a->flags & CMHA_ATTEND_CAUSAL) && j > i + a->causal_offset) return 0;
    if (a->window && i + a->causal_offset >= j + a->window) return 0;
    return !a->mask || a->mask[b * a->mask_b + h * a->mask_h + i * a->mask_t + j * a->mask_s];
}

static void check_row(const problem *x, size_t b, size_t h, size_t i)
{
    const cmha_attention *a = &x->a;
    const cmha_cache *c = a->cache;
    size_t g = h / (a->heads / c->heads);
    const float *q = a->q + (b * a->t + i) * a->q_stride + h * c->d;
    double *p = malloc(a->s * sizeof *p), top = -INFINITY, total = 0;
    for (size_t j = 0; j < a->s; j++) {
        p[j] = 0;
        for (size_t e = 0; e < c->d; e++) p[j] += (double) q[e] * x->keys[((b * a->s + j) * c->heads + g) * c->d + e];
        p[j] *= a->scale;
        if (a->softcap > 0) p[j] = a->softcap * tanh(p[j] / a->softcap);
        if (a->slopes) p[j] += a->slopes[h] * ((a->places ? a->places[j] : (double) j) - (double) (i + a->causal_offset));
        p[j] = is_kept(a, b, h, i, j) ? p[j] : a->flags & CMHA_ATTEND_EXPLICIT ? -1e9 : -2.37e38;
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
    /* Bytes are met by numbers of 16 bits. */
    double near = c->type == CMHA_KEPT_I8 && !(a->flags & CMHA_ATTEND_EXPLICIT) ? 2e-4 : 2e-5;
    for (size_t e = 0; e < c->v; e++) {
        double sum = 0;
        for (size_t j = 0; j < a->s; j++) sum += p[j] * x->values[((b * a->s + j) * c->heads + g) * c->v + e];
        float y = a->out[(b * a->t + i) * a->out_stride + h * c->v + e];
        CHECK(fabs(y - sum) < near, "out %zu %zu %zu %zu: %g, not %g", b, i, h, e, y, sum);
    }
    free(p);
}

int main(void)
{
    uint64_t r = 2;
    for (int n = 0; n < 500; n++) {
        problem p;
        make(&r, &p);
        cmha_op ops[2] = {
            { .kind = CMHA_OP_ATTENTION, .u.attention = p.a }, { .kind = CMHA_OP_ATTENTION_MERGE, .u.attention = p.a },
        };
        run_alone(ops, cmha_op_next(ops) ? 2 : 1);
        for (size_t b = 0; b < p.a.batch; b++) {
            for (size_t h = 0; h < p.a.heads; h++) {
                for (size_t i = 0; i < p.a.t; i++) check_row(&p, b, h, i);
            }
        }
        /* Dropout and the half policies only for what they touch: results are checked in tests/unit. */
        ops[0].u.attention.flags |= CMHA_ATTEND_EXPLICIT;
        ops[0].u.attention.dropout = 0.5f;
        ops[0].u.attention.round = 1 + (uint32_t) n % 2;
        free(p.scratch);
        ops[0].u.attention.scratch = p.scratch = scratch_of(&ops[0].u.attention);
        run_alone(ops, 1);
        free_cache(&p.cache, p.a.batch);
        free(p.q); free(p.keys); free(p.values); free(p.out); free(p.scores); free(p.scratch); free(p.mask);
        free(p.slopes); free(p.places);
    }
    return 0;
}
