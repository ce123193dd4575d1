// The attention kernels against the float64 reference: every size, both forms, masks, causality, splits, dropout.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertClose } from '../close.js';
import { attention, roundTo, threefry } from '../reference.js';
import { bytes, floats, rng } from '../rng.js';
import { ATTEND, ATTENTION, KEPT, KIND, OP_WORDS } from '../../js/engine/interface.js';
import { loadKernels } from './kernels.js';

const k = await loadKernels();

/** Tolerance for logits of a few units: float32 rounds them and their exponentials at about 1e-6 relative. */
const CLOSE = { atol: 2e-6, rtol: 1e-5 };

/**
 * @typedef {{ seed?: number, batch?: number, heads?: number, kvHeads?: number, t: number, s: number, d: number,
 *   v: number, explicit?: boolean, causal?: number, mask?: 'bts' | 'b1s' | 'bt1' | 'bhts', density?: number, scale?: number,
 *   logits?: number, dropout?: number, round?: number, skew?: number, threads?: number, noScores?: boolean,
 *   window?: number, softcap?: number, slopes?: number[], gap?: number, page?: number, type?: number,
 *   schedule?: (tasks: number) => { task: number, thread: number }[],
 *   spoil?: (x: ReturnType<typeof make>) => void }} Spec
 */

/** Inputs of a case in Keras order. @param {Spec} spec */
function make({ seed = 1, batch = 1, heads = 1, kvHeads = heads, t, s, d, v, mask, density = 0.5, logits = 2, ...rest }) {
    const random = rng(seed);
    const shapes = { bts: [batch, 1, t, s], b1s: [batch, 1, 1, s], bt1: [batch, 1, t, 1], bhts: [batch, heads, t, s] };
    const shape = mask ? shapes[mask] : [0, 0, 0, 0];
    return {
        batch, heads, kvHeads, t, s, d, v, shape,
        q: floats(random, batch * t * heads * d, logits),
        keys: floats(random, batch * s * kvHeads * d, 1),
        values: floats(random, batch * s * kvHeads * v, 1),
        mask: mask ? bytes(random, shape[0] * shape[1] * shape[2] * shape[3], density) : null,
        scale: rest.scale ?? 1 / Math.sqrt(d),
        causal: rest.causal,
        explicit: rest.explicit ?? false,
        window: rest.window ?? 0,
        softcap: rest.softcap ?? 0,
        bias: biasOf(rest, s),
    };
}

/** ALiBi's. @param {Pick<Spec, 'slopes' | 'gap' | 'causal'>} spec @param {number} s */
function biasOf({ slopes, gap = 0, causal = 0 }, s) {
    return slopes && ((/** @type {number} */ h, /** @type {number} */ i, /** @type {number} */ j) =>
        Math.fround(slopes[h]) * (placeOf(j, gap, s) - (i + causal)));
}

/** Positions of keys, of which the last are their numbers, and every third has so many left out in front of it. @param {number} j
 * @param {number} gap @param {number} s */
const placeOf = (j, gap, s) => j - gap * Math.floor((s - 1 - j) / 3);

/** Strides of a mask of the given shape; axes of length 1 broadcast. @param {number[]} shape */
function strides(shape) {
    const full = [shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1];
    return shape.map((n, axis) => (n === 1 ? 0 : full[axis]));
}

/** Which positions count. @param {ReturnType<typeof make>} x */
function kept(x) {
    const at = strides(x.shape);
    return (/** @type {number} */ b, /** @type {number} */ h, /** @type {number} */ i, /** @type {number} */ j) =>
        (!x.mask || x.mask[b * at[0] + h * at[1] + i * at[2] + j * at[3]] !== 0)
        && (x.causal === undefined || j <= i + x.causal)
        && (x.window === 0 || i + (x.causal ?? 0) - j < x.window);
}

