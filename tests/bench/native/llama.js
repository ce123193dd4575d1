// llama.cpp as native code, by way of node-llama-cpp: the same files on the processor alone.

import { IDS, PREFILL, WRITTEN, rates } from '../lib/decoder.js';

/** @param {{ threads: number, file: string, from?: string }} options from: its module, where names are no help */
export async function create({ threads, file, from = 'node-llama-cpp' }) {
    const { getLlama } = await import(from);
    const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, logLevel: 'error' });
    const model = await llama.loadModel({ modelPath: file });
    const context = await model.createContext({ contextSize: 512, batchSize: 512, threads });
    const sequence = context.getSequence();
    return {
        name: 'llama.cpp',
        ...rates(async (write, time) => {
            await sequence.clearHistory();
            await time(PREFILL, () => sequence.evaluateWithoutGeneratingNewTokens(IDS.slice(0, PREFILL)));
            if (!write) return;
            const tokens = sequence.evaluate([IDS[PREFILL]], { temperature: 0, yieldEogToken: true });
            for (let i = 0; i < WRITTEN; i++) await time(1, () => tokens.next());
            await tokens.return();
        }),
    };
}
