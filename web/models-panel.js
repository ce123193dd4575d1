/**
 * Which model: the one that comes along, some that are known to run, what this browser keeps, files and folders dropped on
 * the page, and any other of a hub.
 */

import { sentence } from './app.js';
import { find, keepFocus } from './find.js';
import { bytes } from './meters.js';
import { tenths } from './scale.js';
import { listKept, removeKept } from './shelf.js';

/** @import { App } from './app.js' */
/** @import { Card, Choice, Report, Source } from './messages.js' */

/** @type {{ repository: string, file: string, title: string, bytes: number, licence: string, note: string }[]} */
const OFFERED = [
    {
        repository: 'bartowski/SmolLM2-135M-Instruct-GGUF', file: 'SmolLM2-135M-Instruct-Q4_K_M.gguf', title: 'SmolLM2 135M',
        bytes: 105_454_432, licence: 'Apache 2.0', note: 'chats in simple English, the fastest of these'
    },
    {
        repository: 'bartowski/SmolLM2-360M-Instruct-GGUF', file: 'SmolLM2-360M-Instruct-Q4_K_M.gguf', title: 'SmolLM2 360M',
        bytes: 270_590_880, licence: 'Apache 2.0', note: 'the same, but knows more'
    },
    {
        repository: 'Qwen/Qwen3-0.6B-GGUF', file: 'Qwen3-0.6B-Q8_0.gguf', title: 'Qwen3 0.6B',
        bytes: 639_446_688, licence: 'Apache 2.0', note: 'thinks before it answers, in many languages'
    }
];

/** @typedef {{ title: string, detail: string, source: Source, id: string | null, canKeep?: boolean }} Entry of the list */

/** owner/name, perhaps a file of it; or the address that a browser shows for it, for its list of files, or for a download. */
const HUB_NAME =
    /^(?:(?:https:\/\/)?huggingface\.co\/)?([\w.-]+\/[\w.-]+)(?:\/tree\/[^/]+)?(?:\/(?:(?:blob|resolve)\/[^/]+\/)?(.+?))?\/?(?:\?.*)?$/;

/** @param {string} name 'owner/name' or 'owner/name/file' @param {string | null} endpoint @returns {Source | null} */
function hubSource(name, endpoint) {
    const [, repository, file] = HUB_NAME.exec(name.trim()) ?? [];
    return repository ? { kind: 'hub', name: file ? `${repository}/${file}` : repository, repository, file: file ?? null, endpoint } : null;
}

export class ModelsPanel {
    /** @param {App} app */
    constructor(app) {
        this.app = app;
        this.dialog = /** @type {HTMLDialogElement} */ (find('models'));
        this.isKeeping = false;
        find('model').addEventListener('click', () => this.open());
        find('models-close').addEventListener('click', () => this.dialog.close());
        // Beside the dialog, and not in its margin, nor where a selection ends that began in it.
        let isBeside = false;
        this.dialog.addEventListener('pointerdown', ({ clientX, clientY }) => {
            const { left, right, top, bottom } = this.dialog.getBoundingClientRect();
            isBeside = clientX < left || clientX > right || clientY < top || clientY > bottom;
        });
        this.dialog.addEventListener('click', () => {
            if (isBeside) this.dialog.close();
        });
        find('model-cancel').addEventListener('click', () => app.client.stop());
        for (const id of ['pick-file', 'pick-folder']) {
            const input = /** @type {HTMLInputElement} */ (find(id));
            input.addEventListener('change', () => {
                this.loadFiles([...input.files ?? []]);
                input.value = '';
            });
        }
        find('hub-form').addEventListener('submit', event => {
            event.preventDefault();
            const [name, endpoint] = ['hub-name', 'hub-endpoint'].map(id => /** @type {HTMLInputElement} */ (find(id)).value.trim());
            const source = hubSource(name, endpoint || null);
            if (source) this.load(source);
            else this.complain('A model of a hub is named owner/name, or owner/name/file.gguf for one of its files.');
        });
        this.listenForDrops();
        app.addEventListener('model', () => this.showModel());
    }

    listenForDrops() {
        addEventListener('dragover', event => {
            if (!event.dataTransfer?.types.includes('Files')) return;
            event.preventDefault();
            document.body.classList.add('dropping');
        });
        addEventListener('dragleave', event => {
            if (event.relatedTarget === null) document.body.classList.remove('dropping');
        });
        addEventListener('drop', async event => {
            document.body.classList.remove('dropping');
            if (!event.dataTransfer?.types.includes('Files')) return;
            event.preventDefault();
            // What cannot be looked into is loaded as it is, which says what is wrong.
            const files = [...event.dataTransfer.files];
            this.loadFiles(await droppedFiles(event.dataTransfer).catch(() => files));
        });
    }

    async open() {
        this.complain(null);
        if (!this.dialog.open) this.dialog.showModal();
        await this.list();
    }

