// cached-attention [prompt]: continues a text.

import { once } from 'node:events';
import { textFor } from './sanitize.js';

/** @typedef {import('node:stream').Writable & { isTTY?: boolean }} Output */

/**
 * @param {Output} output
 * @param {string} text
 * @param {AbortSignal} signal ends the wait for a reader that does not keep up
 */
async function write(output, text, signal) {
    if (text !== '' && !output.write(textFor(output, text))) {
        await once(output, 'drain', { signal }).catch(() => {});
    }
}

/**
 * Writes what a model generates as it comes.
 * @param {AsyncIterable<{ text: string }>} items
 * @param {Output} output
 * @param {AbortSignal} signal
 * @param {(text: string) => void} [onText] what has come, before it is written
 * @returns {Promise<{ tokens: number, first: number, seconds: number }>} when the first one came, seconds after it
 */
export async function stream(items, output, signal, onText = () => {}) {
    let tokens = 0;
    let first = performance.now();
    for await (const { text } of items) {
        if (tokens++ === 0) first = performance.now();
        onText(text);
        await write(output, text, signal);
    }
    return { tokens, first, seconds: (performance.now() - first) / 1000 };
}

/** @param {{ tokens: number, seconds: number }} result @returns {string} */
export function speed({ tokens, seconds }) {
    const rate = tokens > 1 && seconds > 0 ? `, ${((tokens - 1) / seconds).toFixed(1)} per second` : '';
    return `${tokens} ${tokens === 1 ? 'token' : 'tokens'}${rate}`;
}

/**
 * @param {{ model: any, runtime: any, milliseconds: number }} opened
 * @param {string} prompt
 * @param {Record<string, any>} options of generate()
 * @param {AbortSignal} signal
 */
export async function generate({ model, runtime, milliseconds }, prompt, options, signal) {
    const { stdout, stderr } = process;
    const start = performance.now();
    const items = model.generate(prompt, { ...options, signal });
    await write(stdout, prompt, signal);
    const result = await stream(items, stdout, signal);
    stdout.write('\n');
    const { variant, threads } = runtime.explain();
    const wait = result.tokens > 0 ? `, first token after ${(result.first - start).toFixed(0)} ms` : '';
    stderr.write(`${speed(result)}; loaded in ${milliseconds.toFixed(0)} ms${wait}; ` +
        `${variant} SIMD, ${threads} ${threads === 1 ? 'thread' : 'threads'}\n`);
}
