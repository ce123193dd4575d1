/* program.c: programs of operations, run by whoever joins. The protocol stands in cmha.h.
 *
 * Completion is counted per GROUP: an operation without CMHA_OP_CONCURRENT and those with it that follow. The `done`
 * word of a group's last operation counts that operation's tasks and the group's other operations, so that a waiting
 * thread watches one word, and the thread that brings the last group's word to zero knows that it was the last. */
#ifndef __wasm__
#define _POSIX_C_SOURCE 200809L
#include <time.h>
#endif
#include "ops/operation.h"
#include <assert.h>

static const operation *const operations[] = {
    [CMHA_OP_NONE] = NULL,
#define X(KIND, object, arguments) [CMHA_OP_##KIND] = &object,
    CMHA_OPERATIONS(X)
#undef X
};

static const operation *of(const cmha_op *op)
{
    assert(op->kind > CMHA_OP_NONE && op->kind < sizeof operations / sizeof *operations);
    return operations[op->kind];
}

/* An operation without work still has a task, an empty one: somebody has to be the last. */
static uint32_t op_tasks(const cmha_op *op)
{
    size_t n = of(op)->tasks(&op->u);
    return n ? (uint32_t) n : 1;
}

double cmha_op_scratch(const cmha_op *op, size_t threads)
{
    return of(op)->scratch ? of(op)->scratch(&op->u, threads) : 0.0;
}

uint32_t cmha_op_next(const cmha_op *op)
{
    return of(op)->next ? of(op)->next(&op->u) : CMHA_OP_NONE;
}

double cmha_program_work(const cmha_op *ops, uint32_t count)
{
    double total = 0.0;
    for (uint32_t i = 0; i < count; i++) total += of(ops + i)->work(&ops[i].u);
    return total;
}

#ifndef CMHA_INTERFACE
#define CMHA_INTERFACE 0    /* native builds have no JavaScript beside them */
#endif

uint32_t cmha_interface(void)
{
    return CMHA_INTERFACE;
}

/* What one task counts for: multiply-adds, and something for those that multiply nothing. */
static double task_cost(const cmha_op *op)
{
    return of(op)->work(&op->u) / (double) op->tasks + 10000.0;
}

/* Nobody waits for more multiply-adds than these of one claim, or for one task. */
static const double MOST_CLAIMED = 1 << 21;

/* Tasks that take no more than `work`; at least one. */
static uint32_t tasks_within(double work, double cost)
{
    return work < cost ? 1 : (uint32_t) (work / cost);
}

void cmha_program_begin(cmha_op *ops, uint32_t count, uint32_t epoch)
{
    uint64_t stamp = (uint64_t) epoch << 32;
    uint32_t others = 0;    /* operations of this group that have been passed */
    for (uint32_t i = 0; i < count; i++) {
        cmha_op *op = ops + i;
        if (!(op->flags & CMHA_OP_CONCURRENT)) others = 0;
        int last = i + 1 == count || !(op[1].flags & CMHA_OP_CONCURRENT);
        op->tasks = op_tasks(op);
        op->most = tasks_within(MOST_CLAIMED, task_cost(op));
        __atomic_store_n(&op->sleepers, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&op->done, stamp | (op->tasks + (last ? others : 0)), __ATOMIC_SEQ_CST);
        __atomic_store_n(&op->claim, stamp | op->tasks, __ATOMIC_SEQ_CST);
        others++;
    }
}

/* ------------------------------------------------------------------------------------------------ sleeping */

/* Sleeps while *word == seen, until notified or, with `sliced`, for at most one slice.
 * V8 up to version 11 (Node 20) may lose locals across a wait, in code of its baseline compiler. So this is a function of
 * its own, in which nothing is used after the wait; neither clang nor wasm-opt (CMakeLists.txt) may inline it. A call
 * keeps its caller's locals. tests/property/sleep.test.js fails where they are lost. */
#ifdef __wasm__
static __attribute__((noinline)) void sleep_u32(uint32_t *word, uint32_t seen, int sliced)
{
    __builtin_wasm_memory_atomic_wait32((int *) word, (int) seen, sliced ? CMHA_SLICE_MS * 1000000ll : -1ll);
}
static void wake(void *word)
{
    __builtin_wasm_memory_atomic_notify((int *) word, ~0u);
}
#else
static void slice(void)
{
    struct timespec t = { 0, CMHA_SLICE_MS * 1000000l / 100 };
    nanosleep(&t, NULL);
}
static void sleep_u32(uint32_t *word, uint32_t seen, int sliced)
{
    for (int i = 0; (i < 100 || !sliced) && __atomic_load_n(word, __ATOMIC_SEQ_CST) == seen; i++) slice();
}
static void wake(void *word)
{
    (void) word;
}
#endif

/* ------------------------------------------------------------------------------------------------ running */

enum { GO_ON = 2 };

/* Waits until nothing of `epoch` is left in op->done: GO_ON. CMHA_RUN_DONE: another program has begun meanwhile.
 * `done` is read by halves, count before epoch, which is as good: the epoch only ever changes with the count, and a
 * count read before its epoch was still the same belongs to it. */
