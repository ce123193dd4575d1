/* cmha.h: the whole C interface of cached-attention, and its manual.
 *
 * Keras Hub's CachedMultiHeadAttention and what a decoder needs around it, as stateless kernels over pointers,
 * sizes and strides. Nothing here allocates, keeps state, does I/O or reports errors: the caller (js/) owns every
 * byte, checks every argument, and hands over memory that is large enough. Preconditions are asserted in native
 * and debug builds and are undefined behaviour otherwise.
 *
 * Shape letters, the same in C, JS, tests and README:
 *   B batch   T query length   S key/value length   H query heads   G key/value heads (H % G == 0)
 *   D key dim (per head)   V value dim (per head)   F features of an input row
 *
 * Conventions
 *   - float is IEEE binary32. Sizes and strides count ELEMENTS unless a name ends in `_bytes`.
 *   - Any pointer may have any element alignment: packed weights, caches and scratch come 64-byte aligned from JS,
 *     inputs and masks need not. Kernels never read or write outside the ranges stated, not even past a row's end.
 *   - An output never overlaps an input unless a comment says that it may.
 *   - Results depend on the arguments alone: the same bits whoever runs a task, in whatever order, on however many
 *     threads. A reduction is never split by the number of threads, only at places fixed by the problem's shape.
 *   - Strict builds (SIMD128) round every multiply and every add; the relaxed build may fuse them.
 *
 * Example: two positions are stored in a cache of one page, and one query of one head attends to them: a program of two
 * operations, run by the calling thread alone (D = V = 4, scale 1 / sqrt(D); tests/native/example.c compiles and runs it).
 *
 *   static float *attend_to_two(float *out, const float *q, float *keys, float *values)
 *   {
 *       void *page = malloc((size_t) cmha_cache_page_bytes(CMHA_KEPT_F32, 8, 1, 4, 4));
 *       cmha_cache cache = { .pages = &page, .row_pages = 1, .page = 8, .heads = 1, .d = 4, .v = 4, .type = CMHA_KEPT_F32 };
 *       cmha_op ops[] = {
 *           { .kind = CMHA_OP_STORE, .u.store = {
 *               .keys = keys, .keys_stride = 4, .values = values, .values_stride = 4, .cache = &cache, .batch = 1, .t = 2 } },
 *           { .kind = CMHA_OP_ATTENTION, .u.attention = {
 *               .q = q, .q_stride = 4, .cache = &cache, .out = out, .out_stride = 4, .batch = 1, .heads = 1, .t = 1, .s = 2,
 *               .scale = 0.5f } },
 *       };
 *       void *scratch = malloc((size_t) cmha_op_scratch(&ops[1], 1));
 *       ops[1].u.attention.scratch = scratch;
 *       cmha_control control = { .epoch = 1, .ops = ops, .count = 2, .threads = 1 };
 *       cmha_program_begin(ops, 2, control.epoch);
 *       int32_t result = cmha_program_run(&control, control.epoch, 0);
 *       free(scratch);
 *       free(page);
 *       return result == CMHA_RUN_LAST ? out : NULL;
 *   }
 */
#ifndef CMHA_H
#define CMHA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __wasm__
#define CMHA_API __attribute__((visibility("default"), used))
#else
#define CMHA_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------- packed weights */

/* Weights of a projection y = x W + b, W: [K][N], are packed once into panels of CMHA_PANEL columns,
 *   panels[N / 8 rounded up][K][8],
 * columns past N filled with zeros, so that a kernel streams them in order with aligned loads. */
enum { CMHA_PANEL = 8 };

/* Number of floats that a packed [K][N] matrix takes. */
CMHA_API size_t cmha_packed_size(size_t k, size_t n);

/* Pack / unpack columns [n0, n0 + n) of a packed [K][N] matrix; w(i, j) = w[i * k_stride + j * n_stride], j counted
 * from the first of these columns. Packing a tied embedding E: [N][K] as E^T is k_stride = 1, n_stride = K.
 * n0 must be a multiple of CMHA_PANEL; columns that pad the last panel written are zeroed. */
CMHA_API void cmha_pack_f32(float *panels, const float *w, size_t k, size_t n, size_t n0, size_t k_stride,
    size_t n_stride);
CMHA_API void cmha_unpack_f32(float *w, const float *panels, size_t k, size_t n, size_t n0, size_t k_stride,
    size_t n_stride);

