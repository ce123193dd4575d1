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

/* ------------------------------------------------------------------------------------------ half precision */

/* Rounding of a stored float to a narrower type's grid (ties to even, overflow to infinity, subnormals kept).
 * Half policies compute in float and round where Keras's arrays would have been narrow. */
enum { CMHA_ROUND_NONE = 0, CMHA_ROUND_F16 = 1, CMHA_ROUND_BF16 = 2 };

/* y[i] = round(x[i]), i < n. May run in place. */
CMHA_API void cmha_round_f32(float *y, const float *x, size_t n, uint32_t mode);

/* y[i] = (float) x[i]: exact widening of binary16 / bfloat16 bits. */
CMHA_API void cmha_widen_f16(float *y, const uint16_t *x, size_t n);
CMHA_API void cmha_widen_bf16(float *y, const uint16_t *x, size_t n);

/* ---------------------------------------------------------------------------------------------- the cache */

/* Keys and values lie in pages of `page` positions: CMHA_PAGE of them, or fewer where one page holds the whole cache. A
 * page is one block with the keys and values of ALL key/value heads of one batch entry, so that a cache grows, shrinks,
 * is shared and reordered by lists of pages. Inside it they are head-major, so that attention streams them in order:
 *   keys:   [G][page / 8][D][8]   panels of 8 positions: QK^T is then the same multiply as a projection
 *   values: [G][page][V]
 * The public shape stays Keras's [B, 2, S, G, D]. Positions at and beyond S are never used. */
enum { CMHA_PAGE = 256 };

/* How numbers are kept. */
enum { CMHA_KEPT_F32 = 0 };

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
    uint32_t round;         /* store: how numbers are rounded on their way */
} cmha_transfer;

/* All of it in the calling thread; as operations (STORE, LOAD) all threads share it. */
CMHA_API void cmha_cache_store(const cmha_transfer *a);
CMHA_API void cmha_cache_load(const cmha_transfer *a);

/* ---------------------------------------------------------------------------------------------- linear */

enum {
    CMHA_ACTIVATION_NONE = 0, CMHA_ACTIVATION_RELU = 1, CMHA_ACTIVATION_GELU_TANH = 2, CMHA_ACTIVATION_GELU_ERF = 3,
    CMHA_ACTIVATION_SILU = 4,   /* x / (1 + exp(-x)), also called swish */
    CMHA_ACTIVATION_SIGMOID = 5 /* 1 / (1 + exp(-x)) */
};

/* Where element (row r, column c) of a projection goes.
 *   ROWS:    y[r * y_stride + c]
 *   KEYS:    key of batch r / t, head c / D, position index + r % t, element c % D in a cache
 *   VALUES:  value of batch r / t, head c / V, the same position, element c % V */
enum { CMHA_LAYOUT_ROWS = 0, CMHA_LAYOUT_KEYS = 1, CMHA_LAYOUT_VALUES = 2 };

/* y = cap(round(activation(round(round(x W) + b))) * scale) + residual, cap(z) = softcap * tanh(z / softcap); rounding only if
 * `round` asks for it (then also after adding the residual). One row is a matrix-vector product, more go by register tiles. */
typedef struct cmha_linear {
    const float *x;         /* [rows][K], row stride x_stride */
    size_t x_stride;
    size_t rows, k, n;
    const float *w;         /* packed [K][N] */
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
    float scale;            /* 0: none */
    float softcap;          /* 0: none */
} cmha_linear;

