/* linear.c: projections, a row or a block of rows at a time. */
#include "operation.h"
#include "tile.h"
#include "simd.h"
#include "cache/cache.h"
#include "weights/weight.h"
#include <assert.h>

/* Panels finished together. */
enum { GROUP = 4, GROUP_COLUMNS = GROUP * CMHA_PANEL };

/* z[i] += x[i], i < n */
static void add_f32(float *z, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) f4_store(z + i, f4_add(f4_load(z + i), f4_load(x + i)));
    for (; i < n; i++) z[i] += x[i];
}

/* Bias, activation, scale, cap, residual and rounding of columns [c0, c0 + n) of row r, whose products are in z. */
static void finish_row(const cmha_linear *a, float *z, size_t r, size_t c0, size_t n)
{
    if (a->divisors) {
        for (size_t i = 0; i < n; i++) z[i] /= a->row_divisors[r] * a->divisors[c0 + i];
    }
    if (a->round) cmha_round_f32(z, z, n, a->round);
    if (a->bias) {
        add_f32(z, a->bias + c0, n);
        if (a->round) cmha_round_f32(z, z, n, a->round);
    }
    if (a->activation) {
        cmha_activation_f32(z, z, n, a->activation);
        if (a->round) cmha_round_f32(z, z, n, a->round);
    }
    if (a->scale != 0.0f && a->scale != 1.0f) {
        for (size_t i = 0; i < n; i++) z[i] *= a->scale;
        if (a->round) cmha_round_f32(z, z, n, a->round);
    }
    if (a->softcap != 0.0f) cmha_softcap_f32(z, z, n, a->softcap);
    if (a->residual) {
        add_f32(z, a->residual + r * a->residual_stride + c0, n);
        if (a->round) cmha_round_f32(z, z, n, a->round);
    }
}

/* Columns [c0, c0 + n) of row r to where the cache keeps them. */
static void keep_row(const cmha_linear *a, const float *z, size_t r, size_t c0, size_t n)
{
    const cmha_cache *cache = a->cache;
    int keys = a->layout == CMHA_LAYOUT_KEYS;
    size_t width = keys ? cache->d : cache->v, s = a->index + r % a->t, run;
    void *page = page_of(cache, r / a->t, s);
    for (size_t c = 0; c < n; c += run) {   /* the columns of one head at a time */
        size_t g = (c0 + c) / width, e = (c0 + c) % width;
        run = least(width - e, n - c);
        if (keys) keep_key(page_key(cache, page, g, s % cache->page) + e * CMHA_PANEL, z + c, run);
        else copy_f32(page_value(cache, page, g, s % cache->page) + e, z + c, run);
    }
}

/* Columns [c0, c0 + n) of rows [r, r + m), whose products are in z[m][stride]: finished, and put where the layout keeps them. */
static void finish(const cmha_linear *a, float *z, size_t stride, size_t r, size_t m, size_t c0, size_t n)
{
    for (size_t i = r; i < r + m; i++, z += stride) {
        finish_row(a, z, i, c0, n);
        if (a->layout == CMHA_LAYOUT_ROWS) copy_f32(a->y + i * a->y_stride + c0, z, n);
        else keep_row(a, z, i, c0, n);
    }
}

/* Rows [r, r + m) of the columns [c0, c0 + n), m <= TILE_ROWS, n <= GROUP_COLUMNS. */
static void linear_tile(const cmha_linear *a, size_t r, size_t m, size_t c0, size_t n)
{
    float z[TILE_ROWS * GROUP_COLUMNS];
    size_t panels = (n + CMHA_PANEL - 1) / CMHA_PANEL;
    tile_f32(m, panels, a->k, a->x + r * a->x_stride, a->x_stride, (const float *) a->w + c0 * a->k, CMHA_PANEL,
        a->k * CMHA_PANEL, z, GROUP_COLUMNS, NULL);
    finish(a, z, GROUP_COLUMNS, r, m, c0, n);
}

/* Floats that weights of other types are decoded to at a time, and the most rows that they then serve. */
enum { DECODED = 4096, MOST_ROWS = 96 + TILE_ROWS };

