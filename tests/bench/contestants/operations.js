// The operations of a layer call one by one, each as a program of its own: where the time goes.

import { createRuntime } from '../../../js/index.js';
import { ATTEND, ATTENTION, KIND, LAYOUT, LINEAR } from '../../../js/engine/interface.js';
import { DIM, HEADS, HEAD_DIM, makeInput } from '../../../web/bench/problem.js';
import { makeCache, makeLayer } from '../../../web/bench/layer.js';

/** @typedef {import('../../../web/bench/problem.js').Case} Case */
/** @typedef {import('../../../js/engine/program.js').Program} Program */
/** @typedef {'rows' | 'keys' | 'values' | 'attention' | 'output'} Operation */

/** @param {{ simd: 'relaxed' | 'simd128', workers: number }} options */
export async function create({ simd, workers }) {
    const runtime = await createRuntime({ simd, workers });
    const layer = makeLayer(runtime);
    const { query, key, value, output } = layer._parts;
    /** @type {any} */
    let now;

    /**
     * @param {Program} program
     * @param {import('../../../js/blocks/projection.js').Projection} projection
     * @param {number} layout
     */
    const cached = (program, projection, layout) => {
        const { c, cache, x } = now;
        const op = projection.record(program, c.t, x, DIM, 0, 0, 0);
        const { words } = program;
        words[op + LINEAR.layout] = layout;
        words[op + LINEAR.t] = c.t;
        words[op + LINEAR.index] = c.s - c.t;
        words[op + LINEAR.cache] = cache._address;
    };
    /** @param {Program} program */
    const attention = (program) => {
        const { c, cache, x, y } = now;
        const op = program.append(KIND.ATTENTION);
        const { words, floats } = program;
        const fields = {
            q: x,
            qStride: DIM,
            cache: cache._address,
            out: y,
            outStride: DIM,
            batch: 1,
            heads: HEADS,
            t: c.t,
            s: c.s,
            flags: c.kind === 'prefill' ? ATTEND.CAUSAL : 0,
            causalOffset: c.s - c.t,
        };
        for (const [name, field] of Object.entries(fields))
            words[op + ATTENTION[/** @type {keyof typeof fields} */ (name)]] = field;
        floats[op + ATTENTION.scale] = 1 / Math.sqrt(HEAD_DIM);
        program.attentionDone(op);
    };
    /** @type {Record<Operation, (program: Program) => void>} */
    const operations = {
        rows: (program) => void query.record(program, now.c.t, now.x, DIM, now.y, DIM, 0),
        keys: (program) => cached(program, key, LAYOUT.KEYS),
        values: (program) => cached(program, value, LAYOUT.VALUES),
        attention,
        output: (program) => void output.record(program, now.c.t, now.x, DIM, now.y, DIM, 0),
    };
    return {
        name: 'cached-attention',
        /** Makes a case the one whose operations `run` runs. @param {Case} c */
        prepare(c) {
            now?.cache.dispose();
            for (const address of now ? [now.x, now.y] : []) runtime.memory.free(address);
            const bytes = 4 * c.t * DIM;
            const [x, y] = [runtime.memory.alloc(bytes), runtime.memory.alloc(bytes)];
            const input = makeInput(c);
            runtime.memory.f32(x, input.length).set(input);
            now = { c, x, y, cache: makeCache(runtime, c) };
        },
        /** @param {{ operation: Operation }} what */
        run: ({ operation }) => {
            runtime._runSync({ check() {}, record: operations[operation], finish: () => undefined });
        },
    };
}