/** Runs a case; guards are checked. @param {Spec} spec */
function run(spec) {
    const x = make(spec);
    spec.spoil?.(x);
    const { batch, heads, kvHeads, t, s, d, v } = x;
    const skew = spec.skew ?? 4;
    k.reset();
    const at = strides(x.shape);
    const out = k.room(4 * batch * t * heads * v, skew);
    const scores = x.explicit && !spec.noScores ? k.room(4 * batch * heads * t * s, skew) : 0;
    const op = k.attention({
        q: k.put(x.q, skew), qStride: heads * d,
        cache: k.cache({ batch, s, heads: kvHeads, d, v, page: spec.page, type: spec.type }, x.keys, x.values).address,
        mask: x.mask ? k.put(x.mask, 1) : 0, maskB: at[0], maskH: at[1], maskT: at[2], maskS: at[3],
        out, outStride: heads * v, scores, batch, heads, t, s, scale: x.scale, window: x.window, softcap: x.softcap,
        slopes: spec.slopes ? k.put(Float32Array.from(spec.slopes), skew) : 0,
        places: spec.gap ? k.put(Float32Array.from({ length: s }, (_, j) => placeOf(j, spec.gap ?? 0, s)), skew) : 0,
        flags: (x.causal === undefined ? 0 : ATTEND.CAUSAL) | (x.explicit ? ATTEND.EXPLICIT : 0),
        causalOffset: x.causal ?? 0, dropout: spec.dropout ?? 0, seed0: 11, seed1: 22, round: spec.round ?? 0,
    });
    const threads = spec.threads ?? 1;
    k.u32[op / 4 + ATTENTION.scratch] = k.room(k.call.cmha_op_scratch(op, threads));
    const ops = [op];
    if (k.call.cmha_op_next(op) !== 0) {
        const merge = k.room(4 * OP_WORDS);
        k.u8.copyWithin(merge, op, op + 4 * OP_WORDS);
        k.u32[merge / 4 + 4] = KIND.ATTENTION_MERGE;
        ops.push(merge);
    }
    if (spec.schedule) k.runScheduled(ops, spec.schedule);
    else k.run(...ops);
    k.checkGuards();
    return {
        x, ops: ops.length, out: k.floats(out, batch * t * heads * v),
        scores: k.floats(scores, scores ? batch * heads * t * s : 0),
    };
}

/** Compares a case with the reference. @param {Spec} spec @param {{ atol?: number, rtol?: number }} [tolerance] */
function check(spec, tolerance = CLOSE) {
    const result = run(spec);
    const expected = attention({ ...result.x, keep: kept(result.x) });
    const name = JSON.stringify(spec);
    assertClose(result.out, expected.out, tolerance, `out of ${name}`);
    if (result.scores.length) assertClose(result.scores, expected.scores, tolerance, `scores of ${name}`);
    return result;
}

test('every length around the tiles, any width, both forms', () => {
    const random = rng(5);
    const pick = (/** @type {number[]} */ list) => list[Math.floor(random() * list.length)];
    for (const explicit of [false, true]) {
        for (const t of [1, 2, 3, 4, 5, 6, 7, 11, 13, 25, 49]) {
            for (const s of [1, 2, 7, 8, 9, 31, 63, 64, 65, 129, 257, 300]) {
                check({
                    seed: t * 1000 + s, t, s, explicit, batch: pick([1, 2]), heads: pick([1, 2]),
                    d: pick([1, 2, 3, 7, 8, 16, 17]), v: pick([1, 3, 4, 5, 8, 9, 17]), skew: pick([0, 4, 8, 12]),
                    causal: pick([-1, 0, 3, 100]) < 0 ? undefined : pick([0, 1, 5, 200]),
                    mask: /** @type {Spec['mask'][]} */ ([undefined, 'bts', 'b1s', 'bt1', 'bhts'])[pick([0, 1, 2, 3, 4])],
                    density: pick([0.02, 0.5, 0.9]),
                });
            }
        }
    }
});

test('widths of real heads, and primes', () => {
    for (const [d, v] of [[64, 64], [128, 64], [33, 97], [80, 80]]) {
        check({ t: 9, s: 130, d, v, heads: 2, causal: 100 });
        check({ t: 1, s: 130, d, v, heads: 2 });
        check({ t: 9, s: 130, d, v, heads: 2, causal: 100, explicit: true });
    }
});

test('fewer key heads than query heads', () => {
    for (const explicit of [false, true]) {
        check({ t: 3, s: 40, d: 8, v: 12, heads: 6, kvHeads: 2, batch: 2, explicit });
        check({ t: 1, s: 40, d: 8, v: 12, heads: 4, kvHeads: 1, batch: 2, explicit });
    }
});