/* Rows of a tile when so many are left: no tail of one or two. */
static size_t tile_rows(size_t left)
{
    return left <= TILE_ROWS ? left : left < TILE_ROWS + 3 ? (left + 1) / 2 : TILE_ROWS;
}

/* Rows [r, r + m) of the columns [c0, c0 + n) with weights that are decoded, a stretch of inputs at a time. */
static void linear_decoded(const cmha_linear *a, size_t r, size_t m, size_t c0, size_t n)
{
    const weight_type *type = weight_type_of(a->type);
    size_t panels = (n + CMHA_PANEL - 1) / CMHA_PANEL, panel_bytes = a->k / type->block * type->bytes * CMHA_PANEL;
    size_t stretch = DECODED / CMHA_PANEL / panels / type->block * type->block;
    const uint8_t *w = (const uint8_t *) a->w + c0 / CMHA_PANEL * panel_bytes;
    float decoded[DECODED], z[MOST_ROWS * GROUP_COLUMNS];
    if (m == 1 && panels == ROW_PANELS && type->row && type->row(z, w, panel_bytes, a->x + r * a->x_stride, a->k)) {
        finish(a, z, GROUP_COLUMNS, r, m, c0, n);
        return;
    }
    for (size_t j = 0, count; j < a->k; j += count) {
        count = least(a->k - j, stretch);
        for (size_t p = 0; p < panels; p++) {
            weight_panel(type, decoded + p * stretch * CMHA_PANEL, w + p * panel_bytes, count / type->block);
        }
        w += count / type->block * type->bytes * CMHA_PANEL;
        for (size_t i = 0, rows; i < m; i += rows) {
            rows = tile_rows(m - i);
            tile_f32(rows, panels, count, a->x + (r + i) * a->x_stride + j, a->x_stride, decoded, CMHA_PANEL,
                stretch * CMHA_PANEL, z + i * GROUP_COLUMNS, GROUP_COLUMNS, j == 0 ? NULL : CARRY_ON);
        }
    }
    finish(a, z, GROUP_COLUMNS, r, m, c0, n);
}

static void decoded_rows(const cmha_linear *a, size_t row0, size_t row1, size_t n0, size_t n1)
{
    size_t group = weight_type_of(a->type)->block > DECODED / GROUP_COLUMNS ? GROUP_COLUMNS / 2 : GROUP_COLUMNS;
    for (size_t r = row0, m; r < row1; r += m) {
        m = least(row1 - r, MOST_ROWS);
        for (size_t c = n0; c < n1; c += group) linear_decoded(a, r, m, c, least(n1 - c, group));
    }
}

/* Rows of quantized activations that share the weights in registers: each has two vectors of sums. */
enum { DOT_ROWS = 4 };

/* Whether one of them may stand for a row that is missing: it takes a register that the words need where they are widened. */
#if defined(__wasm_relaxed_simd__)
enum { DOT_PADDED = 1 };
#else
enum { DOT_PADDED = 0 };
#endif

/* How a type's words are multiplied. */
typedef struct dot_how {
    int run, zero, offset;  /* as weight_dot has them, `zero` of signed ones that are lifted to be unsigned too */
    int four;               /* of dot_four() */
} dot_how;

/* So many bytes further down. */
INLINE const dot_block *below(const dot_block *x, size_t bytes)
{
    return (const void *) ((const char *) x + bytes);
}

/* z[i * columns][8] += the products of m rows with what is unpacked: in steps of two words of bytes, or of one that is
 * widened. Row i is at x + i * stride bytes, the last one where it says. `fixed` is the run where that is a constant, else 0. */