/* ---------------------------------------------------------------------------------------------- types of weights */

/* Every type that weights may have: X(NAME, object, block, bytes, ggml). A row of a matrix W^T: [N][K], which is how files
 * keep it, is cut into blocks of `block` inputs, `bytes` bytes each; `ggml` is the type's number in GGUF. `object` is the
 * table entry weight_<object> (src/weights/weight.h) at the end of the file that knows the type; CMHA_WEIGHT_<NAME> counts
 * from 0. The values of a block are ggml's, to the bit. Two types are not ggml's: I8, integers that whoever multiplies with them
 * scales, each row padded with zeros to whole blocks; and I4, Keras's int4.
 *
 * Packed: panels of CMHA_PANEL outputs, [N / 8 rounded up][K / block], and in each of these places eight blocks, field by
 * field: the eight copies of the first field, then those of the second. A field is a 32-bit word, but for 16-bit numbers
 * (scales) at a block's start. Within a block some types first have their integers reordered, or shifted to be unsigned, as the
 * products want them (src/weights). So F32 is what cmha_pack_f32 makes, and a packed matrix takes no more bytes than in the file,
 * but for the zeros that pad outputs past N and the ends of I8 rows. */
enum { CMHA_NOT_GGML = 255 };
#define CMHA_WEIGHT_TYPES(X) \
    X(F32, f32, 1, 4, 0) \
    X(F16, f16, 1, 2, 1) \
    X(BF16, bf16, 1, 2, 30) \
    X(Q8_0, q8_0, 32, 34, 8) \
    X(Q4_0, q4_0, 32, 18, 2) \
    X(Q4_1, q4_1, 32, 20, 3) \
    X(Q5_0, q5_0, 32, 22, 6) \
    X(Q5_1, q5_1, 32, 24, 7) \
    X(Q2_K, q2_k, 256, 84, 10) \
    X(Q3_K, q3_k, 256, 110, 11) \
    X(Q4_K, q4_k, 256, 144, 12) \
    X(Q5_K, q5_k, 256, 176, 13) \
    X(Q6_K, q6_k, 256, 210, 14) \
    X(IQ4_NL, iq4_nl, 32, 18, 20) \
    X(IQ4_XS, iq4_xs, 256, 136, 23) \
    X(I8, i8, 32, 32, 255) \
    X(I4, i4, 128, 72, 255)

enum {
#define X(NAME, object, block, bytes, ggml) CMHA_WEIGHT_##NAME,
    CMHA_WEIGHT_TYPES(X)
#undef X
};

/* Bytes of a packed [K][N] matrix, K a multiple of the type's block, or any for I8; exact while below 2^53. */
CMHA_API double cmha_weight_bytes(uint32_t type, double k, double n);

/* Values of n / block blocks as a file has them, n a multiple of block. */
CMHA_API void cmha_weight_decode(uint32_t type, float *y, const void *blocks, size_t n);

/* Packs rows [n0, n0 + count) of a file's [N][K], of type `from`: `type` itself, or any where `type` is F32. A matrix may
 * come in any pieces of whole rows and in any order; the last row brings the zeros that pad its panel. K is a multiple of
 * both blocks, or any where both are I8. */
CMHA_API void cmha_weight_pack(uint32_t type, void *packed, uint32_t from, const void *rows, size_t k, size_t n,
    size_t n0, size_t count);

/* The same from a file that keeps [K][N], row stride `stride` elements: rows [k0, k0 + count) of it. F32, F16, BF16, and I8
 * as itself. */
CMHA_API void cmha_weight_pack_inputs(uint32_t type, void *packed, uint32_t from, const void *rows, size_t stride,
    size_t k, size_t n, size_t k0, size_t count);

/* y[j] = the weight of input j < K for output `row`. */
CMHA_API void cmha_weight_row(uint32_t type, float *y, const void *packed, size_t k, size_t row);

/* ------------------------------------------------------------------------------------------ half precision */

/* Rounding of a stored float to a narrower type's grid (ties to even, overflow to infinity, subnormals kept).
 * Half policies compute in float and round where Keras's arrays would have been narrow. */
enum { CMHA_ROUND_NONE = 0, CMHA_ROUND_F16 = 1, CMHA_ROUND_BF16 = 2 };

/* y[i] = round(x[i]), i < n. May run in place. */
CMHA_API void cmha_round_f32(float *y, const float *x, size_t n, uint32_t mode);

