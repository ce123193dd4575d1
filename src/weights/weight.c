/* weight.c: weights of every type between files, their packed form and floats. */
#include "weights/weight.h"
#include <assert.h>

static const weight_type *const types[] = {
#define X(NAME, object, block, bytes, ggml) [CMHA_WEIGHT_##NAME] = &weight_##object,
    CMHA_WEIGHT_TYPES(X)
#undef X
};

const weight_type *weight_type_of(uint32_t type)
{
    assert(type < sizeof types / sizeof *types);
    return types[type];
}

/* Puts a block among the eight that are packed together. */
static void place_block(const weight_type *t, uint8_t *packed, const uint8_t *block, size_t lane)
{
    uint8_t arranged[MOST_BYTES];
    if (t->arrange) {
        t->arrange(arranged, block);
        block = arranged;
    }
    const uint8_t *end = block + t->bytes, *words = block + 2 * t->head;
    const uint32_t lift = t->lift ? dot_lift() : 0;
    uint8_t *to = packed + 2 * lane;
    for (; block != words; block += 2, to += HALF_FIELD) memcpy(to, block, 2);
    for (to += 2 * lane; block != end; block += 4, to += WORD_FIELD) {
        uint32_t word;
        memcpy(&word, block, 4);
        word ^= lift;
        memcpy(to, &word, 4);
    }
}

/* The same of many blocks of one number of so many bytes. */
static void place_numbers(uint8_t *to, const uint8_t *from, size_t bytes, size_t count)
{
    const uint8_t *end = from + bytes * count;
    if (bytes == 2) for (; from != end; from += 2, to += 2 * CMHA_PANEL) memcpy(to, from, 2);
    else for (; from != end; from += 4, to += 4 * CMHA_PANEL) memcpy(to, from, 4);
}

double cmha_weight_bytes(uint32_t type, double k, double n)
{
    const weight_type *t = weight_type_of(type);
    double panels = __builtin_ceil(n / CMHA_PANEL);
    return panels * CMHA_PANEL * __builtin_ceil(k / t->block) * t->bytes;
}

/* Four outputs' values of a run. */
static void run_values(const weight_dot *dot, const unpacked *u, size_t s, size_t half, float *y)
{
    const uint8_t *word = words_of(u, dot->run, s, dot->bits);
    i4 zero = i4_splat(-dot->zero), lift = i4_splat(dot->bits == 8 ? (int32_t) dot_lift() : 0);
    for (size_t i = 0; i < dot->run; i += 4, word += WORD_FIELD) {
        for (uint32_t j = 0; j < 4; j++) {
            i4 bytes = i4_xor(word_field(word, half), lift);
            i4 quant = i4_add(dot->bits == 8 ? signed_byte(bytes, j) : unsigned_byte(bytes, j), zero);
            f4 value = f4_mul(u->scales.scale[s][half], i4_float(quant));
            f4_store(y + (i + j) * CMHA_PANEL + 4 * half, dot->offset ? f4_add(value, u->scales.offset[s][half]) : value);
        }
    }
}

void weight_panel(const weight_type *t, float *y, const uint8_t *blocks, size_t count)
{
    if (t->panel) {
        t->panel(y, blocks, count);
        return;
    }
    const weight_dot *dot = &t->dot;
    for (; count > 0; count--, blocks += t->bytes * CMHA_PANEL) {
        unpacked u;
        dot->unpack(&u, blocks, 1);
        for (size_t s = 0; s < t->block / dot->run; s++, y += dot->run * CMHA_PANEL) {
            for (size_t half = 0; half < 2; half++) run_values(dot, &u, s, half, y);
        }
    }
}

/* Blocks decoded at a time: one of 256 inputs, or as many inputs of the smaller ones. */
static size_t stretch_of(const weight_type *t)
{
    return t->block == 1 ? MOST_BLOCK / 2 : 1;
}

void cmha_weight_decode(uint32_t type, float *y, const void *blocks, size_t n)
{
    const weight_type *t = weight_type_of(type);
    const uint8_t *from = blocks;
    assert(n % t->block == 0);
    /* Eight blocks in a row are packed as if they belonged to eight outputs. */
    while (n > 0) {
        uint8_t packed[MOST_BYTES * CMHA_PANEL] __attribute__((aligned(16))) = { 0 };
        float z[MOST_BLOCK * CMHA_PANEL];
        size_t lanes = n / t->block < CMHA_PANEL ? n / t->block : CMHA_PANEL;
        for (size_t i = 0; i < lanes; i++, from += t->bytes) place_block(t, packed, from, i);
        weight_panel(t, z, packed, 1);
        for (size_t i = 0; i < lanes; i++, y += t->block) {
            for (size_t j = 0; j < t->block; j++) y[j] = z[j * CMHA_PANEL + i];
        }
        n -= lanes * t->block;
    }
}

/* The packed block that holds inputs j of outputs row ... */
static uint8_t *block_at(const weight_type *t, void *packed, size_t k, size_t row, size_t j)
{
    return (uint8_t *) packed + (row / CMHA_PANEL * blocks_of(t, k) + j / t->block) * t->bytes * CMHA_PANEL;
}