/* Rows [row0, row1) and columns [n0, n1) of the product; n0 is a multiple of CMHA_PANEL. */
CMHA_API void cmha_linear_f32(const cmha_linear *a, size_t row0, size_t row1, size_t n0, size_t n1);

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
 * p = softmax over j of scale * (q[b, i, h, :] . keys[b, g(h), j, :]), capped, masked. Source: Vaswani et al. 2017, section
 * 3.2.1; streaming form: Milakov & Gimelshein 2018, Dao et al. 2022; the two masked forms: Keras 3.15.
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
    size_t causal_offset;   /* position of query 0 (the cache update index), with CMHA_ATTEND_CAUSAL or a window */
    size_t window;          /* 0, or: position j is kept for query i only when i + causal_offset - j < window; earlier
                             * ones are not read */
    float softcap;          /* 0, or: a logit x becomes softcap * tanh(x / softcap), before the mask */
    float dropout;          /* explicit form: rate in [0, 1]; 0 = none. A kept probability is divided by 1 - rate */
    uint32_t seed[2];       /* dropout: Threefry-2x32 (20 rounds; Salmon et al. 2011) under this key. Position j of row
                             * (b, h, i) takes word j % 2 for the counter ((b * H + h) * T + i, j / 2): it is kept if
                             * the word's upper 24 bits, as a fraction, are not below the rate */
    uint32_t round;         /* half policies: rounding of logits (explicit), probabilities and outputs */
} cmha_attention;

/* ---------------------------------------------------------------------------------------------- small operations */

enum { CMHA_NORMALIZE_LAYER = 0, CMHA_NORMALIZE_RMS = 1 };

/* Each row is `groups` groups of n, each normed by itself:
 *   LAYER  z = (x - mean) / sqrt(variance + epsilon)     (Ba et al. 2016)
 *   RMS    z = x / sqrt(mean of squares + epsilon)       (Zhang & Sennrich 2019)
 * and y = (z * (gamma + offset) + beta) * scale + residual. May run in place; y may be the residual. */
typedef struct cmha_norm {
    const float *x;         /* [rows][groups * n], row stride x_stride */
    size_t x_stride;
    float *y;               /* [rows][groups * n], row stride y_stride */
    size_t y_stride;
    size_t rows, n;
    const float *gamma;     /* group g: [n] at gamma + g * gamma_stride; NULL: ones */
    const float *beta;      /* the same, or NULL (0) */
    float epsilon;
    uint32_t kind;
    size_t groups;
    size_t gamma_stride;    /* 0: all groups share them */
    float offset;
    float scale;            /* with a residual alone */
    const float *residual;  /* [rows][groups * n], row stride residual_stride, or NULL: neither scale nor residual */
    size_t residual_stride;
} cmha_norm;
CMHA_API void cmha_norm_f32(const cmha_norm *a, size_t row0, size_t row1);

/* Rotary positions (Su et al. 2021): table[r] holds scale * cos, then scale * sin, of positions[r] * frequencies[i], i < half,
 * each rounded once from double. */
typedef struct cmha_rope_table {
    const uint32_t *positions;  /* [rows] */
    const double *frequencies;  /* [half], radians per position */
    float *table;               /* [rows][2 * half] */
    size_t rows, half;
    float scale;
} cmha_rope_table;
CMHA_API void cmha_rope_table_f32(const cmha_rope_table *a, size_t row0, size_t row1);

/* What is rotated together in the first 2 * half elements of a head: i with i + half, or 2 i with 2 i + 1. */
enum { CMHA_PAIRING_HALVES = 0, CMHA_PAIRING_ADJACENT = 1 };

/* (a, b) becomes round(a cos - b sin, b cos + a sin), in place. */
typedef struct cmha_rope {
    float *x;               /* [rows][heads][D], row stride x_stride */
    size_t x_stride;
    size_t rows, heads, d, half;
    const float *table;     /* row r at table + r * table_stride, as above; stride 0: one for all */
    size_t table_stride;
    uint32_t pairing;
    uint32_t round;
} cmha_rope;
CMHA_API void cmha_rope_f32(const cmha_rope *a, size_t row0, size_t row1);

/* y = round(round(activation(a)) * b). y may be a or b. */
typedef struct cmha_gate {
    const float *a;         /* [rows][n], row stride a_stride */
    size_t a_stride;
    const float *b;
    size_t b_stride;
    float *y;
    size_t y_stride;
    size_t rows, n;
    uint32_t activation;
    uint32_t round;
} cmha_gate;
CMHA_API void cmha_gate_f32(const cmha_gate *a, size_t row0, size_t row1);

