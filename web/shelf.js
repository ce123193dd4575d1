/**
 * The models that this browser keeps, in its private file system: a folder each, with a card that says what it is. Page and
 * worker both look at it; only the worker writes.
 */

/** @import { Card } from './messages.js' */

const SHELF = 'models';
const CARD = 'card.json';

/** @param {boolean} create @returns {Promise<FileSystemDirectoryHandle | null>} null where there is none, or cannot be */
async function shelf(create) {
    try {
        return await (await navigator.storage.getDirectory()).getDirectoryHandle(SHELF, { create });
    } catch {
        return null;
    }
}

/** @param {string} name of a model @returns {string} of its folder: nothing that a file system could mind */
function idOf(name) {
    return encodeURIComponent(name).replace(/[*%.]/g, sign => `~${sign.charCodeAt(0).toString(16)}`).slice(-200);
}

/** @param {FileSystemDirectoryHandle} folder @returns {Promise<Card | null>} null for a folder that holds no model of ours */
async function readCard(folder) {
    try {
        return JSON.parse(await (await (await folder.getFileHandle(CARD)).getFile()).text());
    } catch {
        return null;
    }
}

/** @returns {Promise<Card[]>} in the order of their names */
export async function listKept() {
    const cards = [];
    for await (const handle of (await shelf(false))?.values() ?? []) {
        if (handle.kind !== 'directory') continue;
        const card = await readCard(/** @type {FileSystemDirectoryHandle} */ (handle));
        if (card) cards.push(card);
    }
    return cards.sort((a, b) => a.name.localeCompare(b.name));
}

/** @param {string} id */
export async function removeKept(id) {
    await (await shelf(false))?.removeEntry(id, { recursive: true });
}

/** @param {string} id @returns {Promise<File[]>} its files */
export async function filesOf(id) {
    const folder = await (await shelf(false))?.getDirectoryHandle(id);
    const files = [];
    for await (const handle of folder?.values() ?? []) {
        if (handle.kind === 'file' && handle.name !== CARD) files.push(await /** @type {FileSystemFileHandle} */ (handle).getFile());
    }
    return files;
}

/** @param {string} name of a file, which a hub may have in a folder */
export function baseOf(name) {
    return name.split('/').at(-1) ?? name;
}

/** A model's folder, to be written by the worker. */
export class Place {
    /**
     * @param {FileSystemDirectoryHandle} folder
     * @param {Card} card
     */
    constructor(folder, card) {
        this.folder = folder;
        this.card = card;
    }

    /**
     * @param {Omit<Card, 'id' | 'bytes' | 'isWhole'>} what
     * @returns {Promise<Place | null>} null where this browser keeps nothing
     */
    static async open(what) {
        const id = idOf(what.name);
        const folder = await (await shelf(true))?.getDirectoryHandle(id, { create: true }).catch(() => null);
        if (!folder || !('createSyncAccessHandle' in FileSystemFileHandle.prototype)) return null;
        const card = await readCard(folder);
        return new Place(folder, { id, bytes: 0, isWhole: false, ...card, ...what });
    }

    /** @param {Partial<Card>} change */
    async describe(change) {
        Object.assign(this.card, change);
        const file = await this.write(CARD);
        try {
            file.truncate(0);
            file.write(new TextEncoder().encode(JSON.stringify(this.card)), { at: 0 });
            file.flush();
        } finally {
            file.close();
        }
    }

    /** @param {string} name @returns {Promise<any>} a FileSystemSyncAccessHandle */
    async write(name) {
        const handle = await this.folder.getFileHandle(baseOf(name), { create: true });
        return /** @type {any} */ (handle).createSyncAccessHandle();
    }

    /** @param {string} name */
    drop(name) {
        return this.folder.removeEntry(baseOf(name));
    }

    remove() {
        return removeKept(this.card.id);
    }
}