test('a window: earlier positions do not count, and are not read', () => {
    const random = rng(8);
    const pick = (/** @type {number[]} */ list) => list[Math.floor(random() * list.length)];
    for (const explicit of [false, true]) {
        for (const window of [1, 2, 7, 64, 65, 300, 1000]) {
            for (const t of [1, 2, 5, 9, 30]) {
                const s = pick([40, 257, 700, 1500]);
                const causal = Math.max(0, s - t - pick([0, 3]));
                const masks = /** @type {Spec['mask'][]} */ ([undefined, 'bts', 'bhts']);
                const spec = {
                    seed: s + t, t, s, window, causal, explicit, d: pick([4, 9]), v: pick([3, 8, 67]),
                    heads: pick([1, 2]), mask: masks[pick([0, 1, 2])],
                };
                check(spec);
                check({ ...spec, causal: undefined });
                const first = Math.max(0, causal - window + 1);
                const spoil = (/** @type {ReturnType<typeof make>} */ x) => {
                    x.mask?.fill(1);
                    x.keys.fill(NaN, 0, first * x.heads * x.d);
                    x.values.fill(NaN, 0, first * x.heads * x.v);
                };
                assert.ok(run({ ...spec, spoil }).out.every(Number.isFinite), JSON.stringify(spec));
            }
        }
    }
});

test('capped logits', () => {
    for (const explicit of [false, true]) {
        for (const softcap of [0.5, 30, 50]) {
            for (const [t, s] of [[1, 9], [1, 1100], [6, 300], [23, 70]]) {
                check({ t, s, d: 8, v: 5, heads: 2, softcap, explicit, logits: 1 });
                check({ t, s, d: 8, v: 5, softcap, explicit, logits: 60, causal: s - t, window: 200, mask: 'bts' },
                    { atol: 2e-5, rtol: 2e-5 });
            }
        }
    }
    for (const round of [1, 2]) {
        const { out, x } = run({ t: 3, s: 40, d: 8, v: 5, softcap: 2, round });
        assertClose(out, attention(x).out, { atol: round === 1 ? 2e-3 : 2e-2 }, 'half policies');
    }
});

test('biased logits: by the distance of keys, or by positions that they are said to have', () => {
    for (const explicit of [false, true]) {
        for (const gap of [0, 2]) {
            for (const [t, s] of [[1, 9], [1, 1100], [6, 300], [23, 70]]) {
                const spec = { t, s, d: 8, v: 5, heads: 4, kvHeads: 2, slopes: [0.5, 0.01, 0, 0.7], gap, explicit };
                check({ ...spec, causal: s - t });
                check({ ...spec, causal: s - t, softcap: 3, window: 200, mask: 'bts' });
                check({ ...spec, causal: s + 7, page: 64 });
                check({ ...spec, gap: 0, causal: 3, page: 8, mask: 'bhts' });
            }
        }
        // Far from the start of a text a bias is as exact as at it: as floats, those of positions from 0 on are not.
        const far = { t: 2, s: 2000, d: 4, v: 3, slopes: [0.6931], causal: 1998, explicit };
        check({ ...far, logits: 0 }, { atol: 1e-6, rtol: 2e-6 });
    }
    for (const round of [1, 2]) {
        const { out, x } = run({ t: 3, s: 40, d: 8, v: 5, slopes: [0.25], causal: 37, round });
        assertClose(out, attention({ ...x, keep: kept(x) }).out, { atol: round === 1 ? 4e-3 : 3e-2 }, 'half policies');
    }
});

test('pages smaller than 256: one or several', () => {
    for (const page of [8, 24, 64, 200]) {
        for (const explicit of [false, true]) {
            for (const [t, s] of [[1, 8], [1, 130], [1, 1500], [7, 65], [30, 400]]) {
                check({ t, s, d: 7, v: 9, heads: 2, page, explicit });
                check({ t, s, d: 7, v: 9, heads: 4, kvHeads: 2, page, explicit, causal: s - t, mask: 'b1s' });
            }
        }
    }
});

