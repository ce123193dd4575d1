// PrefixStore: keys and values of the beginnings of texts, kept for later texts, models and runs of the program, a page of positions at a
// time. A page is found by a hash of the page before it and of its own tokens, so texts with the same beginning share pages. Each page is
// a file (writePage() in model/cache-file.js) that lists all tokens up to the page's end: these are compared before it is used.

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
 * @property {string} name of its file: `before`, `hash` and `count`
 * @property {string} before hash of all tokens before the page
 * @property {string} hash of all tokens up to the page's end
 * @property {number} count number of its tokens
 * @property {number} bytes size of the file
 * @property {number} used the larger, the later it was used
 * @property {ArrayLike<number> | null} tokens its own; null: not read from the file yet
 */

/** Names of the store's own files. With something after it the name is that of a temporary file. */
const NAME = /^(?:uses\.json|([0-9a-f]{16})\.([0-9a-f]{16})\.([1-9][0-9]{0,2})\.page)(.*)$/;

/**
 * A temporary file older than this, in milliseconds, was left by a program that has died, and is removed. If that program was only asleep,
 * it fails to keep this page, and keeps it another time.
 */
const DEAD = 3_600_000;

/** File with the names of the pages in order of use, oldest first. Without it the files' dates count. */
const USES = 'uses.json';

/** Pages with fewer tokens are not kept: reading so few tokens takes no longer than loading them. */
const LEAST_TOKENS = 16;

/** How many bytes of a page are read at first to get its header. */
const HEAD = 1 << 16;

/**
 * Keeps keys and values of prompts, for `generate(prompt, { prefixes })`: the beginning that a prompt has in common with an earlier one, of
 * this run of the program or, with `directory`, of another, is loaded instead of read. The text is the same, to the bit, as without the
 * store. Damaged files are not used, the least recently used pages are dropped first, and a full disk is no error.
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
    /** Operations run one after the other. @type {Promise<unknown>} */
    #line = Promise.resolve();
    #facts = { found: 0, loaded: 0, problem: /** @type {string | null} */ (null) };

    /**
     * @param {{ maxBytes?: number, directory?: string | URL | DirectoryHandle }} [options] maxBytes: of all pages together;
     *   default: 2 ** 29. directory: where pages are kept: a path, which in a page is one of its origin private file system (OPFS), or a
     *   directory handle; default: in memory
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
     * What it holds (pages, bytes), what it has saved (`found`: tokens that were not read; `loaded`: bytes), and the last error.
     * @returns {{ pages: number, bytes: number, maxBytes: number, found: number, loaded: number, problem: string | null }}
     */
    explain() {
        return { pages: this.#pages.size, bytes: this.#bytes, maxBytes: this.#maxBytes, ...this.#facts };
    }

    /** Drops all pages. @returns {Promise<void>} */
    clear() {
        return this.#inLine(async (folder) => {
            for (const page of [...this.#pages.values()]) await this.#drop(folder, page);
        });
    }

    /**
     * Loads what the store has of a text's beginning, at most all but its last token.
     * @param {CacheRow} row holds a beginning of the text, perhaps an empty one
     * @param {ArrayLike<number>} ids of the text
     * @param {AbortSignal | null} [signal]
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
     * @param {AbortSignal | null} [signal]
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
     * @param {AbortSignal | null} [signal]
     * @returns {Promise<void>} trouble with files is no error: it is as if the store were empty
     */
    #inLine(body, signal) {
        const turn = this.#line.then(async () => {
            signal?.throwIfAborted();
            // Opening is tried again if it failed.
            this.#folder ??= await this.#open();
            await body(this.#folder);
        });
        this.#line = turn.catch(() => {});
        return turn.catch((error) => {
            // After an abort the error may be any: the signal's reason is thrown.
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
            // In OPFS a file is empty until it has been written.
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
     * Makes room by dropping the least recently used pages.
     * @param {Folder} folder
     * @param {number} more bytes to make room for
     * @param {readonly Page[]} [needed] pages to keep
     * @returns {Promise<boolean>} whether there is room now
     */
    async #shrink(folder, more, needed = []) {
        // Nothing is dropped for what would not fit anyway.
        if (needed.reduce((sum, { bytes }) => sum + bytes, more) > this.#maxBytes) return false;
        const pages = [...this.#pages.values()].filter((page) => !needed.includes(page)).sort((a, b) => a.used - b.used);
        for (const page of pages) {
            if (this.#bytes + more > this.#maxBytes) await this.#drop(folder, page);
        }
        return true;
    }

    /**
     * The pages that have a beginning of a text.
     * @param {Folder} folder
     * @param {CacheRow} row
     * @param {ArrayLike<number>} ids
     * @param {number} most tokens to look for
     * @returns {Promise<{ page: Page, count: number }[]>} count: tokens that page and text have in common
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
     * Of the pages that follow another one, the one with the most tokens in common with a text.
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
     * @param {number} index of the page in the text
     * @param {number} end how many tokens the row shall hold then
     * @returns {Promise<boolean>} whether it was loaded
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
     * The page of some tokens; it is written if it does not exist.
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
        // A page that begins with these tokens serves as well.
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
        // A page that this one begins with is not needed any more.
        if (close && close.count === close.page.count) await this.#drop(folder, close.page);
        return page;
    }

    /**
     * Marks pages as used, the first one of a text as the last used: the others are useless without it.
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
 * Whether a row holds the keys and values that reading its tokens from scratch gives, whatever text follows them. Nothing may have been
 * removed or shifted, and where rotations depend on a text's length it must not exceed the length that the model was trained on.
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
 * The hash before the first page. It differs by model, type of the cache, page size and SIMD variant, so that only equal ones share pages.
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
 * A page's own tokens, by its header. That is checked when the page is loaded.
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
