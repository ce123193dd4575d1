// PrefixStore: what has been read once of the beginnings of texts, a page of positions at a time, for later texts, models and
// runs of the program. A page is found by the hash of the page before it and of its own tokens, so texts that begin alike share
// pages, and stands in a file of its own (writePage() in model/cache-file.js), which has all tokens up to its end: what is used
// has been compared token by token.

import { printAs } from '../engine/print.js';
import { checkOptionNames, classOf, positiveInteger, typeError } from '../check.js';
import { openFolder } from '../files/folder.js';
import { checksum, restorePages } from '../blocks/cache-bytes.js';
import { pageFor } from '../blocks/pages.js';
import { fingerprint, readPage, writePage } from '../model/cache-file.js';

/** @typedef {import('../model/cache-row.js').CacheRow} CacheRow */
/** @typedef {import('../files/folder.js').Folder} Folder */
/** @typedef {import('../files/folder.js').DirectoryHandle} DirectoryHandle */

/**
 * @typedef {object} Page
 * @property {string} name of its file: hash of what comes before it, hash up to its end, number of its tokens
 * @property {string} before
 * @property {string} hash
 * @property {number} count
 * @property {number} bytes
 * @property {number} used the larger, the later
 * @property {ArrayLike<number> | null} tokens its own; null: not looked at yet
 */

/** The store's own files; what a name has more was begun by a program, and not ended. */
const NAME = /^(?:uses\.json|([0-9a-f]{16})\.([0-9a-f]{16})\.([1-9][0-9]{0,2})\.page)(.*)$/;

/**
 * Nobody writes a page for so long, in ms: who began it has died. Should he have slept instead, he cannot end it and keeps it
 * another time.
 */
const DEAD = 3_600_000;

/** Order of use, oldest first. Files say it by their dates where it is missing. */
const USES = 'uses.json';

/** A page with fewer tokens is read as fast as it is loaded. */
const LEAST_TOKENS = 16;

/** Bytes in which the header of a page is looked for at first. */
const HEAD = 1 << 16;

/**
 * Keeps the keys and values of prompts' beginnings, for `generate(prompt, { prefixes })`: what a prompt has in common with one
 * that came before it, in this run of the program or with `directory` in an earlier one, is loaded and not read again. The text is the
 * same, to the bit, as without. What is damaged is not used, the least used goes first, and a full disk is no error.
 */
export class PrefixStore {
    #maxBytes;
    #directory;
    /** @type {Folder | null} */
    #folder = null;
    /** @type {Map<string, Page>} */
    #pages = new Map();
    #bytes = 0;
    #clock = 0;
    /** One thing at a time. @type {Promise<unknown>} */
    #line = Promise.resolve();
    #facts = { found: 0, loaded: 0, problem: /** @type {string | null} */ (null) };

    /**
     * @param {{ maxBytes?: number, directory?: string | URL | DirectoryHandle }} [options] maxBytes: of all pages together,
     *   2 ** 29; directory: where they are kept, in Node a path, in a page a path in its own file system (OPFS), or a handle. In
     *   memory without
     */
    constructor(options = {}) {
        checkOptionNames('PrefixStore', options, ['maxBytes', 'directory']);
        const { maxBytes = 2 ** 29, directory } = options;
        this.#maxBytes = positiveInteger('maxBytes', maxBytes);
        const isHandle = typeof directory === 'object' && directory !== null && ('getFileHandle' in directory || classOf(directory) === 'URL');
        if (directory !== undefined && typeof directory !== 'string' && !isHandle) {
            throw typeError('directory', 'a path, a URL or a FileSystemDirectoryHandle', directory);
        }
        this.#directory = directory;
    }

