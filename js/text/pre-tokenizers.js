// Pre-tokenizers of tokenizer.json: a text into the pieces that the model sees one by one.

import { toLetters } from './bytes.js';
import { pattern } from './normalizers.js';
import { matchesIn } from './regex.js';
import { scriptOf } from './scripts.js';

/** @typedef {import('./parts.js').Part} Part */
/**
 * `first`: the piece begins the whole text. Where the beginning of a piece is left out, an empty one stands for it, so that
 * what follows is not taken for the first.
 * @typedef {(piece: string, first: boolean) => string[]} Splitter
 */

const BYTE_LEVEL = new RegExp("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+|" +
    '\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+', 'gu');
const PUNCTUATION = /[\p{P}$+<=>^`|~]/gu;
const SPACE = /\p{White_Space}/gu;
const WORD = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200C\\u200D';
const WORDS = new RegExp(`[${WORD}]+|[^${WORD}\\p{White_Space}]+`, 'gu');

/** @param {Part} part @returns {Splitter} */
export function preTokenizer(part) {
    const make = PRE_TOKENIZERS.get(part.type);
    if (!make) throw part.unknown();
    return make(part);
}

/**
 * @param {RegExp} regex global
 * @param {string} behavior
 * @param {boolean} invert what matches and what does not change places
 * @returns {Splitter}
 */
function splitter(regex, behavior, invert) {
    const join = BEHAVIORS.get(behavior);
    return (piece) => {
        const cuts = cut(piece, regex, invert);
        const kept = (join ? join(cuts) : cuts).filter(({ start, end }) => end > start);
        const pieces = kept.map(({ start, end }) => piece.slice(start, end));
        return kept[0]?.start === 0 ? pieces : ['', ...pieces];
    };
}

/** @typedef {{ start: number, end: number, match: boolean }} Cut */

/** @param {string} piece @param {RegExp} regex @param {boolean} invert @returns {Cut[]} */
function cut(piece, regex, invert) {
    /** @type {Cut[]} */
    const cuts = [];
    const found = matchesIn(piece, regex);
    let at = 0;
    for (let i = 0; i < found.length; i += 2) {
        const [start, end] = [found[i], found[i + 1]];
        if (start > at) cuts.push({ start: at, end: start, match: invert });
        cuts.push({ start, end, match: !invert });
        at = end;
    }
    if (at < piece.length) cuts.push({ start: at, end: piece.length, match: invert });
    return cuts;
}

/** @type {Map<string, ((cuts: Cut[]) => Cut[]) | null>} */
const BEHAVIORS = new Map(Object.entries({
    Isolated: null,
    Removed: (/** @type {Cut[]} */ cuts) => cuts.filter(({ match }) => !match),
    Contiguous: (/** @type {Cut[]} */ cuts) => joined(cuts, (match, before) => match === before),
    MergedWithPrevious: (/** @type {Cut[]} */ cuts) => joined(cuts, (match, before) => match && !before),
    MergedWithNext: (/** @type {Cut[]} */ cuts) =>
        joined(cuts.reverse(), (match, before) => match && !before).reverse(),
}));

/** @param {Cut[]} cuts @param {(match: boolean, before: boolean) => boolean} together @returns {Cut[]} */
function joined(cuts, together) {
    /** @type {Cut[]} */
    const result = [];
    let before = false;
    for (const { start, end, match } of cuts) {
        const last = result.at(-1);
        if (last && together(match, before)) {
            last.start = Math.min(last.start, start);
            last.end = Math.max(last.end, end);
        } else {
            result.push({ start, end, match });
        }
        before = match;
    }
    return result;
}

/** @param {Part} part @param {string} [otherwise] @returns {string} */
function behavior(part, otherwise) {
    const value = part.string('behavior', otherwise);
    // Some files spell the name in snake case.
    const name = value.split('_').map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('');
    if (!BEHAVIORS.has(name)) throw part.wrong('behavior', 'one of ' + [...BEHAVIORS.keys()].join(', '), value);
    return name;
}

/** @param {readonly Splitter[]} splitters @returns {Splitter} */
function inTurn(splitters) {
    return (text, first) => splitters.reduce((pieces, split) => {
        /** @type {string[]} */
        const result = [];
        for (let i = 0; i < pieces.length; i++) {
            if (pieces[i] === '') {
                result.push('');
                continue;
            }
            // No spread into push: it has a limit, and a long text has many pieces.
            for (const piece of split(pieces[i], first && i === 0)) result.push(piece);
        }
        return result;
    }, [text]);
}

/** @type {Map<string, (part: Part) => Splitter>} */
const PRE_TOKENIZERS = new Map(Object.entries({
    Sequence(part) {
        part.only(['pretokenizers']);
        return inTurn(part.parts('pretokenizers').map(preTokenizer));
    },
    ByteLevel(part) {
        part.only(['add_prefix_space', 'use_regex']);
        const space = part.boolean('add_prefix_space', true);
        const split = part.boolean('use_regex', true) ? splitter(BYTE_LEVEL, 'Isolated', false) : null;
        return (piece, first) => {
            const text = space && !piece.startsWith(' ') ? ` ${piece}` : piece;
            return split ? split(text, first).map(toLetters) : [toLetters(text)];
        };
    },
    Metaspace: metaspace,
    Split(part) {
        part.only(['pattern', 'behavior', 'invert']);
        return splitter(pattern(part), behavior(part), part.boolean('invert', false));
    },
    Digits(part) {
        part.only(['individual_digits']);
        const each = part.boolean('individual_digits', false);
        return splitter(/\p{N}/gu, each ? 'Isolated' : 'Contiguous', false);
    },
    Punctuation(part) {
        part.only(['behavior']);
        return splitter(PUNCTUATION, behavior(part, 'Isolated'), false);
    },
    Whitespace(part) {
        part.only([]);
        return splitter(WORDS, 'Removed', true);
    },
    WhitespaceSplit(part) {
        part.only([]);
        return splitter(SPACE, 'Removed', false);
    },
    BertPreTokenizer(part) {
        part.only([]);
        return inTurn([splitter(SPACE, 'Removed', false), splitter(PUNCTUATION, 'Isolated', false)]);
    },
    CharDelimiterSplit(part) {
        part.only(['delimiter']);
        const delimiter = part.string('delimiter');
        if (Array.from(delimiter).length !== 1) throw part.wrong('delimiter', 'one character', delimiter);
        return (piece) => piece.split(delimiter).filter((text, i) => i === 0 || text !== '');
    },
    UnicodeScripts(part) {
        part.only([]);
        return byScript;
    },
}));

/** @param {Part} part @returns {Splitter} */
function metaspace(part) {
    part.only(['replacement', 'prepend_scheme', 'split', 'add_prefix_space', 'str_rep']);
    const mark = part.string('replacement', '▁');
    const scheme = part.string('prepend_scheme', part.boolean('add_prefix_space', true) ? 'always' : 'never');
    if (!['always', 'first', 'never'].includes(scheme)) {
        throw part.wrong('prepend_scheme', "'always', 'first' or 'never'", scheme);
    }
    if (Array.from(mark).length !== 1) throw part.wrong('replacement', 'one character', mark);
    const apart = part.boolean('split', true);
    return (piece, first) => {
        let text = piece.replaceAll(' ', mark);
        if (!text.startsWith(mark) && (scheme === 'always' || (scheme === 'first' && first))) text = mark + text;
        if (!apart) return [text];
        // Each mark begins a piece.
        const pieces = text.split(mark).map((rest, i) => (i === 0 ? rest : mark + rest));
        return pieces[0] === '' ? pieces.slice(1) : pieces;
    };
}

/** @param {string} piece @returns {string[]} what stands before the first letter of a script is left out */
function byScript(piece) {
    /** @type {string[]} */
    const pieces = [];
    let last = '';
    let begins = 0;
    let start = -1;
    let at = 0;
    for (const letter of piece) {
        const script = scriptOf(letter);
        if (script !== 'Any') {
            if (script !== last) {
                if (start >= 0) pieces.push(piece.slice(start, at));
                else begins = at;
                start = at;
            }
            last = script;
        }
        at += letter.length;
    }
    if (start >= 0) pieces.push(piece.slice(start));
    return begins > 0 ? ['', ...pieces] : pieces;
}
