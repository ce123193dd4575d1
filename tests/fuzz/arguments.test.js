// Calls of a layer whose arguments are hostile, at random: each is refused in words, with everything as it was, or gives
// what the naive float64 layer gives for the numbers that it was given. FUZZ_ROUNDS=1000000 is a long run.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { KVCache, Tensor, createRuntime } from '../../js/index.js';
import { assertClose, assertSame } from '../close.js';
import { draw, randomLayer } from '../property/cases.js';
import { Block } from '../property/jobs.js';
import { WORKERS, testRuntime } from '../runtime.js';
import { functional, there } from '../there.js';
import { twin } from '../twin.js';
import { DISGUISES, SENTINEL, refuse } from './disguises.js';

/** In all four environments that this file is run in: 10,000. */
const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 2500);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

/** As in tests/property/twin.test.js. */
const TOLERANCE = { atol: 1e-5, rtol: 1e-5 };
const KINDS = Object.keys(DISGUISES);

// With workers as on a page's main thread: calls that come while others run wait in line, with what they were given.
const runtime = await testRuntime({ _test: { mayBlock: WORKERS === 0 } });
const before = new Block(runtime, { t: 64, heads: 4, d: 32 });
const other = await createRuntime({ workers: 0 });

/** @typedef {import('./disguises.js').Plain} Plain */
/** @typedef {import('./disguises.js').World} World */

/** A layer, the cache that it is called with, and what is known of both. */
class Subject {
    /** @param {number} seed */
    constructor(seed) {
        const { integer, chance, pick } = draw(seed);
        const keyDim = integer(1, 4);
        this.config = { numHeads: integer(1, 2), keyDim, valueDim: keyDim, useBias: chance(0.5), outputShape: pick([null, 3]) };
        this.sizes = { batch: integer(1, 2), features: integer(1, 5), length: integer(4, 9) };
        this.seed = seed;
        this.renew();
    }

    /** Anew, as it was at first. */
    renew() {
        const { batch, features, length } = this.sizes;
        const { numHeads, keyDim } = this.config;
        this.layer?.dispose();
        this.cache?.dispose();
        this.layer = randomLayer(runtime, this.config, [1, 1, features], [1, 1, features], this.seed);
        this.weights = this.layer.getWeights();
        this.cache = new KVCache(runtime, { batch, length, numHeads, keyDim });
    }
}

/** @param {Subject} subject @param {World['draw']} random */
function plainCall({ sizes: { batch, features, length }, config: { numHeads, keyDim } }, { integer, chance, pick, tensor, booleans }) {
    const t = integer(1, 3);
    const rows = integer(1, 4);
    const mode = pick(['none', 'static', 'update', 'in place', 'in place']);
    const s = mode === 'none' ? rows : length;
    const maskShape = pick([[t, s], [1, s], [batch, t, s], [batch, numHeads, t, s]]);
    const mask = pick([null, booleans, tensor]);
    /** @type {Record<string, Plain | undefined>} */
    const tensors = {
        query: tensor([batch, t, features]),
        value: tensor([batch, rows, features]),
        key: chance(0.3) ? tensor([batch, rows, features]) : undefined,
        attentionMask: mask?.(maskShape),
        cache: mode === 'static' || mode === 'update' ? tensor([batch, 2, length, numHeads, keyDim]) : undefined,
    };
    const updates = mode === 'update' || (mode === 'in place' && chance(0.8));
    return { tensors, mode, index: updates ? integer(0, length - rows) : undefined, scores: chance(0.3), causal: chance(0.3) };
}

