// Post-processors of tokenizer.json: the start and end tokens that a text gets.

import { show } from '../check.js';
import { invalid } from './parts.js';
import { isObject } from '../files/json.js';

/** @typedef {import('./parts.js').Part} Part */
/** @typedef {(ids: number[]) => number[]} PostProcessor */

/** @param {Part} part @returns {PostProcessor} */
export function postProcessor(part) {
    const make = POST_PROCESSORS.get(part.type);
    if (!make) throw part.unknown();
    return make(part);
}

/** @param {Part} part @returns {PostProcessor} a start and an end token */
function around(part) {
    part.only(['sep', 'cls', 'add_prefix_space']);
    const [start, end] = ['cls', 'sep'].map((name) => {
        const id = part.list(name)[1];
        if (!Number.isInteger(id) || id < 0) throw part.wrong(name, 'a token and its id', part.get(name));
        return id;
    });
    return (ids) => [start, ...ids, end];
}

/** @type {Map<string, (part: Part) => PostProcessor>} */
const POST_PROCESSORS = new Map(Object.entries({
    Sequence(part) {
        part.only(['processors']);
        const all = part.parts('processors').map(postProcessor);
        return (ids) => all.reduce((result, one) => one(result), ids);
    },
    // What it changes are offsets.
    ByteLevel(part) {
        part.only(['add_prefix_space', 'use_regex']);
        return (ids) => ids;
    },
    BertProcessing: around,
    RobertaProcessing: around,
    TemplateProcessing(part) {
        // `pair` is for two texts at once, which nobody asks for here.
        part.only(['single', 'pair', 'special_tokens']);
        const items = template(part);
        return (ids) => items.flatMap((item) => item ?? ids);
    },
}));

/** @param {Part} part @returns {(number[] | null)[]} ids; null for the text */
function template(part) {
    const tokens = part.get('special_tokens') ?? {};
    return part.list('single').map((item, i) => {
        const where = `${part.where}.single[${i}]`;
        if (isObject(item) && isObject(item.Sequence)) {
            if (item.Sequence.id !== 'A') throw invalid(`${where} must be of the text A, got ${show(item.Sequence.id)}`);
            return null;
        }
        const name = isObject(item) && isObject(item.SpecialToken) ? item.SpecialToken.id : undefined;
        const token = isObject(tokens) && Object.hasOwn(tokens, name) ? tokens[name] : undefined;
        const sound = (/** @type {any} */ id) => Number.isInteger(id) && id >= 0;
        if (!isObject(token) || !Array.isArray(token.ids) || !token.ids.every(sound)) {
            throw invalid(`${where} names a token that special_tokens does not have`);
        }
        return token.ids;
    });
}
