// SmolLM2-135M's shape, random weights: reading a text of 128 ids and writing single ones, from files of several types, beside
// onnxruntime-web with weights of eight bits and, on Linux, native llama.cpp from the same files.

import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PREFILL, SHAPE } from '../lib/decoder.js';
import { withContestants } from '../lib/line-up.js';
import { ceiling, quantile, race, ratio } from '../lib/race.js';
import { atLeast, gbytes, number, table, times } from '../lib/report.js';
import { writeRandomModel } from '../../model/random-model.js';
import { root } from '../../../src/build/system.js';

const TYPES = ['Q8_0', 'Q4_0', 'Q4_1'];
const THREADS = [1, 2];
/** What must be reached, times onnxruntime-web's tokens per second. @type {Record<string, Record<number, number>>} */
const WRITING = { Q8_0: { 1: 3, 2: 2.8 }, Q4_0: { 1: 4.5, 2: 4 } };
const READING = 1.8;

/** @param {import('../lib/line-up.js').Context} context */
export async function runDecoders(context) {
    const folder = mkdtempSync(join(tmpdir(), 'decoders-'));
    try {
        const files = Object.fromEntries(TYPES.map((type) => [type, join(folder, `${type}.gguf`)]));
        for (const type of TYPES) await writeRandomModel(files[type], SHAPE, type);
        const results = [];
        for (const threads of THREADS) results.push(await line(context, threads, files));
        return { musts: results.flatMap(({ musts }) => musts), data: results.map(({ data }) => data) };
    } finally {
        rmSync(folder, { recursive: true });
    }
}

/**
 * Everybody with so many threads, by turns.
 * @param {import('../lib/line-up.js').Context} context @param {number} threads @param {Record<string, string>} files
 */
async function line(context, threads, files) {
    const native = context.peers && existsSync(join(root, 'tests/bench/native/node_modules/node-llama-cpp'));
    const ours = (/** @type {string} */ type) => ({
        id: `ours ${type}`, title: `cached-attention, ${type}`, module: 'decoder.js', threads,
        options: { simd: 'relaxed', workers: threads - 1, file: files[type] },
    });
    const llama = (/** @type {string} */ type) => ({
        id: `llama ${type}`, title: `llama.cpp, native, ${type}`, module: '../native/llama.js', threads,
        options: { threads, file: files[type] },
    });
    const onnx = { id: 'onnx', title: 'onnxruntime-web, int8', module: 'decoder-onnx.js', threads, options: { threads } };
    const limit = { id: 'limit', title: 'limit', module: 'ceiling.js', threads, options: { simd: 'relaxed', threads, reserve: 160e6 } };
    const decoders = [...TYPES.map(ours), ...(context.peers ? [onnx] : []), ...(native ? TYPES.map(llama) : [])];
    return withContestants(context, [...decoders, limit], async (contestants) => {
        /** @type {Record<string, import('../lib/race.js').Entry>} */
        const entries = { limit: ceiling(contestants.limit, 'bytes', 140e6) };
        for (const { id } of decoders) {
            for (const what of ['read', 'write']) {
                entries[`${id} ${what}`] = {
                    contestant: contestants[id], unit: 'rate', take: (budgetMs) => contestants[id].call(what, budgetMs),
                };
            }
        }
        const figures = await race(entries, { rounds: 7, budgetMs: 600, warmMs: 1500 });
        const show = (/** @type {string} */ name) => `${number(quantile(figures[name], 0.5))} (${number(Math.max(...figures[name]))})`;
        const against = (/** @type {string} */ name, /** @type {string} */ peer) =>
            figures[peer] ? times(ratio(figures[name], figures[peer])) : '';
        const rows = decoders.map(({ id, title }) => {
            const same = `llama ${id.split(' ')[1]}`;
            return [title, ...['read', 'write'].flatMap((what) => [
                show(`${id} ${what}`), against(`${id} ${what}`, `onnx ${what}`), against(`${id} ${what}`, `${same} ${what}`),
            ])];
        });
        context.say(`\nSmolLM2-135M's shape, ${threads} thread${threads > 1 ? 's' : ''}: tokens per second, of the median round (and the ` +
            `best one); memory gives ${gbytes(quantile(figures.limit, 0.5))}, which is ` +
            `${TYPES.map((type) => `${number(quantile(figures.limit, 0.5) / statSync(files[type]).size)} (${type})`).join(', ')} tokens\n`);
        context.say(table([
            ['', `reading ${PREFILL}`, 'x onnx', 'x native', 'writing', 'x onnx', 'x native'],
            ...rows,
        ]));
        const must = (/** @type {string} */ name, /** @type {string} */ what, /** @type {number} */ bar) => atLeast(
            10, `${what === 'read' ? 'reads' : 'writes'} from ${name} beside onnxruntime-web int8`, `relaxed, threads: ${threads}`,
            ratio(figures[`ours ${name} ${what}`], figures[`onnx ${what}`]), bar,
        );
        const musts = !context.peers ? [] : [
            ...Object.entries(WRITING).map(([type, bars]) => must(type, 'write', bars[threads])),
            ...Object.keys(WRITING).map((type) => must(type, 'read', READING)),
        ];
        return { musts, data: { threads, figures } };
    });
}
