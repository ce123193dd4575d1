// js/engine/memory.js: alignment, reuse, growth while views are alive, limits.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory } from '../../js/engine/memory.js';
import { rng } from '../rng.js';

const MIB = 1024 * 1024;
const START = 70_000; // as if the binary's image ended there, unaligned

/** @param {number} max @param {boolean} [shared] */
function open(max, shared = true) {
    const memory = new Memory(max, shared);
    memory.open(START);
    return memory;
}

for (const shared of [true, false]) {
    const kind = shared ? 'shared' : 'private';

    test(`blocks are aligned, apart, inside the arena and never at 0 (${kind})`, () => {
        const memory = open(16 * MIB, shared);
        const random = rng(1);
        /** @type {[number, number][]} */
        const blocks = [];
        for (let i = 0; i < 500; i++) {
            const bytes = Math.floor(random() ** 4 * 30_000);
            blocks.push([memory.alloc(bytes), bytes]);
        }
        blocks.sort((a, b) => a[0] - b[0]);
        let end = START;
        for (const [address, bytes] of blocks) {
            assert.equal(address % 64, 0);
            assert.ok(address >= end, 'overlaps the block before it');
            end = address + bytes;
        }
        assert.ok(end <= memory.reserved);
    });

    test(`growth keeps what is there, and views are made anew (${kind})`, () => {
        const memory = open(256 * MIB, shared);
        const address = memory.alloc(4000);
        const old = memory.f32(address, 1000);
        old.forEach((_, i) => { old[i] = i; });
        const before = memory.reserved;
        const large = memory.alloc(100 * MIB);
        assert.ok(memory.reserved > before && memory.reserved >= 100 * MIB);
        assert.equal(memory.bytes.length, memory.reserved);
        assert.equal(memory.words.length, memory.reserved / 4);
        assert.equal(memory.floats.length, memory.reserved / 4);
        const fresh = memory.f32(address, 1000);
        assert.ok(fresh.every((value, i) => value === i));
        assert.equal(old.length, shared ? 1000 : 0, 'a view from before never shows other data');
        memory.floats[large / 4 + 25 * MIB - 1] = 7;
        assert.equal(memory.f32(large, 25 * MIB).at(-1), 7);
        memory.free(large);
        assert.ok(memory.f32(address, 1000).every((value, i) => value === i));
    });
}

test('what is freed comes together again', () => {
    const memory = open(4 * MIB);
    const empty = memory.used;
    const blocks = Array.from({ length: 24 }, () => memory.alloc(100_000));
    // Every other one, then the rest: only merged neighbours give room for one large block.
    for (let parity = 0; parity < 2; parity++) {
        blocks.forEach((address, i) => { if (i % 2 === parity) memory.free(address); });
    }
    assert.equal(memory.used, empty);
    const reserved = memory.reserved;
    memory.free(memory.alloc(24 * 100_000));
    assert.equal(memory.reserved, reserved);
});

test('100,000 steps of seeded churn neither grow the memory nor mix up contents', { timeout: 180_000 }, () => {
    const memory = open(64 * MIB);
    const empty = memory.used;
    const random = rng(7);
    /** @type {{ address: number, words: number, mark: number }[]} */
    const live = [];
    let bytes = 0;
    let after = 0;
    for (let step = 1; step <= 100_000; step++) {
        if (live.length > 0 && (random() < 0.5 || bytes > 4 * MIB)) {
            const [block] = live.splice(Math.floor(random() * live.length), 1);
            assert.equal(memory.words[block.address / 4], block.mark);
            assert.equal(memory.words[block.address / 4 + block.words - 1], block.mark);
            memory.free(block.address);
            bytes -= 4 * block.words;
        } else {
            const words = 1 + Math.floor(2 ** (random() * 16));
            const address = memory.alloc(4 * words);
            memory.words[address / 4] = step;
            memory.words[address / 4 + words - 1] = step;
            live.push({ address, words, mark: step });
            bytes += 4 * words;
        }
        if (step === 20_000) {
            after = memory.reserved;
        }
    }
    // Fragmentation of a good fit stays within a fraction of the most that was ever in use.
    assert.ok(memory.reserved <= Math.max(after, 2 * memory.peak), `${memory.reserved} reserved, peak ${memory.peak}`);
    for (const { address } of live) {
        memory.free(address);
    }
    assert.equal(memory.used, empty);
});

