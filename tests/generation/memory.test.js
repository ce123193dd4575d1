// How much of the memory a model takes before its first token: little more than its file has, whatever the file's type.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { llama, llamaTensors } from '../files/gguf-writer.js';
import { testRuntime } from '../paired.js';

const WIDTH = 256, INNER = 768, LAYERS = 2;
/** Of the file's bytes. */
const MOST = 1.15;

const CHANGES = /** @type {Record<string, [string, any]>} */ ({
    'llama.embedding_length': ['u32', WIDTH], 'llama.feed_forward_length': ['u32', INNER], 'llama.block_count': ['u32', LAYERS],
    'llama.rope.dimension_count': ['u32', WIDTH / 4],
});

/** A Llama of a few MB, all its matrices of one type. @param {string} type */
function fileOf(type) {
    const [embedding, norm, ...layer] = llamaTensors();
    /** @param {number} n 6 tokens; the rest is a multiple of the width */
    const size = (n) => (n === 6 ? n : n === 64 ? INNER : n * WIDTH / 32);
    const all = [embedding, norm, ...Array.from({ length: LAYERS }, (_, i) =>
        layer.map((tensor) => ({ ...tensor, name: tensor.name.replace('blk.0', `blk.${i}`) }))).flat()];
    return llama(CHANGES, {
        tensors: all.map(({ name, shape }) => ({ name, shape: shape.map(size), type: shape.length === 1 ? 'F32' : type })),
    });
}

for (const type of ['F32', 'F16', 'BF16', 'Q8_0', 'Q4_0', 'Q4_K']) {
    test(`a file of ${type} takes at most ${MOST} times its size`, async () => {
        const file = fileOf(type);
        assert.ok(file.length > 3e5, `a model, not ${file.length} bytes`);
        const runtime = await testRuntime();
        const before = runtime.explain().bytesInUse;
        const model = await loadModel(runtime, new Blob([file]));
        const bytes = runtime.explain().bytesInUse - before;
        assert.ok(bytes <= MOST * file.length, `${bytes} bytes for a file of ${file.length}, ${bytes / file.length} times as many`);
        model.dispose();
        assert.equal(runtime.explain().bytesInUse, before);
    });
}
