/* The whole interface under arbitrary bytes: they choose an operation, its sizes, strides, flags and types within what
 * cmha.h allows, in exactly sized blocks. The sanitizers see every access beyond one. Beside that: a row computed alone has
 * the bits that it has among others, what is stored is what is loaded, and nothing else is written.
 *
 *   test-fuzz [ROUNDS [SEED]]      bytes from a generator
 *   with CMHA_LIBFUZZER            bytes from clang's libFuzzer, which looks for those that reach new branches
 */
#include "blocks.h"

/* What is left of the input; beyond its end all bytes are 0. */
typedef struct input {
    const uint8_t *at, *end;
    uint64_t r;     /* what fills blocks: numbers need no choosing */
} input;

static size_t below(input *in, size_t n)
{
    size_t value = in->at < in->end ? *in->at++ : 0;
    if (n > 256) value = value << 8 | (in->at < in->end ? *in->at++ : 0);
    return value % n;
}

static size_t up_to(input *in, size_t n) { return 1 + below(in, n); }

static int chance(input *in, size_t n) { return below(in, n) == n - 1; }

/* n floats, now and then with some that are no numbers, or hardly. */
static float *wild(input *in, size_t n)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY, 3.4e38f, -3.4e38f, 1e-45f, -0.0f, 65520.0f, 1e10f, -1e10f };
    float *x = floats(&in->r, n);
    if (n > 0 && chance(in, 8)) {
        for (size_t i = up_to(in, 4); i > 0; i--) x[random_below(&in->r, n)] = odd[below(in, sizeof odd / sizeof *odd)];
    }
    return x;
}

/* The same bits; a NaN is like any other. */
static int same(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) if (memcmp(a + i, b + i, sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i]))) return 0;
    return 1;
}

static void run_one(cmha_op op)
{
    run_alone(&op, 1);
    CHECK(cmha_program_work(&op, 1) >= 0, "work");
}

/* Rows of small operations; now and then so many that they are more than one task. */
static size_t some_rows(input *in) { return chance(in, 12) ? 150 + below(in, 256) : below(in, 7); }

/* ---- projections */

typedef struct projection {
    uint32_t type;
    size_t k, n;
    uint8_t *w;
} projection;

static projection weights_of(input *in, size_t n)
{
    uint32_t type = (uint32_t) below(in, sizeof types / sizeof *types);
    size_t block = types[type].block, k = block * up_to(in, block == 1 ? 70 : block == 32 ? 5 : 2), cut = below(in, n + 1);
    uint32_t as = chance(in, 4) ? CMHA_WEIGHT_F32 : type;
    if (as == CMHA_WEIGHT_I8) k -= below(in, block);
    size_t row = k / block * types[type].bytes + k % block;
    uint8_t *raw = blocks(&in->r, type, n * ((k + block - 1) / block));
    uint8_t *w = malloc((size_t) cmha_weight_bytes(as, (double) k, (double) n));
    cmha_weight_pack(as, w, type, raw + cut * row, k, n, cut, n - cut);
    cmha_weight_pack(as, w, type, raw, k, n, 0, cut);
    free(raw);
    return (projection) { as, k, n, w };
}

