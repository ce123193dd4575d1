// The tokenizer and the text that streams out of tokens.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { FormatError, Tokenizer } from '../../js/generation/index.js';
import { TextStream, checkStops } from '../../js/text/text-stream.js';
import { rng } from '../rng.js';
import { LETTERS, inLetters, json, tinyTokenizer } from './checkpoint.js';

const EMBEDDED = new URL('../../js/embedded/train/tokenizer.json', import.meta.url);
const tiny = new Tokenizer(json(tinyTokenizer()));
const embedded = new Tokenizer(readFileSync(EMBEDDED));

const AWKWARD = [
    '', ' ', '  ', '\n', '\n\n\n', '\t\r\n', '\0', 'a', ' a', 'a ', '   three spaces', 'Hello, world!',
    "don't, we'll, it's",
    'UPPER lower 123 4567', '👍', '👨‍👩‍👧‍👦 family', 'née café', 'e\u0301', '日本語のテキスト', 'Привет', 'עברית',
    '\u00a0nbsp\u2003em', '\ufeffBOM', '\u200bzero width', '𝔘𝔫𝔦𝔠𝔬𝔡𝔢', '<|endoftext|>', 'a<|endoftext|>b',
    '<|endoftext', '<|endoftext|><|endoftext|>',
    'constructor __proto__ toString', '%s %d \\n {} [] "quotes"', 'x'.repeat(3000), 'ab '.repeat(1000),
];

describe('tokenizer', () => {
    for (const [name, tokenizer] of Object.entries({ tiny, embedded })) {
        test(`${name}: decode(encode(x)) = x`, () => {
            for (const text of AWKWARD) assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
            const random = rng(1);
            for (let round = 0; round < 200; round++) {
                const text = Array.from({ length: Math.floor(random() * 20) }, () => {
                    const code = Math.floor(random() * [0x80, 0x3000, 0x110000][round % 3]);
                    return code >= 0xd800 && code < 0xe000 ? ' ' : String.fromCodePoint(code);
                }).join('');
                assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
            }
        });
    }

    test('half a surrogate pair becomes the replacement character, as in UTF-8 everywhere', () => {
        assert.equal(tiny.decode(tiny.encode('a\ud800b')), 'a\ufffdb');
    });

    test('merges are applied in their order: a worked example', () => {
        /** @type {{ vocab: Record<string, number> }} */
        const { vocab } = tinyTokenizer().model;
        // "in the thing": in | Ġthe | Ġ th ing
        const pieces = ['in', 'Ġthe', 'Ġ', 'th', 'ing'];
        assert.deepEqual(tiny.encode('in the thing'), pieces.map((piece) => vocab[piece]));
        assert.deepEqual(tiny.encode('é'), [vocab[inLetters('é')]]);
        assert.deepEqual(tiny.encode('thé'), [vocab.th, vocab[inLetters('é')]]);
        assert.deepEqual(tiny.encode(' <|endoftext|>a'), [vocab['Ġ'], 0, vocab.a]);
    });

    test('merges given as pairs are the same', () => {
        /** @type {any} */
        const file = tinyTokenizer();
        file.model.merges = file.model.merges.map((/** @type {string} */ merge) => merge.split(' '));
        const pairs = new Tokenizer(json(file));
        for (const text of AWKWARD) assert.deepEqual(pairs.encode(text), tiny.encode(text));
    });

    test('every token of the vocabulary is read as tokenizer.json spells it', () => {
        const { model: { vocab } } = JSON.parse(readFileSync(EMBEDDED, 'utf8'));
        for (const [token, id] of Object.entries(vocab)) {
            if (id === 0) continue;
            assert.deepEqual(Array.from(embedded.bytes(id), (byte) => LETTERS[byte]).join(''), token);
            assert.equal(embedded.idOf(token), id);
        }
        assert.equal(embedded.vocabularySize, Object.keys(vocab).length);
    });

    test('decode: special tokens, ids that are none', () => {
        assert.equal(tiny.decode([0, ...tiny.encode('a'), 0]), '<|endoftext|>a<|endoftext|>');
        assert.equal(tiny.decode([0, ...tiny.encode('a'), 0], { skipSpecialTokens: true }), 'a');
        assert.equal(tiny.decode(Uint32Array.from(tiny.encode('a b'))), 'a b');
        assert.equal(tiny.decode([tiny.vocabularySize, 98]), 'a');
        for (const id of [-1, 1.5, NaN, '1']) assert.throws(() => tiny.decode([/** @type {any} */ (id)]), RangeError);
        assert.throws(() => tiny.encode(/** @type {any} */ (7)), TypeError);
    });

    /** @param {(file: any) => void} edit */
    const change = (edit) => {
        const file = tinyTokenizer();
        edit(file);
        return json(file);
    };
    for (const [code, bytes] of /** @type {[string, Uint8Array][]} */ ([
        ['tokenizer-not-json', new TextEncoder().encode('{')],
        ['tokenizer-not-json', Uint8Array.of(0xff, 0xfe)],
        ['tokenizer-invalid', json([])],
        ['tokenizer-invalid', change((file) => { delete file.model; })],
        ['tokenizer-invalid', change((file) => { file.model.vocab.th = -1; })],
        ['tokenizer-invalid', change((file) => { file.model.vocab.th = 1; })],
        ['tokenizer-invalid', change((file) => { file.model.vocab.th = 1e9; })],
        ['tokenizer-invalid', change((file) => { delete file.model.vocab.th; })],
        ['tokenizer-invalid', change((file) => { file.model.merges[0] = 'th'; })],
        ['tokenizer-invalid', change((file) => { file.model.merges[0] = 7; })],
        ['tokenizer-invalid', change((file) => { file.model.vocab = {}; })],
        ['tokenizer-invalid', change((file) => { file.added_tokens[0].id = 5; })],
        ['tokenizer-invalid', change((file) => { file.added_tokens[0].content = ''; })],
        ['tokenizer-invalid', change((file) => { file.added_tokens = {}; })],
        ['tokenizer-invalid', change((file) => { file.model.type = 'Unigram'; })],
        ['tokenizer-unsupported', change((file) => { file.model.type = 'Bigram'; })],
        ['tokenizer-unsupported', change((file) => { file.model.dropout = 0.1; })],
        ['tokenizer-unsupported', change((file) => { file.pre_tokenizer = { type: 'Whitespaces' }; })],
        ['tokenizer-unsupported', change((file) => { file.decoder = { type: 'ByteLevels' }; })],
        ['tokenizer-unsupported', change((file) => { file.model.some_option = 1; })],
        ['tokenizer-invalid', change((file) => { file.normalizer = { type: 'Replace' }; })],
    ])) {
        test(`${code}: ${new TextDecoder().decode(bytes).slice(0, 30)}`, () => {
            assert.throws(() => new Tokenizer(bytes), (error) => error instanceof FormatError && error.code === code);
        });
    }
});