/* y[r] = scale * column tokens[r] of the packed [K][N] matrix (a tied embedding) + table[positions[r]]. */
typedef struct cmha_embed {
    const uint32_t *tokens; /* [rows], each < N */
    size_t rows;
    const float *w;         /* packed [K][N] */
    size_t k, n;
    float scale;            /* 0: none */
    const float *table;     /* [length][K] of learned positions, or NULL */
    const uint32_t *positions; /* [rows], each < length; with a table */
    float *y;               /* [rows][K] */
} cmha_embed;
CMHA_API void cmha_embed_f32(const cmha_embed *a, size_t row0, size_t row1);

/* y[i] = activation(x[i]), i < n. May run in place. */
CMHA_API void cmha_activation_f32(float *y, const float *x, size_t n, uint32_t activation);

/* y = softmax(scale * x), i < n; scale positive. May run in place. NaN among x: all of y is. */
CMHA_API void cmha_softmax_f32(float *y, const float *x, size_t n, float scale);

/* ---------------------------------------------------------------------------------------------- programs */

/* A call of the layer, or a whole decoder step, is a short program: operations run in order by every thread that
 * joins. Each operation is cut into tasks by its shape alone; threads claim tasks one by one. So nobody waits for a
 * thread that is late, asleep or dead, unless it holds a claimed task.
 *
 * Protocol (js/engine/pool.js is the other half)
 *   - One DISPATCHER (the thread that owns the runtime) writes the operations, calls cmha_program_begin, then bumps
 *     control->epoch and notifies it. WORKERS sit in cmha_worker_wait until the epoch changes, then call
 *     cmha_program_run.
 *     The dispatcher calls cmha_program_run too if it may block, else it waits for a message from the worker whose run
 *     returned CMHA_RUN_LAST.
 *   - Every claim and every completion is one atomic operation on a 64-bit word that carries the program's epoch in its
 *     upper half: a thread that wakes late, with an old epoch, claims nothing and returns. Operations are only
 *     rewritten after all tasks of the program have completed, and a claimed task always belongs to a program that
 *     has not. That is the whole safety argument.
 *   - An operation with CMHA_OP_CONCURRENT may start before the ones ahead of it have completed; any other waits for
 *     all.
 *   - A waiting thread spins control->spin times, then sleeps in memory.atomic.wait32 in slices, and gives up with
 *     CMHA_RUN_STALLED when control->progress stands still for CMHA_STALL_SLICES slices, or with CMHA_RUN_FAILED when
 *     control->failed is set. The pool then fails closed. */

/* Every operation: X(KIND, object, arguments). KIND counts from 1 and is what CMHA_OP_... is; `object` is the table entry
 * (`const operation object`, see ops/operation.h) at the end of the file that computes it; `arguments` its struct. */
#define CMHA_OPERATIONS(X) \
    X(LINEAR, linear, cmha_linear) \
    X(ATTENTION, attention, cmha_attention) \
    X(ATTENTION_MERGE, attention_merge, cmha_attention) \
    X(NORM, norm, cmha_norm) \
    X(EMBED, embed, cmha_embed) \
    X(ROPE_TABLE, rope_table, cmha_rope_table) \
    X(ROPE, rope, cmha_rope) \
    X(GATE, gate, cmha_gate) \
    X(STORE, store, cmha_transfer) \
    X(LOAD, load, cmha_transfer)

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

enum { CMHA_RUN_DONE = 0, CMHA_RUN_LAST = 1, CMHA_RUN_FAILED = -1, CMHA_RUN_STALLED = -2 };
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

/* Blocks until control->epoch != seen; returns the new epoch, with bit 31 set on shut-down. Workers only. */
CMHA_API uint32_t cmha_worker_wait(cmha_control *control, uint32_t seen);

#ifdef __cplusplus
}
#endif
#endif
