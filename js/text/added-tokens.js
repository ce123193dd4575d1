// Added tokens: strings that are looked for in a text before the model sees it, and become one token each.

import { show } from '../check.js';
import { isObject } from '../files/json.js';
import { MAX_TOKENS, Part, Trie, invalid } from './parts.js';

const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200C\u200D]/u;
const SPACE = /\p{White_Space}/u;

/**
 * @typedef {object} AddedToken
 * @property {number} id
 * @property {string} content
 * @property {boolean} special
 * @property {boolean} normalized it is looked for in the normalized text
 * @property {boolean} singleWord not within a word
 * @property {boolean} lstrip with the white space before it
 * @property {boolean} rstrip with the white space behind it
 * @property {boolean} inText whether it is looked for in texts; false: only decoded
 */

/**
 * @param {unknown} given
 * @param {ReadonlyMap<string, number>} ids of the model
 * @param {unknown} config tokenizer_config.json
 * @returns {AddedToken[]} of several with the same content the last one counts
 */
export function readAddedTokens(given, ids, config) {
    const own = given ?? [];
    if (!Array.isArray(own)) throw invalid(`added_tokens must be a list, got ${show(own)}`);
    const list = [...own, ...isObject(config) ? configured(own, ids, config) : []];
    /** @type {Map<number, string>} */
    const owners = new Map();
    const wanted = new Set(list.map((value) => value?.id));
    for (const [token, id] of ids) if (wanted.has(id)) owners.set(id, token);
    return Array.from(list, (value, i) => {
        const part = new Part(value, i < own.length ? `added_tokens[${i}]` : 'tokenizer_config.json');
        part.only(['__type', 'id', 'content', 'special', 'normalized', 'single_word', 'lstrip', 'rstrip', 'in_text']);
        const content = part.string('content');
        if (content === '') throw invalid(`${part.where} has no content`);
        const id = part.get('id');
        if (!Number.isInteger(id) || id < 0 || id >= MAX_TOKENS) throw part.wrong('id', 'an index', id);
        if ((ids.get(content) ?? id) !== id || (owners.get(id) ?? content) !== content) {
            throw invalid(`${part.where}, ${show(content)}, contradicts the vocabulary`);
        }
        owners.set(id, content);
        const special = part.boolean('special', false);
        return {
            id, content, special,
            normalized: part.boolean('normalized', !special),
            singleWord: part.boolean('single_word', false),
            lstrip: part.boolean('lstrip', false),
            rstrip: part.boolean('rstrip', false),
            inText: part.boolean('in_text', true),
        };
    });
}

/** @param {unknown} value @returns {any[]} of a list, or of an object */
const valuesOf = (value) => (typeof value === 'object' && value !== null ? Object.values(value) : []);

/**
 * The added tokens of tokenizer_config.json, as transformers takes them: those of added_tokens_decoder, and those that have a name or are
 * listed as special, if they are not known otherwise.
 * @param {readonly any[]} list of tokenizer.json
 * @param {ReadonlyMap<string, number>} ids
 * @param {Record<string, any>} config
 * @returns {any[]} as tokenizer.json would have them
 */
function configured(list, ids, config) {
    const known = new Map(list.map((token) => [token?.content, token]));
    let next = list.reduce((most, token) => Math.max(most, token?.id + 1), ids.size);
    /** @type {any[]} */
    const tokens = [];
    const add = (/** @type {any} */ said) => {
        const content = said?.content;
        if (typeof content !== 'string' || content === '') return;
        const token = { normalized: false, id: ids.get(content) ?? next, ...known.get(content), ...said };
        next = Math.max(next, token.id + 1);
        known.set(content, token);
        tokens.push(token);
    };
    const { added_tokens_decoder: listed, extra_special_tokens: extra, additional_special_tokens: older } = config;
    valuesOf(listed).forEach(add);
    const named = Object.keys(config).filter((name) => name.endsWith('_token')).map((name) => config[name]);
    for (const value of [...named, ...valuesOf(extra), ...Array.isArray(extra) && extra.length > 0 ? [] : valuesOf(older)]) {
        const said = isObject(value) ? value : { content: value };
        if (!known.has(said.content)) add({ ...said, special: true });
    }
    return tokens;
}

/** Splits texts at added tokens, from left to right; at each place the longest one counts. */
export class AddedTokenSplitter {
    /** @param {readonly AddedToken[]} tokens @param {(content: string) => string} spelling as they stand in the text */
    constructor(tokens, spelling) {
        this._trie = new Trie();
        this._tokens = tokens;
        tokens.forEach((token, i) => {
            const content = spelling(token.content);
            if (content !== '') this._trie.add(content, i);
        });
    }

    /**
     * @param {string} text
     * @returns {(string | number)[]} texts between tokens, and ids
     */
    split(text) {
        if (this._tokens.length === 0) return text === '' ? [] : [text];
        /** @type {(string | number)[]} */
        const pieces = [];
        let done = 0;
        for (let at = 0; at < text.length;) {
            const { end, token } = this._longest(text, at);
            if (!token) {
                at++;
                continue;
            }
            if (!(token.singleWord && (touches(text, at, -1) || touches(text, end, 0)))) {
                const from = token.lstrip ? Math.max(spacesBefore(text, at, done), done) : at;
                if (from > done) pieces.push(text.slice(done, from));
                done = token.rstrip ? spacesBehind(text, Math.max(end, done)) : end;
                // A token of white space may have been taken by the rstrip of the one before.
                if (done > from) pieces.push(token.id);
            }
            at = end;
        }
        if (done < text.length) pieces.push(text.slice(done));
        return pieces;
    }

    /** @param {string} text @param {number} at @returns {{ end: number, token: AddedToken | null }} */
    _longest(text, at) {
        let token = null;
        let end = at;
        for (let node = 0, i = at; i < text.length;) {
            node = this._trie.step(node, text.charCodeAt(i++));
            if (node < 0) break;
            const value = this._trie.value(node);
            if (value >= 0) {
                token = this._tokens[value];
                end = i;
            }
        }
        return { end, token };
    }
}

/** @param {string} text @param {number} at @param {number} side @returns {boolean} whether a word goes on there */
function touches(text, at, side) {
    const letter = side < 0 ? Array.from(text.slice(Math.max(0, at - 2), at)).at(-1)
        : String.fromCodePoint(text.codePointAt(at) ?? 32);
    return letter !== undefined && WORD.test(letter);
}

/** @param {string} text @param {number} at @param {number} least @returns {number} */
function spacesBefore(text, at, least) {
    while (at > least && SPACE.test(text[at - 1])) at--;
    return at;
}

/** @param {string} text @param {number} at @returns {number} */
function spacesBehind(text, at) {
    while (at < text.length && SPACE.test(text[at])) at++;
    return at;
}
