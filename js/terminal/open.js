// The model that --model names, and the runtime for it.

import { existsSync } from 'node:fs';
import { isHubName } from '../files/hugging-face.js';
import * as generation from '../generation/index.js';
import { createRuntime } from '../index.js';
import { UsageError } from './options.js';
import { progressBar } from './progress.js';

/** @typedef {import('./options.js').Settings} Settings */

/**
 * @param {Settings} settings
 * @returns {any} for loadModel(): a path or a URL; owner/name is one on the hub where no such folder exists
 */
function source({ model, hub }) {
    if (model !== undefined && isHubName(model) && !existsSync(model)) {
        return /** @type {any} */ (generation).huggingFace(model, hub);
    }
    for (const name of Object.keys(hub)) {
        throw new UsageError(`--${name} must go with --model owner/name, got ${JSON.stringify(model ?? null)}`);
    }
    return model;
}

/**
 * Loads, showing how far it is, and frees everything in the end.
 * @template T
 * @param {Settings} settings
 * @param {AbortSignal} signal
 * @param {(opened: { model: any, runtime: any, milliseconds: number }) => Promise<T>} body
 * @returns {Promise<T>}
 */
export async function withModel(settings, signal, body) {
    const start = performance.now();
    const from = source(settings);
    const runtime = await createRuntime(settings.runtime);
    const bar = progressBar(process.stderr);
    try {
        const options = { ...settings.load, signal, onProgress: bar.show };
        const model = await generation.loadModel(runtime, from, options).finally(bar.clear);
        return await body({ model, runtime, milliseconds: performance.now() - start });
    } finally {
        runtime.dispose();
    }
}