    /**
     * @param {string | null} text
     * @param {HTMLElement[]} [choices] items of a list
     */
    complain(text, choices = []) {
        find('model-problem').hidden = text === null;
        find('model-problem').textContent = text;
        find('model-choices').hidden = choices.length === 0;
        find('model-choices').replaceChildren(...choices);
        if (choices.length > 0) this.dialog.scrollTop = 0;
    }

    /** A model that the address names is loaded where it is kept, and offered where it is not. @param {string} name */
    async arrive(name) {
        if (name === '') return;
        const kept = (await listKept()).find(card => card.name === name && card.isWhole);
        if (kept) {
            this.load({ kind: 'kept', name, id: kept.id });
            return;
        }
        await this.open();
        /** @type {HTMLInputElement} */ (find('hub-name')).value = name;
        this.complain(`The text of this address was written by ${name}. Load it to see it written again.`);
    }

    /** @param {File[]} files */
    loadFiles(files) {
        if (files.length === 0) return;
        const main = files.find(({ name }) => /\.(gguf|safetensors|h5)$/i.test(name)) ?? files[0];
        const folder = main.webkitRelativePath.split('/').slice(0, -1).join('/');
        this.load({ kind: 'files', name: folder || main.name, files });
    }

    /** @param {Source} source */
    async load(source) {
        if (!this.dialog.open) this.dialog.showModal();
        const last = await this.app.load(source, this.begin('Asking for the model'));
        // Another one has been asked for meanwhile.
        if (last === null && this.app.state === 'loading') return;
        find('model-progress').hidden = true;
        if (last?.type === 'ready') {
            this.dialog.close();
            // What had the focus before may have gone with the other model.
            keepFocus();
        } else if (last?.type === 'error') {
            // Not in two places; who has closed the dialog meanwhile reads it on the page.
            if (this.app.model && this.dialog.open) this.app.notify(null);
            const kept = source.kind === 'hub' ? ' What has come is kept: load the model again, and it goes on from there.' : '';
            const text = last.cancelled ? `Cancelled.${kept}` : last.message;
            this.complain(sentence(text), last.choices?.map(choice => this.item(entryOf(choice, source))));
        }
        await this.list();
    }

    /**
     * @param {string} text
     * @returns {(report: Report) => void} which shows how far it is
     */
    begin(text) {
        this.complain(null);
        find('model-progress').hidden = false;
        find('model-status').textContent = text;
        /** @type {HTMLProgressElement} */ (find('model-bar')).value = 0;
        const rate = new Rate();
        return report => this.onProgress(report, rate);
    }

    /**
     * @param {Report} report
     * @param {Rate} rate
     */
    onProgress(report, rate) {
        if (report.type === 'remark') this.complain(report.text);
        if (report.type !== 'progress') return;
        const { phase, loaded, total } = report;
        const verb = { download: 'Downloading', load: 'Reading', keep: 'Copying' }[phase];
        const share = `${bytes(loaded)}${total ? ` of ${bytes(total)}` : ''}`;
        find('model-status').textContent = `${verb}: ${share}${rate.text(phase, loaded, total)}`;
        /** @type {HTMLProgressElement} */ (find('model-bar')).value = total ? loaded / total : 0;
        // Not each of its figures is read out.
        const said = `${verb}: ${tenths(loaded / (total || loaded))}`;
        if (find('model-said').textContent !== said) find('model-said').textContent = said;
    }

    showModel() {
        const { model } = this.app;
        if (!model) return;
        find('model-name').textContent = shortName(model.name);
        find('model-size').textContent = `${weights(model.parameters)} weights`;
    }

    async list() {
        const kept = await listKept();
        const items = entries(this.app, kept).map(entry => this.item(entry));
        find('model-list').replaceChildren(...items);
    }

    /** @param {Entry} entry */
    item({ title, detail, source, id, canKeep }) {
        const item = document.createElement('li');
        const name = Object.assign(document.createElement('b'), { textContent: title });
        const about = Object.assign(document.createElement('span'), { className: 'remark', textContent: detail });
        const words = document.createElement('div');
        words.append(name, about);
        const isCurrent = sameSource(source, this.app.source);
        item.classList.toggle('current', isCurrent);
        const load = button(isCurrent ? 'Loaded' : 'Load', title, () => this.load(source));
        load.disabled = isCurrent && this.app.state !== 'broken';
        item.append(words, load);
        if (canKeep && !this.isKeeping) item.append(button('Keep', title, () => this.keep()));
        if (id !== null) {
            item.append(button('Delete', title, async () => {
                const isGone = await removeKept(id).then(() => true, () => false);
                await this.list();
                if (!isGone) return this.complain('It is just being kept, here or in another tab: cancel that first.');
                // The button that had the focus is gone.
                find('models-close').focus();
            }));
        }
        return item;
    }

    /** Copies the files that were given into this browser. */
    async keep() {
        this.isKeeping = true;
        const last = await this.app.look({ type: 'keep' }, this.begin('Copying the model'));
        this.isKeeping = false;
        // Another one has been asked for meanwhile.
        if (last === null && this.app.state === 'loading') return;
        find('model-progress').hidden = true;
        const problem = last === null ? 'It can be kept once the text stands that is being written.'
            : last.type !== 'error' ? null : last.cancelled ? 'Cancelled.' : last.message;
        this.complain(problem);
        if (problem !== null && !this.dialog.open) this.app.notify(`The model is not kept: ${sentence(problem)}`, 'close');
        await this.list();
        find('models-close').focus();
    }
}