static void fuzz_linear(input *in)
{
    size_t heads = up_to(in, 3), d = up_to(in, 9), batch = up_to(in, 2), t = up_to(in, 5), rows = batch * t;
    projection p = weights_of(in, heads * d);
    size_t k = p.k, n = p.n, x_stride = k + below(in, 5), y_stride = n + below(in, 5);
    float *x = wild(in, rows * x_stride), *y = unset(rows * y_stride), *alone = unset(n);
    float *bias = chance(in, 2) ? floats(&in->r, n) : NULL, *residual = chance(in, 3) ? floats(&in->r, rows * n) : NULL;
    float *divisors = chance(in, 4) ? unset(n) : NULL, *row_divisors = divisors ? unset(rows) : NULL;
    for (size_t i = 0; divisors && i < n; i++) divisors[i] = 1.0f + (float) i;
    for (size_t i = 0; divisors && i < rows; i++) row_divisors[i] = 2.0f + (float) i;
    void *quantized = NULL;
    int part = k % CMHA_INT8_INPUTS != 0;
    if (part && p.type == CMHA_WEIGHT_I8 && !divisors) divisors = floats(&in->r, n), row_divisors = unset(rows);
    if (weight_type_of(p.type)->dot.run && (part ? p.type == CMHA_WEIGHT_I8 : chance(in, 2))) {
        quantized = malloc(rows * ((k + CMHA_INT8_INPUTS - 1) / CMHA_INT8_INPUTS) * CMHA_INT8_BYTES);
        run_one((cmha_op) { .kind = CMHA_OP_QUANTIZE, .u.quantize = { x, x_stride, rows, k, quantized, row_divisors } });
    }
    cmha_linear a = {
        .x = quantized ? NULL : x, .x_stride = x_stride, .quantized = quantized, .rows = rows, .k = k, .n = n, .w = p.w, .type = p.type,
        .scale = chance(in, 3) ? 0.5f : 0.0f, .softcap = chance(in, 3) ? 3.0f : 0.0f, .divisors = divisors,
        .row_divisors = row_divisors, .bias = bias, .residual = residual, .residual_stride = n, .y = y, .y_stride = y_stride,
        .activation = (uint32_t) below(in, 6), .round = (uint32_t) below(in, 3),
    };
    run_one((cmha_op) { .kind = CMHA_OP_LINEAR, .u.linear = a });
    /* The same into a cache. */
    int values = chance(in, 2);
    size_t index = below(in, 20), s = index + t;
    cmha_cache cache = cache_of(CMHA_KEPT_F32, batch, s, chance(in, 2) ? 8 : (s + 7) / 8 * 8, heads, d, d);
    cmha_linear into = a;
    into.layout = values ? CMHA_LAYOUT_VALUES : CMHA_LAYOUT_KEYS;
    into.residual = NULL;
    into.y = NULL;
    into.t = t;
    into.index = index;
    into.cache = &cache;
    run_one((cmha_op) { .kind = CMHA_OP_LINEAR, .u.linear = into });
    for (size_t i = 0; i < rows; i++) {
        cmha_linear one = a;
        one.rows = 1;
        one.x = quantized ? NULL : x + i * x_stride;
        if (quantized) {
            run_one((cmha_op) { .kind = CMHA_OP_QUANTIZE, .u.quantize = { x + i * x_stride, x_stride, 1, k, quantized,
                divisors ? row_divisors + i : NULL } });
        }
        one.row_divisors = divisors ? row_divisors + i : NULL;
        one.residual = residual ? residual + i * n : NULL;
        one.y = alone;
        run_one((cmha_op) { .kind = CMHA_OP_LINEAR, .u.linear = one });
        CHECK(same(alone, y + i * y_stride, n), "row %zu of %zu alone, %zu x %zu of type %u", i, rows, k, n, p.type);
        one.residual = NULL;
        run_one((cmha_op) { .kind = CMHA_OP_LINEAR, .u.linear = one });
        for (size_t c = 0; c < n; c++) {
            float *at = kept(&cache, values, i / t, index + i % t, c / d, c % d);
            CHECK(same(alone + c, at, 1), "row %zu in a cache", i);
        }
        for (size_t c = n; c < y_stride && i + 1 < rows; c++) CHECK(isnan(y[i * y_stride + c]), "between rows");
    }
    free_cache(&cache, batch);
    free(p.w); free(x); free(y); free(alone); free(bias); free(residual); free(divisors); free(row_divisors); free(quantized);
}

