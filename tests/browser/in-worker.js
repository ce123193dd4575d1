// Runs a block of attention in a worker of a page, blocking and not, and posts what happened.

import { createRuntime } from '../../js/engine/create-runtime.js';
import { Block } from '../property/jobs.js';

globalThis.onmessage = async (/** @type {MessageEvent} */ { data: sizes }) => {
    try {
        const runtime = await createRuntime({ workers: 2 });
        const explanation = runtime.explain();
        const block = new Block(runtime, sizes);
        /** @param {import('../../js/engine/tensor.js').Tensor} out */
        const bits = (out) => Array.from(new Uint32Array(out.data.slice().buffer));
        const sync = bits(runtime._runSync(block));
        const async = bits(await runtime._run(block));
        runtime.dispose();
        globalThis.postMessage({ explanation, sync, async, error: '' });
    } catch (error) {
        globalThis.postMessage({ error: String(error) });
    }
};
