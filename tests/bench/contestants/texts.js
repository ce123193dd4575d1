// A real model writing: with and without a draft from the prompt, several texts at once, a prompt read and loaded.

import assert from 'node:assert/strict';
import { createRuntime } from '../../../js/index.js';
import { ModelCache, loadModel } from '../../../js/generation/index.js';

const TEXT = 'The Amazon rainforest covers most of the Amazon basin of South America. The basin covers seven million square kilometres, ' +
    'of which five and a half million are covered by the rainforest. The region includes territory belonging to nine nations. The ' +
    'majority of the forest is in Brazil, with sixty percent, followed by Peru with thirteen percent and Colombia with ten percent.';
const CODE = `class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)

    def pop(self):
        if not self.items:
            raise IndexError("pop from empty stack")
        return self.items.pop()
`;

/**
 * By what they ask for; measured for as long as the model repeats what it was given.
 * @type {Record<string, { prompt: any, tokens: number }>}
 */
const REPEATING = {
    'a text that stood twice': { prompt: `${TEXT}\n\n${TEXT}\n\nThe Amazon rainforest covers`, tokens: 80 },
    'asked for in a chat': { prompt: [{ role: 'user', content: `Repeat this text word by word: ${TEXT}` }], tokens: 70 },
    'code, with another name': { prompt: `Here is a file:\n\n${CODE}\nHere is the same file again, with a class Queue:\n\n`, tokens: 120 },
};
const BEGINNINGS = [
    'The capital of France is', 'In the beginning', 'Once upon a time there was', 'A recipe for bread:', 'The theory of gravity says',
    'def main():', 'Dear Sir or Madam,', 'The weather today',
];

/** @param {{ simd: 'relaxed' | 'simd128', workers: number, file: string }} options */
export async function create({ simd, workers, file }) {
    const runtime = await createRuntime({ simd, workers });
    const model = await loadModel(runtime, file);

    /** Milliseconds per token after the first, and the tokens. @param {any} prompt @param {any} options */
    async function write(prompt, options) {
        const tokens = [];
        let [start, drafted] = [0, 0];
        for await (const item of model.generate(prompt, { temperature: 0, ...options })) {
            start ||= performance.now();
            tokens.push(item.token);
            drafted += Number(item.drafted === true);
        }
        return { ms: (performance.now() - start) / (tokens.length - 1), tokens, drafted: drafted / tokens.length };
    }
    return {
        name: 'cached-attention',
        cases: () => Object.keys(REPEATING),
        /** One round: without a draft, then with one. @param {string} name */
        async draft(name) {
            const { prompt, tokens } = REPEATING[name];
            const plain = await write(prompt, { maxNewTokens: tokens });
            const ahead = await write(prompt, { maxNewTokens: tokens, draft: 'prompt' });
            assert.deepEqual(ahead.tokens, plain.tokens);
            return { plain: plain.ms, ahead: ahead.ms, drafted: ahead.drafted };
        },
        /** One round: tokens per second of one text, then of eight. @param {number} round */
        async together(round) {
            const rate = async (/** @type {any} */ prompt) => 1000 / (await write(prompt, { maxNewTokens: 60 })).ms;
            return { one: await rate(BEGINNINGS[round % BEGINNINGS.length]), eight: await rate(BEGINNINGS) };
        },
        /** One round: milliseconds to read so many tokens, and to load them saved. @param {number} count */
        async prefix(count) {
            const ids = Array.from({ length: count }, (_, i) => 1000 + (i * 7) % 5000);
            const cache = model.createCache();
            let start = performance.now();
            await model.forward(ids, { cache });
            const read = performance.now() - start;
            const saved = await cache.save();
            cache.dispose();
            start = performance.now();
            const loaded = await ModelCache.load(model, saved);
            const load = performance.now() - start;
            assert.deepEqual(loaded.tokens, ids);
            loaded.dispose();
            return { read, load };
        },
    };
}