static void fuzz_weights(input *in)
{
    size_t n = up_to(in, 20), rows = some_rows(in), length = up_to(in, 6);
    projection p = weights_of(in, n);
    float *row = unset(p.k), *y = unset(rows * p.k), *table = chance(in, 2) ? floats(&in->r, length * p.k) : NULL;
    uint32_t *tokens = malloc(rows * sizeof *tokens + 1), *positions = malloc(rows * sizeof *positions + 1);
    size_t t = up_to(in, length), index = below(in, length - t + 1);
    for (size_t i = 0; i < rows; i++) tokens[i] = (uint32_t) below(in, n), positions[i] = (uint32_t) below(in, length);
    int told = chance(in, 2);
    float scale = chance(in, 2) ? 3.0f : 0.0f, *divisors = chance(in, 3) ? unset(n) : NULL;
    for (size_t i = 0; divisors && i < n; i++) divisors[i] = 1.0f + (float) i;
    run_one((cmha_op) { .kind = CMHA_OP_EMBED, .u.embed = { .tokens = tokens, .rows = rows, .t = t, .index = index, .w = p.w,
        .type = p.type, .scale = scale, .divisors = divisors, .k = p.k, .n = n, .table = table,
        .positions = told ? positions : NULL, .y = y } });
    for (size_t i = 0; i < rows; i++) {
        cmha_weight_row(p.type, row, p.w, p.k, tokens[i]);
        size_t position = told ? positions[i] : index + i % t;
        for (size_t c = 0; divisors && c < p.k; c++) row[c] /= divisors[tokens[i]];
        for (size_t c = 0; scale > 0 && c < p.k; c++) row[c] *= scale;
        for (size_t c = 0; table && c < p.k; c++) row[c] += table[position * p.k + c];
        CHECK(same(row, y + i * p.k, p.k), "embedding of type %u", p.type);
    }
    if (types[p.type].block == 1) {
        size_t stride = n + below(in, 4), cut = below(in, p.k + 1), bytes = types[p.type].bytes;
        uint8_t *raw = blocks(&in->r, p.type, p.k * stride);
        uint8_t *as = malloc((size_t) cmha_weight_bytes(CMHA_WEIGHT_F32, (double) p.k, (double) n));
        cmha_weight_pack_inputs(CMHA_WEIGHT_F32, as, p.type, raw + cut * stride * bytes, stride, p.k, n, cut, p.k - cut);
        cmha_weight_pack_inputs(CMHA_WEIGHT_F32, as, p.type, raw, stride, p.k, n, 0, cut);
        free(raw); free(as);
    }
    free(p.w); free(row); free(y); free(table); free(tokens); free(positions); free(divisors);
}

/* ---- the cache */

static cmha_cache any_cache(input *in, size_t batch, size_t s, size_t heads, size_t d, size_t v)
{
    size_t page = chance(in, 2) ? (s < 256 ? (s + 7) / 8 * 8 : 256) : 8 * up_to(in, 32);
    return cache_of((uint32_t) below(in, 3), batch, s, page, heads, d, v);
}

typedef struct contents { float *keys, *values; } contents;

/* Everything that a cache holds, by an operation. */
static contents load(const cmha_cache *c, size_t batch, size_t s)
{
    contents x = { unset(batch * s * c->heads * c->d), unset(batch * s * c->heads * c->v) };
    run_one((cmha_op) { .kind = CMHA_OP_LOAD, .u.load = { .keys = x.keys, .keys_stride = c->heads * c->d, .values = x.values,
        .keys_batch = s * c->heads * c->d, .values_stride = c->heads * c->v, .values_batch = s * c->heads * c->v,
        .cache = c, .batch = batch, .t = s } });
    return x;
}

static void store(const cmha_cache *c, contents x, size_t first, size_t batch, size_t index, size_t t, uint32_t round)
{
    run_one((cmha_op) { .kind = CMHA_OP_STORE, .u.store = { .keys = x.keys, .keys_stride = c->heads * c->d, .values = x.values,
        .keys_batch = t * c->heads * c->d, .values_stride = c->heads * c->v, .values_batch = t * c->heads * c->v,
        .cache = c, .first = first, .batch = batch, .t = t, .index = index, .round = round } });
}

