/**
 * In the worker: writes a text token by token. Tokens go to the page in batches, one at most per 16 ms, each with what
 * the instruments need: the sampler's candidates and the attention of the positions that were read since the last item.
 */

/** @import { Candidate, Command, Cost, Prompt, TokenEntry } from './messages.js' */
/** @import { Open, Tell } from './generator.js' */

const BATCH_MS = 16;
/** Where several tokens come in one batch, so much time is left to the page to draw it: on two cores it would have none. */
const PAGE_MS = 6;
const CANDIDATES_SHOWN = 8;
const CANDIDATES_ASKED = 64;
/** So many positions of a long prompt are read with their attention: all of it would be the square of its length. */
export const WINDOW = 384;
/** Texts whose keys and values are kept; one that is walked to again later is read again. */
const MOST_TEXTS = 12;
const MOST_BYTES = 512 * 2 ** 20;

/** The caches of the texts, by branch: those not used for the longest time go first. */
export class Texts {
    /** @param {any} model */
    constructor(model) {
        this.model = model;
        /** @type {Map<number, any>} */
        this.caches = new Map();
    }

    /**
     * The cache of a branch, to be read into.
     * @param {number} branch
     * @param {number | null} parent whose beginning it shares
     */
    take(branch, parent) {
        const cache = this.caches.get(branch) ?? this.caches.get(parent ?? -1)?.fork() ?? this.model.createCache();
        this.caches.delete(branch);
        this.caches.set(branch, cache);
        for (const oldest of [...this.caches.keys()]) {
            if (this.caches.size <= MOST_TEXTS && this.bytes <= MOST_BYTES) break;
            if (oldest !== branch) this.drop(oldest);
        }
        return cache;
    }

    get bytes() {
        return [...this.caches.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    }

    /**
     * A cache of its own that holds what the branch has of some ids, at most the first `most`.
     * @param {number} branch
     * @param {number[]} ids
     * @param {number} most
     */
    copy(branch, ids, most) {
        const cache = this.caches.get(branch)?.fork() ?? this.model.createCache();
        cache.reuse(ids);
        if (cache.length > most) cache.truncate(most);
        return cache;
    }

    /** @param {number} branch */
    drop(branch) {
        this.caches.get(branch)?.dispose();
        this.caches.delete(branch);
    }

    clear() {
        for (const branch of [...this.caches.keys()]) this.drop(branch);
    }
}

/** @param {Tell} tell @param {number} total tokens that are read */
export function progressOf(tell, total) {
    return (/** @type {{ done: number }} */ { done }) => tell({ type: 'prefill', done, total });
}

/**
 * Reads the beginning of a text into a cache, without its attention.
 * @param {any} model
 * @param {number[]} ids
 * @param {any} cache
 * @param {number} until position
 * @param {AbortSignal} signal
 * @param {(progress: { done: number }) => void} onProgress
 */
export async function readUntil(model, ids, cache, until, signal, onProgress) {
    if (cache.length >= until) return;
    const beginning = model.generate(ids.slice(0, until), { cache, maxNewTokens: 1, temperature: 0, signal, onProgress });
    for await (const item of beginning) if (item.finish) break;
}

/**
 * @param {any} model
 * @param {Prompt} prompt
 * @returns {number[]}
 */
function idsOf(model, prompt) {
    if (typeof prompt === 'string') return [...model.promptTokens(prompt)];
    if (typeof prompt[0] === 'number') return /** @type {number[]} */ (prompt);
    const text = model.tokenizer.applyChatTemplate(prompt);
    return [...model.tokenizer.encode(text, { addSpecialTokens: false })];
}

/**
 * Writes, reporting only the attention of the first `skip` tokens: the page has their text already (the same seed
 * gives the same text), and only looks at another layer.
 * @param {Open} open
 * @param {Extract<Command, { type: 'write' }>} command
 * @param {Tell} tell
 * @param {AbortSignal} signal
 */
export async function write({ runtime, model, texts }, { branch, parent, prompt, options, skip, fresh, drop }, tell, signal) {
    const { layer, pace, cold, ...sampling } = options;
    const ids = idsOf(model, prompt);
    for (const id of fresh ? [...drop, branch] : drop) texts.drop(id);
    const cache = texts.take(branch, parent);
    const held = cache.reuse(ids);
    const isKnown = typeof prompt !== 'string' && typeof prompt[0] === 'number';
    tell({ type: 'begin', held, length: ids.length, skip, tokens: isKnown ? [] : entriesOf(model, ids) });
    const onProgress = progressOf(tell, ids.length);
    const batch = new Batch(tell);
    let start = performance.now();
    let computing = 0;
    let count = 0;
    let finish = 'stopped';
    try {
        await readUntil(model, ids, cache, ids.length - WINDOW, signal, onProgress);
        const items = model.generate(ids, { ...sampling, cache, signal, attention: layer, candidates: CANDIDATES_ASKED, onProgress });
        for await (const item of items) {
            const elapsed = performance.now() - start;
            computing += elapsed;
            batch.add(item, count++ < skip, model.tokenizer?.piece(item.token) ?? String(item.token));
            const positions = ids.length + count - 1;
            batch.time({ count, computingMs: computing, cacheBytes: cache.byteLength, positions });
            const cost = { position: positions, warm: elapsed, ...(cold && count > skip && { cold: await coldCost(model, cache) }) };
            if (count > 1) batch.costs.push(cost);
            if (item.finish) finish = item.finish;
            const rest = pace && count > skip && !item.finish ? 1000 / pace - elapsed : 0;
            const isDue = batch.isDue();
            if (rest > 0 || count === 1 || isDue) batch.flush();
            if (rest > 0) await sleep(rest, signal);
            else if (isDue && elapsed < BATCH_MS && count > skip) await sleep(PAGE_MS, signal);
            start = performance.now();
        }
    } catch (error) {
        if (!signal.aborted) throw error;
    } finally {
        batch.flush();
    }
    tell({ type: 'done', finish, explain: runtime.explain() });
}

/**
 * What the newest token would have cost without a cache: everything before it read again.
 * @param {any} model
 * @param {any} cache
 */
async function coldCost(model, cache) {
    const start = performance.now();
    (await model.forward(cache.tokens)).dispose();
    return performance.now() - start;
}

/** What was written since the last message to the page. */
class Batch {
    /** @param {Tell} tell */
    constructor(tell) {
        this.tell = tell;
        this.sent = 0;
        this.start = 0;
        this.figures = { count: 0, firstMs: 0, computingMs: 0, cacheBytes: 0, positions: 0 };
        /** @type {TokenEntry[]} */
        this.tokens = [];
        /** @type {(Candidate[] | null)[]} */
        this.candidates = [];
        /** @type {Float32Array[]} */
        this.rows = [];
        /** @type {Cost[]} */
        this.costs = [];
    }

