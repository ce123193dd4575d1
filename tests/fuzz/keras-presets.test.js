// Presets with seeded damage, in any of their files: each either loads, and then works, or is refused with a FormatError.
// Nothing else is thrown, nothing hangs, nothing stays allocated. FUZZ_ROUNDS and FUZZ_SEED make it longer and different.

import { Costs } from './costs.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormatError, loadModel } from '../../js/generation/index.js';
import { gpt2Preset, llamaPreset } from '../files/presets.js';
import { testRuntime } from '../paired.js';
import { VALUES, damage } from './damage.js';

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 3000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

/** What a damaged preset may take whatever its size: rows of logits, first pages of a cache, room for programs. */
const BASE_BYTES = 3 * 2 ** 20;

const runtime = await testRuntime();
const { random, below, pick, bend, spoilBytes } = damage(SEED);

/** With a name of Keras's for a type, and numbers that are no sizes. */
const WORDS = [...VALUES, 'int8', 1.5, Number.MAX_SAFE_INTEGER];

/** Lengths, counts and addresses. @param {Uint8Array} bytes */
function otherNumber(bytes) {
    const copy = bytes.slice();
    const number = pick([0, 1, 0x7fffffff, 0xffffffff, below(copy.length), below(64)]);
    if (copy.length >= 4) new DataView(copy.buffer).setUint32(below(copy.length - 3), number, true);
    return copy;
}

const spoiled = (/** @type {Uint8Array} */ bytes) => (random() < 1 / 6 ? otherNumber : spoilBytes)(bytes);

/** @param {Record<string, Uint8Array>} files */
function damaged(files) {
    const name = pick(Object.keys(files));
    if (random() < 0.03) {
        const { [name]: _, ...others } = files;
        return { what: `no ${name}`, files: others };
    }
    const bent = name.endsWith('.json') && random() < 0.7
        ? new TextEncoder().encode(JSON.stringify(bend(JSON.parse(Buffer.from(files[name]).toString()), WORDS)))
        : spoiled(files[name]);
    // HDF5's tables stand before its numbers, where damage would hardly ever tell.
    const head = name.endsWith('.h5') && random() < 0.8 ? Math.min(bent.length, 6000) : 0;
    const bytes = head > 0 ? new Uint8Array(Buffer.concat([spoiled(files[name].subarray(0, head)), files[name].subarray(head)])) : bent;
    return { what: name, files: { ...files, [name]: bytes } };
}

/** As a folder picker gives them. @param {Record<string, Uint8Array>} files */
const pickedFiles = (files) => Object.entries(files).map(([path, bytes]) =>
    Object.defineProperty(new File([/** @type {any} */ (bytes)], path.replace(/.*\//, '')), 'webkitRelativePath', { value: `preset/${path}` }));

/** @param {File[]} files */
async function load(files) {
    const model = await loadModel(runtime, files);
    try {
        const prompt = model.tokenizer === null ? [0, 1] : 'ab abba';
        for await (const { text } of model.generate(prompt, { maxNewTokens: 2 })) assert.equal(typeof text, 'string');
    } finally {
        model.dispose();
    }
}

test(`${ROUNDS} damaged presets, seed ${SEED}`, async () => {
    const presets = [gpt2Preset(), llamaPreset(), llamaPreset('int8'), llamaPreset('int4')];
    for (const files of presets) await load(pickedFiles(files));
    const before = runtime.explain().bytesInUse;
    const seen = new Map();
    const costs = new Costs(SEED, { base: BASE_BYTES, runtime });
    for (let round = 0; round < ROUNDS; round++) {
        const { what, files } = damaged(pick(presets));
        const list = pickedFiles(files);
        costs.begin();
        let outcome = 'loads';
        try {
            await load(list);
        } catch (/** @type {any} */ error) {
            // Weights are any numbers, and a vocabulary may go beyond the table: that is told when a text meets it.
            const isTold = error instanceof FormatError || /logits are not finite|must be a token id/.test(error.message);
            assert.ok(isTold, `round ${round}, ${what}: ${error.stack}`);
            assert.ok(error.message.length < 800, `round ${round}, ${what}: ${error.message.length} letters`);
            outcome = error.code ?? error.name;
        }
        costs.end(Object.values(files).reduce((sum, { length }) => sum + length, 0), `round ${round}, ${what}`);
        assert.equal(runtime.explain().bytesInUse, before, `round ${round}, ${what}: bytes stay allocated`);
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
    costs.tell(ROUNDS, seen);
    // Damage that is always noticed at the same place would test nothing.
    assert.ok(seen.size >= Math.min(12, ROUNDS / 20), `outcomes: ${JSON.stringify(Object.fromEntries(seen))}`);
    assert.ok(ROUNDS < 100 || seen.has('loads'));
});
