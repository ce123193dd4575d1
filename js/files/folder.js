// A folder where a program keeps files of its own: in memory, in Node's file system, or in a page's origin private file system (OPFS,
// fs.spec.whatwg.org). Files are written atomically: a file exists with all of its bytes or not at all.

import { isNode, nodeModule } from '../engine/threads.js';

/**
 * @typedef {object} Folder
 * @property {() => Promise<{ name: string, bytes: number, modified: number }[]>} list lists temporary files of unfinished writes too: they
 *   are empty, or their names go on after that of the file
 * @property {(name: string, most?: number) => Promise<Uint8Array<ArrayBuffer>>} read reads a file, or its first `most` bytes
 * @property {(name: string, bytes: Uint8Array<ArrayBuffer>) => Promise<void>} write
 * @property {(name: string) => Promise<void>} remove
 */

/** A FileSystemDirectoryHandle, in words that a project without a browser's types knows. @typedef {{ readonly kind: 'directory',
 *   getFileHandle(name: string, options?: any): Promise<any> }} DirectoryHandle */

/**
 * @param {string | URL | DirectoryHandle | undefined} place in Node a path, in a page a path within its own file system, or
 *   a handle; in memory without
 * @returns {Promise<Folder>} it is there now
 */
export async function openFolder(place) {
    if (place === undefined) {
        return new MemoryFolder();
    }
    if (typeof place === 'object' && 'getFileHandle' in place) {
        return new HandleFolder(/** @type {FileSystemDirectoryHandle} */ (place));
    }
    if (isNode) {
        const fs = /** @type {typeof import('node:fs/promises')} */ (nodeModule('node:fs/promises'));
        const url = /** @type {typeof import('node:url')} */ (nodeModule('node:url'));
        const path = typeof place === 'string' && !place.startsWith('file:') ? place : url.fileURLToPath(place);
        await makeFolder(fs, path);
        return new NodeFolder(fs, path);
    }
    let handle = await navigator.storage.getDirectory();
    for (const part of String(place).split('/').filter((name) => name !== '')) {
        handle = await handle.getDirectoryHandle(part, { create: true });
    }
    return new HandleFolder(handle);
}

/**
 * Makes a folder and those around it one by one: on a file system that refuses mkdir(), as /proc does, mkdir() with `recursive` never
 * returns.
 * @param {typeof import('node:fs/promises')} fs
 * @param {string} path
 */
async function makeFolder(fs, path) {
    const make = () => fs.mkdir(path).catch((error) => {
        if (error.code !== 'EEXIST') throw error;
    });
    try {
        await make();
    } catch (error) {
        const parent = nodeModule('node:path').dirname(path);
        if (/** @type {any} */ (error).code !== 'ENOENT' || parent === path) throw error;
        await makeFolder(fs, parent);
        await make();
    }
}

/** @implements {Folder} */
class MemoryFolder {
    /** @type {Map<string, Uint8Array<ArrayBuffer>>} */
    #files = new Map();

    async list() {
        return [...this.#files].map(([name, { length }]) => ({ name, bytes: length, modified: 0 }));
    }

    /** @param {string} name @param {number} [most] */
    async read(name, most) {
        const bytes = this.#files.get(name);
        if (!bytes) {
            throw new Error(`there is no file ${name}`);
        }
        return bytes.subarray(0, most);
    }

    /** @param {string} name @param {Uint8Array<ArrayBuffer>} bytes */
    async write(name, bytes) {
        this.#files.set(name, bytes);
    }

    /** @param {string} name */
    async remove(name) {
        this.#files.delete(name);
    }
}

/** @implements {Folder} */
class NodeFolder {
    #fs;
    #path;

    /** @param {typeof import('node:fs/promises')} fs @param {string} path */
    constructor(fs, path) {
        this.#fs = fs;
        this.#path = path;
    }

    /** @param {string} name */
    #at(name) {
        return `${this.#path}/${name}`;
    }

    async list() {
        const files = [];
        for (const name of await this.#fs.readdir(this.#path)) {
            const stats = await this.#fs.stat(this.#at(name)).catch(() => null);
            if (stats?.isFile()) {
                files.push({ name, bytes: stats.size, modified: stats.mtimeMs });
            }
        }
        return files;
    }

    /** @param {string} name @param {number} [most] */
    async read(name, most) {
        const file = await this.#fs.open(this.#at(name));
        try {
            const { size } = await file.stat();
            const bytes = new Uint8Array(Math.min(size, most ?? Infinity));
            const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
            return bytes.subarray(0, bytesRead);
        } finally {
            await file.close();
        }
    }

    /** @param {string} name @param {Uint8Array<ArrayBuffer>} bytes */
    async write(name, bytes) {
        // A name of its own, as several programs may write the same file.
        const begun = this.#at(`${name}${Math.random()}.tmp`);
        try {
            await this.#fs.writeFile(begun, bytes);
            await this.#fs.rename(begun, this.#at(name));
        } catch (error) {
            await this.#fs.rm(begun, { force: true }).catch(() => {});
            throw error;
        }
    }

    /** @param {string} name */
    async remove(name) {
        await this.#fs.rm(this.#at(name), { force: true });
    }
}

/** @implements {Folder} */
class HandleFolder {
    #handle;

    /** @param {FileSystemDirectoryHandle} handle */
    constructor(handle) {
        this.#handle = handle;
    }

    async list() {
        const files = [];
        for await (const [name, entry] of /** @type {any} */ (this.#handle).entries()) {
            // A file that another page was writing may be gone.
            const file = entry.kind === 'file' && await entry.getFile().catch(() => null);
            if (file) {
                files.push({ name, bytes: file.size, modified: file.lastModified });
            }
        }
        return files;
    }

    /** @param {string} name @param {number} [most] */
    async read(name, most) {
        const file = await (await this.#handle.getFileHandle(name)).getFile();
        return new Uint8Array(await file.slice(0, most ?? file.size).arrayBuffer());
    }

    /** @param {string} name @param {Uint8Array<ArrayBuffer>} bytes */
    async write(name, bytes) {
        const handle = await this.#handle.getFileHandle(name, { create: true });
        let stream;
        try {
            // The file changes only when the stream is closed.
            stream = await handle.createWritable();
            await stream.write(bytes);
            await stream.close();
        } catch (error) {
            await stream?.abort().catch(() => {});
            // A file from before is unchanged; a new one, still empty, is removed.
            const left = await handle.getFile().catch(() => null);
            if (left?.size === 0) await this.remove(name);
            throw error;
        }
    }

    /** @param {string} name */
    async remove(name) {
        await this.#handle.removeEntry(name).catch(() => {});
    }
}
