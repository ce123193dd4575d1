// PrefixStore: what one text has read another one need not; the text is the same, to the bit. In memory and in folders.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { PrefixStore, loadModel } from '../../js/generation/index.js';
import { createRuntime } from '../../js/index.js';
import { json, readCases, weightsOf } from '../model/golden.js';
import { rng } from '../rng.js';
import { testRuntime } from '../paired.js';
import { there } from '../there.js';

/** @typedef {import('../../js/generation/index.js').LanguageModel} LanguageModel */

const runtime = await testRuntime();
const cases = new Map(readCases().map((entry) => [entry.name, entry]));

/** @param {import('../../js/engine/runtime.js').Runtime} on @param {string} name */
const load = (on, name) =>
    loadModel(on, { config: json(there(cases.get(name)).config), weights: weightsOf(name) }, { contextLength: 2000 });

const model = await load(runtime, 'llama-rope-llama3');
const random = rng(5);
const draw = (/** @type {number} */ n) => Array.from({ length: n }, () => Math.floor(random() * 30));
/** Two pages and a bit. */
const SYSTEM = draw(600);

/** @type {string[]} */
const folders = [];
after(() => folders.forEach((path) => rmSync(path, { recursive: true, force: true })));
function folder() {
    folders.push(mkdtempSync(join(tmpdir(), 'prefixes-')));
    return /** @type {string} */ (folders.at(-1));
}

/**
 * The tokens that follow a prompt, their probabilities, and how much of it was read.
 * @param {number[]} ids @param {import('../../js/generation/options.js').GenerateOptions} [options] @param {LanguageModel} [target]
 */
async function write(ids, options = {}, target = model) {
    const items = [];
    let first = -1;
    const onProgress = (/** @type {{ done: number }} */ { done }) => { if (first < 0) first = done; };
    for await (const { token, candidates } of target.generate(ids, { temperature: 0, maxNewTokens: 4, candidates: 3, onProgress, ...options })) {
        items.push([token, candidates?.map(({ probability }) => probability)]);
    }
    return { items, first };
}

for (const [where, make] of /** @type {[string, () => any][]} */ ([
    ['in memory', () => undefined], ['in a folder', folder], ['in a folder named by a URL', () => pathToFileURL(folder())],
])) {
    test(`${where}: a beginning is read once, whatever follows it`, async () => {
        const directory = make();
        const store = new PrefixStore({ directory });
        // The first text takes scratch that is kept.
        await write(SYSTEM);
        const { used } = runtime.memory;
        for (const [n, found] of /** @type {const} */ ([[600, 0], [600, 599], [400, 399], [256, 255], [520, 519]])) {
            const before = store.explain().found;
            const ids = SYSTEM.slice(0, n);
            const got = await write(ids, { prefixes: store });
            assert.deepEqual(got.items, (await write(ids)).items);
            assert.equal(store.explain().found - before, found);
            if (found > 0) assert.equal(got.first, n, 'one token is read');
        }
        assert.equal(store.explain().pages, 3, 'beginnings of pages that are there need none of their own');
        // Another question to the same system prompt.
        const other = [...SYSTEM.slice(0, 580), ...draw(40)];
        const before = store.explain().found;
        assert.deepEqual((await write(other, { prefixes: store })).items, (await write(other)).items);
        assert.equal(store.explain().found - before, 580);
        assert.equal(store.explain().pages, 4);
        assert.equal(store.explain().problem, null);
        assert.equal(runtime.memory.used, used);
        await store.clear();
        assert.deepEqual([store.explain().pages, store.explain().bytes], [0, 0]);
    });
}

test('with a cache of the caller\'s, of each dtype: what it has is not loaded', async () => {
    for (const dtype of /** @type {const} */ (['float32', 'float16', 'int8'])) {
        const store = new PrefixStore();
        const expected = await write(SYSTEM, { cache: model.createCache({ dtype }) });
        await write(SYSTEM, { prefixes: store, cache: model.createCache({ dtype }) });
        for (const held of [0, 100, 256, 300, 599]) {
            const cache = model.createCache({ dtype });
            if (held > 0) (await model.forward(SYSTEM.slice(0, held), { cache })).dispose();
            const before = store.explain().loaded;
            const got = await write(SYSTEM, { prefixes: store, cache });
            assert.deepEqual(got.items, expected.items);
            assert.equal(got.first, 600);
            assert.deepEqual(cache.tokens.slice(0, 600), SYSTEM);
            const pages = held === 599 ? 0 : 3 - Math.floor(held / 256);
            assert.equal(store.explain().loaded - before, pages * cache.byteLength / 3);
            cache.dispose();
        }
    }
    for (const cache of [...model._caches]) cache.dispose();
});

