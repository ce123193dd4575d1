// Decoders of tokenizer.json: from tokens back to text. Each is a state machine that takes tokens one by one and returns text as soon as it is
// certain, so a streamed text and one decoded at once are the same by construction.

import { byteOfToken, fromLetters, toLetters } from './bytes.js';
import { pattern } from './normalizers.js';
import { literalRegex, replaced } from './regex.js';

/** @typedef {import('./parts.js').Part} Part */

/**
 * A token between two decoders, or a part of one: `start` and `end` say whether it is the token's first and last part.
 * @typedef {{ text: string, start: boolean, end: boolean }} Chunk
 */

/**
 * @typedef {object} Machine
 * @property {(chunk: Chunk, out: Chunk[]) => void} push
 * @property {(out: Chunk[]) => void} end
 */

/** @typedef {() => Machine} Decoder makes a machine for one text */

const nothing = () => {};

/** The letter that stands for a space in byte-level vocabularies, and tokens of ASCII letters, the usual case: they need no conversion to bytes. */
const SPACE_LETTER = toLetters(' ');
const ASCII_LETTERS = new RegExp(`^[!-~${SPACE_LETTER}]*$`);

const STREAM = { stream: true };

/** @param {string} text @returns {Chunk} */
const whole = (text) => ({ text, start: true, end: true });

/** @param {Part} part @returns {Decoder} */
export function decoder(part) {
    const make = DECODERS.get(part.type);
    if (!make) throw part.unknown();
    return make(part);
}

/** Without a decoder tokens are joined with spaces. @type {Decoder} */
export const spaced = () => numbered((text, index) => (index > 0 ? ` ${text}` : text));

/** @param {(text: string, index: number) => string} change of the token with this index @returns {Machine} */
function numbered(change) {
    let index = -1;
    return {
        push(chunk, out) {
            if (chunk.start) index++;
            out.push({ ...chunk, text: change(chunk.text, index) });
        },
        end: nothing,
    };
}

/** Puts the parts of a token together first. @param {Machine} machine @returns {Machine} */
function gathered(machine) {
    /** @type {string[]} */
    let parts = [];
    return {
        push(chunk, out) {
            if (chunk.start && chunk.end) {
                machine.push(chunk, out);
                return;
            }
            parts.push(chunk.text);
            if (chunk.end) {
                machine.push(whole(parts.join('')), out);
                parts = [];
            }
        },
        end: (out) => machine.end(out),
    };
}

/** @param {readonly Decoder[]} decoders @returns {Decoder} */
function chain(decoders) {
    return () => {
        const machines = decoders.map((make) => make());
        /** @param {Chunk[]} chunks @param {number} from @param {Chunk[]} out */
        const through = (chunks, from, out) => {
            let now = chunks;
            for (let i = from; i < machines.length; i++) {
                /** @type {Chunk[]} */
                const next = [];
                for (const chunk of now) machines[i].push(chunk, next);
                now = next;
            }
            for (const chunk of now) out.push(chunk);
        };
        return {
            push: (chunk, out) => through([chunk], 0, out),
            end(out) {
                for (let i = 0; i < machines.length; i++) {
                    /** @type {Chunk[]} */
                    const last = [];
                    machines[i].end(last);
                    through(last, i + 1, out);
                }
            },
        };
    };
}

/** Decodes UTF-8 across the borders of tokens. @returns {Machine} */
function byteLevel() {
    const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
    let first = true;
    // Whether a character may have begun that is not complete.
    let open = false;
    return {
        push(chunk, out) {
            let text;
            if (!open && ASCII_LETTERS.test(chunk.text)) {
                text = chunk.text.replaceAll(SPACE_LETTER, ' ');
            } else {
                const bytes = fromLetters(chunk.text);
                text = utf8.decode(bytes, STREAM);
                open = bytes.length === 0 ? open : bytes[bytes.length - 1] > 127;
            }
            out.push({ text, start: first, end: false });
            first = false;
        },
        end(out) {
            out.push({ text: utf8.decode(), start: first, end: true });
        },
    };
}

/** A run of byte tokens is decoded as a whole, so it is held back until it ends. @returns {Machine} */
function byteFallback() {
    /** @type {number[]} */
    let run = [];
    /** @param {Chunk[]} out */
    const flush = (out) => {
        if (run.length === 0) return;
        try {
            out.push(whole(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(run))));
        } catch {
            run.forEach(() => out.push(whole('\uFFFD')));
        }
        run = [];
    };
    return {
        push(chunk, out) {
            const byte = byteOfToken(chunk.text);
            if (byte >= 0) {
                run.push(byte);
                return;
            }
            flush(out);
            out.push(chunk);
        },
        end: flush,
    };
}

/** All tokens become one. @returns {Machine} */
function fuse() {
    let first = true;
    return {
        push(chunk, out) {
            out.push({ text: chunk.text, start: first, end: false });
            first = false;
        },
        end(out) {
            out.push({ text: '', start: first, end: true });
        },
    };
}

