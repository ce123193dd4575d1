/**
 * The worker that loads the model and writes; the page itself never computes.
 *
 * One command runs at a time: a new one aborts the one before it and waits for it to end. Tokens go to the page in
 * batches, one at most per 16 ms, each with what the instruments need: the sampler's candidates and the attention of
 * the positions that were read since the last item. See messages.js for the shapes.
 */
/** @import { Command, Report, RunOptions, TokenEntry, Candidate } from './messages.js' */

const BATCH_MS = 16;
const CANDIDATES_SHOWN = 8;
const CANDIDATES_ASKED = 64;

/** @type {{ runtime: any, model: any } | null} */
let session = null;
let abort = new AbortController();
/** @type {Promise<void>} */
let last = Promise.resolve();

self.onmessage = ({ data }) => {
    const command = /** @type {Command} */ (data);
    abort.abort();
    if (command.type === 'stop') return;
    const { signal } = abort = new AbortController();
    const isNeeded = () => !signal.aborted || command.type === 'load';
    last = last.then(() => isNeeded() ? carryOut(command, signal) : undefined).catch(error => {
        if (isNeeded()) report({ type: 'error', during: command.type, message: String(error?.message ?? error) });
    });
};

/**
 * @param {Report} message
 * @param {Transferable[]} [transfer]
 */
function report(message, transfer = []) {
    self.postMessage(message, { transfer });
}

/**
 * @param {Exclude<Command, { type: 'stop' }>} command
 * @param {AbortSignal} signal
 */
function carryOut(command, signal) {
    if (command.type === 'load') return load(command.workers);
    if (command.type === 'read') return readAgain(command, signal);
    return write(command.run, command.options, command.skip ?? 0, signal);
}

/** @param {number | 'auto'} workers */
async function load(workers) {
    session?.model.dispose();
    session?.runtime.dispose();
    session = null;
    // Imported here and not at the top, where not every browser tells the page that a file is missing.
    const [{ createRuntime }, { loadModel }] =
        await Promise.all([import('../js/index.js'), import('../js/generation/index.js')]);
    const runtime = await createRuntime({ workers });
    try {
        const model = await loadModel(runtime, undefined, {
            onProgress: ({ loaded, total }) => report({ type: 'progress', loaded, total })
        });
        session = { runtime, model };
        report({
            type: 'ready',
            explain: runtime.explain(),
            model: {
                layers: model.layers,
                heads: model.heads,
                contextLength: model.contextLength,
                parameters: model.parameters,
                cacheBytesPerToken: model.cacheBytesPerToken
            }
        });
    } catch (error) {
        runtime.dispose();
        throw error;
    }
}

function open() {
    if (!session) throw new Error('The model is not loaded.');
    return session;
}

/**
 * Writes, reporting only the attention of the first `skip` tokens: the page has their text already (the same seed
 * gives the same text), and only looks at another layer.
 * @param {number} run
 * @param {RunOptions} options
 * @param {number} skip
 * @param {AbortSignal} signal
 */
async function write(run, options, skip, signal) {
    const { runtime, model } = open();
    const { prompt, layer, pace, ...sampling } = options;
    const ids = model.promptTokens(prompt);
    report({ type: 'begin', run, skip, tokens: promptEntries(model, ids) });
    const batch = new Batch(run);
    let start = performance.now();
    let computing = 0;
    let count = 0;
    let finish = 'stopped';
    try {
        const items = model.generate(prompt, {
            ...sampling,
            signal,
            attention: layer,
            candidates: CANDIDATES_ASKED,
            onProgress: (/** @type {{ done: number, total: number }} */ { done, total }) =>
                report({ type: 'prefill', run, done, total })
        });
        for await (const item of items) {
            const elapsed = performance.now() - start;
            computing += elapsed;
            batch.add(item, count++ < skip, model.tokenizer.piece(item.token));
            batch.time(count, computing, model.cacheBytes);
            if (item.finish) finish = item.finish;
            const rest = pace && count > skip && !item.finish ? 1000 / pace - elapsed : 0;
            if (rest > 0 || count === 1 || batch.isDue()) batch.flush();
            if (rest > 0) await sleep(rest, signal);
            start = performance.now();
        }
    } catch (error) {
        if (!signal.aborted) throw error;
    } finally {
        batch.flush();
    }
    report({ type: 'done', run, finish, explain: runtime.explain() });
}

/**
 * The attention of another layer over a text that is written: its tokens are read again in one go.
 * @param {{ run: number, ids: number[], layer: number }} command
 * @param {AbortSignal} signal
 */