test('narrow caches: as over the numbers that they hold', () => {
    for (const type of [KEPT.F16, KEPT.I8]) {
        for (const explicit of [false, true]) {
            for (const [t, s, d, v] of [
                [1, 5, 1, 1], [1, 300, 70, 66], [5, 130, 16, 9], [1, 1100, 8, 8], [23, 520, 65, 64],
            ]) {
                for (const mask of /** @type {Spec['mask'][]} */ ([undefined, 'bts'])) {
                    const spec = { t, s, d, v, heads: 4, kvHeads: 2, batch: 2, causal: s - t, explicit, type, mask };
                    const result = run(spec);
                    const { x } = result;
                    k.reset();
                    const held = k.cache({ batch: 2, s, heads: 2, d, v, type }, x.keys, x.values);
                    const exact = { ...x, keys: held.keys(), values: held.values() };
                    const expected = attention({ ...exact, keep: kept(x) });
                    // Bytes are met as integers: by numbers of 16 bits (cmha.h).
                    const near = type === KEPT.I8 && !explicit ? { atol: 1e-4, rtol: 1e-4 } : CLOSE;
                    assertClose(result.out, expected.out, near, JSON.stringify(spec));
                    if (explicit) assertClose(result.scores, expected.scores, CLOSE, JSON.stringify(spec));
                }
            }
        }
    }
});

test('shared key heads: the bits of query heads that have them to themselves', () => {
    for (const [heads, kvHeads] of [[2, 1], [6, 2], [7, 1], [16, 2], [28, 4]]) {
        for (const [t, s] of [[1, 5], [1, 700], [1, 2100], [2, 1300], [5, 90], [30, 600]]) {
            for (const [mask, type] of /** @type {[Spec['mask'], number][]} */ ([
                [undefined, KEPT.F32], ['bts', KEPT.F32], ['bhts', KEPT.F32], [undefined, KEPT.I8], ['bhts', KEPT.I8],
            ])) {
                const spec = { t, s, d: 8, v: 13, heads, mask, type, batch: 2, causal: s - t, window: 900 };
                const shared = run({ ...spec, kvHeads });
                const spoil = (/** @type {ReturnType<typeof make>} */ x) => {
                    for (const [own, from, width] of /** @type {[Float32Array, Float32Array, number][]} */ ([
                        [x.keys, shared.x.keys, x.d], [x.values, shared.x.values, x.v],
                    ])) {
                        for (let i = 0; i < own.length; i++) {
                            const [h, row] = [Math.floor(i / width) % heads, Math.floor(i / width / heads)];
                            own[i] = from[(row * kvHeads + Math.floor(h / (heads / kvHeads))) * width + i % width];
                        }
                    }
                    x.q.set(shared.x.q);
                    x.mask?.set(/** @type {Uint8Array} */ (shared.x.mask));
                };
                assert.deepEqual(run({ ...spec, spoil }).out, shared.out, JSON.stringify(spec));
            }
        }
    }
});

test('rows together or one by one: the same bits, with a window, a cap, biases, shared heads and narrow caches', () => {
    for (const type of [KEPT.F32, KEPT.F16, KEPT.I8]) {
        for (const [heads, kvHeads] of [[2, 2], [8, 2], [3, 1]]) {
            for (const [t, s, window] of [[2, 40, 9], [7, 530, 300], [26, 1100, 0], [3, 2200, 1500]]) {
                for (const mask of /** @type {Spec['mask'][]} */ ([undefined, 'bhts'])) {
                    for (const explicit of [false, true]) {
                        const slopes = window ? undefined : Array.from({ length: heads }, (_, h) => 2 ** -h / 3);
                        const spec = { s, d: 9, v: 11, heads, kvHeads, window, softcap: 4, slopes, type, mask, explicit };
                        const whole = run({ ...spec, t, causal: s - t });
                        for (let i = 0; i < t; i++) {
                            const row = heads * whole.x.d;
                            const spoil = (/** @type {ReturnType<typeof make>} */ x) => {
                                x.keys.set(whole.x.keys);
                                x.values.set(whole.x.values);
                                x.q.set(whole.x.q.subarray(i * row, (i + 1) * row));
                                for (let h = 0; x.mask && whole.x.mask && h < heads; h++) {
                                    x.mask.set(whole.x.mask.subarray((h * t + i) * s, (h * t + i + 1) * s), h * s);
                                }
                            };
                            const alone = run({ ...spec, t: 1, causal: s - t + i, spoil }).out;
                            const width = heads * whole.x.v;
                            assert.deepEqual(alone, whole.out.subarray(i * width, (i + 1) * width),
                                `row ${i} of ${JSON.stringify({ ...spec, t })}`);
                        }
                    }
                }
            }
        }
    }
});