/** The options as an object of some kind, some of whose getters play a prank. @param {Record<string, any>} options @param {World} world */
function disguiseOptions(options, { draw: { chance, pick, integer }, pranks }) {
    const todo = [...pranks];
    if (todo.length > 0) {
        // The later the better: when what the prank is played on has been looked at.
        const names = ['cacheUpdateIndex', 'returnAttentionScores', 'useCausalMask', 'training', 'attentionMask', 'key', 'cache'];
        const name = names[integer(0, chance(0.8) ? 3 : 6)];
        const answer = options[name];
        Object.defineProperty(options, name, {
            enumerable: true,
            get() {
                todo.splice(0).forEach((prank) => prank());
                return answer;
            },
        });
    }
    switch (pick(['plain', 'plain', 'plain', 'proxy', 'inherited', 'null', 'unknown', 'refuse'])) {
        case 'proxy': return new Proxy(options, {});
        case 'inherited': return Object.create(options);
        case 'null': return Object.setPrototypeOf(options, null);
        case 'unknown': return chance(0.5) ? options : Object.assign(options, { [pick(['mask', '__proto__x', 'Key', ''])]: 1 });
        case 'refuse': return chance(0.8) ? options : new Proxy(options, { get: refuse });
        default: return options;
    }
}

/** @type {any[]} */
const BAD_INDEX = [
    -1, 0.5, NaN, 1e9, 2 ** 53, 2 ** 32, '1', true, {}, [0], 1n, new Float32Array(1), { shape: [1], data: Int32Array.of(0) }, -0, new Number(1),
    { valueOf: () => 1 }, { [Symbol.toPrimitive]: () => 1 }, Symbol('1'), { shape: [1], data: Int32Array.of(-1) },
    { shape: [1], data: Uint8Array.of(1) }, { shape: [2], data: Int32Array.of(0, 1) }, { shape: [], data: Int32Array.of(1) },
];
/** @type {any[]} */
const BAD_FLAG = [0, 1, 'false', {}, [], null, NaN, new Boolean(false), 0n];

/** Pranks on whatever is at hand. @param {Subject} subject @param {World} world @param {() => void} empty the cache is */
function prank({ layer, cache }, { draw: { pick }, made }, empty) {
    return pick([
        () => there(cache).dispose(),
        () => there(layer).dispose(),
        refuse,
        () => void made.push(new Tensor(runtime, { shape: [2 ** 18] })),
        () => {
            there(cache).truncate(0);
            empty();
        },
        () => void there(layer).call({ shape: [1], data: new Float32Array(1) }, /** @type {any} */ (null)).catch(() => {}),
    ]);
}

/** @type {Record<string, { accepted: number, refused: number }>} */
const seen = Object.fromEntries(KINDS.map((kind) => [kind, { accepted: 0, refused: 0 }]));

