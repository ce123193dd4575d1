// Operations on caches, tensors and models in any order, each compared with what plain arrays say it does.

import assert from 'node:assert/strict';
import { KVCache, Tensor, createRuntime } from '../../js/index.js';
import { ModelCache, loadModel } from '../../js/generation/index.js';
import { draw } from '../property/cases.js';

/** So many of each kind live at a time. */
const MOST = 4;
const LENGTH = 300;
const ROWS = 2;
/** Numbers of a position of one row: keys, or values. */
const WIDTH = 8;

/** @typedef {{ cache: ModelCache, tokens: number[], whole: boolean }} Text whole: whether nothing was cut out of it */
/** @typedef {{ cache: KVCache, keys: Float32Array[], values: Float32Array[] }} Kept of each row what it holds */

export class Operations {
    /**
     * @param {import('../../js/engine/runtime.js').Runtime} runtime
     * @param {import('../../js/generation/index.js').LanguageModel} model
     * @param {number} seed
     */
    constructor(runtime, model, seed) {
        this._runtime = runtime;
        this._model = model;
        this._draw = draw(seed);
        /** @type {Text[]} */
        this._texts = [];
        /** @type {Kept[]} */
        this._kept = [];
        /** @type {{ tensor: Tensor, numbers: Float32Array }[]} */
        this._tensors = [];
        const { bytesInUse } = runtime.explain();
        this._base = bytesInUse;
    }

    /** @param {any} files of a model @param {number} seed */
    static async create(files, seed) {
        const runtime = await createRuntime({ workers: 0, maxMemory: 64 * 2 ** 20 });
        return new Operations(runtime, await loadModel(runtime, files), seed);
    }

    /** What stays in use when nothing lives that an operation has made. */
    get bytes() {
        this._clear();
        return this._runtime.explain().bytesInUse;
    }

    /** One operation; what it was done to is looked at now and then. */
    async step() {
        const { pick, chance } = this._draw;
        const kind = pick(['text', 'text', 'kept', 'kept', 'tensor']);
        if (kind === 'text') await this._text();
        else if (kind === 'kept') this._cache();
        else this._tensor();
        if (chance(0.02)) this._compare();
        if (chance(0.001)) this._clear();
    }

    _compare() {
        for (const { cache, tokens } of this._texts) assert.deepEqual(cache.tokens, tokens);
        for (const { cache, keys, values } of this._kept) {
            const whole = cache.toTensor();
            const half = LENGTH * WIDTH;
            for (let row = 0; row < ROWS; row++) {
                assert.deepEqual(whole.data.subarray(2 * row * half, (2 * row + 1) * half), keys[row]);
                assert.deepEqual(whole.data.subarray((2 * row + 1) * half, (2 * row + 2) * half), values[row]);
            }
            whole.dispose();
        }
        for (const { tensor, numbers } of this._tensors) assert.deepEqual(tensor.data, numbers);
    }

    _clear() {
        this._texts.splice(0).forEach(({ cache }) => cache.dispose());
        this._kept.splice(0).forEach(({ cache }) => cache.dispose());
        this._tensors.splice(0).forEach(({ tensor }) => tensor.dispose());
        const { bytesInUse } = this._runtime.explain();
        assert.ok(bytesInUse < this._base + 4096, `${bytesInUse - this._base} bytes stay in use`);
    }

    /** @param {number} n @returns {number[]} */
    _ids(n) {
        return Array.from({ length: n }, () => this._draw.integer(0, this._model.vocabularySize - 1));
    }

