// Attention of 12 heads of 64: one query over caches of several lengths at the speed of memory, prompts at that of the
// multiply-adds, work that causality rules out not counted.

import { ATTEND, ATTENTION, KEPT, KIND, OP, OP_WORDS } from '../../js/engine/interface.js';
import { attention } from '../reference.js';
import { floats, rng } from '../rng.js';
import { kernelBench } from './lib/kernel.js';

const [HEADS, D] = [12, 64];
/** @type {Record<number, string>} */
const names = { [KEPT.F32]: '', [KEPT.F16]: ', float16', [KEPT.I8]: ', int8' };
/** Bytes of a number, the scale of 64 of them shared out. @type {Record<number, number>} */
const numbers = { [KEPT.F32]: 4, [KEPT.F16]: 2, [KEPT.I8]: 1 + 4 / D };

/** @param {{ variant: 'simd128' | 'relaxed' }} options @returns {Promise<import('./lib/kernel.js').Row[]>} */
export async function bench({ variant }) {
    const { k, row } = await kernelBench(variant);
    /** @type {{ t: number, s: number, kv?: number, causal?: boolean, explicit?: boolean, kept?: number }[]} */
    const cases = [
        { t: 1, s: 64 }, { t: 1, s: 1024 }, { t: 1, s: 4096 }, { t: 1, s: 4096, kv: 3 }, { t: 1, s: 1024, explicit: true },
        ...[{}, { kv: 3 }].flatMap((x) => [{ t: 1, s: 4096, kept: KEPT.F16, ...x }, { t: 1, s: 4096, kept: KEPT.I8, ...x }]),
        { t: 512, s: 512, causal: true }, { t: 512, s: 512 }, { t: 128, s: 1024, explicit: true },
    ];
    return cases.map(({ t, s, kv = HEADS, causal = false, explicit = false, kept = KEPT.F32 }) => {
        k.reset();
        const random = rng(t + s);
        const width = HEADS * D;
        const [q, keys, values] = [floats(random, t * width), floats(random, s * kv * D), floats(random, s * kv * D)];
        const out = k.room(4 * t * width);
        const cache = k.cache({ batch: 1, s, heads: kv, d: D, v: D, type: kept }, keys, values);
        const op = k.attention({
            q: k.put(q), qStride: width, cache: cache.address,
            out, outStride: width, scores: explicit ? k.room(4 * HEADS * t * s) : 0, batch: 1, heads: HEADS, t, s,
            scale: 1 / 8,
            flags: (causal ? ATTEND.CAUSAL : 0) | (explicit ? ATTEND.EXPLICIT : 0),
        });
        k.u32[op / 4 + ATTENTION.scratch] = k.room(k.call.cmha_op_scratch(op, 1));
        const ops = [op];
        if (k.call.cmha_op_next(op) !== 0) {
            ops.push(k.attention({}));
            k.u8.copyWithin(ops[1], op, op + 4 * OP_WORDS);
            k.u32[ops[1] / 4 + OP.kind] = KIND.ATTENTION_MERGE;
        }
        const { control, first, count } = k.program(ops);
        const run = () => {
            k.call.cmha_program_begin(first, count, ++k.epoch);
            k.call.cmha_program_run(control, k.epoch, 0);
        };
        // The first rows are checked; rows see each other's keys only.
        const checked = Math.min(t, 9);
        const reference = attention({
            q, keys: cache.keys(), values: cache.values(), batch: 1, heads: HEADS, kvHeads: kv, t: checked, s, d: D, v: D, scale: 1 / 8, explicit,
            keep: (_b, _h, i, j) => !causal || j <= i,
        });
        const pairs = causal ? t * (t + 1) / 2 : t * s;
        return row({
            name: `T ${t}, S ${s}${kv < HEADS ? `, ${kv} key heads` : ''}${names[kept]}${causal ? ', causal' : ''}${explicit ? ', with scores' : ''}`,
            run,
            got: () => k.floats(out, checked * width),
            expected: reference.out,
            tolerance: kept === KEPT.I8 ? 1e-4 : 1e-5, // bytes are met by numbers of 16 bits
            ...(t === 1 ? { bytes: 2 * numbers[kept] * s * kv * D } : { flops: 4 * pairs * width }),
        });
    });
}
