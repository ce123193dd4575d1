// GGUF files with seeded damage, one in 16 of them as a stream: each either opens, and then reads to its end, or is
// refused with a FormatError. Nothing else is thrown, nothing hangs, nothing is kept. FUZZ_ROUNDS and FUZZ_SEED make it
// longer and different: FUZZ_ROUNDS=1000000 node --test tests/fuzz/gguf.test.js

import { Costs } from './costs.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, gguf, llamaPairs, llamaTensors } from '../files/gguf-writer.js';
import { damage } from './damage.js';
import { outcome } from './outcome.js';

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 100_000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

/** What a damaged file may take whatever its size. */
const BASE_BYTES = 2 ** 17;

/** What may stay of all files together. */
const KEPT_BYTES = 32 << 20;

const { below, pick } = damage(SEED);

/** @type {NonNullable<Parameters<typeof gguf>[0]>[]} */
const CONTENTS = [
    { pairs: llamaPairs(), tensors: llamaTensors() },
    { pairs: [...llamaPairs(), ['x.nested', 'array of array of u16', [[1, 2], [3]]], ['x.long', 'u64', 5],
        ['x.half', 'array of f64', [1, 2]], ['x.flags', 'array of bool', [true, false]]],
        tensors: llamaTensors().slice(0, 3) },
    { version: 2, pairs: llamaPairs() },
];
const FILES = CONTENTS.map((content) => gguf(content));
/** Where the metadata of each ends: damage tells before. */
const HEADERS = CONTENTS.map(({ tensors = [] }, i) => FILES[i].length -
    tensors.reduce((sum, tensor) => sum + Math.ceil(bytesOf(tensor).length / 32) * 32, 0));

/** Numbers where lengths, counts and types are confused. */
const NUMBERS = [0n, 1n, 2n, 3n, 8n, 9n, 12n, 13n, 31n, 32n, 255n, 65535n, 65536n, 2n ** 31n - 1n, 2n ** 31n,
    2n ** 32n - 1n, 2n ** 32n, 2n ** 53n, 2n ** 60n, 2n ** 61n, 2n ** 63n, 2n ** 64n - 1n];

/** @type {((bytes: Uint8Array, limit: number) => Uint8Array)[]} */
const DAMAGE = [
    (bytes, limit) => {
        for (let i = 0; i <= below(4); i++) bytes[below(limit)] ^= 1 << below(8);
        return bytes;
    },
    (bytes, limit) => {
        bytes[below(limit)] = pick([0, 1, 4, 8, 9, 12, 13, 32, 127, 128, 255]);
        return bytes;
    },
    (bytes, limit) => {
        new DataView(bytes.buffer).setBigUint64(below(Math.min(limit, bytes.length - 8)), pick(NUMBERS), true);
        return bytes;
    },
    (bytes, limit) => {
        const number = Number(pick(NUMBERS) & 0xffffffffn);
        new DataView(bytes.buffer).setUint32(below(Math.min(limit, bytes.length - 4)), number, true);
        return bytes;
    },
    (bytes) => bytes.subarray(0, below(bytes.length)),
    (bytes, limit) => {
        const at = below(limit);
        return new Uint8Array(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + below(9))]));
    },
    (bytes, limit) => {
        const at = below(limit);
        return new Uint8Array(Buffer.concat([bytes.subarray(0, at + 1 + below(40)), bytes.subarray(at)]));
    },
];

/** The same, of a size that is not known. @param {Uint8Array} bytes */
function streamOf(bytes) {
    return new ReadableStream({
        start(controller) {
            controller.enqueue(bytes.slice(0, bytes.length >> 1));
            controller.enqueue(bytes.slice(bytes.length >> 1));
            controller.close();
        },
    });
}

const everything = () => true;

/** @param {Uint8Array} bytes that all weights together are no longer than @returns {(model: import('./outcome.js').Opened) => Promise<void>} */
const readAll = (bytes) => async (model) => {
    let read = 0;
    assert.equal(typeof model.config, 'object');
    for await (const piece of model.read(everything)) read += piece.bytes.length;
    assert.ok(read <= bytes.length);
};

/** All rounds; outside of test(), whose hooks on every promise take most of the time otherwise. */
async function fuzz() {
    const seen = new Map();
    let before = 0;
    const costs = new Costs(SEED, { base: BASE_BYTES });
    for (let round = 0; round < ROUNDS; round++) {
        const which = below(FILES.length);
        /** @type {Uint8Array} */
        let bytes = FILES[which].slice();
        for (let i = 0; i <= below(2); i++) {
            if (bytes.length > 16) {
                bytes = pick(DAMAGE)(bytes.slice(), Math.max(1, Math.min(HEADERS[which], bytes.length)));
            }
        }
        costs.begin();
        const code = await outcome(round % 16 === 0 ? streamOf(bytes) : bytes, round, readAll(bytes));
        costs.end(bytes.length, `round ${round}`);
        seen.set(code, (seen.get(code) ?? 0) + 1);
        if (round === Math.min(2000, ROUNDS >> 1)) before = process.memoryUsage().arrayBuffers;
    }
    const kept = process.memoryUsage().arrayBuffers - before;
    costs.tell(ROUNDS, seen);
    return { seen, kept };
}

const result = await fuzz().catch((error) => ({ error }));

test(`${ROUNDS} damaged GGUF files, seed ${SEED}`, () => {
    if ('error' in result) throw result.error;
    const { seen, kept } = result;
    const outcomes = JSON.stringify(Object.fromEntries(Array.from(seen).sort((a, b) => b[1] - a[1])));
    assert.ok(kept < KEPT_BYTES, `${kept} bytes are kept`);
    // Damage that is always noticed at the same place would test nothing.
    assert.ok(ROUNDS < 1000 || (seen.size >= 10 && seen.get('opens') > ROUNDS / 50), outcomes);
});