/* y[i] = (float) x[i]: exact widening of binary16. */
CMHA_API void cmha_widen_f16(float *y, const uint16_t *x, size_t n);

/* ---------------------------------------------------------------------------------------------- the cache */

/* Keys and values lie in pages of `page` positions: CMHA_PAGE of them, or fewer where one page holds the whole cache. A
 * page is one block with the keys and values of ALL key/value heads of one batch entry, so that a cache grows, shrinks,
 * is shared and reordered by lists of pages. Inside it they are head-major, so that attention streams them in order:
 *   keys:   [G][page / 8][D][8]   panels of 8 positions: QK^T is then the same multiply as a projection
 *   values: [G][page][V]          floats
 *           [G][V / 8][page][8]   binary16 and bytes: panels of 8 columns, the last V % 8 columns one as wide as they are
 * and after each of the two what its type needs besides. Bytes are multiplied by pairs and lie so: in a panel of keys the
 * elements of a position [D / 2][8][2], the last of an odd D [8]; in one of values its positions [page / 2][8][2]. The public
 * shape stays Keras's [B, 2, S, G, D]. Positions at and beyond S are never used. CMHA_PAGE_FORM counts the ways in which
 * pages have been laid out, with what their types need: caches that were saved are of one of them. */
enum { CMHA_PAGE = 256, CMHA_PAGE_FORM = 2 };

/* How numbers are kept: as floats; as binary16; or as bytes from -127 to 127, with a float for each key or value of a head that
 * they are multiplied by. X(KIND, object, number, scale): the table entry at the end of src/cache/<kind>.c, bytes of a number,
 * bytes that a key or value of a head takes besides; CMHA_KEPT_<KIND> counts from 0. Attention reads the narrow types as they
 * lie. Binary16 gives the same bits as the widened numbers would. Of bytes, in the fused form and up to D = 512, products are of
 * integers: for them query rows and the weights of a page's values are rounded to 16 bits, to within 1/65534 of the largest
 * number of the row, or of the largest weight, times its value's scale, in the page. */
#define CMHA_CACHE_TYPES(X) X(F32, cache_f32, 4, 0) X(F16, cache_f16, 2, 0) X(I8, cache_i8, 1, 4)
enum {
#define X(KIND, object, number, scale) CMHA_KEPT_##KIND,
    CMHA_CACHE_TYPES(X)
#undef X
};

typedef struct cmha_cache {
    void *const *pages;     /* [B][row_pages] addresses of pages, the first ones of each row being there */
    size_t row_pages;
    size_t page;            /* positions of a page: a multiple of 8, at most CMHA_PAGE */
    size_t heads, d, v;     /* G, D, V */
    uint32_t type;          /* CMHA_KEPT_... */
} cmha_cache;

/* Bytes of a page: exact as long as they are below 2^53. */
CMHA_API double cmha_cache_page_bytes(uint32_t type, size_t page, size_t heads, size_t d, size_t v);

/* Rows in Keras's order on one side, positions [index, index + t) of batch entries [first, first + batch) of a cache on
 * the other. */
typedef struct cmha_transfer {
    float *keys;            /* row (b, r), head g at keys + b * keys_batch + r * keys_stride + g * D; NULL: no keys */
    size_t keys_batch, keys_stride;
    float *values;          /* the same of values, V wide; NULL: no values */
    size_t values_batch, values_stride;
    const cmha_cache *cache;
    size_t first, batch, t, index;
    uint32_t round;         /* STORE to CMHA_KEPT_F32: how numbers are rounded on their way */
} cmha_transfer;

/* All of it in the calling thread; as operations (STORE, LOAD) all threads share it. */
CMHA_API void cmha_cache_store(const cmha_transfer *a);
CMHA_API void cmha_cache_load(const cmha_transfer *a);

/* Positions [from, from + n) of batch entries [0, batch) become [to, to + n) as they lie, to <= from or to >= from + n. */
CMHA_API void cmha_cache_move(const cmha_cache *cache, size_t batch, size_t from, size_t to, size_t n);

/* Turns the keys of positions [from, to) in place, as a rotary embedding of another position would: after positions
 * have moved. Of the first 2 * pairs elements of a key, pair i (CMHA_PAIRING_... says which two elements)
 * becomes p c - q s, q c + p s. (Su et al. 2021) */
