// SentencePiece models: small ones made here field by field, whole, as a tokenizer.json, and damaged.

import { Costs } from '../fuzz/costs.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormatError } from '../../js/check.js';
import { readTokenizerModel } from '../../js/files/tokenizer-model.js';
import { readSentencePiece, sentencePieceJson } from '../../js/files/keras/sentencepiece.js';
import { Tokenizer } from '../../js/text/tokenizer.js';
import { rng } from '../rng.js';
import { field } from './presets.js';

const piece = (/** @type {string} */ text, /** @type {number} */ score, /** @type {number} */ type) =>
    field(1, [...field(1, text), ...field(2, Float32Array.of(score)), ...field(3, type)]);
const spm = (/** @type {number[][]} */ ...more) =>
    Uint8Array.from([...piece('<unk>', 0, 2), ...piece('<s>', 0, 3), ...piece('\u2581a', -1.5, 1), ...more.flat()]);

test('a SentencePiece model', () => {
    const got = readSentencePiece(
        spm(field(2, [...field(3, 2), ...field(44, '??')]), field(3, [...field(3, 0), ...field(4, 0)])),
    );
    assert.deepEqual(
        [got.pieces, Array.from(got.scores), Array.from(got.types)],
        [
            ['<unk>', '<s>', '\u2581a'],
            [0, 0, -1.5],
            [2, 3, 1],
        ],
    );
    assert.deepEqual(
        [
            got.model,
            got.addDummyPrefix,
            got.removeExtraWhitespaces,
            got.escapeWhitespaces,
            got.unknownSurface,
            got.charsmap,
        ],
        ['bpe', false, false, true, '??', null],
    );
    const plain = readSentencePiece(spm());
    assert.deepEqual(
        [plain.model, plain.addDummyPrefix, plain.removeExtraWhitespaces, plain.unknownSurface],
        ['unigram', true, true, ' \u2047 '],
    );
    for (const [bytes, code] of /** @type {[Uint8Array, string][]} */ ([
        [spm().subarray(0, 20), 'tokenizer-invalid'],
        [spm(piece('<s>', 0, 3)), 'tokenizer-invalid'],
        [spm(piece('x', 0, 9)), 'tokenizer-invalid'],
        [spm(piece('x', 0, 2)), 'tokenizer-invalid'],
        [spm(field(2, field(3, 3))), 'tokenizer-unsupported'],
        // A score of no bytes at the end of the file, and one that goes on into what follows.
        [spm(field(1, [...field(1, 'x'), ...field(2, [])])), 'tokenizer-invalid'],
        [spm(field(1, [...field(1, 'x'), ...field(2, [1, 2])]), piece('y', 0, 4)), 'tokenizer-invalid'],
        [Uint8Array.of(11), 'tokenizer-invalid'],
        [spm(field(5, field(2, 'x'))), 'tokenizer-unsupported'],
        [new Uint8Array(20).fill(255), 'tokenizer-invalid'],
        [new Uint8Array(0), 'tokenizer-invalid'],
        [spm(field(1, [...field(1, [255])])), 'tokenizer-invalid'],
        [spm(field(1, [...field(1, 5)])), 'tokenizer-invalid'],
    ])) {
        assert.throws(
            () => readSentencePiece(bytes),
            (e) => e instanceof FormatError && e.code === code,
            code,
        );
    }
});

