#!/usr/bin/env node
// npx cached-attention "Once upon a time": a language model in the terminal.
//
// The text goes to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (the
// text so far has been written).

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { loadModel } from './generation/index.js';
import { createRuntime } from './index.js';

const HELP = `Usage: cached-attention [options] [prompt]

Continues a text. Without a prompt the model begins one by itself; the prompt "-" is read from stdin.

  --model <where>         folder, .safetensors file or URL of a GPT-2 as Hugging Face publishes it
                          (default: the small model of stories that comes along)
  --max-new-tokens <n>    stop after so many tokens (default: when the text ends or the model's context is full)
  --sampler <name>        greedy, top_k, top_p, random, beam or contrastive
                          (default: top_p if --top-p is given, else top_k)
  --temperature <x>       below 1 plays safer, above 1 wilder, 0 always takes the likeliest token (default: 1)
  --top-k <n>             draw from the n likeliest tokens (default for top_k: 5)
  --top-p <x>             draw from the likeliest tokens that make up the share x of the probability
  --seed <n>              the same seed, the same text
  --stop <text>           end before this text; may be given more than once
  --workers <n|auto>      threads beside the main one (default: auto)
  --simd <variant>        auto, relaxed or simd128 (default: auto)
  --help, --version
`;

const OPTIONS = /** @type {const} */ ({
    model: { type: 'string' },
    'max-new-tokens': { type: 'string' },
    sampler: { type: 'string' },
    temperature: { type: 'string' },
    'top-k': { type: 'string' },
    'top-p': { type: 'string' },
    seed: { type: 'string' },
    stop: { type: 'string', multiple: true },
    workers: { type: 'string', default: 'auto' },
    simd: { type: 'string', default: 'auto' },
    help: { type: 'boolean' },
    version: { type: 'boolean' },
});

/** Something wrong with the command line. */
class UsageError extends Error {}

/**
 * @template T
 * @param {() => T} body
 * @returns {T} what it returns; what it throws becomes a UsageError
 */
function asUsage(body) {
    try {
        return body();
    } catch (error) {
        throw new UsageError(/** @type {Error} */ (error).message, { cause: error });
    }
}

/** @param {string} name @param {any} value @returns {number | undefined} */
function number(name, value) {
    if (value === undefined) {
        return undefined;
    }
    if (value.trim() === '' || !Number.isFinite(Number(value))) {
        throw new UsageError(`--${name} expects a number, got '${value}'`);
    }
    return Number(value);
}

/** A bar of what has been loaded, on a terminal only. @param {{ loaded: number, total: number }} progress */
function showProgress({ loaded, total }) {
    if (process.stderr.isTTY) {
        const done = Math.round(30 * loaded / total);
        const megabytes = [loaded, total].map((bytes) => (bytes / 1e6).toFixed(1)).join(' of ');
        const end = loaded === total ? '\r\x1b[K' : '';
        process.stderr.write(`\r[${'#'.repeat(done)}${' '.repeat(30 - done)}] ${megabytes} MB${end}`);
    }
}

/** @returns {Promise<string>} all of stdin */
async function readStdin() {
    process.stdin.setEncoding('utf8');
    let text = '';
    for await (const chunk of process.stdin) {
        text += chunk;
    }
    return text;
}

/** @param {string} text @param {AbortSignal} signal waits until the reader of stdout keeps up, or is gone */
async function write(text, signal) {
    if (text !== '' && !process.stdout.write(text)) {
        // Aborting ends the wait and, with the next token, the text.
        await once(process.stdout, 'drain', { signal }).catch(() => {});
    }
}

/**
 * Loads, writes, reports.
 * @param {Record<string, any>} values the options
 * @param {string[]} prompts
 * @param {AbortSignal} signal
 */
async function run(values, prompts, signal) {
    const options = {
        maxNewTokens: number('max-new-tokens', values['max-new-tokens']),
        sampler: values.sampler,
        temperature: number('temperature', values.temperature),
        topK: number('top-k', values['top-k']),
        topP: number('top-p', values['top-p']),
        seed: number('seed', values.seed),
        stop: values.stop,
    };
    const workers = values.workers === 'auto' ? 'auto' : /** @type {number} */ (number('workers', values.workers));
    const prompt = prompts[0] === '-' ? await readStdin() : prompts[0] ?? '';
    const start = performance.now();
    const runtime = await createRuntime({ workers, simd: values.simd }).catch((error) => {
        throw error instanceof TypeError || error instanceof RangeError ? new UsageError(error.message) : error;
    });
    try {
        const model = await loadModel(runtime, values.model, { signal, onProgress: showProgress });
        const loaded = performance.now();
        const items = asUsage(() => model.generate(prompt, { ...options, signal }));
        await write(prompt, signal);
        let tokens = 0;
        let first = loaded;
        for await (const { text } of items) {
            first = tokens++ === 0 ? performance.now() : first;
            await write(text, signal);
        }
        const seconds = (performance.now() - first) / 1000;
        const { variant, threads } = runtime.explain();
        process.stdout.write('\n');
        const rate = tokens > 1 ? `, ${((tokens - 1) / seconds).toFixed(1)} per second` : '';
        process.stderr.write(`${tokens} tokens${rate}; loaded in ${(loaded - start).toFixed(0)} ms, ` +
            `first token after ${(first - loaded).toFixed(0)} ms; ` +
            `${variant} SIMD, ${threads} ${threads === 1 ? 'thread' : 'threads'}\n`);
    } finally {
        runtime.dispose();
    }
}

/** @returns {Promise<number>} the exit code */
async function main() {
    const { values, positionals } = asUsage(() => parseArgs({ options: OPTIONS, allowPositionals: true }));
    if (values.help) {
        process.stdout.write(HELP);
        return 0;
    }
    if (values.version) {
        const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
        process.stdout.write(`${version}\n`);
        return 0;
    }
    if (positionals.length > 1) {
        throw new UsageError(`one prompt is expected, got ${positionals.length}: put it in quotes`);
    }
    const interrupted = new AbortController();
    let code = 0;
    process.once('SIGINT', () => {
        code = 130;
        interrupted.abort();
    });
    // Whoever reads the text has had enough (`| head`): that is no failure.
    process.stdout.on('error', () => interrupted.abort());
    try {
        await run(values, positionals, interrupted.signal);
    } catch (error) {
        if (!interrupted.signal.aborted) {
            throw error;
        }
        if (code === 130 && process.stdout.bytesWritten > 0) {
            process.stdout.write('\n');
        }
    }
    return code;
}

try {
    process.exitCode = await main();
} catch (error) {
    const { message } = /** @type {Error} */ (error);
    process.stderr.write(`cached-attention: ${message.replaceAll(/\s*\n\s*/g, ' ')}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
}
