/* Weights of every type in exactly sized blocks: pieces, rows, products and embeddings, against float32 weights. */
#include "blocks.h"

static void one(uint64_t *r, uint32_t type, size_t rows, size_t n)
{
    size_t k = types[type].block * (1 + random_below(r, types[type].block == 1 ? 200 : types[type].block == 32 ? 9 : 3));
    size_t row = k / types[type].block * types[type].bytes, cut = random_below(r, n + 1);
    uint8_t *raw = blocks(r, type, n * k / types[type].block);
    /* Scales that all multiply: the way that a row by itself goes. */
    size_t multiply = type == CMHA_WEIGHT_I4 && random_below(r, 2) ? n * row : 0;
    for (size_t i = 0; i < multiply; i += types[type].bytes) raw[i + 5] &= 0xfe;
    uint8_t *own = malloc((size_t) cmha_weight_bytes(type, (double) k, (double) n));
    float *plain = unset(cmha_packed_size(k, n));
    cmha_weight_pack(type, own, type, raw + cut * row, k, n, cut, n - cut);
    cmha_weight_pack(type, own, type, raw, k, n, 0, cut);
    cmha_weight_pack(CMHA_WEIGHT_F32, plain, type, raw, k, n, 0, n);
    float *values = unset(k), *back = unset(k);
    for (size_t i = 0; i < n; i++) {
        cmha_weight_decode(type, values, raw + i * row, k);
        cmha_weight_row(type, back, own, k, i);
        CHECK(memcmp(values, back, k * sizeof *back) == 0, "type %u, row %zu of %zu x %zu", type, i, k, n);
        cmha_weight_row(CMHA_WEIGHT_F32, back, plain, k, i);
        CHECK(memcmp(values, back, k * sizeof *back) == 0, "type %u, row %zu in float32", type, i);
    }
    float *x = floats(r, rows * k), *y[2] = { unset(rows * n), unset(rows * n) };
    for (int decoded = 0; decoded < 2; decoded++) {
        cmha_op op = { .kind = CMHA_OP_LINEAR, .u.linear = {
            .x = x, .x_stride = k, .rows = rows, .k = k, .n = n, .w = decoded ? (void *) plain : own,
            .type = decoded ? CMHA_WEIGHT_F32 : type, .y = y[decoded], .y_stride = n, .scale = 0.5f, .softcap = 30.0f,
        } };
        run_alone(&op, 1);
    }
    CHECK(rows == 0 || memcmp(y[0], y[1], rows * n * sizeof **y) == 0, "type %u: %zu x %zu x %zu", type, rows, k, n);
    if (weight_type_of(type)->dot.run) {
        /* One row by one and all together: the same bits. */
        void *quantized = malloc(rows * k / CMHA_INT8_INPUTS * CMHA_INT8_BYTES + (rows == 0));
        cmha_op ops[2] = {
            { .kind = CMHA_OP_QUANTIZE, .u.quantize = { x, k, rows, k, quantized, NULL } },
            { .kind = CMHA_OP_LINEAR, .u.linear = { .quantized = quantized, .rows = rows, .k = k, .n = n, .w = own,
                .type = type, .y = y[0], .y_stride = n } },
        };
        run_alone(ops, 2);
        for (size_t i = 0; i < rows; i++) {
            ops[0].u.quantize = (cmha_quantize) { x + i * k, k, 1, k, quantized, NULL };
            ops[1].u.linear.rows = 1;
            ops[1].u.linear.y = y[1] + i * n;
            run_alone(ops, 2);
        }
        CHECK(rows == 0 || memcmp(y[0], y[1], rows * n * sizeof **y) == 0, "type %u by rows: %zu x %zu x %zu", type, rows, k, n);
        free(quantized);
    }
    uint32_t token = (uint32_t) random_below(r, n), position = 3;
    float *table = floats(r, 4 * k);
    cmha_op op = { .kind = CMHA_OP_EMBED, .u.embed = {
        .tokens = &token, .rows = 1, .w = own, .type = type, .k = k, .n = n, .table = table, .positions = &position,
        .y = back,
    } };
    run_alone(&op, 1);
    cmha_weight_decode(type, values, raw + token * row, k);
    for (size_t i = 0; i < k; i++) CHECK(back[i] == values[i] + table[3 * k + i], "embedding of type %u", type);
    free(raw); free(own); free(plain); free(values); free(back); free(x); free(y[0]); free(y[1]); free(table);
}

/* Matrices kept [K][N]. */
static void across(uint64_t *r, uint32_t type)
{
    size_t k = 1 + random_below(r, 70), n = 1 + random_below(r, 30), stride = n + random_below(r, 9);
    size_t bytes = types[type].bytes / types[type].block, cut = random_below(r, k + 1);
    uint8_t *raw = blocks(r, type, k * stride / types[type].block + 1);
    uint8_t *own = malloc((size_t) cmha_weight_bytes(type, (double) k, (double) n));
    cmha_weight_pack_inputs(type, own, type, raw + cut * stride * bytes, stride, k, n, cut, k - cut);
    cmha_weight_pack_inputs(type, own, type, raw, stride, k, n, 0, cut);
    float *back = unset(k);
    for (size_t c = 0; c < n; c++) {
        cmha_weight_row(type, back, own, k, c);
        for (size_t j = 0; j < k; j++) {
            float value = (float) (int8_t) raw[j * stride + c];
            if (type != CMHA_WEIGHT_I8) cmha_weight_decode(type, &value, raw + (j * stride + c) * bytes, 1);
            CHECK(value == back[j], "type %u: %zu, %zu", type, j, c);
        }
    }
    free(raw); free(own); free(back);
}

int main(void)
{
    uint64_t r = 11;
    for (uint32_t type = 0; type < sizeof types / sizeof *types; type++) {
        for (int i = 0; i < 25; i++) {
            size_t rows = random_below(&r, 12), n = 1 + random_below(&r, 40);
            one(&r, type, rows, n);
        }
        /* A single row through panels side by side; more rows than share what is decoded. */
        for (int i = 0; i < 4; i++) one(&r, type, 1, 32 + 8 * (size_t) i);
        one(&r, type, 210, 9);
        /* More columns than are finished at a time: of one row, and of several, of which none or one stands for two. */
        one(&r, type, 1, 1700);
        one(&r, type, 3, 830);
        one(&r, type, 4, 660);
        for (int i = 0; i < 25 && (types[type].block == 1 || type == CMHA_WEIGHT_I8); i++) across(&r, type);
    }
    return 0;
}