/** What comes out token by token. @param {Tokenizer} tokenizer @param {number[]} ids @param {string[]} [stops] */
function stream(tokenizer, ids, stops = []) {
    const out = new TextStream(tokenizer, stops);
    const parts = ids.map((id) => out.push(id));
    return { parts, text: parts.join('') + out.end(), stopped: out.stopped };
}

/** Tokens of single bytes. @param {string} text */
const byBytes = (text) => Array.from(new TextEncoder().encode(text), (byte) => byte + 1);

describe('text stream', () => {
    test('characters come whole, as soon as their last byte is there', () => {
        assert.deepEqual(stream(tiny, byBytes('aé👍b')).parts, ['a', '', 'é', '', '', '', '👍', 'b']);
    });

    test('all text is that of decode(), whatever the tokens', () => {
        for (const text of AWKWARD) {
            const plain = text.replaceAll('<|endoftext|>', '');
            assert.equal(stream(tiny, byBytes(plain)).text, plain);
            assert.equal(stream(embedded, embedded.encode(plain)).text, plain);
        }
    });

    test('a character that never ends and bytes that are no UTF-8 are marked', () => {
        assert.equal(stream(tiny, byBytes('a👍').slice(0, 3)).text, 'a\ufffd');
        assert.deepEqual(stream(tiny, [0xff + 1, 0x61 + 1]).parts, ['\ufffd', 'a']);
    });

    test('special tokens and ids without text say nothing', () => {
        assert.equal(stream(tiny, [98, 0, 4000, 99]).text, 'ab');
    });

    test('a stop string ends the text before it, across tokens too', () => {
        assert.deepEqual(stream(tiny, byBytes('abcSTOPdef'), ['STOP']),
            { parts: ['a', 'b', 'c', '', '', '', '', '', '', ''], text: 'abc', stopped: true });
        assert.equal(stream(embedded, embedded.encode('One day. The end. More'), ['The end']).text, 'One day. ');
    });

    test('what only looked like one is given out as soon as that is clear', () => {
        assert.deepEqual(stream(tiny, byBytes('aSTSTOx'), ['STOP']).parts, ['a', '', '', 'ST', '', '', 'STOx']);
        assert.deepEqual(stream(tiny, byBytes('aST'), ['STOP']), { parts: ['a', '', ''], text: 'aST', stopped: false });
    });

    test('the first of several counts; overlapping ones', () => {
        assert.equal(stream(tiny, byBytes('xaab'), ['b', 'aab']).text, 'x');
        assert.equal(stream(tiny, byBytes('xabab'), ['abc', 'bab']).text, 'xa');
        assert.equal(stream(tiny, byBytes('aaaab'), ['aab']).text, 'aa');
        assert.equal(stream(tiny, byBytes('x👍y'), ['👍']).text, 'x');
    });

    test('against cutting the whole text, on random strings of two letters', () => {
        const random = rng(4);
        const letter = () => 'ab'[Math.floor(random() * 2)];
        /** @param {number} most */
        const word = (most) => Array.from({ length: 1 + Math.floor(random() * most) }, letter).join('');
        for (let round = 0; round < 500; round++) {
            const text = word(30);
            const stops = [word(5), word(8)];
            // Only what has been read counts: a stop that ends later but begins earlier comes too late.
            const ends = stops.map((stop) => (text.includes(stop) ? text.indexOf(stop) + stop.length : Infinity));
            const first = Math.min(...ends);
            const expected = first === Infinity ? text
                : text.slice(0, Math.min(...stops.filter((_, i) => ends[i] === first).map((s) => text.indexOf(s))));
            assert.equal(stream(tiny, byBytes(text), stops).text, expected, `${text} with ${stops}`);
        }
    });

    test('the option', () => {
        assert.deepEqual(checkStops(undefined), []);
        assert.deepEqual(checkStops('x'), ['x']);
        assert.deepEqual(checkStops(['x', 'y']), ['x', 'y']);
        assert.throws(() => checkStops(''), RangeError);
        assert.throws(() => checkStops(['x', '']), RangeError);
        assert.throws(() => checkStops(7), TypeError);
    });
});
