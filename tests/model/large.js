// node tests/model/large.js [SHAPE [TYPE [FOLDER]]]
//
// A model of random weights, 1.1 billion in Q4_0 in the shape of TinyLlama unless told otherwise (`qwen2 F16`: 1.5 billion, 3.1 GB):
// makes the file, loads it in a process of its own and writes 20 tokens. Prints the time to load and the most memory that the
// process had, beside the file's size. Not a part of `npm test`: it takes a minute and 620 MB.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { SHAPES, TYPES, writeRandomModel } from './random-model.js';

/** What the process of its own does. @param {string} path */
const program = (path) => `
    const { createRuntime } = await import(${JSON.stringify(new URL('../../js/index.js', import.meta.url).href)});
    const { loadModel } = await import(${JSON.stringify(new URL('../../js/generation/index.js', import.meta.url).href)});
    const before = process.resourceUsage().maxRSS * 1024;
    const runtime = await createRuntime();
    const start = performance.now();
    const model = await loadModel(runtime, ${JSON.stringify(path)});
    const loaded = performance.now() - start;
    const peak = process.resourceUsage().maxRSS * 1024;
    const tokens = [];
    for await (const { token } of model.generate([1, 2, 3], { maxNewTokens: 20, temperature: 0 })) tokens.push(token);
    const written = performance.now() - start - loaded;
    const after = process.resourceUsage().maxRSS * 1024;
    console.log(JSON.stringify({ before, loaded, peak, written, after, tokens, inUse: runtime.explain().bytesInUse }));
    runtime.dispose();
`;

const [shape = 'tinyllama', type = 'Q4_0', place = tmpdir()] = process.argv.slice(2);
if (!Object.hasOwn(SHAPES, shape) || !Object.hasOwn(TYPES, type)) {
    throw new Error(`shape and type must be of ${Object.keys(SHAPES)} and ${Object.keys(TYPES)}, got ${shape} ${type}`);
}
const folder = mkdtempSync(join(place, 'large-'));
try {
    const path = join(folder, 'large.gguf');
    await writeRandomModel(path, SHAPES[/** @type {keyof typeof SHAPES} */ (shape)], type);
    const { size } = statSync(path);
    const cwd = new URL('.', pathToFileURL(path));
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', program(path)], { encoding: 'utf8', cwd });
    const { before, loaded, peak, written, after, tokens, inUse } = JSON.parse(out);
    const times = (/** @type {number} */ bytes) => (bytes / size).toFixed(3);
    console.log(`file ${size} bytes; loaded in ${(loaded / 1000).toFixed(1)} s (${(size / loaded / 1000).toFixed(0)} MB/s)`);
    console.log(`memory of the process: ${before} before, ${peak} at most while loading (${times(peak - before)} x the file more), ` +
        `${after} at most in all (${times(after - before)} x); of the runtime: ${inUse} (${times(inUse)} x)`);
    console.log(`${tokens.length} tokens in ${(written / 1000).toFixed(1)} s`);
} finally {
    rmSync(folder, { recursive: true });
}