test('logits that overflow a naive exp', () => {
    // A logit near 100 is rounded to 4e-6, an exponential's argument near 10000 to 5e-4; that is the whole error.
    for (const explicit of [false, true]) {
        check({ t: 7, s: 90, d: 4, v: 5, scale: 1, logits: 100, explicit }, { atol: 1e-4, rtol: 1e-4 });
        check({ t: 7, s: 90, d: 1, v: 5, scale: 1, logits: 10000, explicit }, { atol: 4e-3, rtol: 4e-3 });
        // Growing from block to block, so that every block rescales what was before.
        const spoil = (/** @type {ReturnType<typeof make>} */ x) => {
            x.q.fill(1);
            for (let j = 0; j < x.s; j++) x.keys[j] = j / 8;
        };
        check({ t: 2, s: 900, d: 1, v: 3, scale: 1, explicit, spoil }, { atol: 1e-4, rtol: 1e-4 });
        const descend = (/** @type {ReturnType<typeof make>} */ x) => {
            x.q.fill(-1);
            for (let j = 0; j < x.s; j++) x.keys[j] = j / 8;
        };
        check({ t: 2, s: 900, d: 1, v: 3, scale: 1, explicit, spoil: descend }, { atol: 1e-4, rtol: 1e-4 });
    }
});

test('a row in which nothing is kept: the mean of all values, or zero in the explicit form', () => {
    for (const s of [1, 5, 64, 300, 1500]) {
        for (const t of [1, 3, 8]) {
            const hole = (/** @type {ReturnType<typeof make>} */ x) => x.mask?.fill(0, 0, s);
            check({ t, s, d: 4, v: 6, mask: 'bts', spoil: hole });
            check({ t, s, d: 4, v: 6, mask: 'bts', spoil: hole, causal: 0 });
            const { out, scores } = check({ t, s, d: 4, v: 6, mask: 'bts', spoil: hole, explicit: true });
            assert.deepEqual([...out.subarray(0, 6)], [0, 0, 0, 0, 0, 0]);
            assert.ok(scores.subarray(0, s).every((p) => p === 0));
        }
    }
});

test('explicit form: kept logits below the masked constant vanish', () => {
    const spoil = (/** @type {ReturnType<typeof make>} */ x) => {
        x.q.fill(-1e10);
        x.keys.fill(1);
        x.mask?.fill(1).fill(0, 0, 1);
    };
    const { out } = run({ t: 1, s: 9, d: 1, v: 2, scale: 1, mask: 'b1s', explicit: true, spoil });
    assert.deepEqual([...out], [0, 0]);
});

test('long caches are cut over S and merged in order', () => {
    for (const s of [1023, 1024, 1025, 2048, 2500, 4100]) {
        for (const t of [1, 2, 5]) {
            const { ops } = check({ seed: s + t, t, s, d: 8, v: 9, heads: 2 });
            assert.equal(ops, s > 1024 ? 2 : 1, 'a merge follows a cut cache');
            const grouped = check({ seed: s + t, t, s: s - 768, d: 8, v: 9, heads: 6, kvHeads: 2 });
            assert.equal(grouped.ops, s > 1024 ? 2 : 1, 'one that heads share is cut by pages');
            check({ seed: s, t, s, d: 8, v: 9, causal: 3 });
            check({ seed: s, t, s, d: 8, v: 9, causal: s - t });
            check({ seed: s, t, s, d: 8, v: 9, mask: 'bts', density: 0.001 });
            // 64 positions are ruled out together now and then, so that runs of kept ones have any length.
            check({ seed: s, t, s, d: 16, v: 41, mask: 'bts', density: 0.03 });
            check({ seed: s, t, s, d: 16, v: 72 });
        }
    }
});