test('what another cache, model or computation has kept is not found; what has lost its middle is not kept', async () => {
    const store = new PrefixStore();
    await write(SYSTEM, { prefixes: store });
    const { found, pages } = store.explain();
    const half = model.createCache({ dtype: 'float16' });
    await write(SYSTEM.slice(0, 300), { prefixes: store, cache: half });
    const other = await load(runtime, 'llama-mqa-f16');
    await write(SYSTEM.slice(0, 300), { prefixes: store }, other);
    assert.equal(store.explain().found, found);
    assert.equal(store.explain().pages, pages + 4);
    const cache = model.createCache();
    (await model.forward(SYSTEM, { cache })).dispose();
    cache.remove(10, 200);
    const rest = [.../** @type {number[]} */ (cache.tokens), 5];
    await write(rest, { prefixes: store, cache });
    assert.equal(store.explain().pages, pages + 4);
    assert.equal(store.explain().found, found);
    assert.deepEqual((await write(rest, { prefixes: store })).items, (await write(rest)).items);
    half.dispose();
    cache.dispose();
    other.dispose();
});

test('another run of the program, with other workers, finds what is in the folder: the same bits', async () => {
    const directory = folder();
    const expected = await write(SYSTEM, { prefixes: new PrefixStore({ directory }) });
    const again = await createRuntime({ workers: 1, simd: runtime.explain().variant });
    const store = new PrefixStore({ directory });
    const got = await write(SYSTEM, { prefixes: store }, await load(again, 'llama-rope-llama3'));
    assert.deepEqual(got.items, expected.items);
    assert.equal(store.explain().found, 599);
    again.dispose();
});

test('damage is not used: the rest is read, and the page written again', async () => {
    const expected = await write(SYSTEM);
    for (const damage of [
        (/** @type {Buffer} */ bytes) => { bytes[bytes.length - 9] ^= 1; return bytes; },
        (/** @type {Buffer} */ bytes) => { bytes[bytes.length >> 1] ^= 1; return bytes; },
        (/** @type {Buffer} */ bytes) => { bytes[70] ^= 1; return bytes; },
        (/** @type {Buffer} */ bytes) => bytes.subarray(0, 100),
        () => Buffer.alloc(0),
    ]) {
        const directory = folder();
        await write(SYSTEM, { prefixes: new PrefixStore({ directory }) });
        const names = readdirSync(directory).filter((name) => name.endsWith('.page'));
        assert.equal(names.length, 3);
        for (const name of names) writeFileSync(join(directory, name), damage(readFileSync(join(directory, name))));
        writeFileSync(join(directory, 'uses.json'), 'no json');
        writeFileSync(join(directory, 'something else'), 'stays');
        const store = new PrefixStore({ directory });
        assert.deepEqual((await write(SYSTEM, { prefixes: store })).items, expected.items);
        assert.equal(store.explain().found, 0);
        assert.deepEqual((await write(SYSTEM, { prefixes: store })).items, expected.items);
        assert.ok(readdirSync(directory).includes('something else'));
    }
});

test('the least used goes first, and no more bytes are kept than may be', async () => {
    const directory = folder();
    const one = new PrefixStore();
    await write(draw(256), { prefixes: one });
    const page = one.explain().bytes;
    const store = new PrefixStore({ maxBytes: Math.floor(3.5 * page), directory });
    const texts = [draw(256), draw(256), draw(256), draw(256)];
    for (const text of texts.slice(0, 3)) await write(text, { prefixes: store });
    await write(texts[0], { prefixes: store });
    await write(texts[3], { prefixes: store });
    assert.equal(store.explain().pages, 3);
    assert.ok(store.explain().bytes <= 3.5 * page);
    const found = async (/** @type {PrefixStore} */ target, /** @type {number[]} */ text) => {
        const before = target.explain().found;
        const row = model.createCache();
        await target._fill(row._rows[0], text);
        row.dispose();
        return target.explain().found - before;
    };
    // A store that is opened later knows the order too.
    const later = new PrefixStore({ maxBytes: Math.floor(2.5 * page), directory });
    assert.deepEqual([await found(later, texts[1]), await found(later, texts[2]), await found(later, texts[0]), await found(later, texts[3])],
        [0, 0, 255, 255]);
    // A long text keeps its beginning where there is no room for all of it.
    const small = new PrefixStore({ maxBytes: Math.floor(1.5 * page) });
    await write(SYSTEM, { prefixes: small });
    assert.equal(await found(small, SYSTEM), 256);
    // What is larger than all that may be kept drives nothing out.
    const narrow = new PrefixStore({ maxBytes: Math.floor(0.9 * page) });
    const bytes = model.createCache({ dtype: 'int8' });
    await write(texts[0], { prefixes: narrow, cache: bytes });
    bytes.dispose();
    assert.equal(narrow.explain().pages, 1);
    await write(texts[1], { prefixes: narrow });
    assert.equal(narrow.explain().pages, 1);
    const none = new PrefixStore({ maxBytes: 10 });
    await write(SYSTEM, { prefixes: none });
    assert.equal(none.explain().pages, 0);
});