/** @param {Subject} subject @param {number} seed */
async function round(subject, seed) {
    const random = draw(seed);
    const { integer, chance, pick } = random;
    /** @type {World} */
    const world = { draw: random, runtime, other, pranks: [], made: [] };
    const { tensors, mode, index, scores, causal } = plainCall(subject, random);
    /** @type {Record<string, any>} */
    const given = { ...tensors };
    const names = Object.keys(tensors).filter((name) => tensors[name]);
    /** @type {string[]} */
    const kinds = [];
    const disguised = new Set();
    for (let n = integer(1, 2); n > 0; n--) {
        const name = pick(names);
        if (disguised.has(name)) continue;
        disguised.add(name);
        kinds.push(pick(KINDS));
        given[name] = DISGUISES[kinds[kinds.length - 1]](/** @type {Plain} */ (tensors[name]), world);
    }
    const { layer, cache } = subject;
    let contents = there(cache).toTensor().data;
    if (chance(0.1)) world.pranks.push(prank(subject, world, () => { contents = new Float32Array(contents.length); }));
    /** @type {Record<string, any>} */
    const options = {
        key: given.key, attentionMask: given.attentionMask, cache: mode === 'in place' ? cache : given.cache,
        cacheUpdateIndex: chance(0.03) ? pick(BAD_INDEX) : index,
        returnAttentionScores: chance(0.02) ? pick(BAD_FLAG) : scores, useCausalMask: chance(0.02) ? pick(BAD_FLAG) : causal,
        training: false,
    };
    const { query, value } = given;
    const ahead = WORKERS > 0 && chance(0.3) ? runtime._run(before) : null;
    const call = there(layer).call(query, value, /** @type {any} */ (disguiseOptions(options, world)));
    call.catch(() => {}); // looked at below
    // The call has seen what it will ever see: the numbers are those of now, whatever becomes of them.
    const known = Object.fromEntries(names.filter((name) => (given[name] ?? null) !== null)
        .map((name) => [name, snapshot(/** @type {Plain} */ (tensors[name]))]));
    for (const name of names) scribble(/** @type {Plain} */ (tensors[name]));
    let result;
    try {
        (await ahead)?.dispose();
        result = await call;
    } catch (error) {
        assertInWords(error);
        kinds.forEach((kind) => seen[kind].refused++);
        if (!there(cache).disposed) assertSame(there(cache).toTensor().data, contents, 'the cache');
    }
    if (result) {
        kinds.forEach((kind) => seen[kind].accepted++);
        const { cacheUpdateIndex } = options;
        check(subject, known, { result, mode, contents, index: indexOf(cacheUpdateIndex), scores: options.returnAttentionScores === true,
            causal: options.useCausalMask === true });
    }
    world.made.forEach((tensor) => tensor.dispose());
    if (there(layer)._disposed || there(cache).disposed) subject.renew();
}

/** @param {any} given @returns {number | undefined} */
const indexOf = (given) => (typeof given === 'object' ? given.data[0] : given);

/** What a typed array says of its length may be a lie; this is not. */
const lengthOf = /** @type {() => number} */ (
    Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Float32Array.prototype), 'length')?.get
);

/** @param {Plain} plain @returns {Plain} */
function snapshot({ shape, data }) {
    const copy = new (data instanceof Uint8Array ? Uint8Array : Float32Array)(lengthOf.call(data));
    for (let i = 0; i < copy.length; i++) copy[i] = data[i];
    return { shape: [...shape], data: copy };
}

/** @param {Plain} plain */
function scribble({ data }) {
    for (let i = 0; i < 2; i++) if (i in data) data[i] = 77;
}

/** What a refusal is about. */
const WORDS = new RegExp('^(query|value|key|cache|attentionMask|cacheUpdateIndex|returnAttentionScores|useCausalMask|the third argument)\\b'
    + '|options of a call|data must stay as long|has been disposed|calls are pending|Tensor');

/** @param {unknown} error */
function assertInWords(error) {
    if (error === SENTINEL) return;
    assert.ok(error instanceof Error, String(error));
    // A revoked Proxy throws in the engine's own words.
    if (error.constructor === TypeError && /Proxy|proxy|revoked/.test(error.message)) return;
    assert.ok([TypeError, RangeError, Error].some((Kind) => error.constructor === Kind), error.stack);
    assert.match(error.message, WORDS);
    assert.ok(error.message.length < 500, error.message);
}

/**
 * @param {Subject} subject
 * @param {Record<string, any>} known
 * @param {{ result: any, mode: string, contents: any, index: number | undefined, scores: boolean, causal: boolean }} what
 */
function check({ config, weights, cache: kept, sizes: { batch, length } }, known, { result, mode, contents, index, scores, causal }) {
    const shape = [batch, 2, length, config.numHeads, config.keyDim];
    const cache = mode === 'in place' ? { shape, data: contents } : known.cache;
    const expected = twin({ ...config, explicit: scores }, there(weights), known.query, known.value, {
        key: known.key, mask: known.attentionMask, cache, index: index ?? -1, causal,
    });
    assert.deepEqual(result.attentionOutput.shape, expected.output.shape);
    assertClose(result.attentionOutput.data, expected.output.data, TOLERANCE, 'output');
    assert.equal(result.attentionScores !== undefined, scores);
    if (scores) assertClose(result.attentionScores.data, expected.scores.data, TOLERANCE, 'scores');
    if (!cache || mode === 'static') return; // a cache that is only read is given back as it came
    const after = mode === 'in place' ? there(kept).toTensor() : functional(result.cache);
    assertClose(/** @type {any} */ (after.data), there(expected.cache).data, TOLERANCE, 'cache');
}