enum { CMHA_MOST_TURNED = 1024 };     /* D at most */
typedef struct cmha_turn {
    const cmha_cache *cache;
    size_t batch, from, to;
    size_t pairs;           /* 2 * pairs <= D */
    uint32_t pairing;       /* CMHA_PAIRING_... */
    const float *table;     /* [2][pairs]: c of all pairs, then s */
    uint32_t round;         /* how turned numbers are rounded, for CMHA_KEPT_F32 */
} cmha_turn;

/* All of it in the calling thread; as an operation (TURN) all threads share it. */
CMHA_API void cmha_cache_turn(const cmha_turn *a);

/* ---------------------------------------------------------------------------------------------- linear */

enum {
    CMHA_ACTIVATION_NONE = 0, CMHA_ACTIVATION_RELU = 1, CMHA_ACTIVATION_GELU_TANH = 2, CMHA_ACTIVATION_GELU_ERF = 3,
    CMHA_ACTIVATION_SILU = 4,   /* x / (1 + exp(-x)), also called swish */
    CMHA_ACTIVATION_SIGMOID = 5,    /* 1 / (1 + exp(-x)) */
    CMHA_ACTIVATION_TANH = 6, CMHA_ACTIVATION_QUICK_GELU = 7,   /* x / (1 + exp(-1.702 x)) */
    CMHA_ACTIVATION_RELU2 = 8, CMHA_ACTIVATION_MISH = 9 /* max(0, x)^2; x tanh(log(1 + exp(x))) */
};

/* Where element (row r, column c) of a projection goes.
 *   ROWS:    y[r * y_stride + c]
 *   KEYS:    key of batch r / t, head c / D, position index + r % t, element c % D in a cache
 *   VALUES:  value of batch r / t, head c / V, the same position, element c % V */
enum { CMHA_LAYOUT_ROWS = 0, CMHA_LAYOUT_KEYS = 1, CMHA_LAYOUT_VALUES = 2 };

/* y = softcap(round(scale * round(activation(round(round(x W) + b))))) + residual, rounding only if `round` asks for it
 * (then also after adding the residual). One row is a matrix-vector product, more go by register tiles. Weights of whatever
 * type count as what they decode to: the same bits as with those numbers in F32. With quantized x the products of integers
 * are summed exactly, run by run of inputs that share a scale, and these sums are added as floats, in an order of the
 * type's own: the same bits whatever the number of rows. With divisors a product of row r and column c counts as itself /
 * (row_divisors[r] * divisors[c]): Keras's int8, where x and W hold integers. Their products are summed as floats, exactly
 * while sums are below 2^24. */
typedef struct cmha_linear {
    const float *x;         /* [rows][K], row stride x_stride */
    size_t x_stride;
    const void *quantized;  /* x as cmha_quantize makes it, read in place of x, or NULL; not with F32, F16, BF16, I4 */
    size_t rows, k, n;
    const void *w;          /* packed [K][N] */
    uint32_t type;          /* of the weights; K is a multiple of its block, or any with I8 and quantized x */
    float scale;            /* 0 counts as 1 */
    float softcap;          /* y = softcap * tanh(y / softcap); 0: none */
    const float *divisors;  /* [N], or NULL: no division */
    const float *row_divisors;  /* [rows] */
    const float *bias;      /* [N] or NULL */
    const float *residual;  /* [rows][N], row stride residual_stride, or NULL; may be y itself (ROWS) */
    size_t residual_stride;
    float *y;
    size_t y_stride;        /* ROWS */
    uint32_t layout;
    size_t t;               /* KEYS, VALUES: rows per batch entry */
    size_t index;           /*   first position written */
    const cmha_cache *cache; /*  of type CMHA_KEPT_F32 */
    uint32_t activation;
    uint32_t round;
} cmha_linear;

/* Rows [row0, row1) and columns [n0, n1) of the product; n0 is a multiple of CMHA_PANEL. */
CMHA_API void cmha_linear_f32(const cmha_linear *a, size_t row0, size_t row1, size_t n0, size_t n1);

/* Activations as signed bytes. Without `scales` as ggml's Q8_0: every 32 numbers of a row are x = d * q, d = max |x| / 127, q the
 * nearest integers, ties to even. With `scales` as Keras's int8: a row becomes the integers q = round(x * s), s = 127 / (max |x|
 * + 1e-7). A block, or with `scales` a row, in which a number is not finite counts as NaN. A block of CMHA_INT8_INPUTS numbers
 * takes at most CMHA_INT8_BYTES; how it is laid out only the kernels know. */
