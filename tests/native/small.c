/* The small operations at every short length in exactly sized blocks, and the error of the vector exponential. */
#include "native.h"
#include "simd.h"

static void check_lengths(uint64_t *r)
{
    for (size_t n = 0; n < 40; n++) {
        float *x = floats(r, n), *y = unset(n);
        uint16_t *half = malloc(n * sizeof *half + (n == 0));
        cmha_softcap_f32(y, x, n, 2.0f);
        for (uint32_t mode = 0; mode <= CMHA_ACTIVATION_MISH; mode++) cmha_activation_f32(y, x, n, mode);
        for (uint32_t mode = 0; mode < 3; mode++) cmha_round_f32(y, x, n, mode);
        cmha_round_f32(y, y, n, CMHA_ROUND_NONE);
        cmha_softmax_f32(y, x, n, 1.0f);
        cmha_softmax_f32(x, x, n, 1.0f);
        CHECK(n == 0 || memcmp(x, y, n * sizeof *x) == 0, "softmax of %zu in place", n);
        for (size_t i = 0; i < n; i++) half[i] = (uint16_t) random_bits(r);
        cmha_widen_f16(y, half, n);
        free(x); free(y); free(half);
    }
    for (size_t n = 1; n < 40; n++) {
        size_t rows = random_below(r, 5);
        float *x = floats(r, rows * n), *y = unset(rows * n), *gamma = floats(r, n), *beta = floats(r, n);
        cmha_norm norm = {
            .x = x, .x_stride = n, .y = y, .y_stride = n, .rows = rows, .n = n, .gamma = gamma,
            .beta = n % 2 ? beta : NULL, .epsilon = 1e-5f,
        };
        cmha_op op = { .kind = CMHA_OP_LAYER_NORM, .u.layer_norm = norm };
        run_alone(&op, 1);
        for (size_t i = 0; i < rows; i++) {
            double mean = 0, variance = 0;
            for (size_t c = 0; c < n; c++) mean += x[i * n + c] / (double) n;
            for (size_t c = 0; c < n; c++) variance += (x[i * n + c] - mean) * (x[i * n + c] - mean) / (double) n;
            for (size_t c = 0; c < n; c++) {
                double z = (x[i * n + c] - mean) / sqrt(variance + 1e-5) * gamma[c] + (n % 2 ? beta[c] : 0);
                CHECK(fabs(y[i * n + c] - z) < 2e-5, "norm of %zu: %g, not %g", n, y[i * n + c], z);
            }
        }
        float *e = floats(r, n * 11), *panels = unset(cmha_packed_size(n, 11));
        float *back = unset(n * 11), *rows_out = unset(2 * n);
        uint32_t tokens[2] = { (uint32_t) random_below(r, 11), 10 };
        cmha_pack_f32(panels, e, n, 11, 0, 1, n);
        cmha_unpack_f32(back, panels, n, 11, 0, 1, n);
        CHECK(memcmp(e, back, n * 11 * sizeof *e) == 0, "pack and unpack of %zu", n);
        cmha_op embed = { .kind = CMHA_OP_EMBED, .u.embed = {
            .tokens = tokens, .rows = 2, .t = 2, .w = panels, .k = n, .n = 11, .y = rows_out,
        } };
        run_alone(&embed, 1);
        CHECK(memcmp(rows_out + n, e + 10 * n, n * sizeof *e) == 0, "embedding of %zu", n);
        free(x); free(y); free(gamma); free(beta); free(e); free(panels); free(back); free(rows_out);
    }
}

/* Grouped norms, gates and rotations of random shapes: what is read and written is what the header says. */
static void check_shapes(uint64_t *r)
{
    for (int turn = 0; turn < 300; turn++) {
        size_t rows = random_below(r, 4), heads = 1 + random_below(r, 4), n;
        size_t dim = turn % 50 ? 2 + random_below(r, 21) : 260;     /* more than a gate's strip */
        n = heads * dim;
        size_t pairs = random_below(r, dim / 2 + 1);
        float *x = floats(r, rows * n), *y = floats(r, rows * n), *gamma = floats(r, n), *table = unset(rows * 2 * pairs);
        uint32_t *positions = malloc(rows * sizeof *positions + 1);
        double *frequencies = malloc(pairs * sizeof *frequencies + 1);
        for (size_t i = 0; i < rows; i++) positions[i] = (uint32_t) random_below(r, 1 << 20);
        for (size_t i = 0; i < pairs; i++) frequencies[i] = pow(10000, -(double) i / (double) pairs);
        cmha_op ops[] = {
            { .kind = CMHA_OP_LAYER_NORM, .u.layer_norm = { .x = x, .x_stride = n, .y = y, .y_stride = n, .rows = rows,
                .n = dim, .gamma = gamma, .epsilon = 1e-6f, .kind = CMHA_NORMALIZE_RMS, .groups = heads,
                .group_stride = turn % 2 ? dim : 0, .residual = y, .residual_stride = n } },
            { .kind = CMHA_OP_GATE, .u.gate = { .a = x, .a_stride = n, .b = y, .b_stride = n, .y = y, .y_stride = n,
                .rows = rows, .n = n, .activation = (uint32_t) turn % 5 } },
            { .kind = CMHA_OP_ROPE_TABLE, .u.rope_table = { positions, frequencies, table, rows, pairs, 1.0f } },
            { .kind = CMHA_OP_ROPE, .u.rope = { y, n, rows, heads, dim, pairs, table, (uint32_t) turn / 2 % 2 } },
        };
        run_alone(ops, sizeof ops / sizeof *ops);
        for (size_t i = 0; i < rows * 2 * pairs; i++) {
            size_t row = i / 2 / (pairs ? pairs : 1), at = i % (2 * pairs);
            double angle = positions[row] * frequencies[at % pairs], exact = at < pairs ? cos(angle) : sin(angle);
            CHECK(fabs(table[i] - exact) < 1e-7, "the angle of position %u: %g, not %g", positions[row], table[i], exact);
        }
        for (size_t i = 0; i < rows * n; i++) CHECK(isfinite(y[i]), "number %zu", i);
        free(x); free(y); free(gamma); free(table); free(positions); free(frequencies);
    }
}

/* Every float in (-126.5, 127.5) whose low ten bits are zero: the error stated in simd.h. */
static void check_exp2(void)
{
    exp2_constants k = exp2_load();
    double worst = 0;
    for (uint64_t bits = 0; bits < 0x100000000u; bits += 1024) {
        uint32_t u = (uint32_t) bits;
        float x;
        memcpy(&x, &u, sizeof x);
        if (!(x > -126.5f && x < 127.5f)) continue;
        double exact = exp2((double) x), ulp = exp2(floor((double) x) - 23);
        double error = fabs((double) f4_lane(f4_exp2(&k, f4_splat(x)), 0) - exact) / ulp;
        if (error > worst) worst = error;
    }
    printf("exp2: largest error %.3f ulp\n", worst);
    CHECK(worst < 2.2, "%g ulp", worst);
    CHECK(exp2_f32(0.0f) == 1.0f && exp2_f32(-200.0f) == 0.0f && exp2_f32(-INFINITY) == 0.0f, "ends");
    CHECK(isnan(exp2_f32(NAN)), "NaN");
}

int main(void)
{
    uint64_t r = 3;
    check_lengths(&r);
    check_shapes(&r);
    check_exp2();
    return 0;
}