    /** Something is done to a text. */
    async _text() {
        const { pick, integer, chance } = this._draw;
        if (this._texts.length === 0 || (this._texts.length < MOST && chance(0.1))) {
            this._texts.push({ cache: this._model.createCache({ length: LENGTH }), tokens: [], whole: true });
            return;
        }
        const text = pick(this._texts);
        const { cache, tokens } = text;
        const { length } = tokens;
        switch (pick(['read', 'read', 'read', 'write', 'truncate', 'reuse', 'remove', 'fork', 'save', 'end', 'cold'])) {
            case 'read': {
                const ids = this._ids(integer(1, 5));
                if (length + ids.length > LENGTH) {
                    await assert.rejects(this._model.forward(ids, { cache }), RangeError);
                    break;
                }
                tokens.push(...ids);
                (await this._model.forward(ids, { cache })).dispose();
                break;
            }
            case 'write': {
                if (!text.whole || length === 0 || length > LENGTH - 10) break;
                for await (const { token } of this._model.generate(tokens, { cache, maxNewTokens: 5, topK: 3, seed: 1 })) {
                    if (token < 0 || chance(0.2)) break;
                }
                text.tokens = /** @type {number[]} */ (cache.tokens);
                assert.deepEqual(text.tokens.slice(0, length - 1), tokens.slice(0, length - 1));
                break;
            }
            case 'truncate': {
                const n = integer(0, length);
                cache.truncate(n);
                tokens.length = n;
                break;
            }
            case 'reuse': {
                if (!text.whole || length < 2) break;
                const n = integer(1, length - 1);
                assert.equal(cache.reuse([...tokens.slice(0, n), (tokens[n] + 1) % this._model.vocabularySize, 0]), n);
                tokens.length = n;
                break;
            }
            case 'remove': {
                const from = integer(0, length);
                const to = integer(from, length);
                cache.remove(from, to, { shift: chance(0.8) });
                tokens.splice(from, to - from);
                text.whole &&= to === from || to === length;
                break;
            }
            case 'fork':
                if (this._texts.length < MOST) this._texts.push({ ...text, cache: cache.fork(), tokens: [...tokens] });
                break;
            case 'save': {
                const loaded = await ModelCache.load(this._model, /** @type {any} */ (await cache.save()));
                cache.dispose();
                text.cache = loaded;
                break;
            }
            case 'cold': {
                if (!text.whole || length === 0 || length === LENGTH) break;
                const [id] = this._ids(1);
                const cold = await this._model.forward([...tokens, id]);
                const warm = await this._model.forward([id], { cache });
                tokens.push(id);
                assert.deepEqual(warm.data, cold.data);
                break;
            }
            default:
                cache.dispose();
                this._texts.splice(this._texts.indexOf(text), 1);
        }
    }

    /** Something is done to a cache of a layer. */
    _cache() {
        const { pick, integer, chance, tensor } = this._draw;
        if (this._kept.length === 0 || (this._kept.length < MOST && chance(0.1))) {
            const rows = () => Array.from({ length: ROWS }, () => new Float32Array(LENGTH * WIDTH));
            const cache = new KVCache(this._runtime, { batch: ROWS, length: LENGTH, numHeads: 2, keyDim: WIDTH / 2 });
            this._kept.push({ cache, keys: rows(), values: rows() });
            return;
        }
        const kept = pick(this._kept);
        const { cache, keys, values } = kept;
        const both = [...keys, ...values];
        switch (pick(['set', 'truncate', 'remove', 'fork', 'reorder', 'end'])) {
            case 'set': {
                const { data } = tensor([ROWS, 2, LENGTH, 2, WIDTH / 2]);
                cache.set({ shape: cache.shape, data });
                const half = LENGTH * WIDTH;
                for (let row = 0; row < ROWS; row++) {
                    keys[row] = data.slice(2 * row * half, (2 * row + 1) * half);
                    values[row] = data.slice((2 * row + 1) * half, (2 * row + 2) * half);
                }
                break;
            }
            case 'truncate': {
                const n = integer(0, LENGTH);
                cache.truncate(n);
                both.forEach((each) => each.fill(0, n * WIDTH));
                break;
            }
            case 'remove': {
                const from = integer(0, LENGTH);
                const to = integer(from, LENGTH);
                cache.remove(from, to);
                for (const each of both) each.copyWithin(from * WIDTH, to * WIDTH).fill(0, (LENGTH - (to - from)) * WIDTH);
                break;
            }
            case 'fork': {
                if (this._kept.length === MOST) break;
                const copy = (/** @type {Float32Array[]} */ list) => list.map((each) => each.slice());
                this._kept.push({ cache: cache.fork(), keys: copy(keys), values: copy(values) });
                break;
            }
            case 'reorder': {
                const parents = Array.from({ length: ROWS }, () => integer(0, ROWS - 1));
                cache.reorder(parents);
                kept.keys = parents.map((row) => keys[row].slice());
                kept.values = parents.map((row) => values[row].slice());
                break;
            }
            default:
                cache.dispose();
                this._kept.splice(this._kept.indexOf(kept), 1);
        }
    }

    /** Something is done to a tensor. */
    _tensor() {
        const { pick, integer, chance, tensor } = this._draw;
        if (this._tensors.length < MOST && chance(0.5)) {
            const plain = tensor([integer(0, 2000)]);
            this._tensors.push({ tensor: new Tensor(this._runtime, plain), numbers: plain.data });
        } else if (this._tensors.length > 0) {
            const one = pick(this._tensors);
            if (chance(0.5) && one.numbers.length > 0) {
                one.numbers[0] = 5;
                one.tensor.data[0] = 5;
                return;
            }
            one.tensor.dispose();
            this._tensors.splice(this._tensors.indexOf(one), 1);
        }
    }

    /** All is as before it began. */
    end() {
        this._clear();
        this._runtime.dispose();
    }
}
