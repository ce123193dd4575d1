// Memory that runs out at any request: whatever is being done is refused, everything is as it was before, and doing it again gives
// what it gives where nothing fails.

import assert from 'node:assert/strict';
import { KVCache, Tensor } from '../../js/index.js';

/** @typedef {import('../../js/engine/runtime.js').Runtime} Runtime */

/** So that a block that is a line larger than what was asked for is no leak, and one of a page is. */
const SLACK = 256;

/**
 * The n-th request from now on fails, as when the memory is at its end.
 * @param {import('../../js/engine/memory.js').Memory} memory
 * @param {number} n from 0
 * @param {boolean} [ensures] whether what has been freed meanwhile can be had again, as it can at the end of the memory
 * @returns {() => boolean} makes them work again, and says whether one has failed
 */
export function failAt(memory, n, ensures = false) {
    let left = n;
    /** Bytes of blocks that are free for certain. @type {number[]} */
    const spare = [];
    const real = { alloc: memory.alloc.bind(memory), offer: memory.offer.bind(memory), free: memory.free.bind(memory) };
    /** What blocks were cut from, by address: with them that is free again. @type {Map<number, number>} */
    const cutFrom = new Map();
    memory.alloc = (bytes) => {
        spare.sort((a, b) => a - b);
        const at = ensures ? spare.findIndex((has) => has >= bytes) : -1;
        if (at < 0 && left-- === 0) throw new RangeError('no memory, says the test');
        const address = real.alloc(bytes);
        cutFrom.set(address, at < 0 ? memory.sizeOf(address) - 64 : spare.splice(at, 1)[0]);
        return address;
    };
    memory.offer = (bytes) => (left-- === 0 ? 0 : real.offer(bytes));
    memory.free = (address) => {
        // Less its header.
        spare.push(cutFrom.get(address) ?? memory.sizeOf(address) - 64);
        real.free(address);
    };
    return () => {
        for (const name of Object.keys(real)) delete (/** @type {any} */ (memory)[name]);
        return left < 0;
    };
}

/**
 * @template S
 * @typedef {object} Parts
 * @property {() => S | Promise<S>} make what it is done with
 * @property {(subject: S) => unknown} act gives its result, as something that can be compared
 * @property {(subject: S) => unknown} [state] of the subject, all of it
 * @property {(subject: S) => void} [end]
 * @property {boolean} [ensures] whether it makes sure of what it needs before it begins: see failAt()
 */

/** How often anything has been refused. */
export const count = { refused: 0 };

/**
 * Does something over and over, each time with another request that fails, until none does.
 * @template S
 * @param {Runtime} runtime
 * @param {Parts<S>} parts
 */
export async function exhaust(runtime, { make, act, state = () => null, end = () => {}, ensures = false }) {
    const first = await make();
    const expected = await act(first);
    const after = await state(first);
    end(first);
    for (let n = 0, over = false; !over; n++) {
        assert.ok(n < 2000, 'there is no end');
        const before = runtime.explain().bytesInUse;
        const subject = await make();
        const was = await state(subject);
        const work = failAt(runtime.memory, n, ensures);
        let result;
        let error;
        try {
            result = await act(subject);
        } catch (thrown) {
            error = thrown;
        }
        over = !work();
        if (error !== undefined) {
            count.refused++;
            assert.ok(error instanceof RangeError && /no memory/.test(error.message), /** @type {any} */ (error).stack);
            assert.deepEqual(await state(subject), was, `request ${n}: as before`);
            result = await act(subject);
        }
        assert.deepEqual(result, expected, `request ${n}: the result`);
        assert.deepEqual(await state(subject), after, `request ${n}: as after`);
        end(subject);
        const left = runtime.explain().bytesInUse - before;
        assert.ok(left < SLACK, `request ${n}: ${left} bytes stay in use`);
    }
}

/** @param {KVCache | Tensor | import('../../js/engine/tensor.js').TensorLike} source @returns {number[]} its numbers, and it is gone */
export function taken(source) {
    const result = source instanceof KVCache ? source.toTensor() : source;
    const numbers = Array.from(result.data);
    if (result instanceof Tensor) result.dispose();
    return numbers;
}
