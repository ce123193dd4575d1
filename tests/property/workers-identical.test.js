// The same bits for any number of workers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KVCache } from '../../js/index.js';
import { SIMD, testRuntime } from '../binary.js';
import { draw, randomLayer } from './cases.js';

const WORKERS = [0, 1, 2, 3, 5];
const runtimes = await Promise.all(WORKERS.map((workers) => testRuntime({ workers })));

const small = { numHeads: 3, keyDim: 5 };
const medium = { numHeads: 4, keyDim: 16 };
const wide = { numHeads: 2, keyDim: 64 };
const dropping = { ...small, dropout: 0.4, seed: 5 };
/**
 * @typedef {object} Case
 * @property {import('../../js/keras/config.js').AttentionConfig} config
 * @property {number} [batch]
 * @property {number} [t]
 * @property {number} [features]
 * @property {number[]} [shape] instead of those three
 * @property {number} [length] of a cache
 * @property {number} [index]
 * @property {boolean} [masked]
 * @property {import('../../js/layers/attention/arguments.js').CallOptions} [options]
 */

/** @type {Record<string, Case>} */
const cases = {
    'small prefill': { config: small, batch: 2, t: 11, features: 7 },
    prefill: { config: medium, batch: 1, t: 130, features: 64, options: { useCausalMask: true } },
    scores: { config: medium, batch: 2, t: 33, features: 64, options: { returnAttentionScores: true } },
    dropout: { config: dropping, batch: 2, t: 30, features: 40, options: { training: true } },
    'half precision': { config: { numHeads: 4, keyDim: 12, dtype: 'mixed_float16' }, batch: 2, t: 33, features: 48 },
    'a step in a long cache': { config: wide, batch: 1, t: 1, features: 128, length: 5000, index: 4000 },
    'steps in a masked cache': { config: small, batch: 3, t: 2, features: 40, length: 3001, index: 7, masked: true },
    'wide outputs': { config: { ...small, outputShape: [5, 7] }, batch: 2, t: 40, features: 150 },
    'rank 4': { config: { ...small, attentionAxes: [2] }, shape: [2, 3, 20, 40] },
};

for (const [name, { config, batch = 1, t = 1, features = 1, shape = [batch, t, features], length = 0, index, masked, options }]
    of Object.entries(cases)) {
    test(`${name}: ${SIMD}, ${WORKERS} workers`, async () => {
        /** @type {Uint32Array[][]} */
        const results = [];
        for (const runtime of runtimes) {
            const { tensor, booleans } = draw(1);
            const x = tensor(shape);
            const layer = randomLayer(runtime, config, shape, shape, 2);
            /** @type {import('../../js/layers/attention/arguments.js').CallOptions} */
            const given = { ...options };
            /** @type {KVCache | null} */
            let kept = null;
            if (masked) given.attentionMask = booleans([batch, 1, length], 0.3);
            if (length) {
                const { numHeads, keyDim } = config;
                kept = new KVCache(runtime, { batch, length, numHeads, keyDim });
                given.cache = kept;
                kept.set(tensor([batch, 2, length, config.numHeads, config.keyDim]));
                given.cacheUpdateIndex = index;
            }
            const bits = [];
            for (let again = 0; again < 3; again++) {
                const { attentionOutput, attentionScores } = await layer.call(x, x, given);
                const tensors = [attentionOutput, attentionScores, kept?.toTensor()];
                const data = tensors.flatMap((one) => (one ? [...one.data] : []));
                bits.push(new Uint32Array(Float32Array.from(data).buffer));
            }
            if (config.dropout === undefined) assert.deepEqual(bits[1], bits[0]);
            results.push(bits);
            kept?.dispose();
            layer.dispose();
        }
        results.forEach((bits, i) => assert.deepEqual(bits, results[0], `${WORKERS[i]} workers`));
    });
}