    /**
     * @param {any} item
     * @param {boolean} known the page has this token
     * @param {string} name
     */
    add(item, known, name) {
        if (item.attention) {
            if (this.rows.length === 0) this.start = item.attention.start;
            this.rows.push(...rowsOf(item.attention));
        }
        if (known) return;
        const { token, text, candidates } = item;
        const probability = candidates?.find((/** @type {Candidate} */ candidate) => candidate.token === token)?.probability;
        this.tokens.push({ token, text, name, ended: item.finish === 'end', probability });
        this.candidates.push(candidates ? shortlist(candidates, token) : null);
    }

    /** @param {{ count: number, computingMs: number, cacheBytes: number, positions: number }} figures */
    time(figures) {
        if (figures.count === 1) this.figures.firstMs = figures.computingMs;
        Object.assign(this.figures, figures);
    }

    isDue() {
        return performance.now() - this.sent >= BATCH_MS;
    }

    flush() {
        if (this.rows.length + this.tokens.length === 0) return;
        const { tokens, candidates, start, rows, costs, figures } = this;
        this.tell({ type: 'items', tokens, candidates, start, rows, costs, figures: { ...figures } }, buffersOf(rows));
        Object.assign(this, { tokens: [], candidates: [], rows: [], costs: [] });
        this.sent = performance.now();
    }
}

/** @param {Float32Array[]} rows */
export function buffersOf(rows) {
    return rows.map(row => /** @type {ArrayBuffer} */ (row.buffer));
}

/**
 * The scores [H][rows][S] as one array per query q: lanes [1 + H][q + 1], the mean of the heads first.
 * @param {{ start: number, shape: number[], data: Float32Array }} attention
 */
export function rowsOf({ start, shape: [heads, rows, positions], data }) {
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
 * Tokens with the text that each adds: the bytes of a character that is spread over several tokens are held back until
 * it is whole.
 * @param {any} model
 * @param {number[]} ids
 * @returns {TokenEntry[]}
 */
export function entriesOf(model, ids) {
    /** @type {number[]} */
    let held = [];
    return ids.map((token, index) => {
        const name = model.tokenizer?.piece(token) ?? String(token);
        if (index === 0 && token === model.startToken) return { token, text: '', name, start: true };
        held.push(token);
        const text = model.tokenizer?.decode(held) ?? `${token} `;
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
        const end = () => {
            clearTimeout(timer);
            signal.removeEventListener('abort', end);
            resolve(undefined);
        };
        const timer = setTimeout(end, ms);
        signal.addEventListener('abort', end);
    });
}
