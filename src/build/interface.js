// node src/build/interface.js
//
// JavaScript's half of src/cmha.h: reads the header and writes js/engine/interface.js and weight-types.js, so that structures,
// kinds and constants stand in one place. Nothing is known of C beyond what the header uses; anything else is an error.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMain, main, root, say } from './system.js';

/** Words of one value on a machine with 32-bit pointers. @type {Record<string, number>} */
const WORDS = { size_t: 1, uint32_t: 1, int32_t: 1, float: 1, uint64_t: 2, double: 2 };

/** @param {string} name */
const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

/**
 * @typedef {object} Interface
 * @property {[kind: string, object: string, struct: string][]} operations X-lines of CMHA_OPERATIONS
 * @property {Record<string, { id: number, block: number, bytes: number, ggml: number }>} weights X-lines of
 *   CMHA_WEIGHT_TYPES
 * @property {Record<string, { number: number, scale: number }>} kept X-lines of CMHA_CACHE_TYPES
 * @property {Map<string, Record<string, number>>} structs word offset of every field, by the struct's name
 * @property {Map<string, number>} words of every struct
 * @property {Map<string, Record<string, number>>} enums values by prefix: ROUND -> { NONE: 0, ... }
 * @property {number} hash what the binary's cmha_interface() returns
 */

/** @param {string} text of the header @returns {Interface} */
export function readInterface(text) {
    const code = text.replace(/\/\*[^]*?\*\//g, '');
    const operations = /** @type {Interface['operations']} */ (lines(code, 'CMHA_OPERATIONS'));
    if (operations.length === 0) throw new Error('src/cmha.h has no CMHA_OPERATIONS');
    /** @type {Map<string, Record<string, number>>} */
    const structs = new Map();
    /** @type {Map<string, number>} */
    const words = new Map();
    for (const [, body, name] of code.matchAll(/typedef struct \w+ \{([^]*?)\n\} (\w+);/g)) {
        const { fields, size } = readFields(name, body.replace(/union \{[^]*\} u;/, 'union u;'), words, operations);
        structs.set(name, fields);
        words.set(name, size);
    }
    const weights = Object.fromEntries(lines(code, 'CMHA_WEIGHT_TYPES').map(
        ([name, , block, bytes, ggml], id) => [name, { id, block: Number(block), bytes: Number(bytes), ggml: Number(ggml) }],
    ));
    const enums = readEnums(code);
    const kept = Object.fromEntries(lines(code, 'CMHA_CACHE_TYPES').map(
        ([kind, , number, scale]) => [kind, { number: Number(number), scale: Number(scale) }],
    ));
    const kinds = Object.keys(kept);
    if (kinds.length > 0) enums.set('KEPT', Object.fromEntries(kinds.map((kind, i) => [kind, i])));
    return { operations, weights, kept, structs, words, enums, hash: fingerprint(text) };
}

/** What the X-lines of a macro say. @param {string} code @param {string} macro @returns {string[][]} */
function lines(code, macro) {
    const body = new RegExp(`#define ${macro}\\(X\\)((?:.*\\\\\n)*.*)`).exec(code)?.[1] ?? '';
    return [...body.matchAll(/X\(([^)]*)\)/g)].map(([, list]) => list.split(', '));
}

/** The first 32 bits of the header's SHA-256, as CMakeLists.txt has them. @param {string} text @returns {number} */
function fingerprint(text) {
    return Number.parseInt(createHash('sha256').update(text).digest('hex').slice(0, 8), 16);
}

/**
 * @param {string} struct @param {string} body @param {Map<string, number>} known words of the structs before it
 * @param {Interface['operations']} operations
 */
function readFields(struct, body, known, operations) {
    /** @type {Record<string, number>} */
    const fields = {};
    let size = 0;
    let alignment = 1;
    for (const declaration of body.split(';').map((part) => part.trim()).filter(Boolean)) {
        if (declaration === 'union u') {
            fields.u = size;
            size += Math.max(...operations.map(([, , arguments_]) => known.get(arguments_) ?? 0));
            continue;
        }
        const match = /^(?:const )?(?:unsigned )?(\w+)\s+([^]*)$/.exec(declaration);
        if (!match) throw new Error(`src/cmha.h: ${struct} has a field that is not understood: ${declaration}`);
        for (const part of match[2].split(',')) {
            const [, stars, name, count] = /^\s*((?:\*(?:const )?)*)\s*(\w+)(?:\[(\d+)\])?$/.exec(part) ?? [];
            const each = stars ? 1 : WORDS[match[1]];
            if (!name || each === undefined) {
                throw new Error(`src/cmha.h: ${struct} has a field that is not understood: ${declaration}`);
            }
            if (each === 2 && size % 2 !== 0) throw new Error(`src/cmha.h: ${struct}.${name} is not aligned`);
            alignment = Math.max(alignment, each);
            for (let i = 0; i < Number(count ?? 1); i++) {
                fields[count ? `${camel(name)}${i}` : camel(name)] = size;
                size += each;
            }
        }
    }
    return { fields, size: Math.ceil(size / alignment) * alignment };
}