enum { CMHA_INT8_INPUTS = 32, CMHA_INT8_BYTES = 136 };

typedef struct cmha_quantize {
    const float *x;         /* [rows][K], row stride x_stride, K a multiple of INPUTS, or any with scales */
    size_t x_stride;
    size_t rows, k;
    void *y;                /* rows * K / INPUTS, rounded up, * BYTES, at a multiple of 4 */
    float *scales;          /* [rows]: s, or NULL */
} cmha_quantize;
CMHA_API void cmha_quantize_f32(const cmha_quantize *a, size_t row0, size_t row1);

/* How many products of such bytes with weights one instruction adds up: 4 where the engine has such an instruction and a trial
 * shows that it is exact; 2, for weights of six bits or less; 0 where bytes are first widened to 16 bits. All give the same sums. */
CMHA_API uint32_t cmha_byte_products(void);

/* ---------------------------------------------------------------------------------------------- attention */

/* The same bits however a text is cut into calls: what a query row gives depends on the row, the positions that it may
 * see and their pages, not on the rows beside it, the form of the mask, or who computes. A row meets the cache page by
 * page: each page has a maximum, a sum of powers and weighted values of its own, summed in order of position from zero;
 * pages are then merged in order, from the left. Positions that weigh nothing add nothing, so they may be skipped. */

enum {
    CMHA_ATTEND_CAUSAL = 1,      /* position j is kept for query i only when j <= i + causal_offset; later ones are not read */
    CMHA_ATTEND_EXPLICIT = 2,    /* Keras's explicit path (see below) instead of its fused one */
};

/* out[b, i, h, :] = sum over j of p[b, h, i, j] * values[b, g(h), j, :], g(h) = h / (H / G),
 * p = softmax over j of scale * (q[b, i, h, :] . keys[b, g(h), j, :]), capped, biased, masked. Source: Vaswani et al. 2017,
 * section 3.2.1; streaming form: Milakov & Gimelshein 2018, Dao et al. 2022; the two masked forms: Keras 3.15.
 *
 * Fused form (default): a streaming softmax; a masked logit counts as one large negative FINITE number, so a row in
 * which nothing is kept is uniform over ALL S (the mean of all values), as in Keras.
 * Explicit form: q is scaled first; masked logits become -1e9 (-3e4 under CMHA_ROUND_F16), after the softmax masked
 * probabilities are set to exactly 0, so a row in which nothing is kept is all zero. Used when scores are wanted
 * or dropout is configured. */
typedef struct cmha_attention {
    const float *q;         /* row (b, i), head h at q + (b * T + i) * q_stride + h * D */
    size_t q_stride;
    const cmha_cache *cache; /* G, D and V are the cache's */
    const uint8_t *mask;    /* NULL, or nonzero = keep, at mask + b * mask_b + h * mask_h + i * mask_t + j * mask_s; */
    size_t mask_b, mask_h, mask_t, mask_s; /* a stride of 0 broadcasts; mask_s is 0 or 1 */
    float *out;             /* row (b, i), head h at out + (b * T + i) * out_stride + h * V */
    size_t out_stride;
    float *scores;          /* explicit form: [B][H][T][S], probabilities before dropout; NULL: not wanted */
    float *scratch;         /* see cmha_op_scratch: thread-private rows, or the partial results of long caches */
    size_t batch, heads;
    size_t t, s;            /* S >= 1 */
    float scale;            /* positive, usually 1 / sqrt(D) */
    uint32_t flags;
    size_t causal_offset;   /* position of query 0 (the cache update index), with CMHA_ATTEND_CAUSAL, a window or slopes */
    size_t window;          /* 0, or: position j is kept for query i only when i + causal_offset - j < window; earlier
                             * ones are not read */
    float softcap;          /* 0, or: a logit x becomes softcap * tanh(x / softcap), before the mask */
    const float *slopes;    /* NULL, or [H]: a logit then becomes x + slopes[h] * (position of j - (i + causal_offset)), before the
                             * mask too (ALiBi; Press et al. 2022) */
    const float *places;    /* the position of j is places[j], a whole number, or j where this is NULL */
    float dropout;          /* explicit form: rate in [0, 1]; 0 = none. A kept probability is divided by 1 - rate */
    uint32_t seed[2];       /* dropout: Threefry-2x32 (20 rounds; Salmon et al. 2011) under this key. Position j of row
                             * (b, h, i) takes word j % 2 for the counter ((b * H + h) * T + i, j / 2): it is kept if
                             * the word's upper 24 bits, as a fraction, are not below the rate */
    uint32_t round;         /* half policies: rounding of logits (explicit), probabilities and outputs */
} cmha_attention;