/**
 * Takes up to `start` letters off a token's beginning and up to `stop` off its end.
 * @param {string} letter
 * @param {number} start
 * @param {number} stop
 * @returns {Machine}
 */
function strip(letter, start, stop) {
    let left = 0;
    let held = '';
    return {
        push(chunk, out) {
            if (chunk.start) {
                left = start;
                held = '';
            }
            let text = chunk.text;
            while (left > 0 && text.startsWith(letter)) {
                text = text.slice(letter.length);
                left--;
            }
            if (text !== '') left = 0;
            text = held + text;
            // The last ones may be the token's end.
            let end = text.length;
            for (let i = 0; i < stop && text.endsWith(letter, end); i++) end -= letter.length;
            held = chunk.end ? '' : text.slice(end);
            out.push({ ...chunk, text: text.slice(0, end) });
        },
        end: nothing,
    };
}

/** @param {Part} part @returns {Decoder} */
function replace(part) {
    part.only(['pattern', 'content']);
    const from = pattern(part);
    const to = part.string('content');
    const machine = () => numbered((text) => replaced(text, from, to));
    // A single letter can be replaced in parts of a token; a longer pattern needs the whole token.
    const { String: literal } = Object(part.get('pattern'));
    const simple = typeof literal === 'string' && literal.length === 1;
    return simple ? machine : () => gathered(machine());
}

/** @param {string} text @returns {string} */
function cleanUp(text) {
    return text.replaceAll(' .', '.').replaceAll(' ?', '?').replaceAll(' !', '!').replaceAll(' ,', ',')
        .replaceAll(" ' ", "'").replaceAll(" n't", "n't").replaceAll(" 'm", "'m").replaceAll(' do not', " don't")
        .replaceAll(" 's", "'s").replaceAll(" 've", "'ve").replaceAll(" 're", "'re");
}

/** @type {Map<string, (part: Part) => Decoder>} */
const DECODERS = new Map(Object.entries({
    Sequence(part) {
        part.only(['decoders']);
        return chain(part.parts('decoders').map(decoder));
    },
    ByteLevel(part) {
        part.only(['add_prefix_space', 'use_regex']);
        return () => gathered(byteLevel());
    },
    ByteFallback(part) {
        part.only([]);
        return () => gathered(byteFallback());
    },
    Fuse(part) {
        part.only([]);
        return fuse;
    },
    Replace: replace,
    Strip(part) {
        part.only(['content', 'start', 'stop']);
        const letter = part.string('content');
        if (Array.from(letter).length !== 1) throw part.wrong('content', 'one character', letter);
        const start = part.count('start', 0);
        const stop = part.count('stop', 0);
        return () => strip(letter, start, stop);
    },
    Metaspace(part) {
        part.only(['replacement', 'prepend_scheme', 'split', 'add_prefix_space', 'str_rep']);
        const mark = part.string('replacement', '▁');
        const scheme = part.string('prepend_scheme', part.boolean('add_prefix_space', true) ? 'always' : 'never');
        const first = scheme === 'never' ? ' ' : '';
        return () => numbered((text, index) => text.replaceAll(mark, index === 0 ? first : ' '));
    },
    WordPiece(part) {
        part.only(['prefix', 'cleanup']);
        const prefix = part.string('prefix', '##');
        const clean = part.boolean('cleanup', true);
        return () => gathered(numbered((token, index) => {
            const text = index === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
            return clean ? cleanUp(text) : text;
        }));
    },
    BPEDecoder(part) {
        part.only(['suffix']);
        const suffix = part.string('suffix', '</w>');
        return () => gathered(bpe(literalRegex(suffix)));
    },
    CTC(part) {
        part.only(['pad_token', 'word_delimiter_token', 'cleanup']);
        return ctc(part.string('pad_token', '<pad>'), literalRegex(part.string('word_delimiter_token', '|')),
            part.boolean('cleanup', true));
    },
}));

/** @param {RegExp} suffix marks the end of a word, so it becomes a space, but not at the end of the text @returns {Machine} */
function bpe(suffix) {
    let held = '';
    /** @param {Chunk[]} out @param {string} space */
    const release = (out, space) => {
        out.push(whole(held.replace(suffix, space)));
    };
    let some = false;
    return {
        push(chunk, out) {
            if (some) release(out, ' ');
            some = true;
            held = chunk.text;
        },
        end(out) {
            if (some) release(out, '');
        },
    };
}

/** @param {string} pad @param {RegExp} delimiter @param {boolean} clean @returns {Decoder} */
function ctc(pad, delimiter, clean) {
    return () => {
        /** @type {string | null} */
        let last = null;
        return gathered({
            push(chunk, out) {
                if (chunk.text === last) return;
                last = chunk.text;
                let text = last.replaceAll(pad, '');
                if (clean) text = cleanUp(text).replace(delimiter, ' ');
                if (text !== '') out.push(whole(text));
            },
            end: nothing,
        });
    };
}