/** Constants that have no prefix in common stand alone. */
const ALONE = ['PANEL', 'NOT_GGML', 'SLICE_MS', 'STALL_SLICES', 'PAGE', 'PAGE_FORM'];

/** @param {string} code @returns {Interface['enums']} */
function readEnums(code) {
    /** @type {Interface['enums']} */
    const enums = new Map();
    for (const [, body] of code.matchAll(/\benum \{([^]*?)\};/g)) {
        for (const [, name, value] of body.matchAll(/\bCMHA_(\w+) = (-?\w+)/g)) {
            if (name === 'OP_NONE') continue;
            const [prefix, rest] = ALONE.includes(name) ? ['', name] : [name.split('_')[0], name.replace(/^[^_]*_/, '')];
            const table = enums.get(prefix) ?? {};
            table[rest] = Number(value);
            enums.set(prefix, table);
        }
    }
    return enums;
}

const NOTE = '// Generated from src/cmha.h by src/build/interface.js: not to be edited.';

/** @param {Interface} read @returns {string} js/engine/weight-types.js, which only what reads models needs as a whole */
export function writeWeightTypes({ weights }) {
    const types = Object.entries(weights).map(([name, { id, block, bytes, ggml }]) =>
        `    ${name}: Object.freeze({ name: '${name}', id: ${id}, block: ${block}, bytes: ${bytes}, ggml: ${ggml} }),\n`);
    const title = '/** Types of weights: inputs and bytes of a block, number in GGUF. */';
    return `${NOTE}\n\n${title}\nexport const WEIGHT = Object.freeze({\n${types.join('')}});\n`;
}

/** @param {Interface} read @returns {string} js/engine/interface.js */
export function writeInterface({ operations, kept, structs, words, enums, hash }) {
    const table = (/** @type {Record<string, number>} */ fields, shift = 0) =>
        `Object.freeze({\n${Object.entries(fields).map(([name, at]) => `    ${name}: ${at + shift},\n`).join('')}})`;
    const { u, ...head } = /** @type {Record<string, number>} */ (structs.get('cmha_op'));
    const parts = [
        NOTE,
        `/** What cmha_interface() of the binary that belongs to this file returns. */\nexport const INTERFACE = ${hash};`,
        '/** Words of an operation; offsets in the tables of its arguments count from its first word. */\n' +
            `export const OP_WORDS = ${words.get('cmha_op')};`,
        `/** cmha_op */\nexport const OP = ${table(head)};`,
        `export const KIND = ${table(Object.fromEntries(operations.map(([kind], i) => [kind, i + 1])))};`,
    ];
    const ways = Object.entries(kept).map(([kind, { number, scale }]) =>
        `    ${kind}: Object.freeze({ number: ${number}, scale: ${scale} }),\n`);
    if (ways.length > 0) {
        parts.push('/** Bytes of a number in a cache, and what a key or value of a head takes besides. */\n' +
            `export const KEPT_BYTES = Object.freeze({\n${ways.join('')}});`);
    }
    const arguments_ = new Set(operations.map(([, , struct]) => struct));
    for (const [name, fields] of structs) {
        if (name === 'cmha_op') continue;
        const title = name.replace(/^cmha_/, '').toUpperCase();
        parts.push(`/** ${name} */\nexport const ${title} = ${table(fields, arguments_.has(name) ? u : 0)};`);
        if (!arguments_.has(name)) parts.push(`export const ${title}_WORDS = ${words.get(name)};`);
    }
    for (const [prefix, values] of enums) {
        if (prefix === '') parts.push(...Object.entries(values).map(([name, value]) => `export const ${name} = ${value};`));
        else parts.push(`/** CMHA_${prefix}_... */\nexport const ${prefix === 'OP' ? 'FLAG' : prefix} = ${table(values)};`);
    }
    return `${parts.join('\n\n')}\n`;
}

/** Brings both up to date. */
export function buildInterface() {
    const read = readInterface(readFileSync(join(root, 'src/cmha.h'), 'utf8'));
    for (const [name, text] of [['interface', writeInterface(read)], ['weight-types', writeWeightTypes(read)]]) {
        const target = join(root, `js/engine/${name}.js`);
        if (existsSync(target) && readFileSync(target, 'utf8') === text) continue;
        writeFileSync(target, text);
        say(`  js/engine/${name}.js follows src/cmha.h`);
    }
}

if (isMain(import.meta.url)) await main(async () => buildInterface());
