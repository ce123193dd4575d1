// Token and position embeddings, in bytes of their rows read and written; a token's column is spread over the panels.

import { embed } from '../reference.js';
import { floats, integers, rng } from '../rng.js';
import { kernelBench } from './lib/kernel.js';

/** @param {{ variant: 'simd128' | 'relaxed' }} options @returns {Promise<import('./lib/kernel.js').Row[]>} */
export async function bench({ variant }) {
    const { k, row } = await kernelBench(variant);
    k.reset();
    const [depth, n, t] = [384, 4096, 128];
    const [e, positions, tokens] = [floats(rng(1), depth * n), floats(rng(2), depth * t), integers(rng(3), t, n)];
    const w = k.room(4 * depth * n);
    k.call.cmha_pack_f32(w, k.put(e), depth, n, 0, 1, depth);
    const y = k.room(4 * depth * t);
    const op = k.args(k.embed({
        tokens: k.put(tokens), rows: t, t, index: 0, w, k: depth, n, table: k.put(positions), y,
    }));
    return [row({
        name: `${t} of ${n} x ${depth}`, run: () => k.call.cmha_embed_f32(op, 0, t), got: () => k.floats(y, depth * t),
        expected: embed(tokens, e, positions, depth, t, 0), tolerance: 1e-6, bytes: 12 * depth * t,
    })];
}
