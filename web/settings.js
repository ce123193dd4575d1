/**
 * What a run depends on, in three places that say the same: the form, the address (so that a story can be shared) and
 * the options of generate(). Out-of-range values are brought back into range, unreadable ones become the default.
 */

/** @import { RunOptions } from './messages.js' */

/**
 * @typedef {object} Settings
 * @property {string} prompt
 * @property {number} temperature 0: always the likeliest
 * @property {number} topK 0: off
 * @property {number} topP 1: off
 * @property {number} minP 0: off
 * @property {number} seed
 * @property {number} tokens new ones at most
 * @property {number} pace tokens per second at most; 0: no limit
 * @property {number | 'auto'} workers
 * @property {number} layer from 1
 * @property {number} head from 1; 0: their mean
 * @property {string} model on a hub, 'owner/name' or 'owner/name/file'; '': the one that comes along
 */

/** Threads beside the one that asks; more than a device has cores only wait for each other. */
export const MOST_WORKERS = Math.min(globalThis.navigator?.hardwareConcurrency || 1, 8);

/** @type {Settings} */
const DEFAULTS = {
    prompt: 'Once upon a time, there was a little fox who',
    temperature: 0.8,
    topK: 40,
    topP: 0.95,
    minP: 0,
    seed: 8,
    tokens: 200,
    pace: 60,
    workers: 'auto',
    layer: 4,
    head: 0,
    model: ''
};

/** @type {Record<string, [number, number]>} */
const RANGES = {
    temperature: [0, 2],
    topK: [0, 1000],
    topP: [0.01, 1],
    minP: [0, 1],
    seed: [0, 2 ** 32 - 1],
    tokens: [1, 4096],
    pace: [0, 1000],
    workers: [0, MOST_WORKERS],
    layer: [1, 1000],
    head: [0, 1000]
};
const WHOLE = ['topK', 'seed', 'tokens', 'pace', 'workers', 'layer', 'head'];

/**
 * @param {(name: string) => unknown} get a field's value, null or undefined when absent
 * @returns {Settings}
 */
function read(get) {
    const settings = { ...DEFAULTS };
    for (const name of /** @type {const} */ (['prompt', 'model'])) {
        const text = get(name);
        if (typeof text === 'string') settings[name] = text;
    }
    for (const [name, [low, high]] of Object.entries(RANGES)) {
        const text = String(get(name) ?? '').trim();
        const value = Number(text);
        if (text === '' || !Number.isFinite(value)) continue;
        const inRange = Math.min(high, Math.max(low, value));
        Object.assign(settings, { [name]: WHOLE.includes(name) ? Math.round(inRange) : inRange });
    }
    return settings;
}

/** @param {HTMLFormElement} form */
export function fromForm(form) {
    const data = new FormData(form);
    return read(name => data.get(name));
}

/** @param {string} hash as location.hash has it */
export function fromHash(hash) {
    const parameters = new URLSearchParams(hash.slice(1));
    return read(name => parameters.get(name));
}

/** @param {string} hash */
export function hasStory(hash) {
    return new URLSearchParams(hash.slice(1)).has('prompt');
}

/**
 * Prompt and seed always, the rest where it is not the default.
 * @param {Settings} settings
 */
export function toHash(settings) {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(settings)) {
        const isDefault = value === /** @type {Record<string, unknown>} */ (DEFAULTS)[name];
        if (name === 'prompt' || name === 'seed' || !isDefault) parameters.set(name, String(value));
    }
    return `#${parameters}`;
}

/**
 * @param {HTMLFormElement} form
 * @param {Settings} settings
 */
export function toForm(form, settings) {
    for (const [name, value] of Object.entries(settings)) {
        const field = form.elements.namedItem(name);
        if (!(field instanceof HTMLElement && 'value' in field)) continue;
        const text = String(value);
        if (field instanceof HTMLSelectElement && ![...field.options].some(option => option.value === text)) {
            field.add(new Option(text, text));
        }
        field.value = text;
    }
}

/**
 * Temperature 0 is greedy; otherwise what top-k leaves, and of that the smallest nucleus of top-p; with both off every token.
 * @param {Settings} settings
 * @returns {Omit<RunOptions, 'cold'>}
 */
export function toRunOptions({ temperature, topK, topP, minP, seed, tokens, pace, layer }) {
    const common = { temperature, seed, maxNewTokens: tokens, pace, layer: layer - 1 };
    if (temperature === 0) return { ...common, sampler: 'greedy' };
    const drawn = minP > 0 ? { ...common, minP } : common;
    if (topK > 0) return { ...drawn, sampler: 'top_k', topK, ...(topP < 1 && { topP }) };
    return topP < 1 ? { ...drawn, sampler: 'top_p', topP } : { ...drawn, sampler: 'random' };
}

/** @param {HTMLFormElement} form */
export function anotherSeed(form) {
    toForm(form, { ...fromForm(form), seed: crypto.getRandomValues(new Uint32Array(1))[0] % 100_000 });
}

/** The settings in a line, for where they are folded away. @param {Settings} settings */
export function toText({ temperature, topK, topP, minP, seed, tokens }) {
    const filters = temperature === 0 ? [] : [topK > 0 && `top-k ${topK}`, topP < 1 && `top-p ${topP}`, minP > 0 && `min-p ${minP}`];
    return [`temperature ${temperature}`, ...filters.filter(Boolean), `${tokens} tokens`, `seed ${seed}`].join(' · ');
}