test('clear() forgets every page, also where a file cannot be removed', async () => {
    const directory = folder();
    const store = new PrefixStore({ directory });
    await write(SYSTEM, { prefixes: store });
    const [stuck] = readdirSync(directory).filter((name) => name.endsWith('.page'));
    rmSync(join(directory, stuck));
    mkdirSync(join(directory, stuck));
    await store.clear();
    const { pages, bytes, problem } = store.explain();
    assert.deepEqual([pages, bytes, readdirSync(directory).filter((name) => name.endsWith('.page'))], [0, 0, [stuck]]);
    assert.match(String(problem), /directory/);
});

test('a disk that is full, or no folder at all, is no error', async () => {
    const file = join(folder(), 'file');
    writeFileSync(file, '');
    const expected = await write(SYSTEM);
    const full = new PageFolder();
    full.isFull = true;
    for (const directory of [join(file, 'below'), /** @type {any} */ (full)]) {
        const store = new PrefixStore({ directory });
        for (let i = 0; i < 2; i++) assert.deepEqual((await write(SYSTEM, { prefixes: store })).items, expected.items);
        assert.match(store.explain().problem ?? '', /ENOTDIR|quota/i);
        assert.equal(store.explain().pages, 0);
    }
});

test('a folder that could not be opened is opened once it can be', async () => {
    const path = join(folder(), 'file');
    writeFileSync(path, '');
    const store = new PrefixStore({ directory: path });
    await write(SYSTEM, { prefixes: store });
    assert.match(store.explain().problem ?? '', /EEXIST|ENOTDIR/);
    rmSync(path);
    await write(SYSTEM, { prefixes: store });
    assert.equal(store.explain().pages, readdirSync(path).filter((name) => name.endsWith('.page')).length);
    assert.ok(store.explain().pages > 0);
});

test('several texts at once, with one store; aborted ones', async () => {
    const store = new PrefixStore();
    const texts = [0, 1, 2].map((i) => [...SYSTEM.slice(0, 400), i, ...draw(20)]);
    const alone = await Promise.all(texts.map((text) => write(text)));
    const controller = new AbortController();
    const aborted = write(texts[0], { prefixes: store, signal: controller.signal });
    controller.abort();
    await assert.rejects(aborted, { name: 'AbortError' });
    const got = await Promise.all(texts.map((text) => write(text, { prefixes: store })));
    assert.deepEqual(got.map(({ items }) => items), alone.map(({ items }) => items));
});

test('options that are wrong', async () => {
    for (const options of /** @type {any[]} */ ([{ maxBytes: 0 }, { maxBytes: '1' }, { directory: 5 }, { directory: {} }, { bytes: 5 }, null])) {
        assert.throws(() => new PrefixStore(options), /^(TypeError|RangeError)/);
    }
    assert.throws(() => model.generate([1], { prefixes: /** @type {any} */ ({}) }), { name: 'TypeError', message: /prefixes must be a PrefixStore/ });
    assert.throws(() => model.generate([1], { prefixes: new PrefixStore(), sampler: 'contrastive' }), /prefixes: contrastive search/);
});

/** What a page has of a folder in its own file system: a file is there, and empty, before it is written. */
class PageFolder {
    /** @type {Map<string, { bytes: Uint8Array<ArrayBuffer>, lastModified: number }>} */
    files = new Map();
    isFull = false;

    async *entries() {
        for (const name of this.files.keys()) yield [name, { kind: 'file', ...(await this.getFileHandle(name)) }];
    }

    /** @param {string} name */
    async getFileHandle(name, { create = false } = {}) {
        const { files } = this;
        if (create && !files.has(name)) files.set(name, { bytes: new Uint8Array(0), lastModified: Date.now() });
        const getFile = async () => {
            const { bytes, lastModified } = there(files.get(name));
            return new File([bytes], name, { lastModified });
        };
        const createWritable = async () => {
            const written = { bytes: new Uint8Array(0), lastModified: Date.now() };
            return {
                write: async (/** @type {Uint8Array<ArrayBuffer>} */ bytes) => {
                    if (this.isFull) throw new Error('quota exceeded');
                    written.bytes = bytes.slice();
                },
                close: async () => files.set(name, written),
                abort: async () => {},
            };
        };
        return { getFile, createWritable };
    }

    /** @param {string} name */
    async removeEntry(name) {
        this.files.delete(name);
    }
}

/** Files of a folder of either kind, and how one is put there that is so old. */
function ofDisk() {
    const directory = folder();
    return {
        directory,
        names: () => readdirSync(directory),
        put(/** @type {string} */ name, /** @type {number} */ bytes, /** @type {number} */ hours) {
            writeFileSync(join(directory, name), new Uint8Array(bytes));
            utimesSync(join(directory, name), Date.now() / 1000, Date.now() / 1000 - hours * 3600);
        },
    };
}

