// A language model of ours, by ids.

import { readFileSync } from 'node:fs';
import { createRuntime } from '../../../js/index.js';
import { loadModel } from '../../../js/generation/index.js';
import { IDS, PREFILL, WRITTEN, rates } from '../lib/decoder.js';

/** @param {{ simd: 'relaxed' | 'simd128', workers: number, file: string }} options */
export async function create({ simd, workers, file }) {
    const runtime = await createRuntime({ simd, workers });
    const bytes = readFileSync(file);
    const start = performance.now();
    const model = await loadModel(runtime, bytes);
    const loadMs = performance.now() - start;
    return {
        name: 'cached-attention',
        describe: () => ({ loadMs, fileBytes: bytes.length, weightBytes: model.weightBytes }),
        ...rates(async (write, time) => {
            const cache = model.createCache();
            await time(PREFILL, () => model.forwardSync(IDS.slice(0, PREFILL), { cache }));
            for (let i = 0; write && i < WRITTEN; i++) await time(1, () => model.forwardSync([IDS[PREFILL + i]], { cache }));
            cache.dispose();
        }),
    };
}
