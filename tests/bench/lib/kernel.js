// What the kernel benches share: one kernel at a time, checked against the float64 reference, then timed in turns with
// the machine's limit.

import { Meter } from '../../../web/bench/ceilings.js';
import { worst } from '../../close.js';
import { loadKernels } from '../../unit/kernels.js';

const ROUNDS = 9;
const PASS_MS = 8;

/** @typedef {{ name: string, ms: number, rate: number, unit: 'FLOP/s' | 'B/s', limit: number, ratio: number,
 *   error: number }} Row
 * ms: of a call; rate: per second; limit: of the same run; ratio: median over rounds; error: the largest, absolute */

/** @typedef {{ name: string, run: () => void, got: () => ArrayLike<number>, expected: ArrayLike<number>,
 *   tolerance: number, flops?: number, bytes?: number }} Bench work of a call; `got` is read after one run */

const median = (/** @type {number[]} */ values) => values.sort((a, b) => a - b)[values.length >> 1];

/** @param {'simd128' | 'relaxed'} variant */
export async function kernelBench(variant) {
    const k = await loadKernels(variant);
    const meter = new Meter(variant);
    meter.reserve(32 << 20);
    /** @param {Bench} bench @returns {Row} */
    const row = ({ name, run, got, expected, tolerance, flops, bytes }) => {
        run();
        const { absolute, ratio } = worst(got(), expected, { atol: tolerance });
        if (!(ratio <= 1)) throw new Error(`${name} is wrong: off by ${absolute}, ${tolerance} is allowed`);
        const work = flops ?? bytes ?? 0;
        let calls = 1;
        const pass = () => {
            const start = performance.now();
            for (let i = 0; i < calls; i++) run();
            return (performance.now() - start) / calls;
        };
        for (let end = performance.now() + 200; performance.now() < end;) pass(); // the engine optimizes meanwhile
        while (pass() * calls < PASS_MS) calls *= 2;
        /** @type {{ times: number[], limits: number[], ratios: number[] }} */
        const seen = { times: [], limits: [], ratios: [] };
        for (let i = 0; i < ROUNDS; i++) {
            run(); // the meter has filled the caches with its own data
            const ms = pass();
            const limit = meter.rate(flops ? 'flops' : 'bytes', bytes ?? 0, (passes) => passes < 3);
            seen.times.push(ms);
            seen.limits.push(limit);
            seen.ratios.push(work / (ms / 1000) / limit);
        }
        const ms = median(seen.times);
        return {
            name, ms, rate: work / (ms / 1000), unit: flops ? 'FLOP/s' : 'B/s', limit: median(seen.limits),
            ratio: median(seen.ratios), error: absolute,
        };
    };
    return { k, row };
}
