// Attention of 12 heads of 64: one query over caches of several lengths at the speed of memory, prompts at that of the
// multiply-adds, work that causality rules out not counted.

import { ATTEND, ATTENTION, KIND, OP_WORDS } from '../../js/engine/interface.js';
import { attention } from '../reference.js';
import { floats, rng } from '../rng.js';
import { kernelBench } from './lib/kernel.js';

const [HEADS, D] = [12, 64];

/** @param {{ variant: 'simd128' | 'relaxed' }} options @returns {Promise<import('./lib/kernel.js').Row[]>} */
export async function bench({ variant }) {
    const { k, row } = await kernelBench(variant);
    const cases = [
        { t: 1, s: 64 }, { t: 1, s: 1024 }, { t: 1, s: 4096 }, { t: 1, s: 4096, kv: 3 }, { t: 1, s: 1024, explicit: true },
        { t: 512, s: 512, causal: true }, { t: 512, s: 512 }, { t: 128, s: 1024, explicit: true },
    ];
    return cases.map(({ t, s, kv = HEADS, causal = false, explicit = false }) => {
        k.reset();
        const random = rng(t + s);
        const width = HEADS * D;
        const [q, keys, values] = [floats(random, t * width), floats(random, s * kv * D), floats(random, s * kv * D)];
        const out = k.room(4 * t * width);
        const op = k.attention({
            q: k.put(q), qStride: width, cache: k.cache({ batch: 1, s, heads: kv, d: D, v: D }, keys, values).address,
            out, outStride: width, scores: explicit ? k.room(4 * HEADS * t * s) : 0, batch: 1, heads: HEADS, t, s,
            scale: 1 / 8,
            flags: (causal ? ATTEND.CAUSAL : 0) | (explicit ? ATTEND.EXPLICIT : 0),
        });
        k.u32[op / 4 + ATTENTION.scratch] = k.room(k.call.cmha_op_scratch(op, 1));
        const ops = [op];
        if (k.call.cmha_op_next(op) !== 0) {
            ops.push(k.attention({}));
            k.u8.copyWithin(ops[1], op, op + 4 * OP_WORDS);
            k.u32[ops[1] / 4 + 4] = KIND.ATTENTION_MERGE;
        }
        const { control, first, count } = k.program(ops);
        const run = () => {
            k.call.cmha_program_begin(first, count, ++k.epoch);
            k.call.cmha_program_run(control, k.epoch, 0);
        };
        // The first rows are checked; rows see each other's keys only.
        const checked = Math.min(t, 9);
        const reference = attention({
            q, keys, values, batch: 1, heads: HEADS, kvHeads: kv, t: checked, s, d: D, v: D, scale: 1 / 8, explicit,
            keep: (_b, _h, i, j) => !causal || j <= i,
        });
        const pairs = causal ? t * (t + 1) / 2 : t * s;
        return row({
            name: `T ${t}, S ${s}${kv < HEADS ? `, ${kv} key heads` : ''}${causal ? ', causal' : ''}${explicit ? ', with scores' : ''}`,
            run,
            got: () => k.floats(out, checked * width),
            expected: reference.out,
            tolerance: 1e-5,
            ...(t === 1 ? { bytes: 8 * s * kv * D } : { flops: 4 * pairs * width }),
        });
    });
}