static void drop(contents x) { free(x.keys); free(x.values); }

static void fuzz_cache(input *in)
{
    size_t batch = up_to(in, 3), s = up_to(in, chance(in, 6) ? 700 : 40), heads = up_to(in, 3), d = up_to(in, 12), v = up_to(in, 12);
    cmha_cache c = any_cache(in, batch, s, heads, d, v);
    contents all = { floats(&in->r, batch * s * heads * d), floats(&in->r, batch * s * heads * v) };
    store(&c, all, 0, batch, 0, s, 0);
    contents before = load(&c, batch, s);
    for (size_t i = 0; i < batch * s * heads * d; i++) {
        CHECK(fabsf(before.keys[i] - all.keys[i]) <= (c.type == CMHA_KEPT_F32 ? 0.0f : 0.005f), "stored and loaded");
    }
    /* A part of it anew: nothing else changes. */
    size_t first = below(in, batch), count = up_to(in, batch - first), index = below(in, s), t = up_to(in, s - index);
    contents part = { chance(in, 5) ? NULL : wild(in, count * t * heads * d), chance(in, 5) ? NULL : wild(in, count * t * heads * v) };
    store(&c, part, first, count, index, t, c.type == CMHA_KEPT_F32 ? (uint32_t) below(in, 3) : 0);
    contents after = load(&c, batch, s);
    for (size_t row = 0; row < batch * s; row++) {
        size_t b = row / s, at = row % s;
        if (b >= first && b < first + count && at >= index && at < index + t) continue;
        CHECK(same(before.keys + row * heads * d, after.keys + row * heads * d, heads * d), "a key beside those stored");
        CHECK(same(before.values + row * heads * v, after.values + row * heads * v, heads * v), "a value beside those stored");
    }
    drop(before);
    /* Positions move as they are: down, or up to where none of them has been. */
    size_t from = below(in, s), n = up_to(in, s - from), to = below(in, from + 1);
    if (from + 2 * n <= s && chance(in, 2)) to = from + n + below(in, s - from - 2 * n + 1);
    cmha_cache_move(&c, batch, from, to, n);
    contents moved = load(&c, batch, s);
    for (size_t b = 0; b < batch; b++) {
        CHECK(same(moved.keys + (b * s + to) * heads * d, after.keys + (b * s + from) * heads * d, n * heads * d), "moved keys");
        CHECK(same(moved.values + (b * s + to) * heads * v, after.values + (b * s + from) * heads * v, n * heads * v), "moved values");
    }
    size_t pairs = below(in, d / 2 + 1), turned = below(in, s + 1);
    float *table = unset(2 * pairs);
    for (size_t i = 0; i < pairs; i++) table[i] = 1.0f, table[pairs + i] = 0.0f;
    cmha_turn turn = { .cache = &c, .batch = batch, .from = below(in, turned + 1), .to = turned, .pairs = pairs,
        .pairing = (uint32_t) below(in, 2), .table = table, .round = c.type == CMHA_KEPT_F32 ? (uint32_t) below(in, 3) : 0 };
    run_one((cmha_op) { .kind = CMHA_OP_TURN, .u.turn = turn });
    cmha_cache_turn(&turn);
    contents back = load(&c, batch, s);
    for (size_t i = 0; c.type == CMHA_KEPT_F32 && turn.round == 0 && i < batch * s * heads * d; i++) {
        CHECK(back.keys[i] == moved.keys[i] || isnan(moved.keys[i]) || isinf(moved.keys[i])
            || isnan(back.keys[i]), "turned by nothing");
    }
    free(table); drop(all); drop(part); drop(after); drop(moved); drop(back);
    free_cache(&c, batch);
}