static int32_t wait_done(cmha_control *control, cmha_op *op, uint32_t epoch)
{
    uint32_t *half = (uint32_t *) (void *) &op->done;
    uint32_t progress = 0, still = 0;
    for (uint32_t turn = 0;; turn++) {
        uint32_t left = __atomic_load_n(half, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(half + 1, __ATOMIC_SEQ_CST) != epoch) return CMHA_RUN_DONE;
        if (left == 0) return GO_ON;
        if (__atomic_load_n(&control->failed, __ATOMIC_SEQ_CST)) return CMHA_RUN_FAILED;
        if (turn < control->spin) continue;
        /* The flag goes up before the value is compared: whoever changes it to zero later sees the flag. It comes down
         * only in cmha_program_begin. If another program has begun and its count happens to be the same, this thread
         * misses at most one slice of it. */
        __atomic_store_n(&op->sleepers, 1, __ATOMIC_SEQ_CST);
        sleep_u32(half, left, 1);
        uint32_t now = __atomic_load_n(&control->progress, __ATOMIC_SEQ_CST);
        still = now == progress ? still + 1 : 0;
        progress = now;
        if (still >= CMHA_STALL_SLICES) return CMHA_RUN_STALLED;
    }
}

/* Takes n off op->done; nonzero if those were the last of it. */
static int complete(cmha_op *op, uint32_t n)
{
    if ((uint32_t) __atomic_sub_fetch(&op->done, n, __ATOMIC_SEQ_CST) != 0) return 0;
    if (__atomic_load_n(&op->sleepers, __ATOMIC_SEQ_CST)) wake(&op->done);
    return 1;
}

/* Tasks to claim at once of `left`: a share of them, since weights come fastest in one long run, and since a claim takes
 * as long as a short task where others claim too. The shares get smaller towards the end, so that all threads end at
 * about the same time. */
static uint32_t claim_size(uint32_t left, uint32_t threads, uint32_t most)
{
    uint32_t share = (left + threads - 1) / threads;
    return share < most ? share : most;
}

/* Claims and runs tasks of op until none is left, or the budget, where there is one, is spent; nonzero if the group that
 * `tail` closes was completed here. */
static int run_op(cmha_control *control, cmha_op *op, cmha_op *tail, uint32_t epoch, uint32_t thread, double *budget)
{
    int last = 0;
    uint32_t threads = __atomic_load_n(&control->threads, __ATOMIC_RELAXED);
    uint64_t seen = __atomic_load_n(&op->claim, __ATOMIC_SEQ_CST);
    double cost = budget && (uint32_t) seen ? task_cost(op) : 0.0;
    while (seen >> 32 == epoch && (uint32_t) seen != 0) {
        /* What a late thread reads here may be of another program: then the exchange fails. */
        uint32_t most = __atomic_load_n(&op->most, __ATOMIC_RELAXED);
        if (budget && *budget < most * cost) most = tasks_within(*budget, cost);
        uint32_t n = claim_size((uint32_t) seen, threads, most);
        if (!__atomic_compare_exchange_n(&op->claim, &seen, seen - n, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) continue;
        uint32_t first = op->tasks - (uint32_t) seen;
        of(op)->run(&op->u, first, first + n, thread);
        __atomic_add_fetch(&control->progress, n, __ATOMIC_SEQ_CST);
        int closed = complete(op, n);
        if (closed && op != tail) closed = complete(tail, 1);
        last |= closed;
        if (budget && (*budget -= n * cost) <= 0.0) break;
        seen = __atomic_load_n(&op->claim, __ATOMIC_SEQ_CST);
    }
    return last;
}

/* The last operation of the group that begins at `first`. A thread that is late may see another program's flags here;
 * it then finds no task of its epoch to claim and nothing to wait for. */
static uint32_t group_end(cmha_op *ops, uint32_t first, uint32_t count)
{
    uint32_t tail = first;
    while (tail + 1 < count && (__atomic_load_n(&ops[tail + 1].flags, __ATOMIC_RELAXED) & CMHA_OP_CONCURRENT)) tail++;
    return tail;
}

static int32_t run(cmha_control *control, uint32_t epoch, uint32_t thread, double *budget)
{
    /* The count first: a thread that is late then never pairs old operations with the count of newer, larger memory. */
    uint32_t count = __atomic_load_n(&control->count, __ATOMIC_SEQ_CST), tail = 0;
    cmha_op *ops = __atomic_load_n(&control->ops, __ATOMIC_SEQ_CST);
    int last = 1;
    for (uint32_t first = 0; first < count; first = tail + 1) {
        int32_t state = last ? GO_ON : wait_done(control, ops + tail, epoch);
        if (state != GO_ON) return state;
        tail = group_end(ops, first, count);
        last = 0;
        for (uint32_t i = first; i <= tail; i++) {
            if (__atomic_load_n(&control->failed, __ATOMIC_SEQ_CST)) return CMHA_RUN_FAILED;
            last |= run_op(control, ops + i, ops + tail, epoch, thread, budget);
            int over = last && tail + 1 == count;
            if (budget && *budget <= 0.0 && !over) return CMHA_RUN_PAUSED;
        }
    }
    if (count == 0) return CMHA_RUN_DONE;
    if (last) return CMHA_RUN_LAST;
    if (thread != 0) return CMHA_RUN_DONE;
    int32_t state = wait_done(control, ops + tail, epoch);
    return state == GO_ON ? CMHA_RUN_DONE : state;
}

int32_t cmha_program_run(cmha_control *control, uint32_t epoch, uint32_t thread)
{
    return run(control, epoch, thread, NULL);
}

int32_t cmha_program_part(cmha_control *control, uint32_t epoch, double budget)
{
    return run(control, epoch, 0, &budget);
}

uint32_t cmha_worker_wait(cmha_control *control, uint32_t seen)
{
    for (uint32_t turn = 0;; turn++) {
        uint32_t epoch = __atomic_load_n(&control->epoch, __ATOMIC_SEQ_CST);
        if (epoch != seen) return epoch;
        if (turn < control->spin) continue;
        __atomic_add_fetch(&control->sleepers, 1, __ATOMIC_SEQ_CST);
        sleep_u32(&control->epoch, seen, 0);
        __atomic_sub_fetch(&control->sleepers, 1, __ATOMIC_SEQ_CST);
    }
}