test('maxMemory is a limit, and says what was missing', () => {
    const memory = open(2 * MIB);
    const first = memory.alloc(MIB);
    const { used, reserved } = memory;
    const message = /1048576 bytes are needed.*of maxMemory 2097152/;
    assert.throws(() => memory.alloc(MIB), { name: 'RangeError', message });
    assert.throws(() => memory.alloc(1e12), { name: 'RangeError', message: /memory exhausted/ });
    assert.throws(() => memory.alloc(NaN), { name: 'RangeError' });
    assert.equal(memory.used, used);
    assert.ok(memory.reserved >= reserved && memory.reserved <= 2 * MIB);
    memory.free(first);
    assert.ok(memory.alloc(1.5 * MIB) > 0);
});

test('all of a small memory can be used, down to a block that fits just so', () => {
    const memory = open(2 * MIB);
    /** @type {number[]} */
    const blocks = [];
    assert.throws(() => { for (;;) blocks.push(memory.alloc(10_000)); }, RangeError);
    const bytes = 10_000 + 64 + 48; // rounded up, with its header
    const room = 2 * MIB - START;
    assert.ok(blocks.length >= Math.floor(room / bytes) - 1, `${blocks.length} blocks`);
    memory.free(blocks[5]);
    assert.equal(memory.alloc(10_000), blocks[5]);
});

test('pressure is asked for help before giving up', () => {
    const memory = open(2 * MIB);
    let spare = memory.alloc(MIB);
    memory.onPressure = () => {
        if (spare === 0) return false;
        memory.free(spare);
        spare = 0;
        return true;
    };
    assert.ok(memory.alloc(1.5 * MIB) > 0);
    assert.throws(() => memory.alloc(MIB), RangeError);
});

test('freeing what is not in use is an error', () => {
    const memory = open(2 * MIB);
    const a = memory.alloc(100);
    const b = memory.alloc(100);
    memory.alloc(100);
    memory.free(a);
    for (const address of [a, b + 64, b + 1, 0, -64, 1e9, NaN]) {
        assert.throws(() => memory.free(address), /is not the address of a block in use/);
    }
    memory.free(b);
    assert.throws(() => memory.free(b), /is not the address of a block in use/);
});

test('where the engine refuses a large maximum, a smaller one is taken', () => {
    const Real = WebAssembly.Memory;
    try {
        WebAssembly.Memory = /** @type {any} */ (class extends Real {
            constructor(/** @type {WebAssembly.MemoryDescriptor} */ descriptor) {
                if ((descriptor.maximum ?? 0) > 8192) throw new RangeError('could not allocate memory');
                super(descriptor);
            }
        });
        const memory = open(2 ** 32);
        assert.equal(memory.max, 8192 * 65536);
        assert.equal(memory.refusedPages, 65535 - 8192);
        memory.alloc(100);
        WebAssembly.Memory = /** @type {any} */ (class { constructor() { throw new RangeError('no'); } });
        assert.throws(() => new Memory(2 ** 32, true), /the engine gives no memory/);
    } finally {
        WebAssembly.Memory = Real;
    }
});

test('where the engine refuses to grow, what is needed is reported as missing', () => {
    const memory = open(64 * MIB);
    memory.handle.grow = () => { throw new RangeError('failed to grow'); };
    assert.throws(() => memory.alloc(8 * MIB), { name: 'RangeError', message: /memory exhausted/ });
    assert.ok(memory.alloc(1000) > 0);
});