test('positions that causality or the mask rules out are not read', () => {
    for (const t of [1, 8, 30]) {
        for (const s of [700, 2100]) {
            const later = (/** @type {ReturnType<typeof make>} */ x) => {
                x.keys.fill(NaN, 128 * x.d);
                x.values.fill(NaN, 128 * x.v);
            };
            const { out } = run({ t, s, d: 8, v: 8, causal: 128 - t, spoil: later });
            assert.ok(out.every(Number.isFinite), `causal T ${t} S ${s}`);
            const middle = (/** @type {ReturnType<typeof make>} */ x) => {
                x.mask?.fill(1).fill(0, 64, 640);
                x.keys.fill(NaN, 64 * x.d, 640 * x.d);
                x.values.fill(NaN, 64 * x.v, 640 * x.v);
            };
            for (const explicit of [false, true]) {
                const masked = run({ t, s, d: 8, v: 8, mask: 'b1s', explicit, spoil: middle });
                assert.ok(masked.out.every(Number.isFinite), `mask T ${t} S ${s}`);
            }
        }
    }
});

test('a NaN in a masked key is harmless, one in a kept key spoils its rows', () => {
    for (const explicit of [false, true]) {
        const spoil = (/** @type {ReturnType<typeof make>} */ x) => {
            x.keys[0] = NaN;
            x.mask?.fill(1).fill(0, 0, 1);
        };
        assert.ok(run({ t: 2, s: 9, d: 1, v: 2, mask: 'bts', explicit, spoil }).out.slice(0, 2).every(Number.isFinite));
        assert.ok(run({ t: 2, s: 9, d: 1, v: 2, mask: 'bts', explicit, spoil }).out.slice(2).every(Number.isNaN));
    }
});

test('a NaN in a query spoils its row, whatever is ruled out behind what the row may see, and no other', () => {
    const d = 3;
    const v = 5;
    for (const explicit of [false, true]) {
        for (const type of explicit ? [KEPT.F32] : [KEPT.F32, KEPT.F16, KEPT.I8]) {
            for (const spec of [{ causal: 0 }, { causal: 7 }, { causal: 0, window: 2 }, { mask: /** @type {const} */ ('bts') }, { causal: 3, softcap: 2 }]) {
                for (const [t, s] of [[1, 1], [1, 30], [5, 26], [7, 7], [12, 300]]) {
                    const all = { t, s, d, v, explicit, type, ...spec };
                    // Every row sees one position, where there is a mask.
                    const seeing = (/** @type {ReturnType<typeof make>} */ x) => x.mask?.set(x.mask.map((_, j) => Number(j % s === 1 % s)));
                    const sound = run({ ...all, spoil: seeing }).out;
                    const { out } = run({ ...all, spoil: (x) => { seeing(x); x.q[1] = NaN; } });
                    assert.ok(out.subarray(0, v).every(Number.isNaN), JSON.stringify(all));
                    assert.deepEqual(out.subarray(v), sound.subarray(v), JSON.stringify(all));
                }
            }
        }
    }
});

test('numbers of a binary16 cache that are not finite spoil their own columns, the largest finite ones none', () => {
    for (const explicit of [false, true]) {
        const spoil = (/** @type {ReturnType<typeof make>} */ x) => {
            // In the first and in later fours of what is widened together, and in what is left over.
            [[0, 1e5], [5, -1e5], [9, 65504], [10, -65504], [14, NaN], [17, -1e5]].forEach(([c, value], i) => {
                x.values[(i + 1) * x.v + c] = value;
            });
        };
        const { out } = run({ t: 1, s: 9, d: 16, v: 18, type: KEPT.F16, explicit, spoil });
        const expected = new Map([[0, Infinity], [5, -Infinity], [14, NaN], [17, -Infinity]]);
        out.forEach((y, c) => {
            if (expected.has(c)) assert.equal(y, expected.get(c), `column ${c}`);
            else assert.ok(Number.isFinite(y), `column ${c}`);
        });
        for (const bad of [1e5, NaN]) {
            const key = (/** @type {ReturnType<typeof make>} */ x) => { x.keys[4 * x.d + 11] = bad; x.q.fill(1); };
            assert.ok(run({ t: 1, s: 9, d: 16, v: 18, type: KEPT.F16, explicit, spoil: key }).out.every(Number.isNaN));
        }
    }
});