/* Zeros for the outputs that pad the last panel. */
static void pad(const weight_type *t, void *packed, size_t k, size_t n)
{
    static const uint8_t zeros[MOST_BYTES];
    for (size_t row = n; row % CMHA_PANEL != 0; row++) {
        for (size_t j = 0; j < k; j += t->block) {
            place_block(t, block_at(t, packed, k, row, j), zeros, row % CMHA_PANEL);
        }
    }
}

/* Decoded rows go to float32 panels, eight blocks of one row at a time. */
static void pack_decoded(uint32_t from, float *packed, const uint8_t *row, size_t k, size_t n)
{
    const weight_type *t = weight_type_of(from);
    float *to = packed + n / CMHA_PANEL * CMHA_PANEL * k + n % CMHA_PANEL;
    float z[MOST_BLOCK * CMHA_PANEL];
    for (size_t j = 0, count; j < k; j += count, row += count / t->block * t->bytes) {
        size_t most = (t->block == 1 ? MOST_BLOCK : t->block) * CMHA_PANEL;
        count = k - j < most ? k - j : most;
        cmha_weight_decode(from, z, row, count);
        for (size_t i = 0; i < count; i++) to[(j + i) * CMHA_PANEL] = z[i];
    }
}

void cmha_weight_pack(uint32_t type, void *packed, uint32_t from, const void *rows, size_t k, size_t n, size_t n0,
    size_t count)
{
    const weight_type *t = weight_type_of(type), *f = weight_type_of(from);
    const uint8_t *row = rows;
    size_t rest = k % f->block, row_bytes = k / f->block * f->bytes + rest;   /* I8 has a byte to an input */
    assert((rest == 0 || type == CMHA_WEIGHT_I8) && n0 + count <= n && (type == from || type == CMHA_WEIGHT_F32));
    for (size_t i = n0; i < n0 + count; i++, row += row_bytes) {
        if (type != from) {
            pack_decoded(from, packed, row, k, i);
            continue;
        }
        uint8_t *to = block_at(t, packed, k, i, 0);
        size_t lane = i % CMHA_PANEL;
        if (t->block == 1) {
            place_numbers(to + lane * t->bytes, row, t->bytes, k);
            continue;
        }
        const uint8_t *end = row + k / t->block * t->bytes;
        for (const uint8_t *block = row; block != end; block += t->bytes, to += t->bytes * CMHA_PANEL) place_block(t, to, block, lane);
        if (rest) {
            uint8_t last[BYTES_I8] = { 0 };
            memcpy(last, end, rest);
            place_block(t, to, last, lane);
        }
    }
    if (n0 + count == n) pad(t, packed, k, n);
}

/* Input j of an I8 matrix, for all outputs. */
static void place_bytes(const weight_type *t, void *packed, const uint8_t *row, size_t k, size_t n, size_t j)
{
    const size_t at = j % t->block;
    for (size_t i = 0; i < n; i++) {
        uint8_t *to = block_at(t, packed, k, i, j) + at / 4 * WORD_FIELD + i % CMHA_PANEL * 4 + at % 4;
        *to = (uint8_t) (row[i] ^ dot_lift() >> 8 * (at % 4));
    }
}

void cmha_weight_pack_inputs(uint32_t type, void *packed, uint32_t from, const void *rows, size_t stride, size_t k,
    size_t n, size_t k0, size_t count)
{
    const weight_type *t = weight_type_of(type), *f = weight_type_of(from);
    const uint8_t *row = rows;
    assert((f->block == 1 || type == CMHA_WEIGHT_I8) && k0 + count <= k && (type == from || type == CMHA_WEIGHT_F32));
    for (size_t j = k0; j < k0 + count; j++, row += stride * (f->bytes / f->block)) {
        if (type == CMHA_WEIGHT_I8) {
            place_bytes(t, packed, row, k, n, j);
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            uint8_t *to = block_at(t, packed, k, i, j);
            if (type == from) {
                place_numbers(to + i % CMHA_PANEL * t->bytes, row + i * f->bytes, t->bytes, 1);
            } else {
                float value;
                cmha_weight_decode(from, &value, row + i * f->bytes, 1);
                memcpy(to + i % CMHA_PANEL * sizeof value, &value, sizeof value);
            }
        }
    }
    if (k0 + count == k) pad(t, packed, k, n);
}

void cmha_weight_row(uint32_t type, float *y, const void *packed, size_t k, size_t row)
{
    const weight_type *t = weight_type_of(type);
    size_t stretch = stretch_of(t) * t->block;
    float z[MOST_BLOCK * CMHA_PANEL];
    const uint8_t *from = block_at(t, (void *) (uintptr_t) packed, k, row, 0);
    for (size_t j = 0, count; j < k; j += count, from += count / t->block * t->bytes * CMHA_PANEL) {
        count = k - j < stretch ? k - j : stretch;
        weight_panel(t, z, from, blocks_of(t, count));
        for (size_t i = 0; i < count; i++) y[j + i] = z[i * CMHA_PANEL + row % CMHA_PANEL];
    }
}
