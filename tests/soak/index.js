// npm run soak [tokens | loads | runtimes | operations ...]
//
// What is only seen after a long time: bytes that stay after every token, load or runtime, and wrong numbers after millions of
// operations in any order. SOAK_STEPS sets how many steps of each, SOAK_SEED the order of the operations. Exits with 1 where
// more than a byte a step stays, on the JavaScript heap or in a runtime's memory, and a quarter of a megabyte in all: so much
// an engine keeps or gives back by itself (code, tables), whatever is done.

import { setFlagsFromString } from 'node:v8';
import vm from 'node:vm';
import { createRuntime } from '../../js/index.js';
import { loadModel } from '../../js/generation/index.js';
import { json, readCases, weightsOf } from '../model/golden.js';
import { Operations } from './operations.js';

setFlagsFromString('--expose-gc');
const collect = /** @type {() => void} */ (vm.runInNewContext('gc'));

const { config } = /** @type {import('../model/golden.js').Case} */ (readCases().find(({ name }) => name === 'llama-mqa-f16'));
const files = { config: json(config), weights: weightsOf('llama-mqa-f16') };

/** What a part does again and again: `step` once; `bytes` says what it holds of a runtime's memory. */
/** @typedef {{ step: () => unknown, bytes: () => number, end: () => unknown }} Part */

/** @type {Record<string, { steps: number, start: () => Promise<Part> }>} */
const PARTS = {
    tokens: {
        steps: 100_000,
        async start() {
            const runtime = await createRuntime({ workers: 0 });
            const model = await loadModel(runtime, files);
            const text = model.generate([1, 2, 3], { topK: 5, seed: 1, cache: model.createCache({ sinks: 4, window: 60 }) });
            return { step: () => text.next(), bytes: () => runtime.explain().bytesInUse, end: () => runtime.dispose() };
        },
    },
    loads: {
        steps: 1000,
        async start() {
            const runtime = await createRuntime({ workers: 0 });
            const step = async () => {
                const model = await loadModel(runtime, files);
                (await model.forward([1, 2])).dispose();
                model.dispose();
            };
            return { step, bytes: () => runtime.explain().bytesInUse, end: () => runtime.dispose() };
        },
    },
    runtimes: {
        steps: 1000,
        async start() {
            const step = async () => {
                const runtime = await createRuntime({ workers: 0, maxMemory: 2 ** 22 });
                (await (await loadModel(runtime, files)).forward([1, 2])).dispose();
                runtime.dispose();
            };
            return { step, bytes: () => 0, end: () => {} };
        },
    },
    operations: {
        steps: 10_000_000,
        async start() {
            const operations = await Operations.create(files, Number(process.env.SOAK_SEED ?? 1));
            return { step: () => operations.step(), bytes: () => operations.bytes, end: () => operations.end() };
        },
    },
};

/** What an engine keeps, or gives back, by itself. */
const NOISE = 2 ** 18;

/** Bytes of the heap, of buffers on it, and of a runtime. @param {Part} part */
async function held(part) {
    let least = Infinity;
    // What waits to be finalized goes between two collections.
    for (let i = 0; i < 8; i++) {
        collect();
        await new Promise((resolve) => { setTimeout(resolve, 20); });
        const { heapUsed, arrayBuffers } = process.memoryUsage();
        least = Math.min(least, heapUsed + arrayBuffers);
    }
    return least + part.bytes();
}

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !Object.hasOwn(PARTS, name));
if (unknown !== undefined) throw new RangeError(`a part must be one of ${Object.keys(PARTS).join(', ')}, got ${unknown}`);
for (const name of asked.length > 0 ? asked : Object.keys(PARTS)) {
    const { start, steps: usual } = PARTS[name];
    const steps = Number(process.env.SOAK_STEPS ?? usual);
    const part = await start();
    const begin = performance.now();
    let before = 0;
    for (let i = 0; i < 2 * steps; i++) {
        if (i === steps) before = await held(part); // by then all code is compiled and all tables are as large as they get
        await part.step();
    }
    const bytes = ((await held(part)) - before) / steps;
    const seconds = (performance.now() - begin) / 1000;
    await part.end();
    console.log(`${name}: ${steps} steps and as many before, ${bytes.toFixed(2)} bytes a step stay, ${seconds.toFixed(1)} s`);
    if (bytes * steps >= steps + NOISE) process.exitCode = 1;
}