    /**
     * What it holds (pages, bytes), what prompts were spared (`found`: tokens; `loaded`: bytes), and what went wrong last.
     * @returns {{ pages: number, bytes: number, maxBytes: number, found: number, loaded: number, problem: string | null }}
     */
    explain() {
        return { pages: this.#pages.size, bytes: this.#bytes, maxBytes: this.#maxBytes, ...this.#facts };
    }

    /** Forgets everything. @returns {Promise<void>} */
    clear() {
        return this.#inLine(async (folder) => {
            for (const page of [...this.#pages.values()]) await this.#drop(folder, page);
        });
    }

    /**
     * Gives a text what is known of its beginning, all but its last token at most.
     * @param {CacheRow} row holds a beginning of the text, or nothing
     * @param {ArrayLike<number>} ids of the text
     * @param {AbortSignal} [signal]
     * @returns {Promise<void>}
     */
    _fill(row, ids, signal) {
        return this.#inLine(async (folder) => {
            if (!isPlain(row, ids.length)) return;
            const size = pageFor(row.capacity);
            const most = Math.min(ids.length - 1, row.capacity);
            const found = await this.#find(folder, row, ids, most);
            for (let i = Math.floor(row.length / size); i < found.length; i++) {
                const end = Math.min(i * size + found[i].count, most);
                if (end <= row.length || !await this.#load(folder, row, ids, found[i].page, i, end)) break;
                signal?.throwIfAborted();
            }
            await this.#touch(folder, found.map(({ page }) => page));
        }, signal);
    }