/* ---- attention */

static void run_attention(cmha_attention *a, size_t threads)
{
    cmha_op ops[2] = { { .kind = CMHA_OP_ATTENTION, .u.attention = *a } };
    ops[0].u.attention.scratch = a->scratch = unset((size_t) cmha_op_scratch(&ops[0], threads) / sizeof(float));
    uint32_t next = cmha_op_next(&ops[0]);
    ops[1] = ops[0];
    ops[1].kind = next;
    run_alone(ops, next ? 2 : 1);
    CHECK(cmha_program_work(ops, next ? 2 : 1) >= 0, "work");
    free(a->scratch);
}

static void fuzz_attention(input *in)
{
    size_t b = up_to(in, 2), g = up_to(in, 2), h = g * up_to(in, 5), t = up_to(in, 12), s = up_to(in, chance(in, 6) ? 1500 : 60);
    size_t d = up_to(in, 20), v = up_to(in, chance(in, 6) ? 80 : 20);
    if (chance(in, 4)) {    /* one token and a long past */
        t = 1;
        s = 200 + below(in, 2500);
        if (chance(in, 2)) h = g;
    }
    cmha_cache c = any_cache(in, b, s, g, d, v);
    contents all = { floats(&in->r, b * s * g * d), floats(&in->r, b * s * g * v) };
    store(&c, all, 0, b, 0, s, 0);
    size_t q_stride = h * d + below(in, 4), out_stride = h * v + below(in, 4);
    float *q = wild(in, b * t * q_stride), *out = unset(b * t * out_stride), *alone = unset(out_stride);
    int explicit = chance(in, 2), scored = explicit && chance(in, 2);
    float *scores = scored ? unset(b * h * t * s) : NULL, *few = scored ? unset(h * s) : NULL;
    uint8_t *mask = NULL;
    size_t down = chance(in, 2) ? t : 1, across = chance(in, 5) ? 1 : s, each = chance(in, 2) ? h : 1;
    if (chance(in, 2)) {
        size_t rare = up_to(in, 40), n = b * each * down * across;
        mask = malloc(n);
        for (size_t i = 0; i < n; i++) mask[i] = random_below(&in->r, rare) == 0;
    }
    cmha_attention a = {
        .q = q, .q_stride = q_stride, .cache = &c, .mask = mask, .mask_b = mask ? each * down * across : 0,
        .mask_h = mask && each > 1 ? down * across : 0, .mask_t = mask && down > 1 ? across : 0, .mask_s = mask && across > 1,
        .out = out, .out_stride = out_stride, .scores = scores, .batch = b, .heads = h, .t = t, .s = s, .scale = 0.7f,
        .flags = (explicit ? CMHA_ATTEND_EXPLICIT : 0) | (chance(in, 2) ? CMHA_ATTEND_CAUSAL : 0),
        .causal_offset = below(in, s + 3), .window = chance(in, 3) ? up_to(in, s + 5) : 0, .softcap = chance(in, 3) ? 2.0f : 0.0f,
        .round = (uint32_t) below(in, 3),
    };
    if (explicit && chance(in, 4)) {
        cmha_attention dropped = a;
        dropped.dropout = 0.25f;
        run_attention(&dropped, 1);
    }
    run_attention(&a, up_to(in, 3));
    /* Any row alone. */
    size_t row = below(in, b * t), i = row % t;
    cmha_cache own = c;
    own.pages += row / t * c.row_pages;
    cmha_attention one = a;
    one.q = q + row * q_stride;
    one.cache = &own;
    one.mask = mask ? mask + row / t * a.mask_b + i * a.mask_t : NULL;
    one.out = alone;
    one.scores = few;
    one.batch = one.t = 1;
    one.mask_h = mask && each > 1 ? down * across : 0;
    one.causal_offset = a.causal_offset + i;
    run_attention(&one, 1);
    CHECK(same(alone, out + row * out_stride, h * v), "row %zu of %zu alone, %zu positions", row, b * t, s);
    for (size_t head = 0; few && head < h; head++) {
        CHECK(same(few + head * s, scores + ((row / t * h + head) * t + i) * s, s), "scores of row %zu", row);
    }
    drop(all); free_cache(&c, b);
    free(q); free(out); free(alone); free(scores); free(few); free(mask);
}