INLINE void dot_tile(const size_t m, const size_t fixed, const int bits, const dot_how *how, const unpacked *u,
    size_t inputs, const dot_block *x, size_t stride, size_t last, float *z, size_t columns)
{
    const size_t step = dot_bytes(bits) ? 8 : 4, run = fixed ? fixed : (size_t) how->run;
    const int zero = how->zero, offset = bits == 8 ? 0 : how->offset;   /* signed weights lie around 0 */
    for (size_t s = 0; s < inputs / run; s++) {
        size_t part = run_part(run, s);
        const dot_block *in = dot_at(x, s * run / CMHA_INT8_INPUTS, bits);
        const dot_block *rows[DOT_ROWS];
        const uint8_t *w = words_of(u, run, s, bits);
        dot_sums products[DOT_ROWS][2];
        for (size_t i = 0; i < m; i++) {
            rows[i] = below(in, DOT_PADDED && i == m - 1 ? last : i * stride);
            products[i][0] = products[i][1] = dot_begin(rows[i], part, zero, bits);
        }
        ROLLED
        for (size_t j = s * run % CMHA_INT8_INPUTS, end = j + run; j < end; j += step, w += step / 4 * WORD_FIELD) {
            i4 words[2][2];
            for (size_t half = 0; half < 2; half++) {
                i4 word = word_field(w, half), next = dot_bytes(bits) ? word_field(w + WORD_FIELD, half) : word;
                words[half][0] = word;
                words[half][1] = dot_bytes(bits) ? next : dot_odd(word, bits);
            }
            for (size_t i = 0; i < m; i++) {
                const uint8_t *row = dot_input(rows[i], j, bits);
                i4 x0 = i4_load_splat(row), x1 = i4_load_splat(row + 4);
                for (size_t half = 0; half < 2; half++) {
                    products[i][half] = dot_step(products[i][half], words[half][0], x0, words[half][1], x1, bits);
                }
            }
        }
        const scalings *scales = &u->scales;
        f4 scale[2] = { scales->scale[s][0], scales->scale[s][1] }, least[2] = { scales->offset[s][0], scales->offset[s][1] };
        for (size_t i = 0; i < m; i++) {
            float *sum = z + i * columns;
            f4 d = f4_load_splat(&rows[i]->d), total = offset ? dot_sum(rows[i], part) : f4_splat(0.0f);
            f4 low = add_run(f4_load(sum), products[i][0], scale[0], least[0], d, total, offset, bits);
            f4 high = add_run(f4_load(sum + 4), products[i][1], scale[1], least[1], d, total, offset, bits);
            f4_store(sum, low);
            f4_store(sum + 4, high);
        }
    }
}

typedef void dot_tiles(size_t m, const dot_how *how, const unpacked *u, size_t inputs, const dot_block *x,
    size_t stride, float *z, size_t columns);

/* Rows two or four at a time: where one is missing the last of them stands for it, and goes to the row after z's last too.
 * A row by itself may come where dot_alone says so. */
#define DOT_TILES(run, bits) \
    static void dot_tiles_##run##_##bits(size_t m, const dot_how *how, const unpacked *u, size_t inputs, const dot_block *x, \
        size_t stride, float *z, size_t columns) \
    { \
        const size_t four = bits == DOT_FOUR ? 3 : 4;   /* rows that are worth a tile of four */ \
        if (run == 32 && bits == DOT_FOUR && m == 1) { \
            dot_tile(1, run, bits, how, u, inputs, x, stride, 0, z, columns); \
            return; \
        } \
        for (; m >= four; m -= least(m, 4), x = below(x, 4 * stride), z += 4 * columns) \
            dot_tile(4, run, bits, how, u, inputs, x, stride, (least(m, 4) - 1) * stride, z, columns); \
        for (; m > 0; m -= least(m, 2), x = below(x, 2 * stride), z += 2 * columns) \
            dot_tile(2, run, bits, how, u, inputs, x, stride, (least(m, 2) - 1) * stride, z, columns); \
    }

DOT_TILES(32, 8)
#if defined(__wasm_relaxed_simd__)
DOT_TILES(0, 6)
DOT_TILES(32, 4)
DOT_TILES(16, DOT_FOUR)
DOT_TILES(32, DOT_FOUR)
#else
DOT_TILES(16, 6)
DOT_TILES(32, 6)
#endif

uint32_t cmha_byte_products(void)
{
    return dot_four() ? 4 : dot_bytes(6) ? 2 : 0;
}