/* ---------------------------------------------------------------------------------------------- small operations */

/* LAYER: z = (x - mean) / sqrt(variance + epsilon) (Ba et al. 2016). RMS: z = x / sqrt(mean(x^2) + epsilon) (Zhang &
 * Sennrich 2019). */
enum { CMHA_NORMALIZE_LAYER = 0, CMHA_NORMALIZE_RMS = 1 };

/* y = residual + z * (gamma + offset) + beta, each of a row's groups by itself. May run in place. */
typedef struct cmha_norm {
    const float *x;         /* [rows][groups][n], row stride x_stride */
    size_t x_stride;
    float *y;               /* the same, row stride y_stride */
    size_t y_stride;
    size_t rows, n;
    const float *gamma;     /* [n] of group 0, or NULL (1) */
    const float *beta;      /* [n] of group 0, or NULL (0) */
    float epsilon;
    uint32_t kind;          /* CMHA_NORMALIZE_... */
    float offset;
    size_t groups;          /* 0 counts as 1 */
    size_t group_stride;    /* floats from gamma and beta of one group to those of the next; 0: shared */
    const float *residual;  /* as x, row stride residual_stride, or NULL; may be y */
    size_t residual_stride;
} cmha_norm;
CMHA_API void cmha_layer_norm_f32(const cmha_norm *a, size_t row0, size_t row1);

/* Angles of a rotary position embedding (Su et al. 2021), once for all heads and layers:
 *   table[r] = { factor * cos(a_i), i < pairs; factor * sin(a_i), i < pairs }, a_i = positions[r] * frequencies[i],
 * correctly rounded but for 1e-9 below 2^22 rad. */
typedef struct cmha_rope_table {
    const uint32_t *positions;  /* [rows] */
    const double *frequencies;  /* [pairs], at a multiple of 8 */
    float *table;               /* [rows][2][pairs] */
    size_t rows, pairs;
    float factor;
} cmha_rope_table;
CMHA_API void cmha_rope_table_f32(const cmha_rope_table *a, size_t row0, size_t row1);

/* Which two of a head's first `dims` = 2 * pairs numbers are turned together: i and i + pairs, or 2 i and 2 i + 1. */
enum { CMHA_PAIRING_HALVES = 0, CMHA_PAIRING_PAIRS = 1 };

/* (p, q) = round(p cos - q sin, q cos + p sin) for every pair of every head, in place; the rest of a head stays. */
typedef struct cmha_rope {
    float *x;               /* [rows][heads][head_dim], row stride x_stride */
    size_t x_stride;
    size_t rows, heads, head_dim;
    size_t pairs;           /* 2 * pairs <= head_dim */
    const float *table;     /* of cmha_rope_table, row r for row r */
    uint32_t pairing;       /* CMHA_PAIRING_... */
    uint32_t round;
} cmha_rope;
CMHA_API void cmha_rope_f32(const cmha_rope *a, size_t row0, size_t row1);

/* y = round(round(activation(a)) * b), element by element: gated feed-forward networks (Shazeer 2020). y may be a or b. */
typedef struct cmha_gate {
    const float *a;         /* [rows][n], row stride a_stride; or [rows][n / each], each for `each` numbers of b in a row */
    size_t a_stride, each;  /* 0 counts as 1 */
    const float *b;         /* [rows][n], row stride b_stride */
    size_t b_stride;
    float *y;               /* [rows][n], row stride y_stride */
    size_t y_stride;
    size_t rows, n;
    uint32_t activation;
    uint32_t round;
} cmha_gate;
CMHA_API void cmha_gate_f32(const cmha_gate *a, size_t row0, size_t row1);

/* out[r] = gate[r] * (bias + sum over i < taps of w[i] * x[r - taps + 1 + i]), element by element: a short causal convolution of
 * each channel by itself (LFM2: Liquid AI 2025). Its inputs x have been stored in a cache, the first G * D channels of a position as
 * its key, the other G * V as its value; row 0 is position `index`. What comes before row 0 need not lie in front of it. */
