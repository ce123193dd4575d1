// Configs of every family with seeded damage: each either loads, and then computes, or is refused with a FormatError,
// or asks for more memory than there is. Nothing else is thrown, nothing hangs, nothing stays allocated. FUZZ_ROUNDS
// and FUZZ_SEED make it longer and different.

import { Costs } from './costs.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormatError, loadModel } from '../../js/generation/index.js';
import { json, readCases, weightsOf } from '../model/golden.js';
import { testRuntime } from '../paired.js';
import { damage } from './damage.js';

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 600);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

/** What a model may take whatever its size: rows of logits, first pages of a cache, room for programs. */
const BASE_BYTES = 3 * 2 ** 20;

const runtime = await testRuntime({ maxMemory: 64 * 2 ** 20 });
const cases = readCases().map((entry) => ({ ...entry, weights: weightsOf(entry.name) }));
const { random, below, pick } = damage(SEED);

const VALUES = [
    null, 0, -1, 1, 2, 3, 4, 6, 7, 8, 12, 16, 1e-30, 0.5, 1e9, 2 ** 31 - 1, 2 ** 31, 2 ** 53, 1e300, -1e300,
    '', 'x', 'llama3', 'yarn', 'dynamic', 'longrope', 'linear', 'gelu', 'relu', [], [1], {},
    { rope_type: 'yarn' }, true, false,
];

/** Fields of some family, which another may not expect. */
const FIELDS = [...new Set(cases.flatMap(({ config, old }) => [...Object.keys(config), ...Object.keys(old ?? {})]))];

/** A copy of a config with some of its fields changed, one level down too. @param {Record<string, any>} config */
function bend(config) {
    const copy = structuredClone(config);
    for (let i = 0; i <= below(2); i++) {
        const inner = Object.values(copy).filter((value) => value !== null && typeof value === 'object');
        const target = inner.length > 0 && random() < 0.4 ? pick(inner) : copy;
        const key = random() < 0.15 ? pick(FIELDS) : pick(Object.keys(target));
        if (random() < 0.15) delete target[key];
        else if (typeof target[key] === 'number' && random() < 0.3) target[key] *= pick([2, 0.5, -1, 3]);
        else target[key] = structuredClone(pick(VALUES)); // a later change may be within it
    }
    return copy;
}

test(`${ROUNDS} damaged configs, seed ${SEED}`, async () => {
    /** @param {Record<string, any>} config @param {Uint8Array} weights */
    const attempt = async (config, weights) => {
        const model = await loadModel(runtime, { config: json(config), weights });
        try {
            const ids = [1, 2, 3].map((id) => id % model.vocabularySize);
            const room = Math.min(3, model.contextLength);
            const { data } = await model.forward(ids.slice(0, room));
            assert.equal(data.length, model.vocabularySize);
        } finally {
            model.dispose();
        }
    };
    for (const { config, weights } of cases) await attempt(config, weights);
    const before = runtime.memory.used;
    /** @type {Map<string, number>} */
    const seen = new Map();
    const costs = new Costs(SEED, { base: BASE_BYTES, runtime });
    for (let round = 0; round < ROUNDS; round++) {
        const { name, config, old, weights } = pick(cases);
        const bent = bend(old !== null && random() < 0.5 ? old : config);
        const what = `round ${round}, ${name}: ${JSON.stringify(bent)}`;
        costs.begin();
        let outcome = 'loads';
        try {
            await attempt(bent, weights);
        } catch (error) {
            const known = error instanceof FormatError || (error instanceof RangeError && /memory/.test(error.message));
            assert.ok(known, `${what}: ${error instanceof Error ? error.stack : error}`);
            outcome = error instanceof FormatError ? error.code : 'memory';
        }
        costs.end(weights.length, what);
        assert.equal(runtime.memory.used, before, `${what}: bytes stay allocated`);
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
    costs.tell(ROUNDS, seen);
    // Damage that is always noticed at the same place would test nothing.
    assert.ok(seen.size >= Math.min(7, ROUNDS / 20), `outcomes: ${JSON.stringify(Object.fromEntries(seen))}`);
});
