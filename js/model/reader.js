// Reads tokens into caches: cuts long runs into passes and runs them. Hidden states and logits go where the caller wants them; choosing
// tokens is done elsewhere.

import { Tensor } from '../engine/tensor.js';
import { rangeError, typeError } from '../check.js';
import { NOTHING } from './pass-job.js';

/** @typedef {import('./network.js').Network} Network */
/** @typedef {import('./pass-job.js').PassJob} PassJob */
/** @typedef {import('./pass-job.js').Run} Run */
/** @typedef {import('./pass-job.js').Wanted} Wanted */

/** Most tokens of a pass: enough to make good use of every weight that is loaded, few enough to notice an abort soon. */
export const CHUNK = 128;

/**
 * Reads runs to their ends.
 * @param {PassJob} job
 * @param {Run[]} runs
 * @param {Wanted} wanted
 * @param {(done: number) => unknown} [between] called after every pass with the tokens read of the longest run; awaited
 * @returns {Promise<void>}
 */
export async function read(job, runs, wanted, between) {
    for (const done of passes(job, runs, wanted)) {
        await job.run();
        await between?.(done);
    }
}

/** The same synchronously. @param {PassJob} job @param {Run[]} runs @param {Wanted} wanted */
export function readSync(job, runs, wanted) {
    for (const _ of passes(job, runs, wanted)) {
        job._network.runtime._runSync(job);
    }
}

/**
 * Sets the job to one pass after the other.
 * @param {PassJob} job @param {Run[]} runs @param {Wanted} wanted
 * @returns {Generator<number, void>} tokens of the longest run that will have been read when this pass has run
 */
function* passes(job, runs, wanted) {
    for (const part of parts(job, runs, wanted)) {
        for (const run of part.runs) {
            if (run.row.isOutdated(run.ids.length)) {
                yield* passesAgain(job, run);
            }
        }
        const longest = longestOf(part.runs);
        for (let done = 0; done < longest;) {
            done = prepare(job, part.runs, done, longest, part.wanted);
            yield done;
        }
    }
}

/**
 * Reads again what a row holds, with the rotations of the text's new length, as transformers does.
 * @param {PassJob} job @param {Run} run
 * @returns {Generator<number, void>}
 */
function* passesAgain(job, { row, ids }) {
    const held = row.length;
    const again = { row, ids: row.tokens.concat(Array.from(ids)) };
    const { watch } = job;
    job.watch = null;
    row.truncate(0);
    try {
        for (let done = 0; done < held;) {
            done = prepare(job, [again], done, held, NOTHING);
            yield 0;
        }
    } finally {
        job.watch = watch;
    }
}

/**
 * What is read together: all runs, or each by itself if their lengths make their rotations differ.
 * @param {PassJob} job @param {Run[]} runs @param {Wanted} wanted
 * @returns {{ runs: Run[], wanted: Wanted }[]}
 */
function parts({ _network: network }, runs, wanted) {
    const [key, ...others] = runs.map(({ row, ids }) => network.lengthKey(row.lengthWith(ids.length)));
    return others.every((other) => other === key) ? [{ runs, wanted }]
        : runs.map((run, i) => ({ runs: [run], wanted: wantedOf(network, wanted, i) }));
}

/**
 * The wanted results of one of several runs.
 * @param {Network} network @param {Wanted} wanted @param {number} run
 * @returns {Wanted}
 */
export function wantedOf({ description: { width, vocabulary } }, { logits, hidden }, run) {
    return {
        logits: logits && logits + 4 * run * vocabulary, hidden: hidden && hidden + 4 * run * width, every: false,
    };
}

/**
 * Reads runs of one token each: a generation step, which allocates nothing.
 * @param {PassJob} job @param {Run[]} runs @param {Wanted} wanted
 * @returns {Promise<void>}
 */
export function readStep(job, runs, wanted) {
    for (let i = 0; i < runs.length; i++) {
        if (runs[i].row.isOutdated(1)) return read(job, runs, wanted);
    }
    prepare(job, runs, 0, 1, wanted);
    return job.run();
}

/** @param {readonly Run[]} runs */
const longestOf = (runs) => runs.reduce((most, { ids }) => Math.max(most, ids.length), 0);

/**
 * Sets the job to the next pass.
 * @param {PassJob} job @param {Run[]} runs
 * @param {number} from tokens read of the longest run
 * @param {number} end tokens of it that are to be read
 * @param {Wanted} wanted
 * @returns {number} tokens read of it then
 */
function prepare(job, runs, from, end, wanted) {
    job._network.check(); // it may have been disposed since the last pass
    let count = Math.min(Math.max(1, Math.floor(CHUNK / runs.length)), end - from);
    for (let i = 0; i < runs.length; i++) {
        count = Math.min(count, runs[i].row.most(count));
    }
    let last = true;
    for (let i = 0; i < runs.length; i++) {
        const { row, ids } = runs[i];
        row.prepare(Math.max(0, Math.min(count, ids.length - from)));
        last &&= from + count >= ids.length;
    }
    job.set(runs, from, count, last, wanted);
    return from + count;
}

/** More tokens than any text has: an array-like object may claim any length. */
const MOST_IDS = 2 ** 26;

/**
 * Checks and copies the ids that a caller gave.
 * @param {string} name
 * @param {unknown} ids
 * @param {number} vocabulary
 * @returns {Uint32Array}
 */
export function checkIds(name, ids, vocabulary) {
    if (typeof ids !== 'object' || ids === null || !Number.isInteger(/** @type {any} */ (ids).length)) {
        throw typeError(name, 'a list of token ids', ids);
    }
    const list = /** @type {ArrayLike<unknown>} */ (ids);
    const { length } = list;
    if (length < 0 || length > MOST_IDS) {
        throw rangeError(`${name}.length`, `from 0 to ${MOST_IDS}`, length);
    }
    const checked = new Uint32Array(length);
    for (let i = 0; i < checked.length; i++) {
        const id = list[i];
        if (typeof id !== 'number') {
            throw typeError(`${name}[${i}]`, 'a token id', id);
        }
        if (!(Number.isInteger(id) && id >= 0 && id < vocabulary)) {
            throw rangeError(`${name}[${i}]`, `a token id from 0 to ${vocabulary - 1}`, id);
        }
        checked[i] = id;
    }
    return checked;
}

/**
 * A Tensor for results. Like that of a layer's call it stays in the runtime's memory until its data is read.
 * @param {import('../engine/runtime.js').Runtime} runtime
 * @param {number[]} shape
 * @returns {Tensor}
 */
export function emptyResult(runtime, shape) {
    const bytes = shape.reduce((product, n) => product * n, 4);
    return Tensor._result(runtime, Object.freeze(shape), 'float32', runtime.memory.alloc(bytes));
}