/* Fewer bits count as 6 where that is as good. */
static dot_tiles *tiles_of(const weight_dot *dot, dot_how *how)
{
    int four = dot_four();
    *how = (dot_how) { (int) dot->run, dot->zero, dot->offset, four };
#if defined(__wasm_relaxed_simd__)
    if (dot->bits == 8) how->zero = four == DOT_UNSIGNED ? 128 : 0;
    if (four) return dot->run == 16 ? dot_tiles_16_DOT_FOUR : dot_tiles_32_DOT_FOUR;
    if (dot->run == 32 && dot->bits == 4) return dot_tiles_32_4;
    return dot->bits == 8 ? dot_tiles_32_8 : dot_tiles_0_6;
#else
    return dot->run == 16 ? dot_tiles_16_6 : dot->bits == 8 ? dot_tiles_32_8 : dot_tiles_32_6;
#endif
}

/* Whether a row by itself is a tile: signed weights, which need not be made 16 bits wide for one that adds four products at once. */
static int dot_alone(const weight_dot *dot, const dot_how *how)
{
    return how->four && dot->bits == 8 && dot->run == 32;
}

/* Weights come from memory up to twice as fast where several streams of them are read side by side, far apart: a processor
 * fetches only so far ahead in each. So panels take turns, each of so many inputs. */
enum { STREAMS = 4, TURN_INPUTS = 128 };

/* z[m + 1][n] = the products of rows [r, r + m) with the weights of n columns at w, and one row that may stand for a missing
 * one. What rows share is unpacked once for all of them; of an odd number the last is taken by itself where that costs less
 * than a row that stands for two. */
OUTLINE void dot_columns(const cmha_linear *a, const weight_type *type, const uint8_t *w, size_t panel_bytes, size_t r, size_t m,
    float *z, size_t n)
{
    const weight_dot *dot = &type->dot;
    dot_how how;
    dot_tiles *tiles = tiles_of(dot, &how);
    const int bits = how.four ? DOT_FOUR : dot->bits;
    const size_t blocks = (a->k + CMHA_INT8_INPUTS - 1) / CMHA_INT8_INPUTS, panels = n / CMHA_PANEL;
    const size_t apart = (panels + STREAMS - 1) / STREAMS, step = apart * panel_bytes, to_step = apart * CMHA_PANEL;
    const size_t most = type->block < TURN_INPUTS ? TURN_INPUTS / type->block : 1;
    const size_t single = m == 1 ? !dot_alone(dot, &how) : m % 2 && (!DOT_PADDED || (!how.four && dot->bits % 4 == 0));
    for (size_t i = 0; i < (m + 1) * n; i += 4) f4_store(z + i, f4_splat(0.0f));
    m -= single;
    const dot_block *rows = dot_row(a->quantized, blocks, r, bits), *last = dot_row(a->quantized, blocks, r + m, dot->bits);
    for (size_t first = 0; first < apart; first++) {
        for (size_t j = 0, count; j < blocks_of(type, a->k); j += count) {
            const size_t from = j * type->block / CMHA_INT8_INPUTS, streams = (panels - first + apart - 1) / apart;
            const uint8_t *turn = w + first * panel_bytes + j * type->bytes * CMHA_PANEL;
            float *to = z + first * CMHA_PANEL;
            count = least(blocks_of(type, a->k) - j, most);
            if (single) dot->row(to + m * n, to_step, turn, step, streams, dot_at(last, from, dot->bits), count);
            for (size_t i = 0; m > 0 && i < streams; i++, turn += step, to += to_step) {
                unpacked u;
                dot->unpack(&u, turn, count);
                tiles(m, &how, &u, count * type->block, dot_at(rows, from, bits), blocks * DOT_ROW_BYTES, to, n);
            }
        }
    }
}