test('a binary16 cache gives the bits of widened numbers: where one beside them is not finite, all are widened', () => {
    for (const explicit of [false, true]) {
        for (const heads of [1, 2, 3, 4, 5, 6, 7]) {
            for (const [t, s, d, v] of [[1, 9, 1, 8], [1, 33, 64, 64], [2, 300, 72, 24], [7, 40, 130, 72]]) {
                // Position 4 is masked; where its key is infinite, those beside it are met another way.
                const out = [1, 1e5, -1e5, NaN].map((beside) => run({
                    t, s, d, v, heads, kvHeads: 1, mask: 'b1s', explicit, type: KEPT.F16, spoil: (x) => {
                        x.mask?.fill(1).fill(0, 4, 5);
                        for (let e = 0; e < d; e += 5) x.keys[4 * d + e] = beside;
                    },
                }).out);
                for (const other of out.slice(1)) assert.deepEqual(other, out[0], `${heads} heads, ${t}, ${s}, ${d}, ${v}`);
                // One more column, and values are widened.
                const columns = (/** @type {number} */ n) => run({
                    t, s, d, v: n, heads, kvHeads: 1, explicit, type: KEPT.F16, spoil: (x) => {
                        x.values.forEach((_, i) => { x.values[i] = Math.sin(1 + Math.floor(i / n) * 97 + i % n); });
                    },
                }).out;
                const [even, odd] = [columns(v), columns(v + 1)];
                even.forEach((y, i) => assert.ok(Object.is(y, odd[Math.floor(i / v) * (v + 1) + i % v]), `column ${i}`));
            }
        }
    }
});

test('queries beyond the range of binary16 meet a binary16 cache as others do', () => {
    for (const large of [65535, 65536, 1e9, 1e30]) {
        const spec = { t: 1, s: 20, d: 16, v: 8, heads: 3, kvHeads: 1, type: KEPT.F16, scale: 1 / (16 * large) };
        const result = run({ ...spec, spoil: (x) => { x.q.forEach((q, i) => { x.q[i] = q * large / 2; }); } });
        k.reset();
        const held = k.cache({ batch: 1, s: 20, heads: 1, d: 16, v: 8, type: KEPT.F16 }, result.x.keys, result.x.values);
        const exact = { ...result.x, keys: held.keys(), values: held.values() };
        assertClose(result.out, attention({ ...exact, keep: kept(result.x) }).out, CLOSE, String(large));
    }
});

test('the same bits whoever runs the tasks, in whatever order', () => {
    const orders = {
        reversed: (/** @type {number} */ n) =>
            Array.from({ length: n }, (_, i) => ({ task: n - 1 - i, thread: 1 + i % 3 })),
        shuffled: (/** @type {number} */ n) => {
            const random = rng(n);
            const list = Array.from({ length: n }, (_, task) => ({ task, thread: 1 + Math.floor(random() * 3) }));
            return list.map((item) => ({ item, at: random() })).sort((a, b) => a.at - b.at).map(({ item }) => item);
        },
    };
    /** @type {Spec[]} */
    const specs = [
        { t: 60, s: 100, d: 8, v: 9, heads: 3, causal: 40 },
        { t: 2, s: 3000, d: 8, v: 9, heads: 3 },
        { t: 20, s: 70, d: 8, v: 9, heads: 3, explicit: true, noScores: true, dropout: 0.3 },
    ];
    for (const spec of specs) {
        const plain = run({ ...spec, threads: 4 });
        for (const schedule of Object.values(orders)) {
            assert.deepEqual(run({ ...spec, threads: 4, schedule }).out, plain.out);
        }
    }
});