test('a SentencePiece model as a tokenizer.json', () => {
    const bpe = field(2, field(3, 2));
    const of = (/** @type {number[][]} */ ...more) => sentencePieceJson(readSentencePiece(spm(bpe, ...more)), null);
    const json = of(field(3, field(4, 0)), piece('<|a.b|>', 0, 4), piece('<|a|>', 0, 4));
    assert.deepEqual([json.model.skip, json.model.whole, json.model.unk_id], [[0, 1], [3, 4], 0]);
    assert.equal(json.pre_tokenizer.pattern.Regex, '<\\|a\\.b\\|>|<\\|a\\|>');
    assert.deepEqual(
        json.added_tokens.map((/** @type {any} */ { id, content, in_text: inText }) => [id, content, inText]),
        [[1, '<s>', false]],
    );
    assert.deepEqual(
        json.normalizer.normalizers.map((/** @type {{ type: string }} */ { type }) => type),
        ['Prepend', 'Replace'],
    );
    assert.deepEqual(of(field(3, [...field(2, Uint8Array.of(4, 0, 0, 0)), ...field(3, 0)])).normalizer.normalizers, [
        { type: 'Precompiled', precompiled_charsmap: 'BAAAAA==', longest: true },
        { type: 'Replace', pattern: { Regex: '(?<![ \u2581])[ \u2581]+\\z|\\A +' }, content: '' },
        { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' },
        { type: 'Replace', pattern: { String: ' ' }, content: '\u2581' },
    ]);
    for (const more of [
        field(2, [...field(3, 2), ...field(24, 1)]),
        field(3, field(5, 0)),
        [...field(2, []), ...piece('x', 0, 4)],
        [...bpe, ...piece('  ', 0, 4)],
    ]) {
        assert.throws(() => sentencePieceJson(readSentencePiece(spm(more)), null), { code: 'tokenizer-unsupported' });
    }
});

// What Keras Hub's LlamaTokenizer gives for the same pieces: the ids of texts, and the texts of [3, 3], [4, 4, 3], [4, 0, 3], [0, 3].
/** @type {[dummy: number, extra: number, ids: Record<string, number[]>, texts: string[]][]} */
const SPACES = [
    [1, 1, { 'a  a': [3, 3], '  a \u2581 ': [3], '\u2581': [], '  ': [], 'x a': [4, 0, 3] }, ['a a', 'a', ' \u2047  a', ' \u2047  a']],
    [0, 1, { 'a  a': [5, 3], '  a \u2581 ': [5], '\u2581': [], '  ': [], 'x a': [0, 3] }, ['a a', 'a', ' \u2047  a', ' \u2047  a']],
    [1, 0, { 'a  a': [3, 4, 3], '  a \u2581 ': [4, 4, 3, 4, 4, 4], '\u2581': [4, 4], '': [] }, ['a a', '  a', ' \u2047  a', ' \u2047  a']],
    [0, 0, { 'a  a': [5, 4, 3], '  a \u2581 ': [4, 3, 4, 4, 4], '\u2581': [4], '  ': [4, 4] }, [' a a', '   a', '  \u2047  a', ' \u2047  a']],
];

for (const [dummy, extra, ids, texts] of SPACES) {
    test(`spaces at both ends: ${dummy ? '' : 'no '}space put before, ${extra ? '' : 'no '}extra ones removed`, () => {
        const rules = [...field(2, field(3, 2)), ...field(3, [...field(3, dummy), ...field(4, extra)])];
        const bytes = Uint8Array.from([
            ...piece('<unk>', 0, 2), ...piece('<s>', 0, 3), ...piece('</s>', 0, 3),
            ...piece('\u2581a', -1, 1), ...piece('\u2581', -2, 1), ...piece('a', -3, 1), ...rules,
        ]);
        const tokenizer = new Tokenizer(sentencePieceJson(readSentencePiece(bytes), null));
        for (const [text, expected] of Object.entries(ids)) assert.deepEqual([...tokenizer.encode(text)], expected, JSON.stringify(text));
        assert.deepEqual([[3, 3], [4, 4, 3], [4, 0, 3], [0, 3]].map((each) => tokenizer.decode(each)), texts);
    });
}

test('damaged models: an error of the right kind, or none', () => {
    const [rounds, seed] = [Number(process.env.FUZZ_ROUNDS ?? 100_000), Number(process.env.FUZZ_SEED ?? 1)];
    const costs = new Costs(seed, { base: 2 ** 17 });
    const seen = new Map();
    const random = rng(seed);
    const below = (/** @type {number} */ n) => Math.floor(random() * n);
    const model = spm(field(2, field(3, 2)), field(3, field(4, 0)), piece('<x>', 0, 4));
    for (let round = 0; round < rounds; round++) {
        const bytes = model.slice(0, below(4) ? model.length : below(model.length));
        for (let i = 0; i <= below(3); i++) bytes[below(bytes.length)] = below(256);
        let outcome = 'reads';
        costs.begin();
        try {
            sentencePieceJson(readSentencePiece(bytes), null);
        } catch (error) {
            assert.ok(error instanceof FormatError, /** @type {Error} */ (error).stack);
            outcome = error.code;
        }
        costs.end(bytes.length, `round ${round}`);
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
    costs.tell(rounds, seen);
});

const LLAMA = { tokenizer_class: 'LlamaTokenizer', add_bos_token: true };
const MARKED = { bos_token: '<s>', eos_token: '</s>', pad_token: '<unk>', mask_token: null };

// What transformers 5.24 gives for folders of these files: the ids of three texts, and the text of eight ids.
/** @type {[type: number, extra: number, family: string, named: object | null, added: object | null, ids: number[][], text: string][]} */
const FOLDERS = [
    [2, 0, 'llama', { ...LLAMA, legacy: false }, null, [[1, 8, 10, 11], [1, 5, 7], [1, 1, 6, 4, 2, 5, 8, 3, 7]], 'a ab<|u|>A a'],
    [2, 0, 'llama', { ...LLAMA, legacy: true, add_eos_token: true, pad_token: '<p>' }, { '<p>': 13, '<x>': 12 },
        [[1, 8, 10, 11, 2], [1, 5, 7, 2], [1, 1, 8, 4, 2, 5, 8, 3, 5, 7, 12, 2]], 'a ab<|u|>A<x> a'],
    [2, 0, 'llama', { ...LLAMA, add_prefix_space: false }, null, [[1, 9, 6, 11], [1, 5, 7], [1, 1, 6, 4, 2, 5, 8, 3, 7]], ' a ab<|u|>A a'],
    [2, 0, 'mistral', { ...LLAMA, added_tokens_decoder: { 12: { content: '<x>', special: true }, 3: { content: '<y>' } } }, null,
        [[1, 8, 10, 11], [1, 5, 5, 7], [1, 1, 8, 4, 2, 5, 5, 8, 0, 7, 12]], 'a ab<y>A a'],
    // The start token stands where nothing is said of it, as documented: transformers' own code leaves it out there.
    [2, 1, 'mistral', null, null, [[1, 8, 10, 11], [1, 5, 7], [1, 1, 8, 4, 2, 8, 3, 7, 0]], 'a ab<|u|>A a'],
    [1, 0, 'phi3', { ...LLAMA, legacy: false }, null, [[1, 8, 10, 11], [1, 5, 7], [1, 1, 6, 4, 2, 5, 8, 3, 7, 0]], 'a ab<|u|>A a'],
    [2, 0, 'gemma', { tokenizer_class: 'GemmaTokenizer', ...MARKED, additional_special_tokens: ['<|u|>'] }, null,
        [[1, 9, 6, 11], [1, 5, 7], [1, 1, 6, 4, 2, 5, 8, 3, 7, 0]], ' a abA a'],
];

/** @param {number} type @param {number} extra @returns {Uint8Array} tokenizer.model: its best score is not its first piece */
const tokenizerModel = (type, extra) => Uint8Array.from([
    ...piece('<unk>', 0, 2), ...piece('<s>', 0, 3), ...piece('</s>', 0, 3), ...piece('<|u|>', 0, 4), ...piece('<0x41>', 0, 6),
    ...piece('\u2581', -5, 1), ...piece('a', -6, 1), ...piece('b', -7, 1), ...piece('\u2581a', -3, 1), ...piece('ab', -2, 1),
    ...piece('ba', -1, 1), ...piece('\u2581ab', -4, 1), ...field(2, field(3, type)), ...field(3, field(4, extra)),
]);
const json = (/** @type {any} */ value) => new TextEncoder().encode(JSON.stringify(value));

for (const [type, extra, family, named, added, ids, text] of FOLDERS) {
    test(`tokenizer.model of a ${family}: ${JSON.stringify(named)}`, () => {
        const read = readTokenizerModel(tokenizerModel(type, extra), added && json(added), { model_type: family }, named, named);
        const tokenizer = new Tokenizer(read.json, read.config);
        assert.deepEqual(['aba ab', ' b', '<s>aA</s>  a<|u|>b<x>'].map((each) => [...tokenizer.encode(each)]), ids);
        assert.equal(tokenizer.decode([8, 5, 9, 3, 4, 2, 12, 8], { skipSpecialTokens: true }), text);
    });
}

test('a tokenizer.model that cannot be read is refused by name', () => {
    const model = tokenizerModel(2, 0);
    /** @type {[Uint8Array, Uint8Array | null, object, RegExp][]} */
    const refused = [
        [model, null, { tokenizer_class: 'T5Tokenizer' }, /tokenizer\.model: a tokenizer_class of "T5Tokenizer" is not supported/],
        [new TextEncoder().encode('IQ== 0\n'), null, LLAMA, /tokenizer\.model: a file that is no SentencePiece model/],
        [Uint8Array.from([...model, ...field(2, [...field(3, 2), ...field(24, 1)])]), null, LLAMA, /white space as suffix/],
        [model, json(['<x>']), LLAMA, /added_tokens\.json must be an object of ids/],
        [model.subarray(0, 20), null, LLAMA, /SentencePiece model: /],
    ];
    for (const [bytes, added, named, message] of refused) {
        assert.throws(() => readTokenizerModel(bytes, added, {}, named, named),
            (e) => e instanceof FormatError && message.test(e.message), String(message));
    }
});

test('the merges of a tokenizer.model are all ways to cut a piece into two', () => {
    const random = rng(3);
    const pieces = [...'abc日😀'];
    for (let i = 0; i < 400; i++) {
        const joined = [0, 1].map(() => pieces[Math.floor(random() * pieces.length)]).join('');
        if (joined.length < 20 && !pieces.includes(joined)) pieces.push(joined);
    }
    const file = spm(...pieces.map((text) => piece(text, 0, 1)), field(2, field(3, 2)));
    const { model } = readTokenizerModel(file, null, { model_type: 'llama' }, { tokenizer_class: 'LlamaTokenizer' }, null).json;
    const all = ['<unk>', '<s>', '▁a', ...pieces];
    const cuts = all.flatMap((text) => Array.from({ length: text.length - 1 }, (_, i) => [text.slice(0, i + 1), text.slice(i + 1)]));
    assert.ok(model.merges.length > 100, String(model.merges.length));
    assert.deepEqual(model.merges, cuts.filter((sides) => sides.every((side) => all.includes(side))));
});