/* ---- convolutions */

static void fuzz_convolve(input *in)
{
    size_t s = up_to(in, chance(in, 6) ? 700 : 40), heads = up_to(in, 3), d = up_to(in, 12), v = up_to(in, 12);
    size_t n = heads * (d + v), taps = up_to(in, 6), index = below(in, s), t = s - index, stride = n + below(in, 3);
    cmha_cache c = any_cache(in, 1, s, heads, d, v);
    contents all = { floats(&in->r, s * heads * d), floats(&in->r, s * heads * v) };
    store(&c, all, 0, 1, 0, s, 0);
    contents held = load(&c, 1, s);
    size_t known = below(in, taps);
    uint32_t *past = malloc(known * sizeof *past + 1);
    for (size_t i = 0; i < known; i++) past[i] = (uint32_t) below(in, s);
    float *w = floats(&in->r, taps * n), *bias = chance(in, 2) ? floats(&in->r, n) : NULL, *gate = floats(&in->r, t * stride);
    float *out = unset(t * stride), *alone = unset(n);
    cmha_convolve a = { .cache = &c, .t = t, .index = index, .taps = taps, .known = known, .past = past, .w = w, .bias = bias,
        .gate = gate, .gate_stride = stride, .out = out, .out_stride = stride };
    cmha_op op = { .kind = CMHA_OP_CONVOLVE, .u.convolve = a };
    run_one(op);
    CHECK(cmha_program_work(&op, 1) >= 0, "work");
    for (size_t i = 0; i < t * n; i++) {
        size_t row = i / n, channel = i % n;
        double sum = bias ? bias[channel] : 0;
        for (size_t back = 0; back < taps && back <= row + known; back++) {
            size_t at = back <= row ? index + row - back : past[back - row - 1];
            sum += (double) w[(taps - 1 - back) * n + channel]
                * (channel < heads * d ? held.keys[at * heads * d + channel] : held.values[at * heads * v + channel - heads * d]);
        }
        CHECK(fabs(out[row * stride + channel] - sum * gate[row * stride + channel]) < 1e-5, "channel %zu of row %zu", channel, row);
    }
    /* The last row alone. */
    uint32_t before[8];
    size_t row = t - 1;
    cmha_convolve one = a;
    one.t = 1;
    one.index = index + row;
    one.known = known + row < taps ? known + row : taps - 1;
    for (size_t i = 0; i < one.known; i++) before[i] = i < row ? (uint32_t) (index + row - 1 - i) : past[i - row];
    one.past = before;
    one.gate = gate + row * stride;
    one.out = alone;
    run_one((cmha_op) { .kind = CMHA_OP_CONVOLVE, .u.convolve = one });
    CHECK(same(alone, out + row * stride, n), "row %zu alone", row);
    free(past); free(w); free(bias); free(gate); free(out); free(alone);
    drop(all); drop(held); free_cache(&c, 1);
}

/* ---- small operations */