function ofPage() {
    const directory = new PageFolder();
    return {
        directory: /** @type {any} */ (directory),
        names: () => [...directory.files.keys()],
        put(/** @type {string} */ name, /** @type {number} */ bytes, /** @type {number} */ hours) {
            directory.files.set(name, { bytes: new Uint8Array(bytes), lastModified: Date.now() - hours * 3_600_000 });
        },
    };
}

for (const [where, make] of /** @type {const} */ ([['a disk', ofDisk], ['a page', ofPage]])) {
    test(`in a folder of ${where}, what a program has begun that died is removed, and what another one writes just now is not`, async () => {
        const { directory, names, put } = make();
        await write(SYSTEM, { prefixes: new PrefixStore({ directory }) });
        const whole = names().sort();
        const [page] = whole;
        const other = `${'0'.repeat(16)}.${'1'.repeat(16)}.256.page`;
        const dead = [`${page}0.5394058235718.tmp`, `${page}.crswap`, 'uses.json0.20390394852.tmp', other];
        const alive = [`${page}0.7503947263541.tmp`, `${other}.crswap`, 'uses.json0.939485720193.tmp', `${'2'.repeat(16)}.${'1'.repeat(16)}.9.page`];
        const strangers = ['mine.tmp', `my ${page}0.5394058235718.tmp`, 'nothing'];
        dead.forEach((name, i) => put(name, i === 3 ? 0 : 100, 2));
        alive.forEach((name, i) => put(name, i === 3 ? 0 : 100, 0.5));
        strangers.forEach((name, i) => put(name, i === 2 ? 0 : 100, 1000));
        const store = new PrefixStore({ directory });
        const got = await write(SYSTEM, { prefixes: store });
        assert.deepEqual(got.items, (await write(SYSTEM)).items);
        assert.equal(store.explain().found, 599);
        assert.equal(store.explain().pages, whole.length - 1, 'no page is empty');
        assert.equal(store.explain().problem, null);
        assert.deepEqual(names().sort(), [...whole, ...alive, ...strangers].sort());
    });
}

test('a page whose file was begun and not written is written', async () => {
    const directory = new PageFolder();
    const at = /** @type {any} */ (directory);
    await write(SYSTEM, { prefixes: new PrefixStore({ directory: at }) });
    const before = new Map(directory.files);
    for (const name of before.keys()) directory.files.set(name, { bytes: new Uint8Array(0), lastModified: Date.now() });
    await write(SYSTEM, { prefixes: new PrefixStore({ directory: at }) });
    assert.deepEqual([...directory.files.keys()].sort(), [...before.keys()].sort());
    for (const [name, { bytes }] of directory.files) assert.ok(Buffer.from(bytes).equals(there(before.get(name)).bytes), name);
    // What cannot be written leaves what was there.
    directory.isFull = true;
    const store = new PrefixStore({ directory: at });
    await write([...SYSTEM.slice(0, 580), ...draw(40)], { prefixes: store });
    assert.match(String(store.explain().problem), /quota/);
    assert.deepEqual([...directory.files.keys()].sort(), [...before.keys()].sort());
});

for (const name of ['llama-rope-dynamic', 'phi3-longrope']) {
    test(`${name}: a long text turns its beginning by other angles than a short one, and shares none of it`, async () => {
        const target = await load(runtime, name);
        const trained = there(cases.get(name)).sure;
        const store = new PrefixStore();
        const text = Array.from({ length: trained + 40 }, (_, i) => (i * 7) % 29);
        const [short, shorter] = [text.slice(0, trained - 2), text.slice(0, trained - 6)];
        for (const [ids, found] of /** @type {[number[], number][]} */ ([
            [short, 0], [text, 0], [text.slice(0, trained + 20), 0], [shorter, shorter.length - 1],
        ])) {
            const before = store.explain().found;
            const got = await write(ids, { prefixes: store, maxNewTokens: 1 }, target);
            assert.deepEqual(got.items, (await write(ids, { maxNewTokens: 1 }, target)).items);
            assert.equal(store.explain().found - before, found, `${ids.length} tokens`);
        }
        // Nor does a long text that has been cut.
        const [other, cache] = [new PrefixStore(), target.createCache()];
        const options = { maxNewTokens: 1, candidates: 5 };
        await write(text, { ...options, cache }, target);
        cache.truncate(trained - 10);
        await write(shorter, { ...options, cache, prefixes: other }, target);
        const [got, expected] = [await write(shorter, { ...options, prefixes: other }, target), await write(shorter, options, target)];
        assert.deepEqual(got.items, expected.items);
        target.dispose();
    });
}