static void dot_rows(const cmha_linear *a, size_t row0, size_t row1, size_t n0, size_t n1)
{
    const weight_type *type = weight_type_of(a->type);
    size_t panel_bytes = blocks_of(type, a->k) * type->bytes * CMHA_PANEL;
    assert(type->dot.run && (type->dot.bits != 8 || !type->dot.offset));
    for (size_t r = row0, m; r < row1; r += m) {
        m = least(row1 - r, MOST_ROWS);
        for (size_t c = n0, n; c < n1; c += n) {
            float z[(MOST_ROWS + 1) * GROUP_COLUMNS];
            n = least((n1 - c + CMHA_PANEL - 1) / CMHA_PANEL * CMHA_PANEL, (MOST_ROWS + 1) / (m + 1) * GROUP_COLUMNS);
            dot_columns(a, type, (const uint8_t *) a->w + c / CMHA_PANEL * panel_bytes, panel_bytes, r, m, z, n);
            finish(a, z, n, r, m, c, least(n1 - c, n));
        }
    }
}

void cmha_linear_f32(const cmha_linear *a, size_t row0, size_t row1, size_t n0, size_t n1)
{
    assert(n0 % CMHA_PANEL == 0 && n1 <= a->n && row1 <= a->rows);
    if (a->quantized) {
        dot_rows(a, row0, row1, n0, n1);
        return;
    }
    if (a->type != CMHA_WEIGHT_F32) {
        decoded_rows(a, row0, row1, n0, n1);
        return;
    }
    /* A tile's rows of x stay in the nearest cache while the panels stream by them, in order. */
    for (size_t r = row0, m; r < row1; r += m) {
        m = tile_rows(row1 - r);
        for (size_t c = n0; c < n1; c += GROUP_COLUMNS) {
            linear_tile(a, r, m, c, least(n1 - c, GROUP_COLUMNS));
        }
    }
}

/* Tasks: enough of them for several threads, each long against the cost of claiming one. */
static void linear_cut(const cmha_linear *a, size_t *rows, size_t *columns)
{
    enum { TASK_ROWS = 96 };
    size_t blocks = a->rows / TASK_ROWS + (a->rows % TASK_ROWS != 0);
    size_t block = blocks ? ((a->rows + blocks - 1) / blocks + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS : 1;
    uint64_t products = (uint64_t) least(a->rows, block) * a->k;  /* per column */
    uint64_t aim = (uint64_t) a->rows * a->k * a->n / 32;                       /* per task */
    uint64_t longest = a->rows <= TILE_ROWS ? 256u << 10 : 8u << 20, shortest = 24u << 10;
    aim = aim > longest ? longest : aim < shortest ? shortest : aim;
    /* Few rows take several panels at a time (tile.c), and one panel by itself takes as long as they all. */
    size_t step = CMHA_PANEL * (a->rows == 1 ? 4 : a->rows <= 3 ? 2 : 1);
    uint64_t n = products ? aim / products / step * step : 0;
    *rows = block;
    *columns = n < step ? step : n > a->n ? a->n + CMHA_PANEL - a->n % CMHA_PANEL : (size_t) n;
}

static size_t linear_tasks(const void *arguments)
{
    const cmha_linear *a = arguments;
    size_t rows, columns;
    linear_cut(a, &rows, &columns);
    return (a->rows + rows - 1) / rows * ((a->n + columns - 1) / columns);
}

/* Tasks beside each other are one stretch of columns. */
static void linear_run(const void *arguments, size_t first, size_t end, size_t thread)
{
    const cmha_linear *a = arguments;
    (void) thread;
    size_t rows, columns;
    linear_cut(a, &rows, &columns);
    size_t across = (a->n + columns - 1) / columns;
    for (size_t i = first, count; across && i < end; i += count) {
        size_t r = i / across * rows, c = i % across * columns;
        if (r >= a->rows) return;
        count = least(end - i, across - i % across);
        cmha_linear_f32(a, r, least(r + rows, a->rows), c, least(c + count * columns, a->n));
    }
}

static double linear_work(const void *arguments)
{
    const cmha_linear *a = arguments;
    return (double) a->rows * (double) a->k * (double) a->n;
}

const operation linear = { .tasks = linear_tasks, .run = linear_run, .work = linear_work };