static void fuzz_small(input *in)
{
    size_t n = below(in, 70);
    float *x = wild(in, n), *y = unset(n);
    uint16_t *half = malloc(n * sizeof *half + 1);
    for (size_t i = 0; i < n; i++) half[i] = (uint16_t) random_bits(&in->r);
    cmha_widen_f16(y, half, n);
    cmha_activation_f32(y, x, n, (uint32_t) below(in, 6));
    cmha_softcap_f32(y, x, n, 2.0f);
    cmha_round_f32(y, x, n, (uint32_t) below(in, 3));
    cmha_softmax_f32(y, x, n, chance(in, 2) ? 1.0f : 40.0f);
    cmha_softmax_f32(x, x, n, 1.0f);
    free(x); free(y); free(half);
    size_t rows = some_rows(in), heads = up_to(in, 4), dim = up_to(in, 24), width = heads * dim, stride = width + below(in, 3);
    size_t pairs = below(in, dim / 2 + 1);
    float *a = wild(in, rows * stride), *b = wild(in, rows * stride), *table = unset(rows * 2 * pairs), *alone = unset(width);
    float *gamma = chance(in, 2) ? floats(&in->r, width) : NULL, *beta = chance(in, 2) ? floats(&in->r, width) : NULL;
    float *out = unset(rows * stride);
    uint32_t *positions = malloc(rows * sizeof *positions + 1);
    double *frequencies = malloc(pairs * sizeof *frequencies + 1);
    for (size_t i = 0; i < rows; i++) positions[i] = (uint32_t) random_bits(&in->r) >> below(in, 32);
    for (size_t i = 0; i < pairs; i++) frequencies[i] = pow(10000, -(double) i / (double) pairs);
    cmha_norm norm = { .x = a, .x_stride = stride, .y = out, .y_stride = stride, .rows = rows, .n = dim, .gamma = gamma, .beta = beta,
        .epsilon = 1e-6f, .kind = (uint32_t) below(in, 2), .offset = (float) below(in, 2), .groups = heads,
        .group_stride = chance(in, 2) ? dim : 0, .residual = chance(in, 2) ? b : NULL, .residual_stride = stride };
    run_one((cmha_op) { .kind = CMHA_OP_LAYER_NORM, .u.layer_norm = norm });
    for (size_t i = 0; i < rows; i++) {
        cmha_norm one = norm;
        one.rows = 1;
        one.x = a + i * stride;
        one.y = alone;
        one.residual = norm.residual ? b + i * stride : NULL;
        run_one((cmha_op) { .kind = CMHA_OP_LAYER_NORM, .u.layer_norm = one });
        CHECK(same(alone, out + i * stride, width), "norm of row %zu", i);
    }
    cmha_op ops[] = {
        { .kind = CMHA_OP_GATE, .u.gate = { out, stride, chance(in, 2) ? up_to(in, width) : 0, b, stride, chance(in, 2) ? b : a, stride, rows, width,
            (uint32_t) below(in, 6), (uint32_t) below(in, 3) } },
        { .kind = CMHA_OP_ROPE_TABLE, .u.rope_table = { positions, frequencies, table, rows, pairs, 1.5f } },
        { .kind = CMHA_OP_ROPE, .u.rope = { a, stride, rows, heads, dim, pairs, table, (uint32_t) below(in, 2), (uint32_t) below(in, 3) } },
    };
    run_alone(ops, sizeof ops / sizeof *ops);
    CHECK(cmha_program_work(ops, 3) >= 0, "work");
    free(a); free(b); free(table); free(alone); free(gamma); free(beta); free(out); free(positions); free(frequencies);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const cases[])(input *) = { fuzz_linear, fuzz_weights, fuzz_cache, fuzz_attention, fuzz_convolve, fuzz_small };
    input in = { data, data + size, 0 };
    size_t which = below(&in, sizeof cases / sizeof *cases);
    in.r = below(&in, 65536);
    cases[which](&in);
    return 0;
}

#ifndef CMHA_LIBFUZZER
int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 3000;
    uint64_t r = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    for (unsigned long i = 0; i < rounds; i++) {
        uint8_t data[64];
        for (size_t at = 0; at < sizeof data; at++) data[at] = (uint8_t) random_bits(&r);
        LLVMFuzzerTestOneInput(data, sizeof data);
    }
    printf("%lu rounds\n", rounds);
    return 0;
}
#endif