    /**
     * Keeps a text's beginning.
     * @param {CacheRow} row
     * @param {ArrayLike<number>} ids which the row holds
     * @param {AbortSignal} [signal]
     * @returns {Promise<void>}
     */
    _keep(row, ids, signal) {
        return this.#inLine(async (folder) => {
            if (!isPlain(row, ids.length)) return;
            const size = pageFor(row.capacity);
            const length = Math.min(ids.length, row.cold);
            let before = rootOf(row, size);
            /** @type {Page[]} */
            const chain = [];
            for (let at = 0; length - at >= Math.min(LEAST_TOKENS, size); at += size) {
                row.check();
                const tokens = Array.prototype.slice.call(ids, at, Math.min(at + size, length));
                const page = await this.#pageOf(folder, row, ids, { before, tokens, at, chain });
                if (page === null) break;
                chain.push(page);
                before = page.hash;
                signal?.throwIfAborted();
            }
            await this.#touch(folder, chain);
        }, signal);
    }

    /**
     * @template T
     * @param {(folder: Folder) => Promise<T>} body
     * @param {AbortSignal} [signal]
     * @returns {Promise<void>} what goes wrong with files is no error: it is as if nothing were known
     */
    #inLine(body, signal) {
        const turn = this.#line.then(async () => {
            signal?.throwIfAborted();
            // What could not be opened may be the next time.
            this.#folder ??= await this.#open();
            await body(this.#folder);
        });
        this.#line = turn.catch(() => {});
        return turn.catch((error) => {
            // Whatever went wrong then: the reason is the caller's.
            signal?.throwIfAborted();
            this.#note(error);
        });
    }

    /** @param {any} error */
    #note(error) {
        this.#facts.problem = String(error?.message ?? error);
    }

    /** @returns {Promise<Folder>} */
    async #open() {
        const folder = await openFolder(this.#directory);
        const files = await folder.list();
        this.#pages.clear();
        this.#bytes = 0;
        const uses = await readUses(folder);
        const rank = (/** @type {string} */ name) => uses.get(name) ?? -1;
        files.sort((a, b) => rank(a.name) - rank(b.name) || a.modified - b.modified);
        for (const { name, bytes, modified } of files) {
            const [, before, hash, count, more] = NAME.exec(name) ?? [];
            // A page's own file system has an empty file first.
            if (more || bytes === 0) {
                if (more !== undefined && modified < Date.now() - DEAD) await folder.remove(name).catch((error) => this.#note(error));
            } else if (before) {
                this.#add({ name, before, hash, count: Number(count), bytes, used: ++this.#clock, tokens: null });
            }
        }
        await this.#shrink(folder, 0);
        return folder;
    }

    /** @param {Page} page */
    #add(page) {
        this.#pages.set(page.name, page);
        this.#bytes += page.bytes;
    }

    /** @param {Folder} folder @param {Page} page */
    async #drop(folder, page) {
        if (this.#pages.delete(page.name)) this.#bytes -= page.bytes;
        await folder.remove(page.name).catch((error) => this.#note(error));
    }

    /**
     * Makes room: the least used goes first.
     * @param {Folder} folder
     * @param {number} more bytes
     * @param {readonly Page[]} [needed] that stay
     * @returns {Promise<boolean>} whether there is room now
     */
    async #shrink(folder, more, needed = []) {
        // Nothing goes for what cannot be kept all the same.
        if (needed.reduce((sum, { bytes }) => sum + bytes, more) > this.#maxBytes) return false;
        const pages = [...this.#pages.values()].filter((page) => !needed.includes(page)).sort((a, b) => a.used - b.used);
        for (const page of pages) {
            if (this.#bytes + more > this.#maxBytes) await this.#drop(folder, page);
        }
        return true;
    }

    /**
     * The pages that begin as a text does.
     * @param {Folder} folder
     * @param {CacheRow} row
     * @param {ArrayLike<number>} ids
     * @param {number} most tokens
     * @returns {Promise<{ page: Page, count: number }[]>} count: tokens in common
     */
    async #find(folder, row, ids, most) {
        const size = pageFor(row.capacity);
        const found = [];
        let before = rootOf(row, size);
        for (let at = 0; at < most; at += size) {
            const hash = hashOf(before, Array.prototype.slice.call(ids, at, at + size));
            const whole = at + size <= most ? this.#pages.get(nameOf(before, hash, size)) : undefined;
            const next = whole ? { page: whole, count: size } : await this.#closest(folder, before, ids, at, most);
            if (next === null) break;
            found.push(next);
            if (next.count < size) break;
            before = hash;
        }
        return found;
    }

    /**
     * Of the pages after another one, that which has most in common with a text.
     * @param {Folder} folder
     * @param {string} before
     * @param {ArrayLike<number>} ids
     * @param {number} at
     * @param {number} most
     */
    async #closest(folder, before, ids, at, most) {
        let best = null;
        for (const page of [...this.#pages.values()]) {
            if (page.before !== before) continue;
            page.tokens ??= await headTokens(folder, page);
            let count = 0;
            while (count < page.tokens.length && at + count < most && page.tokens[count] === ids[at + count]) count++;
            if (count > (best?.count ?? 0)) best = { page, count };
        }
        return best;
    }

    /**
     * @param {Folder} folder
     * @param {CacheRow} row
     * @param {ArrayLike<number>} ids
     * @param {Page} page
     * @param {number} index of it in the text
     * @param {number} end tokens that the row shall hold then
     * @returns {Promise<boolean>} whether it does
     */
    async #load(folder, row, ids, page, index, end) {
        let content;
        try {
            content = readPage(row, await folder.read(page.name));
        } catch (error) {
            this.#note(error);
            await this.#drop(folder, page);
            return false;
        }
        for (let i = 0; i < end; i++) {
            if (content.tokens[i] !== ids[i]) return false;
        }
        row.check();
        const { length } = row;
        const first = index * pageFor(row.capacity);
        row.prepare(end - length);
        row.caches.forEach((cache) => cache.makeWritable(first, end));
        restorePages(row.network.runtime.memory, row.caches.map((cache) => cache.pageAt(index)), content.body);
        row.append(ids, length, end - length, row.network.lengthKey(1));
        this.#facts.found += end - length;
        this.#facts.loaded += content.body.length;
        return true;
    }

    /**
     * The page of some tokens, written if it is not there.
     * @param {Folder} folder
     * @param {CacheRow} row
     * @param {ArrayLike<number>} ids
     * @param {{ before: string, tokens: number[], at: number, chain: readonly Page[] }} place chain: the pages before it
     * @returns {Promise<Page | null>} null: it cannot be kept
     */
    async #pageOf(folder, row, ids, { before, tokens, at, chain }) {
        const hash = hashOf(before, tokens);
        const name = nameOf(before, hash, tokens.length);
        const there = this.#pages.get(name);
        if (there) return there;
        const end = at + tokens.length;
        const close = await this.#closest(folder, before, ids, at, end);
        // One that begins so and goes on will do.
        if (close?.count === tokens.length) return close.page;
        const bytes = writePage(row, at / pageFor(row.capacity), Array.prototype.slice.call(ids, 0, end));
        if (!await this.#shrink(folder, bytes.length, chain)) return null;
        try {
            await folder.write(name, bytes);
        } catch (error) {
            this.#note(error);
            return null;
        }
        const page = { name, before, hash, count: tokens.length, bytes: bytes.length, used: ++this.#clock, tokens };
        this.#add(page);
        // One that ends within this one has become needless.
        if (close && close.count === close.page.count) await this.#drop(folder, close.page);
        return page;
    }

    /**
     * Notes that pages were of use: the first ones last, as those after them are of no use without.
     * @param {Folder} folder
     * @param {readonly Page[]} chain
     */
    async #touch(folder, chain) {
        if (chain.length === 0) return;
        for (const page of [...chain].reverse()) page.used = ++this.#clock;
        const names = [...this.#pages.values()].sort((a, b) => a.used - b.used).map(({ name }) => name);
        await folder.write(USES, new TextEncoder().encode(JSON.stringify(names)));
    }
}

printAs(PrefixStore, 'PrefixStore', (store) => store.explain());

/**
 * Whether a row holds what a cold run of its tokens gives, each at its own position, in whatever text they begin: where rotations depend on
 * how long a text is, that ends with the length that the model was trained on.
 * @param {CacheRow} row
 * @param {number} length of the text
 */
function isPlain(row, length) {
    row.check();
    const key = row.network.lengthKey(1);
    return row.positions === null && row.cold === row.length && (row.length === 0 || row.key === key) && row.network.lengthKey(length) === key;
}

/** @param {string} before @param {string} hash @param {number} count */
const nameOf = (before, hash, count) => `${before}.${hash}.${count}.page`;

/** @param {Uint8Array} bytes @returns {string} 64 bits: pages are found by it, and compared then */
function digest(bytes) {
    return [checksum(bytes), checksum(bytes, 0x9747b28c)].map((hash) => hash.toString(16).padStart(8, '0')).join('');
}

/**
 * What texts begin from: only caches of the same kind, of the same model, computed with the same instructions, share pages.
 * @param {CacheRow} row
 * @param {number} size of a page
 */
function rootOf({ network, type }, size) {
    return digest(new TextEncoder().encode(`${fingerprint(network)} ${type} ${size} ${network.runtime.explain().variant}`));
}

/** @param {string} before @param {number[]} tokens @returns {string} */
function hashOf(before, tokens) {
    return digest(new TextEncoder().encode(`${before} ${tokens}`));
}

/** @param {Folder} folder @returns {Promise<Map<string, number>>} place of each file in the order of use */
async function readUses(folder) {
    try {
        const names = JSON.parse(new TextDecoder().decode(await folder.read(USES)));
        return new Map(names.map((/** @type {string} */ name, /** @type {number} */ i) => [name, i]));
    } catch {
        return new Map();
    }
}

/**
 * A page's own tokens, by its header: what it says is found out when the page is loaded.
 * @param {Folder} folder @param {Page} page @returns {Promise<number[]>}
 */
async function headTokens(folder, { name, count }) {
    try {
        let head = await folder.read(name, HEAD);
        const length = new DataView(head.buffer, head.byteOffset).getUint32(8, true);
        if (16 + length > head.length) head = await folder.read(name, 16 + length);
        const { tokens } = JSON.parse(new TextDecoder().decode(head.subarray(16, 16 + length)));
        return tokens.slice(-count);
    } catch {
        return [];
    }
}
