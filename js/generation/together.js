// Several texts generated at once: the next tokens of all of them are read in one pass, so that the weights are streamed once. Each text
// is a generation by itself, which knows nothing of the others, so its tokens are the same as alone.

import { PassJob } from '../model/pass-job.js';
import { CHUNK } from '../model/reader.js';

/** @typedef {import('../model/network.js').Network} Network */
/** @typedef {import('./generate.js').GeneratedItem} GeneratedItem */
/** @typedef {{ job: PassJob, resolve: () => void, reject: (error: unknown) => void }} Waiting */

/** Joins the passes of texts: each waits until all of them want to read. */
export class Together {
    /** @param {Network} network */
    constructor(network) {
        this._network = network;
        this._job = new PassJob(network);
        /** How many texts are on the way to their next token. */
        this._running = 0;
        /** Passes of those of them that want to read. @type {Waiting[]} */
        this._waiting = [];
        /** Buffers for the results of a joint pass, for so many rows. */
        this._rows = 0;
        this._logits = 0;
        this._hidden = 0;
    }

    /**
     * Asks each text for its next item.
     * @param {AsyncGenerator<GeneratedItem, void, undefined>[]} texts
     * @returns {Promise<PromiseSettledResult<IteratorResult<GeneratedItem, void>>[]>}
     */
    advance(texts) {
        this._running = texts.length;
        return Promise.allSettled(texts.map(async (text) => {
            try {
                return await text.next();
            } finally {
                this._running--;
                this._start();
            }
        }));
    }

    /**
     * Runs a pass in place of the runtime: it begins when no other text can join any more.
     * @param {PassJob} job
     * @returns {Promise<void>}
     */
    run(job) {
        return new Promise((resolve, reject) => {
            this._waiting.push({ job, resolve, reject });
            this._start();
        });
    }

    _start() {
        if (this._waiting.length > 0 && this._waiting.length === this._running) {
            this._runAll(this._waiting.splice(0));
        }
    }

    /** @param {Waiting[]} waiting of all running texts, so no other pass can come in between @returns {Promise<void>} */
    async _runAll(waiting) {
        while (waiting.length > 0) {
            const group = takeGroup(this._network, waiting);
            try {
                await (group.length === 1 ? this._network.runtime._run(group[0].job, group[0].job.signal)
                    : this._runGroup(group.map(({ job }) => job)));
                group.forEach(({ resolve }) => resolve());
            } catch (error) {
                group.forEach(({ reject }) => reject(error));
            }
        }
    }

    /** @param {PassJob[]} jobs @returns {Promise<void>} */
    async _runGroup(jobs) {
        const runs = jobs.flatMap((job) => job.rest());
        this._makeRoom(runs.length);
        const longest = runs.reduce((most, { ids }) => Math.max(most, ids.length), 0);
        this._job.set(runs, 0, longest, true, { logits: this._logits, hidden: this._hidden, every: false });
        // A signal that not all texts share does not cut the pass short, as the others need it; its text notices it afterwards.
        const [{ signal }] = jobs;
        await this._network.runtime._run(this._job, jobs.every((job) => job.signal === signal) ? signal : undefined);
        // Meanwhile the caller may have disposed of a cache or the model.
        jobs.forEach((job) => job.check());
        const { width, vocabulary } = this._network.description;
        let row = 0;
        for (const job of jobs) {
            const { logits, hidden, count } = job.results();
            this._copy(this._logits + 4 * row * vocabulary, logits, count * vocabulary);
            this._copy(this._hidden + 4 * row * width, hidden, count * width);
            row += count;
        }
    }

    /** @param {number} from @param {number} to @param {number} n floats */
    _copy(from, to, n) {
        this._network.runtime.memory.bytes.copyWithin(to, from, from + 4 * n);
    }

    /** @param {number} rows */
    _makeRoom(rows) {
        if (rows <= this._rows) {
            return;
        }
        this.dispose();
        const { runtime: { memory }, description: { width, vocabulary } } = this._network;
        this._logits = memory.alloc(4 * rows * vocabulary);
        this._hidden = memory.alloc(4 * rows * width);
        this._rows = rows;
    }

    /** None of its own: the texts have theirs. */
    get cacheBytes() {
        return 0;
    }

    dispose() {
        this._network.runtime._free(this._logits);
        this._network.runtime._free(this._hidden);
        this._rows = this._logits = this._hidden = 0;
    }
}

/**
 * @param {Network} network
 * @param {Waiting[]} waiting those that are returned are removed
 * @returns {Waiting[]} the first, and those that can be read in one pass with it
 */
function takeGroup(network, waiting) {
    const group = [/** @type {Waiting} */ (waiting.shift())];
    const [{ job }] = group;
    let left = CHUNK - job.tokens;
    // Texts whose rotations differ, as some depend on a text's length, are read in separate passes.
    const key = network.lengthKey(job.length);
    for (let i = 0; job.joins && i < waiting.length;) {
        const { job: other } = waiting[i];
        if (other.joins && other.tokens <= left && network.lengthKey(other.length) === key) {
            left -= other.tokens;
            group.push(...waiting.splice(i, 1));
        } else {
            i++;
        }
    }
    return group;
}

/**
 * Writes texts together.
 * @param {import('./language-model.js').LanguageModel} model
 * @param {(together: Together) => AsyncGenerator<GeneratedItem, void, undefined>[]} begin
 * @returns {AsyncGenerator<GeneratedItem, void, undefined>} the items of all texts, each with the `index` of its text, in rounds: one item
 *   of every text that has not ended, in order
 */
export async function* writeTogether(model, begin) {
    const together = new Together(model.network);
    model._working.add(together);
    const texts = begin(together);
    let open = texts.map((text, index) => ({ text, index }));
    try {
        while (open.length > 0) {
            const results = await together.advance(open.map(({ text }) => text));
            /** @type {typeof open} */
            const going = [];
            /** @type {GeneratedItem[]} */
            const items = [];
            results.forEach((result, i) => {
                if (result.status === 'rejected') {
                    throw result.reason;
                }
                if (!result.value.done) {
                    going.push(open[i]);
                    items.push({ index: open[i].index, ...result.value.value });
                }
            });
            open = going;
            yield* items;
        }
    } finally {
        await Promise.allSettled(texts.map((text) => text.return()));
        model._working.delete(together);
        together.dispose();
    }
}
