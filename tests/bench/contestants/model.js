// The embedded model writing through `generate`: sampling and detokenizing included, as a user sees it.

import { createRuntime } from '../../../js/index.js';
import { loadModel } from '../../../js/generation/index.js';

const PROMPT = 'Once upon a time';
const TOKENS = 160;

/** @param {{ simd: 'relaxed' | 'simd128', workers: number }} options */
export async function create({ simd, workers }) {
    const runtime = await createRuntime({ simd, workers });
    const model = await loadModel(runtime);
    let seed = 0;

    /** One text: when each token came, ms. @param {number} tokens */
    async function write(tokens) {
        const options = { maxNewTokens: tokens, sampler: 'top_p', temperature: 0.8, topP: 0.9, seed: ++seed };
        const times = [performance.now()];
        for await (const { text } of model.generate(PROMPT, options)) {
            if (typeof text !== 'string') throw new Error('no text');
            times.push(performance.now());
        }
        return times;
    }
    return {
        name: 'cached-attention',
        /** What a decoded token has to read: every weight but the position embeddings, of which it reads a row. */
        describe() {
            const { contextTrained, width } = model.explain();
            return {
                parameters: model.parameters,
                bytes: model.weightBytes - 4 * (contextTrained - 1) * width,
                cacheBytesPerToken: model.cacheBytesPerToken,
                layers: model.layers,
            };
        },
        /**
         * Tokens per second after the first one: of whole texts, until the budget is spent. The median text.
         * @param {number} budgetMs
         */
        async tokensPerSecond(budgetMs) {
            const rates = [];
            const end = performance.now() + budgetMs;
            do {
                const times = await write(TOKENS);
                // A text that ends early says little.
                if (times.length > 20) rates.push(((times.length - 2) * 1000) / (times[times.length - 1] - times[1]));
            } while (performance.now() < end || rates.length === 0);
            return rates.sort((a, b) => a - b)[rates.length >> 1];
        },
        /**
         * JavaScript heap per token, bytes; wants --expose-gc and a young generation that is not collected meanwhile.
         */
        async garbage() {
            await write(TOKENS);
            await write(TOKENS);
            globalThis.gc?.();
            const before = process.memoryUsage().heapUsed;
            const reserved = runtime.explain().bytesReserved;
            const used = runtime.explain().bytesInUse;
            let tokens = 0;
            for (let i = 0; i < 5; i++) tokens += (await write(TOKENS)).length - 1;
            const { bytesReserved, bytesInUse } = runtime.explain();
            return {
                heap: (process.memoryUsage().heapUsed - before) / tokens,
                wasm: bytesReserved - reserved + bytesInUse - used,
                tokens,
            };
        },
    };
}
