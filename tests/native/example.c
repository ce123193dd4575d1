/* The example of cmha.h, word for word (tests/unit/program.test.js compares them), against sums in double. */
#include "native.h"

static float *attend_to_two(float *out, const float *q, float *keys, float *values)
{
    void *page = malloc((size_t) cmha_cache_page_bytes(CMHA_KEPT_F32, 8, 1, 4, 4));
    cmha_cache cache = { .pages = &page, .row_pages = 1, .page = 8, .heads = 1, .d = 4, .v = 4, .type = CMHA_KEPT_F32 };
    cmha_op ops[] = {
        { .kind = CMHA_OP_STORE, .u.store = {
            .keys = keys, .keys_stride = 4, .values = values, .values_stride = 4, .cache = &cache, .batch = 1, .t = 2 } },
        { .kind = CMHA_OP_ATTENTION, .u.attention = {
            .q = q, .q_stride = 4, .cache = &cache, .out = out, .out_stride = 4, .batch = 1, .heads = 1, .t = 1, .s = 2,
            .scale = 0.5f } },
    };
    void *scratch = malloc((size_t) cmha_op_scratch(&ops[1], 1));
    ops[1].u.attention.scratch = scratch;
    cmha_control control = { .epoch = 1, .ops = ops, .count = 2, .threads = 1 };
    cmha_program_begin(ops, 2, control.epoch);
    int32_t result = cmha_program_run(&control, control.epoch, 0);
    free(scratch);
    free(page);
    return result == CMHA_RUN_LAST ? out : NULL;
}

int main(void)
{
    uint64_t r = 5;
    float *q = floats(&r, 4), *keys = floats(&r, 8), *values = floats(&r, 8), *out = unset(4);
    CHECK(attend_to_two(out, q, keys, values) == out, "the program has run");
    double dots[2] = { 0, 0 };
    for (int i = 0; i < 8; i++) dots[i / 4] += 0.5 * q[i % 4] * keys[i];
    double first = 1 / (1 + exp(dots[1] - dots[0]));
    for (int i = 0; i < 4; i++) {
        double expected = first * values[i] + (1 - first) * values[4 + i];
        CHECK(fabs(out[i] - expected) < 1e-6, "%d: %g, not %g", i, out[i], expected);
    }
    free(q);
    free(keys);
    free(values);
    free(out);
    return 0;
}