typedef struct cmha_convolve {
    const cmha_cache *cache;    /* of one batch entry; D and V at most CMHA_MOST_TURNED */
    size_t t, index, taps;
    size_t known;           /* how many of x[-1], x[-2], ... there are, at most taps - 1; the others count as 0 */
    const uint32_t *past;   /* [known]: their positions in the cache */
    const float *w;         /* [taps][G * (D + V)] */
    const float *bias;      /* [G * (D + V)], or NULL */
    const float *gate;      /* row stride gate_stride */
    size_t gate_stride;
    float *out;             /* row stride out_stride */
    size_t out_stride;
} cmha_convolve;

/* y[r] = scale * column tokens[r] of the packed [K][N] matrix (a tied embedding) / divisors[tokens[r]] + table[position of
 * r], which is positions[r], or index + r % t where positions is NULL. */
typedef struct cmha_embed {
    const uint32_t *tokens; /* [rows], each < N */
    size_t rows, t, index;
    const void *w;          /* packed [K][N] */
    uint32_t type;          /* of the weights */
    float scale;            /* 0 counts as 1 */
    const float *divisors;  /* [N], or NULL: no division */
    size_t k, n;
    const float *table;     /* learned positions, [length][K], or NULL */
    const uint32_t *positions;  /* [rows], or NULL */
    float *y;               /* [rows][K] */
} cmha_embed;
CMHA_API void cmha_embed_f32(const cmha_embed *a, size_t row0, size_t row1);

/* y[i] = activation(x[i]), i < n. May run in place. */
CMHA_API void cmha_activation_f32(float *y, const float *x, size_t n, uint32_t activation);

/* y[i] = cap * tanh(x[i] / cap), i < n; cap positive. May run in place. */
CMHA_API void cmha_softcap_f32(float *y, const float *x, size_t n, float cap);

/* y[i] = softmax(scale * x)[i], i < n; scale positive. May run in place. NaN among x: all of y is. */
CMHA_API void cmha_softmax_f32(float *y, const float *x, size_t n, float scale);

/* ---------------------------------------------------------------------------------------------- programs */

/* A call of the layer, or a whole decoder step, is a short program: operations run in order by every thread that
 * joins. Each operation is cut into tasks by its shape alone; threads claim runs of tasks, each its share of those that
 * are left. So nobody waits for a thread that is late, asleep or dead, unless it holds claimed tasks.
 *
 * Protocol (js/engine/pool.js is the other half)
 *   - One DISPATCHER (the thread that owns the runtime) writes the operations, calls cmha_program_begin, then bumps
 *     control->epoch and notifies it. WORKERS sit in cmha_worker_wait until the epoch changes, then call
 *     cmha_program_run. The dispatcher calls cmha_program_run too if it may block, or cmha_program_part until it has
 *     completed, else it waits for a message from the worker whose run returned CMHA_RUN_LAST.
 *   - Every claim and every completion is one atomic operation on a 64-bit word that carries the program's epoch in its
 *     upper half: a thread that wakes late, with an old epoch, claims nothing and returns. Operations are only
 *     rewritten after all tasks of the program have completed, and a claimed task always belongs to a program that
 *     has not. That is the whole safety argument.
 *   - An operation with CMHA_OP_CONCURRENT may start before the ones ahead of it have completed; any other waits for
 *     all.
 *   - A waiting thread spins control->spin times, then sleeps in memory.atomic.wait32 in slices, and gives up with
 *     CMHA_RUN_STALLED when control->progress stands still for CMHA_STALL_SLICES slices, or with CMHA_RUN_FAILED when
 *     control->failed is set. The pool then revokes the program (js/engine/pool.js). */

/* Every operation: X(KIND, object, arguments). KIND counts from 1 and is what CMHA_OP_... is; `object` is the table
 * entry (`const operation object`, see ops/operation.h) at the end of the file that computes it; `arguments` its
 * struct. */
