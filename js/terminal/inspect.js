// cached-attention inspect: what explain() says about a model, as a table.

import { size } from './progress.js';
import { printable } from './sanitize.js';

/** Names wider than this get a line of their own. */
const MAX_NAME = 36;
/** Values need at least so much room beside the names. */
const MIN_VALUE = 20;
/** Deeper than explain() goes. */
const MAX_DEPTH = 8;

/** @param {unknown} value @returns {boolean} whether it fits a cell */
function isScalar(value) {
    return typeof value !== 'object' || value === null;
}

/** @param {unknown} value @param {boolean} isBytes @returns {string} */
function cell(value, isBytes) {
    if (value === null) return 'none';
    if (typeof value === 'boolean') return value ? 'yes' : 'no';
    if (typeof value === 'number' && isBytes && value >= 1000) return `${value} (${size(value)})`;
    // A row is a line: a chat template has many.
    return String(value).replaceAll('\n', '\\n').replaceAll('\t', '\\t');
}

/**
 * @param {unknown} value
 * @param {string} name
 * @param {number} depth
 * @param {boolean} isBytes whether numbers in it count bytes, as its name or one around it says
 * @returns {[string, string][]} names, indented, and values
 */
function rows(value, name, depth, isBytes) {
    if (value === undefined || typeof value === 'function') return [];
    const label = '  '.repeat(depth) + name;
    const bytes = isBytes || /bytes?/i.test(name);
    if (isScalar(value)) return [[label, cell(value, bytes)]];
    if (depth >= MAX_DEPTH) return [[label, '...']];
    const isList = Array.isArray(value) || ArrayBuffer.isView(value);
    const items = isList ? Array.from(/** @type {Iterable<unknown>} */ (value)) : [];
    if (isList && items.every(isScalar)) return [[label, items.map((item) => cell(item, bytes)).join(', ') || 'none']];
    const entries = value instanceof Map ? [...value]
        : isList ? items.map((item, i) => [String(i), item]) : Object.entries(/** @type {object} */ (value));
    if (entries.length === 0) return [[label, 'none']];
    return [[label, ''], ...entries.flatMap(([key, item]) => rows(item, String(key), depth + 1, bytes))];
}

/** @param {string} text @param {number} width @returns {string[]} at spaces where there are any */
function wrap(text, width) {
    const lines = [];
    const letters = Array.from(text);
    let at = 0;
    while (letters.length - at > width) {
        let space = at + width;
        while (space > at && letters[space] !== ' ') space--;
        const cut = space > at ? space : at + width;
        lines.push(letters.slice(at, cut).join(''));
        at = space > at ? cut + 1 : cut;
    }
    return [...lines, letters.slice(at).join('')];
}

/**
 * @param {Record<string, unknown>} explained
 * @param {{ isTTY?: boolean, columns?: number }} stream on a terminal lines end at its edge, in a pipe they are whole
 * @returns {string}
 */
export function table(explained, stream) {
    const show = stream.isTTY ? printable : String;
    const all = Object.entries(explained).flatMap(([name, value]) => rows(value, name, 0, false))
        .map(([name, value]) => [show(name), show(value)]);
    const widths = all.map(([name]) => Array.from(name).length).filter((width) => width <= MAX_NAME);
    const width = Math.max(0, ...widths) + 2;
    const room = stream.isTTY ? Math.max(MIN_VALUE, (stream.columns || 80) - width) : Infinity;
    return all.flatMap(([name, value]) => {
        const lines = wrap(value, room).map((line) => ' '.repeat(width) + line);
        if (Array.from(name).length > MAX_NAME) return value === '' ? [name] : [name, ...lines];
        return [name + ' '.repeat(width - Array.from(name).length) + lines[0].slice(width), ...lines.slice(1)];
    }).map((line) => `${line.trimEnd()}\n`).join('');
}

/** @param {{ model: any }} opened */
export async function inspect({ model }) {
    process.stdout.write(table(model.explain(), process.stdout));
}
