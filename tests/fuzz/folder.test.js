// Folders of model files with seeded damage in one of them: each either opens, and then reads to its end, or is refused
// with a FormatError. FUZZ_ROUNDS and FUZZ_SEED make it longer and different.

import { Costs } from './costs.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { json, withHeader } from '../generation/checkpoint.js';
import { damage } from './damage.js';
import { outcome } from './outcome.js';

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 3000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

/** What a damaged folder may take whatever its size. */
const BASE_BYTES = 2 ** 17;

const { random, below, pick } = damage(SEED);

/** @param {string} dtype @param {number[]} shape @param {number} begin @param {number} end */
const tensor = (dtype, shape, begin, end) => ({ dtype, shape, data_offsets: [begin, end] });
const FIRST = 'model-00001-of-00002.safetensors';
const SECOND = 'model-00002-of-00002.safetensors';
/** @type {Record<string, object>} */
const TEXTS = {
    'config.json': { model_type: 'llama', hidden_size: 4 }, 'tokenizer.json': { model: { vocab: { a: 0 } } },
    'tokenizer_config.json': { bos_token: '<s>', chat_template: [{ name: 'default', template: 'x' }] },
    'special_tokens_map.json': { eos_token: { content: '</s>' } }, 'generation_config.json': { eos_token_id: [1, 2] },
    'model.safetensors.index.json': { metadata: { total_size: 56 }, weight_map: { a: FIRST, b: FIRST, c: SECOND } },
};
/** @type {Record<string, object>} */
const HEADERS = {
    [FIRST]: { __metadata__: { format: 'pt' }, a: tensor('F32', [2, 3], 0, 24), b: tensor('BF16', [4], 24, 32) },
    [SECOND]: { c: tensor('F16', [3, 4], 0, 24) },
};
/** @type {Record<string, number>} */
const BYTES = { [FIRST]: 32, [SECOND]: 24 };

/** @type {any[]} */
const VALUES = [
    null, 0, -1, 1e9, 1.5, '', 'x', '..', [], {}, true, [[]], FIRST, SECOND, 2 ** 53 - 1, 1e300, 'F32', 'F4',
];

/** A copy of a JSON value in which one value, somewhere, is another. @param {any} value @returns {any} */
function bend(value) {
    if (typeof value !== 'object' || value === null || random() < 0.1) return pick(VALUES);
    const copy = Array.isArray(value) ? [...value] : { ...value };
    const key = pick(Object.keys(copy));
    if (key === undefined) return copy;
    if (random() < 0.2) delete copy[key];
    else if (random() < 0.15) copy[pick(['__proto__', `${key}x`, 'a', 'c'])] = copy[key];
    else copy[key] = bend(copy[key]);
    return copy;
}

/** @param {Uint8Array} bytes */
function spoiled(bytes) {
    const copy = bytes.slice();
    const at = below(copy.length);
    switch (below(4)) {
        case 0: copy[at] ^= 1 << below(8); return copy;
        case 1: copy[at] = pick([0, 0x22, 0x2c, 0x30, 0x5b, 0x5c, 0x7b, 0x7d, 0xff]); return copy;
        case 2: return copy.subarray(0, at);
        default: return new Uint8Array(Buffer.concat([copy.subarray(0, at), copy.subarray(Math.max(0, at - 20))]));
    }
}

/** @param {string} name @param {unknown} header */
const weights = (name, header) => withHeader(JSON.stringify(header), [new Uint8Array(BYTES[name])]);
const WHOLE = Object.fromEntries([...Object.entries(TEXTS).map(([name, value]) => [name, json(value)]),
    ...Object.entries(HEADERS).map(([name, header]) => [name, weights(name, header)])]);

function damaged() {
    const files = { ...WHOLE };
    const name = pick(Object.keys(files));
    if (random() < 0.1) delete files[name];
    else if (random() < 0.4) files[name] = spoiled(files[name]);
    else files[name] = name in TEXTS ? json(bend(TEXTS[name])) : weights(name, bend(HEADERS[name]));
    return Object.entries(files).map(([path, bytes]) => new File([bytes], path));
}

/** @param {import('./outcome.js').Opened} model */
async function readPieces(model) {
    for await (const { bytes } of model.read(() => true)) assert.ok(bytes.length <= 32);
}

/** All rounds; outside of test(), whose hooks on every promise take most of the time otherwise. */
async function fuzz() {
    const seen = new Map();
    const costs = new Costs(SEED, { base: BASE_BYTES });
    for (let round = 0; round < ROUNDS; round++) {
        const files = damaged();
        costs.begin();
        const code = await outcome(files, round, readPieces);
        costs.end(files.reduce((sum, { size }) => sum + size, 0), `round ${round}`);
        seen.set(code, (seen.get(code) ?? 0) + 1);
    }
    costs.tell(ROUNDS, seen);
    return seen;
}

const result = await fuzz().catch((error) => ({ error }));

test(`${ROUNDS} damaged folders, seed ${SEED}`, () => {
    if ('error' in result) throw result.error;
    const seen = result;
    const outcomes = JSON.stringify(Object.fromEntries(Array.from(seen).sort((a, b) => b[1] - a[1])));
    assert.equal(Object.getOwnPropertyNames(Object.prototype).includes('a'), false);
    assert.ok(ROUNDS < 1000 || (seen.size > 15 && seen.get('opens') > ROUNDS / 50), outcomes);
});