#define CMHA_OPERATIONS(X) \
    X(LINEAR, linear, cmha_linear) \
    X(ATTENTION, attention, cmha_attention) \
    X(ATTENTION_MERGE, attention_merge, cmha_attention) \
    X(LAYER_NORM, layer_norm, cmha_norm) \
    X(EMBED, embed, cmha_embed) \
    X(ROPE_TABLE, rope_table, cmha_rope_table) \
    X(ROPE, rope, cmha_rope) \
    X(GATE, gate, cmha_gate) \
    X(STORE, store, cmha_transfer) \
    X(LOAD, load, cmha_transfer) \
    X(TURN, turn, cmha_turn) \
    X(QUANTIZE, quantize, cmha_quantize) \
    X(CONVOLVE, convolve, cmha_convolve)

enum {
    CMHA_OP_NONE = 0,
#define X(KIND, object, arguments) CMHA_OP_##KIND,
    CMHA_OPERATIONS(X)
#undef X
};

enum { CMHA_OP_CONCURRENT = 1 };

typedef struct cmha_op {
    uint64_t claim;         /* epoch << 32 | tasks not yet claimed */
    uint64_t done;          /* epoch << 32 | tasks not yet completed */
    uint32_t kind;
    uint32_t flags;
    uint32_t tasks;         /* set by cmha_program_begin */
    uint32_t sleepers;      /* threads asleep on `done` */
    uint32_t most;          /* tasks that one claim may take, set by cmha_program_begin */
    union {
#define X(KIND, object, arguments) arguments object;
        CMHA_OPERATIONS(X)
#undef X
    } u;
} cmha_op;

typedef struct cmha_control {
    uint32_t epoch;         /* waited on by workers; bumped once per program; bit 31 set = shut down */
    uint32_t failed;        /* nonzero: a thread trapped; everybody gives up */
    uint32_t progress;      /* completed tasks, wrapping */
    uint32_t spin;          /* iterations to spin before sleeping */
    cmha_op *ops;           /* the program's first operation; memory there only ever holds operations */
    uint32_t count;         /* number of operations */
    uint32_t threads;       /* threads that may join, the dispatcher included: sizes thread-private scratch */
    uint32_t sleepers;      /* workers asleep on `epoch` */
} cmha_control;

enum { CMHA_RUN_DONE = 0, CMHA_RUN_LAST = 1, CMHA_RUN_PAUSED = 2, CMHA_RUN_FAILED = -1, CMHA_RUN_STALLED = -2 };
enum { CMHA_SLICE_MS = 50, CMHA_STALL_SLICES = 16 };

/* What the recorder of a program asks of an operation whose fields are written, all but `scratch`:
 *   cmha_op_scratch   bytes that its `scratch` must have, when run by `threads` threads
 *   cmha_op_next      kind of the operation that has to follow it with the same arguments (its second phase), or 0 */
CMHA_API double cmha_op_scratch(const cmha_op *op, size_t threads);
CMHA_API uint32_t cmha_op_next(const cmha_op *op);

/* Multiply-adds of a program, about. Depends on shapes alone: it decides whether waking other threads can pay. */
CMHA_API double cmha_program_work(const cmha_op *ops, uint32_t count);

/* A fingerprint of this header: JavaScript generated from another one must not run this binary. */
CMHA_API uint32_t cmha_interface(void);

/* Cuts every operation into tasks and arms claim and done with `epoch` (the value control->epoch is about to take). */
CMHA_API void cmha_program_begin(cmha_op *ops, uint32_t count, uint32_t epoch);

/* Joins the program of `epoch` as thread number `thread` < control->threads (0 = dispatcher). Returns CMHA_RUN_*: LAST
 * to exactly one thread, the one that completed the last task; DONE to the others. Thread 0 returns when the program
 * has completed, the others as soon as there is nothing left to claim. An operation without work (T = 0) has one empty
 * task. */
CMHA_API int32_t cmha_program_run(cmha_control *control, uint32_t epoch, uint32_t thread);

/* The dispatcher's, who may have more to do meanwhile: joins for about `budget` multiply-adds of its own, then returns PAUSED,
 * unless the program has completed before. To be called again until it does not; the others go on meanwhile. What it has begun it
 * completes: a budget bounds time but for one task, and for waiting for others to complete theirs. */
CMHA_API int32_t cmha_program_part(cmha_control *control, uint32_t epoch, double budget);

/* Blocks until control->epoch != seen; returns the new epoch, with bit 31 set on shut-down. Workers only. */
CMHA_API uint32_t cmha_worker_wait(cmha_control *control, uint32_t seen);

#ifdef __cplusplus
}
#endif
#endif