async function readAgain({ run, ids, layer }, signal) {
    const { model } = open();
    for await (const { attention } of model.generate(ids, { maxNewTokens: 1, attention: layer, signal })) {
        const rows = rowsOf(attention);
        report({ type: 'rows', run, layer, rows }, rows.map(row => /** @type {ArrayBuffer} */ (row.buffer)));
    }
}

/** What was written since the last message to the page. */
class Batch {
    /** @param {number} run */
    constructor(run) {
        this.run = run;
        this.sent = 0;
        this.figures = { count: 0, firstMs: 0, computingMs: 0, cacheBytes: 0 };
        /** @type {TokenEntry[]} */
        this.tokens = [];
        /** @type {(Candidate[] | null)[]} */
        this.candidates = [];
        /** @type {Float32Array[]} */
        this.rows = [];
    }

    /**
     * @param {any} item
     * @param {boolean} known the page has this token
     * @param {string} name
     */
    add(item, known, name) {
        if (item.attention) this.rows.push(...rowsOf(item.attention));
        if (known) return;
        const ended = item.finish === 'end';
        this.tokens.push({ token: item.token, text: item.text, name, ended });
        this.candidates.push(item.candidates ? shortlist(item.candidates, item.token) : null);
    }

    /**
     * @param {number} count tokens so far
     * @param {number} computingMs time spent computing them, the prompt's included
     * @param {number} cacheBytes
     */
    time(count, computingMs, cacheBytes) {
        if (count === 1) this.figures.firstMs = computingMs;
        Object.assign(this.figures, { count, computingMs, cacheBytes });
    }

    isDue() {
        return performance.now() - this.sent >= BATCH_MS;
    }

    flush() {
        if (this.rows.length + this.tokens.length === 0) return;
        const { run, tokens, candidates, rows, figures } = this;
        report({ type: 'items', run, tokens, candidates, rows, figures: { ...figures } },
            rows.map(row => /** @type {ArrayBuffer} */ (row.buffer)));
        this.tokens = [];
        this.candidates = [];
        this.rows = [];
        this.sent = performance.now();
    }
}

/**
 * The scores [H][rows][S] as one array per query q: lanes [1 + H][q + 1], the mean of the heads first.
 * @param {{ start: number, shape: number[], data: Float32Array }} attention
 */
function rowsOf({ start, shape: [heads, rows, positions], data }) {
    return Array.from({ length: rows }, (_, r) => {
        const keys = start + r + 1;
        const lanes = new Float32Array((1 + heads) * keys);
        for (let h = 0; h < heads; h++) {
            const from = (h * rows + r) * positions;
            lanes.set(data.subarray(from, from + keys), (1 + h) * keys);
            for (let k = 0; k < keys; k++) lanes[k] += data[from + k] / heads;
        }
        return lanes;
    });
}

/**
 * The likeliest candidates, and the drawn one wherever it stood.
 * @param {Candidate[]} candidates best first
 * @param {number} drawn
 * @returns {Candidate[]}
 */
function shortlist(candidates, drawn) {
    const ranked = candidates.map(({ token, text, probability }, rank) =>
        ({ token, text, probability, rank: rank + 1, drawn: token === drawn }));
    const shown = ranked.slice(0, CANDIDATES_SHOWN);
    const chosen = ranked.find(candidate => candidate.drawn);
    if (chosen && !shown.includes(chosen)) shown[CANDIDATES_SHOWN - 1] = chosen;
    return shown;
}

/**
 * The prompt's tokens with the text that each adds: the bytes of a character that is spread over several tokens are
 * held back until it is whole.
 * @param {any} model
 * @param {number[]} ids
 * @returns {TokenEntry[]}
 */
function promptEntries(model, ids) {
    /** @type {number[]} */
    let held = [];
    return ids.map((token, index) => {
        const name = model.tokenizer.piece(token);
        if (index === 0 && token === model.startToken) return { token, text: '', name, start: true };
        held.push(token);
        const text = model.tokenizer.decode(held);
        if (text.endsWith('\ufffd') && index < ids.length - 1) return { token, text: '', name };
        held = [];
        return { token, text, name };
    });
}

/**
 * @param {number} ms
 * @param {AbortSignal} signal
 */
function sleep(ms, signal) {
    return new Promise(resolve => {
        const timer = setTimeout(resolve, ms);
        signal.addEventListener('abort', () => {
            clearTimeout(timer);
            resolve(undefined);
        }, { once: true });
    });
}
