// readWeights(): every tensor of a file as numbers. Quantized blocks are decoded by the C core, on a runtime of its own.

import { decodeBlocks, weightType } from '../blocks/weight.js';
import { checkOptionNames, checkProgress, checkSignal } from '../check.js';
import { createRuntime } from '../engine/create-runtime.js';
import { readWeights as readTensors } from '../files/read-weights.js';

/**
 * The tensors of a `.safetensors`, `.gguf`, `.weights.h5` or `.keras` file, or of a folder.
 * @param {import('../files/source.js').ModelSource} source as for loadModel()
 * @param {{ signal?: AbortSignal | null, onProgress?: (progress: { loaded: number, total: number }) => void }} [options]
 * @returns {Promise<Map<string, import('../files/read-weights.js').WeightTensor>>} by the names that the file has
 * @throws {import('../check.js').FormatError} (rejects) for a malformed file
 */
export async function readWeights(source, options = {}) {
    checkOptionNames('readWeights', options, ['signal', 'onProgress']);
    const { signal, onProgress } = options;
    checkSignal(signal);
    checkProgress(onProgress);
    const runtime = await createRuntime({ workers: 0 });
    try {
        return await readTensors(source, {
            signal, onProgress,
            decode: (type, bytes, count, out) => out.set(decodeBlocks(runtime, weightType(type), bytes).subarray(0, count)),
        });
    } finally {
        runtime.dispose();
    }
}