test('dropout: the documented generator, probabilities before it, statistics', () => {
    const mask = /** @type {const} */ ('bts');
    const spec = { t: 7, s: 21, d: 4, v: 5, heads: 2, batch: 2, explicit: true, mask, density: 0.8 };
    for (const rate of [0.1, 0.5, 1]) {
        const result = run({ ...spec, dropout: rate });
        const { x } = result;
        /** @param {number} b @param {number} h @param {number} i @param {number} j */
        const drop = (b, h, i, j) => {
            const word = threefry([11, 22], (b * x.heads + h) * x.t + i, j >> 1)[j & 1];
            return (word >>> 8) / 2 ** 24 >= Math.fround(rate) ? 1 / (1 - rate) : 0;
        };
        const expected = attention({ ...x, keep: kept(x), drop });
        assertClose(result.out, expected.out, CLOSE, `out at rate ${rate}`);
        assertClose(result.scores, expected.scores, CLOSE, 'scores');
        const silent = run({ ...spec, dropout: rate, noScores: true });
        assert.deepEqual(silent.out, result.out, 'the same without scores');
    }
    // With equal probabilities 1 / S and values 1 an output is (kept share) / (1 - rate); its mean over 60 * 400 draws.
    const ones = (/** @type {ReturnType<typeof make>} */ x) => {
        x.q.fill(0);
        x.values.fill(1);
    };
    const { out } = run({ t: 60, s: 400, d: 4, v: 1, explicit: true, dropout: 0.25, spoil: ones });
    const mean = out.reduce((sum, y) => sum + y, 0) / out.length;
    // Standard deviation of that mean: sqrt(rate / (1 - rate) / 24000) = 0.0037; five of them.
    assert.ok(Math.abs(mean - 1) < 0.019, `mean ${mean}`);
    const variance = out.reduce((sum, y) => sum + (y - mean) ** 2, 0) / out.length;
    assert.ok(Math.abs(variance / (0.25 / 0.75 / 400) - 1) < 0.6, 'rows are independent: chi-squared of 60, 3 sigma');
});

test('Threefry-2x32 as published', () => {
    // Known answers of Random123 (Salmon et al. 2011) for 20 rounds.
    assert.deepEqual(threefry([0, 0], 0, 0), [0x6b200159, 0x99ba4efe]);
    assert.deepEqual(threefry([0xffffffff, 0xffffffff], 0xffffffff, 0xffffffff), [0x1cb996fc, 0xbb002be7]);
    assert.deepEqual(threefry([0x13198a2e, 0x03707344], 0x243f6a88, 0x85a308d3), [0xc4923a9c, 0x483df7a0]);
});

test('half policies: results on the type\'s grid, near the exact ones', () => {
    const types = [{ round: 1, digits: 11, low: -14, high: 15 }, { round: 2, digits: 8, low: -126, high: 127 }];
    for (const { round, digits, low, high } of types) {
        const grid = (/** @type {number} */ y) => roundTo(y, digits, low, high);
        // An output is a mean of values below 1: each rounding moves it by half a unit of 2^-digits, logits by more.
        const unit = 2 ** -digits;
        for (const explicit of [false, true]) {
            for (const mask of /** @type {Spec['mask'][]} */ ([undefined, 'bts'])) {
                const result = run({ t: 7, s: 70, d: 8, v: 9, heads: 2, explicit, round, mask, causal: 60 });
                const masked = explicit && round === 1 ? -3e4 : undefined;
                const expected = attention({ ...result.x, keep: kept(result.x), masked });
                assertClose(result.out, expected.out, { atol: 4 * unit }, `out, round ${round}, explicit ${explicit}`);
                assert.ok(result.out.every((y) => grid(y) === y), 'outputs are representable');
                assert.ok(result.scores.every((y) => grid(y) === y), 'probabilities are representable');
            }
        }
        const hole = (/** @type {ReturnType<typeof make>} */ x) => x.mask?.fill(0, 0, x.s);
        const fused = run({ t: 2, s: 70, d: 8, v: 9, mask: 'bts', round, spoil: hole });
        const mean = attention({ ...fused.x, keep: kept(fused.x) }).out;
        assertClose(fused.out.slice(0, 9), mean.slice(0, 9), { atol: 4 * unit }, 'uniform over all');
    }
});

test('nothing to do: no query rows, no batch', () => {
    for (const [batch, t] of [[0, 3], [1, 0]]) {
        for (const explicit of [false, true]) run({ batch, t, s: 5, d: 4, v: 4, explicit });
    }
});