test(`${ROUNDS} hostile calls, seed ${SEED}`, { timeout: 24 * 3600_000 }, async () => {
    const subjects = [1, 2, 3, 4, 5, 6].map((seed) => new Subject(seed));
    const { bytesInUse } = runtime.explain();
    for (let i = 0; i < ROUNDS; i++) {
        const seed = SEED * 1_000_000 + i;
        try {
            await round(subjects[i % subjects.length], seed);
            // A block may be a little larger than what is asked for: not so many of them.
            assert.ok(runtime.explain().bytesInUse < bytesInUse + 8192, `${runtime.explain().bytesInUse - bytesInUse} bytes stay in use`);
        } catch (error) {
            throw new Error(`round ${i} (seed ${seed}): ${/** @type {Error} */ (error).message}`, { cause: error });
        }
    }
    for (const [kind, { accepted, refused }] of Object.entries(seen)) {
        assert.ok(accepted + refused > ROUNDS / 200, `${kind}: only ${accepted + refused} times`);
    }
    const accepted = Object.values(seen).reduce((sum, each) => sum + each.accepted, 0);
    assert.ok(accepted > ROUNDS / 4, `only ${accepted} of ${ROUNDS} were accepted`);
    if (process.env.FUZZ_ROUNDS) console.table(seen);
    other.dispose();
});

test('numbers that another thread overwrites all the time: any result, and nothing else is touched', { timeout: 180_000 }, async () => {
    const { tensor } = draw(SEED);
    const layer = randomLayer(runtime, { numHeads: 2, keyDim: 8 }, [1, 1, 16], [1, 1, 16], 1);
    const weights = layer.getWeights();
    const clean = tensor([1, 40, 16]);
    const expected = (await layer.call(clean, clean)).attentionOutput.data;
    const bystander = new Tensor(runtime, { shape: [4096], data: new Float32Array(4096).fill(7) });
    const buffer = new SharedArrayBuffer(4 * 40 * 16 + 40 * 40);
    const writer = new Worker(`const { workerData } = require('node:worker_threads');
        const words = new Int32Array(workerData);
        for (let i = 0; ; i = (i * 1103515245 + 12345) | 0) words[(i >>> 8) % words.length] = i;`, { eval: true, workerData: buffer });
    try {
        const x = { shape: [1, 40, 16], data: new Float32Array(buffer, 0, 40 * 16) };
        const attentionMask = { shape: [40, 40], data: new Uint8Array(buffer, 4 * 40 * 16) };
        const cache = new KVCache(runtime, { batch: 1, length: 50, numHeads: 2, keyDim: 8 });
        const kept = cache.toTensor().data.slice();
        for (let i = 0; i < 200; i++) {
            const { attentionOutput } = await layer.call(x, clean, { attentionMask, returnAttentionScores: i % 2 === 1 });
            assert.equal(attentionOutput.data.length, 640);
            const both = await layer.call(x, x, { cache, cacheUpdateIndex: 0 });
            assert.equal(both.cache, cache);
        }
        assertSame(cache.toTensor().data.subarray(40 * 16, 50 * 16), kept.subarray(40 * 16, 50 * 16), 'keys that were not written');
        assert.ok(bystander.data.every((value) => value === 7));
    } finally {
        await writer.terminate();
    }
    layer.getWeights().forEach(({ data }, i) => assertSame(data, weights[i].data, 'weights'));
    assertSame((await layer.call(clean, clean)).attentionOutput.data, expected);
});