/**
 * @param {App} app
 * @param {Card[]} kept
 * @returns {Entry[]}
 */
function entries({ source }, kept) {
    /** @type {Entry[]} */
    const list = [{
        title: 'TinyStories', detail: '3 MB, comes with the page; tells children’s stories', source: { kind: 'own' }, id: null
    }];
    for (const { repository, file, title, bytes: size, licence, note } of OFFERED) {
        const name = `${repository}/${file}`;
        const card = kept.find(one => one.name === name);
        const state = card?.isWhole ? ', kept in this browser' : card ? ', partly downloaded' : '';
        list.push({
            title, detail: `${bytes(size)}, ${licence}${state}; ${note}`, id: card?.id ?? null,
            source: { kind: 'hub', name, repository, file, endpoint: null }
        });
    }
    for (const { name, id, bytes: size, isWhole, hub } of kept) {
        if (list.some(entry => entry.id === id)) continue;
        const state = isWhole ? 'kept in this browser' : 'partly downloaded';
        list.push({
            title: shortName(name), detail: `${bytes(size)}, ${state}${hub ? `, from ${hub.repository}` : ''}`, id,
            source: !isWhole && hub ? { kind: 'hub', name, ...hub } : { kind: 'kept', name, id }
        });
    }
    if (source.kind === 'files' && !kept.some(card => card.name === source.name)) {
        list.push({ title: shortName(source.name), detail: 'from your disk', source, id: null, canKeep: true });
    }
    return list;
}

/** @param {Choice} choice @param {Source} source the model that it is a file of @returns {Entry} */
function entryOf({ file, bytes: size }, source) {
    const { repository, endpoint } = /** @type {Extract<Source, { kind: 'hub' }>} */ (source);
    const name = `${repository}/${file}`;
    return { title: file, detail: size > 0 ? bytes(size) : '', source: { kind: 'hub', name, repository, file, endpoint }, id: null };
}

/** @param {Source} a @param {Source} b */
function sameSource(a, b) {
    const name = (/** @type {Source} */ source) => source.kind === 'own' ? '' : source.name;
    return name(a) === name(b);
}

/** How fast something comes, and how long the rest will take. */
class Rate {
    constructor() {
        this.phase = '';
        this.since = 0;
        this.from = 0;
    }

    /** @param {string} phase @param {number} loaded @param {number} total */
    text(phase, loaded, total) {
        const now = performance.now();
        if (phase !== this.phase) [this.phase, this.since, this.from] = [phase, now, loaded];
        const seconds = (now - this.since) / 1000;
        if (seconds < 1) return '';
        const speed = (loaded - this.from) / seconds;
        const left = speed > 0 && total > 0 ? `, ${duration((total - loaded) / speed)} left` : '';
        return `, ${bytes(Math.round(speed))}/s${left}`;
    }
}

/** @param {number} seconds */
function duration(seconds) {
    return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

/** @param {number} count */
function weights(count) {
    return count < 1e9 ? `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)} million` : `${(count / 1e9).toFixed(1)} billion`;
}

/** @param {string} name */
function shortName(name) {
    return (name.split('/').at(-1) ?? name).replace(/\.gguf$/i, '');
}

/** @param {string} text @param {string} what @param {() => void} onClick */
function button(text, what, onClick) {
    const made = Object.assign(document.createElement('button'), { type: 'button', textContent: text });
    made.setAttribute('aria-label', `${text} ${what}`);
    made.addEventListener('click', onClick);
    return made;
}

/**
 * What was dropped, folders with all that is in them.
 * @param {DataTransfer} transfer
 * @returns {Promise<File[]>}
 */
async function droppedFiles(transfer) {
    const roots = [...transfer.items].map(item => item.webkitGetAsEntry?.()).filter(entry => entry !== null && entry !== undefined);
    if (roots.length === 0) return [...transfer.files];
    return (await Promise.all(roots.map(entry => filesUnder(entry)))).flat();
}

/** Models lie one or two folders deep. */
const DEEPEST = 3;

/**
 * @param {FileSystemEntry} entry
 * @param {number} [depth]
 * @returns {Promise<File[]>}
 */
async function filesUnder(entry, depth = 0) {
    if (entry.isFile) {
        const file = await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
        // A dropped file does not say itself in which folder it lay.
        if (depth > 0) Object.defineProperty(file, 'webkitRelativePath', { value: entry.fullPath.slice(1) });
        return [file];
    }
    if (depth >= DEEPEST) return [];
    const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
    const found = [];
    // It gives a hundred at a time, and an empty list in the end.
    for (;;) {
        /** @type {FileSystemEntry[]} */
        const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
        if (entries.length === 0) break;
        found.push(...await Promise.all(entries.map(one => filesUnder(one, depth + 1))));
    }
    return found.flat();
}
