// Model files with seeded damage: each either loads, and then works, or is refused with a FormatError; weights of which no
// number comes out are told when a text is written. Nothing else is thrown, nothing hangs, nothing stays allocated, and no more is
// taken than files of their size may take. FUZZ_ROUNDS and FUZZ_SEED make it longer and different.

import { Costs } from './costs.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormatError, loadModel } from '../../js/generation/index.js';
import { testRuntime } from '../paired.js';
import { json, tinyConfig, tinyFiles, tinyTokenizer } from '../generation/checkpoint.js';
import { damage } from './damage.js';

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 300);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

/** What damaged files may take whatever their size: rows of logits, first pages of a cache, room for programs. */
const BASE_BYTES = 3 * 2 ** 20;

const runtime = await testRuntime();
const files = tinyFiles();
const { random, below, pick, bend, spoilBytes } = damage(SEED);

/** Where damage tells: the length and the header of a safetensors file. */
const HEADER = 8 + Number(new DataView(files.weights.buffer, files.weights.byteOffset).getBigUint64(0, true));

const NUMBERS = ['0', '-1', '1e9', '1e308', '9007199254740993', '0.5', 'null', '"1"', '[]', 'true', '4294967296'];

/**
 * One of the numbers in the text becomes another; the length in front is put right, so that it is read at all.
 * @param {Uint8Array} bytes @param {number} limit
 */
function otherNumber(bytes, limit) {
    const head = Buffer.from(bytes.subarray(0, limit)).toString('latin1');
    const numbers = Array.from(head.matchAll(/\d+/g)).filter(({ index }) => index >= 8);
    if (numbers.length === 0) return bytes;
    const { 0: old, index } = pick(numbers);
    const changed = Buffer.from(head.slice(0, index) + pick(NUMBERS) + head.slice(index + old.length), 'latin1');
    const out = new Uint8Array(Buffer.concat([changed, bytes.subarray(limit)]));
    if (limit === HEADER) new DataView(out.buffer, out.byteOffset).setBigUint64(0, BigInt(changed.length - 8), true);
    return out;
}

/** @param {number} round @returns {{ what: string, source: any }} */
function damaged(round) {
    const whole = random() < 1 / 6 ? otherNumber : spoilBytes;
    switch (round % 5) {
        case 0: return { what: 'header', source: { ...files, weights: whole(files.weights, HEADER) } };
        case 1: return { what: 'weights', source: { ...files, weights: whole(files.weights, files.weights.length) } };
        case 2: {
            const config = random() < 0.5 ? json(bend(tinyConfig())) : whole(files.config, files.config.length);
            return { what: 'config', source: { ...files, config } };
        }
        case 3: {
            const tokenizer = random() < 0.6 ? json(bend(tinyTokenizer()))
                : whole(files.tokenizer, files.tokenizer.length);
            return { what: 'tokenizer', source: { ...files, tokenizer } };
        }
        default: {
            const weights = whole(files.weights, HEADER);
            const size = 1 + below(5000);
            let at = 0;
            const stream = new ReadableStream({
                pull(controller) {
                    if (at >= weights.length) {
                        controller.close();
                    } else {
                        controller.enqueue(weights.slice(at, at += size));
                    }
                },
            });
            return { what: 'stream', source: { ...files, weights: stream } };
        }
    }
}

test(`${ROUNDS} damaged models, seed ${SEED}`, async () => {
    const warm = await loadModel(runtime, files);
    for await (const _ of warm.generate('the thing', { maxNewTokens: 2 }));
    warm.dispose();
    const before = runtime.explain().bytesInUse;
    const seen = new Map();
    const costs = new Costs(SEED, { base: BASE_BYTES, runtime });
    const size = Object.values(files).reduce((sum, { length }) => sum + length, 0);
    for (let round = 0; round < ROUNDS; round++) {
        const { what, source } = damaged(round);
        costs.begin();
        let outcome = 'loads';
        try {
            const model = await loadModel(runtime, source);
            try {
                for await (const { text } of model.generate('the thing', { maxNewTokens: 2 })) {
                    assert.equal(typeof text, 'string');
                }
            } finally {
                model.dispose();
            }
        } catch (error) {
            const { message, stack } = /** @type {Error} */ (error);
            const isTold = error instanceof FormatError || /logits are not finite/.test(message);
            assert.ok(isTold, `round ${round}, ${what}: ${stack}`);
            outcome = error instanceof FormatError ? error.code : 'not finite';
        }
        costs.end(size, `round ${round}, ${what}`);
        assert.equal(runtime.explain().bytesInUse, before, `round ${round}, ${what}: bytes stay allocated`);
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
    costs.tell(ROUNDS, seen);
    // Damage that is always noticed at the same place would test nothing.
    assert.ok(seen.size >= Math.min(8, ROUNDS / 20), `outcomes: ${JSON.stringify(Object.fromEntries(seen))}`);
    assert.ok(ROUNDS < 100 || seen.has('loads'));
});
