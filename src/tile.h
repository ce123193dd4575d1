/* tile.h: what kernels share between them; not exported.
 *
 * The multiply of floats that projections and attention are made of, a few rows times panels of 8 columns, and how
 * operations that go by rows are cut into tasks. */
#ifndef CMHA_TILE_H
#define CMHA_TILE_H

#include "cmha.h"

/* Most rows of a register tile. TILE_ROWS x 8 sums, their operands and, where multiply and add are apart, a product
 * fill the 15 vector registers that an engine has to give. */
#if defined(__wasm_relaxed_simd__)
#define TILE_ROWS 6
#else
#define TILE_ROWS 5
#endif

/* y[i][8 p + c] = alpha[i] * y[i][8 p + c] + sum over j < k of x[i][j] * b[p][j][c]
 *   x: [m][k], row stride x_stride, 1 <= m <= TILE_ROWS
 *   b: [panels][k][8], strides panel_stride and b_stride
 *   y: [m][panels * 8], row stride y_stride; overwritten where alpha is NULL
 *   alpha: [m] or NULL; CARRY_ON for sums that go on from an earlier call
 * Every sum runs over j in order, whatever m and the number of panels are. */
void tile_f32(size_t m, size_t panels, size_t k, const float *x, size_t x_stride, const float *b, size_t b_stride,
    size_t panel_stride, float *y, size_t y_stride, const float *alpha);

/* Multiplication by 1 changes nothing, so that a sum has the same bits in one stretch or in several. */
extern const float CARRY_ON[TILE_ROWS];

/* The same of binary16, where k is at most CMHA_PAGE, panels * 8 too, and b_stride is 8: the bits of widened numbers. Returns
 * 0, having done nothing, where a number of b is not finite or one of x is 65536 or more. */
int tile_f16(size_t m, size_t panels, size_t k, const float *x, size_t x_stride, const void *b, size_t panel_stride,
    float *y, size_t y_stride, const float *alpha);

static inline size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Rows of n elements per task, for operations that go through each element once or twice. */
static inline size_t row_block(size_t n)
{
    return n < 16384 ? 16384 / (n ? n : 1) : 1;
}

/* Tasks that `rows` rows of n elements are cut into, and the first row of task i: `rows` for all i beyond the last. */
static inline size_t row_tasks(size_t rows, size_t n)
{
    return rows / row_block(n) + (rows % row_block(n) != 0);
}

static inline size_t task_row(size_t rows, size_t n, size_t i)
{
    return least(i * row_block(n), rows);
}

#endif
