/* The program protocol with real threads: thousands of short programs on changing operations, late workers, shut-down.
 * Results must be those of one thread, to the bit, and exactly one thread must have been the last. */
#include "native.h"
#include <pthread.h>

enum { WORKERS = 3, PROGRAMS = 3000, OPS = 6, ROWS = 9, K = 70, N = 900 };

typedef struct pool {
    cmha_control control;
    uint32_t last;          /* programs of which some worker was the last */
} pool;

typedef struct worker {
    pool *pool;
    uint32_t number;
} worker;

static void *work(void *argument)
{
    worker *w = argument;
    uint32_t epoch = 0;
    for (;;) {
        epoch = cmha_worker_wait(&w->pool->control, epoch);
        if (epoch >> 31) return NULL;
        int32_t state = cmha_program_run(&w->pool->control, epoch, w->number);
        CHECK(state == CMHA_RUN_DONE || state == CMHA_RUN_LAST, "worker %u: %d", w->number, state);
        if (state == CMHA_RUN_LAST) __atomic_add_fetch(&w->pool->last, 1, __ATOMIC_SEQ_CST);
    }
}

/* A chain: two concurrent projections of x, a norm of the first, a projection of that on top of the second; a tail. */
static void record(cmha_op *ops, const float *x, const float *const w[3], const float *gamma, float *const y[4],
    size_t rows)
{
    cmha_linear first = { .x = x, .x_stride = K, .rows = rows, .k = K, .n = K, .w = w[0], .y = y[0], .y_stride = K };
    cmha_linear wide = { .x = x, .x_stride = K, .rows = rows, .k = K, .n = N, .w = w[1], .y = y[1], .y_stride = N };
    cmha_norm norm = { .x = y[0], .x_stride = K, .y = y[2], .y_stride = K, .rows = rows, .n = K, .gamma = gamma,
        .epsilon = 1e-5f };
    cmha_linear second = { .x = y[2], .x_stride = K, .rows = rows, .k = K, .n = N, .w = w[2], .residual = y[1],
        .residual_stride = N, .y = y[3], .y_stride = N };
    /* Workers that are late may still look at flags, claim and done: the last two are left to cmha_program_begin. */
    for (int i = 0; i < OPS; i++) {
        int concurrent = i == 1 || i == 5;
        ops[i].kind = i == 2 || i == 4 ? CMHA_OP_LAYER_NORM : CMHA_OP_LINEAR;
        __atomic_store_n(&ops[i].flags, concurrent ? CMHA_OP_CONCURRENT : 0, __ATOMIC_SEQ_CST);
        if (ops[i].kind == CMHA_OP_LAYER_NORM) ops[i].u.layer_norm = norm;
        else ops[i].u.linear = i == 0 ? first : i == 3 ? second : wide;
    }
}

int main(void)
{
    uint64_t r = 4;
    float *x = floats(&r, ROWS * K), *gamma = floats(&r, K);
    float *plain[3] = { floats(&r, K * K), floats(&r, K * N), floats(&r, K * N) };
    const float *w[3] = { packed(plain[0], K, K), packed(plain[1], K, N), packed(plain[2], K, N) };
    float *y[4] = { unset(ROWS * K), unset(ROWS * N), unset(ROWS * K), unset(ROWS * N) }, *expected = unset(ROWS * N);
    cmha_op ops[OPS] = { 0 };
    record(ops, x, w, gamma, y, ROWS);
    run_alone(ops, OPS);
    memcpy(expected, y[3], ROWS * N * sizeof *expected);

    pool p = { .control = { .spin = 200, .ops = ops, .threads = WORKERS + 1 } };
    pthread_t threads[WORKERS];
    worker workers[WORKERS];
    for (uint32_t i = 0; i < WORKERS; i++) {
        workers[i] = (worker) { &p, i + 1 };
        CHECK(pthread_create(&threads[i], NULL, work, &workers[i]) == 0, "thread %u", i);
    }
    uint32_t mine = 0;
    for (uint32_t epoch = 1; epoch <= PROGRAMS; epoch++) {
        size_t rows = epoch % (ROWS + 1);
        uint32_t count = rows == 0 || epoch % 5 ? OPS : 4;
        record(ops, x, w, gamma, y, rows);
        __atomic_store_n(&p.control.count, count, __ATOMIC_SEQ_CST);
        cmha_program_begin(ops, count, epoch);
        __atomic_store_n(&p.control.epoch, epoch, __ATOMIC_SEQ_CST);
        int32_t state = CMHA_RUN_PAUSED;
        /* One program in three is run by parts of a task each. */
        if (epoch % 3) state = cmha_program_run(&p.control, epoch, 0);
        while (state == CMHA_RUN_PAUSED) state = cmha_program_part(&p.control, epoch, 1.0);
        CHECK(state == CMHA_RUN_DONE || state == CMHA_RUN_LAST, "program %u: %d", epoch, state);
        mine += state == CMHA_RUN_LAST;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t done = __atomic_load_n(&ops[i].done, __ATOMIC_SEQ_CST);
            CHECK((uint32_t) done == 0, "program %u, operation %u is done", epoch, i);
        }
        CHECK(memcmp(y[3], expected, rows * N * sizeof *expected) == 0, "program %u: bits unlike one thread's", epoch);
        memset(y[3], 0, ROWS * N * sizeof **y);
    }
    __atomic_store_n(&p.control.epoch, 1u << 31, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    CHECK(mine + p.last == PROGRAMS, "%u + %u programs had a last thread", mine, p.last);

    p.control.count = 0;
    CHECK(cmha_program_run(&p.control, PROGRAMS, 0) == CMHA_RUN_DONE, "nothing to do");

    /* Failure: a program whose only task nobody completes is given up by those who wait for it. */
    record(ops, x, w, gamma, y, ROWS);
    p.control.count = 3;
    cmha_program_begin(ops, 3, PROGRAMS + 1);
    ops[0].claim = (uint64_t) (PROGRAMS + 1) << 32;     /* somebody claimed all of it and is gone */
    p.control.failed = 1;
    CHECK(cmha_program_run(&p.control, PROGRAMS + 1, 0) == CMHA_RUN_FAILED, "failed");
    p.control.failed = 0;
    CHECK(cmha_program_run(&p.control, PROGRAMS + 1, 0) == CMHA_RUN_STALLED, "stalled");
    for (int i = 0; i < 3; i++) { free(plain[i]); free((void *) (uintptr_t) w[i]); }
    for (int i = 0; i < 4; i++) free(y[i]);
    free(x); free(gamma); free(expected);
    return 0;
}
