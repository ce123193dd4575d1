// Parts of tokenizers, one by one; what breaks them must be named. Expected texts are worked out by hand from the
// reference's rules, or are what decode() gives where streaming is compared with it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { FormatError } from '../../js/check.js';
import { charsmap } from '../../js/text/charsmap.js';
import { tokenizerFromGguf } from '../../js/text/gguf-vocabulary.js';
import { TextStream } from '../../js/text/text-stream.js';
import { Tokenizer } from '../../js/text/tokenizer.js';
import { rng } from '../rng.js';

const EMBEDDED = readFileSync(new URL('../../js/embedded/train/tokenizer.json', import.meta.url));

/** @param {string[]} tokens @returns {Record<string, number>} */
const numbered = (tokens) => Object.fromEntries(tokens.map((token, id) => [token, id]));

/** A word-level model over these words, so that a part's pieces are seen as they are. @param {string[]} words */
const wordLevel = (words) => ({ type: 'WordLevel', vocab: numbered(['?', ...words]), unk_token: '?' });

/** @param {object} preTokenizer @param {string} text @param {string[]} pieces @param {object | null} [normalizer] */
function cuts(preTokenizer, text, pieces, normalizer = null) {
    const words = [...new Set(pieces)];
    const tokenizer = new Tokenizer({ model: wordLevel(words), pre_tokenizer: preTokenizer, normalizer });
    assert.deepEqual(tokenizer.encode(text).map((id) => tokenizer.tokenOf(id)), pieces);
}

const split = (/** @type {string} */ Regex, behavior = 'Isolated', invert = false) => ({ type: 'Split', pattern: { Regex }, behavior, invert });

const BYTES = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
const METASPACE = {
    model: { type: 'BPE', vocab: numbered(['<unk>', ...BYTES, '▁', 'a', 'b', '▁a', '▁ab', '<|end|>', '.']),
        merges: ['▁ a', '▁a b'], byte_fallback: true, fuse_unk: true, unk_token: '<unk>' },
    normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' }] },
    decoder: { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
    added_tokens: [{ id: 262, content: '<|end|>', special: true }],
};

describe('pre-tokenizers', () => {
    it('cut where the reference cuts', () => {
        cuts(split('-', 'MergedWithNext'), 'a-b--c', ['a', '-b', '-', '-c']);
        cuts(split('-', 'MergedWithPrevious'), 'a-b--c', ['a-', 'b-', '-', 'c']);
        cuts(split('-', 'Contiguous'), 'a-b--c', ['a', '-', 'b', '--', 'c']);
        cuts(split('-', 'Removed'), '-a-b-', ['a', 'b']);
        cuts(split('[a-z]+', 'Removed', true), 'ab, cd', ['ab', 'cd']);
        cuts(split('(?=(?:[0-9]{3})+(?![0-9]))'), '1234567', ['1', '234', '567']);
        cuts({ type: 'Digits', individual_digits: false }, 'a12b', ['a', '12', 'b']);
        cuts({ type: 'CharDelimiterSplit', delimiter: '/' }, '/a//b', ['a', 'b']);
        cuts({ type: 'Metaspace', prepend_scheme: 'first' }, 'a b', ['▁a', '▁b']);
        cuts({ type: 'Metaspace', prepend_scheme: 'never' }, 'a b', ['a', '▁b']);
    });
    it('a piece is first where the text itself begins with it, not what normalizing leaves of it', () => {
        const first = { type: 'Metaspace', prepend_scheme: 'first' };
        cuts(first, '\na b', ['a', '▁b'], { type: 'Strip' });
        cuts(first, '\0a b', ['a', '▁b'], { type: 'BertNormalizer' });
        cuts(first, '\na b', ['▁\na', '▁b'], { type: 'Strip', strip_left: false });
        cuts(first, 'a b', ['▁xa', '▁b'], { type: 'Prepend', prepend: 'x' });
        cuts({ type: 'Sequence', pretokenizers: [split('-'), split('-', 'Removed'), first] }, '-a b', ['a', '▁b']);
    });
    it('white space is that of Unicode', () => {
        cuts({ type: 'WhitespaceSplit' }, 'a\u0085b\u3000c\uFEFFd', ['a', 'b', 'c\uFEFFd']);
        cuts(split('\\s+', 'Removed'), 'a\u0085b\uFEFFc', ['a', 'b\uFEFFc']);
    });
    it('patterns of another syntax', () => {
        cuts(split("(?i:'ll|'S)"), "we'LLx'sy", ['we', "'LL", 'x', "'s", 'y']);
        cuts(split('[\\p{L}&&[^\\p{Han}]]+', 'Removed', true), 'ab世cd', ['ab', 'cd']);
        cuts(split('\\d++', 'Isolated'), 'a12b', ['a', '12', 'b']);
        cuts(split('[[:alpha:]]+', 'Removed', true), 'ab1é', ['ab', 'é']);
        cuts(split('\\h', 'Removed'), 'xay', ['x', 'y']);
    });
    it('patterns that cannot be are refused by name', () => {
        const bad = [['(a', 'invalid'], ['a)', 'invalid'], ['[a', 'invalid'], ['*', 'invalid'], ['(a+)+$', 'unsupported'],
            ['(?<x>a)\\k<x>', 'unsupported'], ['\\R', 'unsupported'], ['\\p{Nonsense}', 'unsupported'],
            ['(a*)*b', 'unsupported'], ['(a|a)+$', 'unsupported'], ['(a?){40}b', 'unsupported'], ['(a?a)*b', 'unsupported'],
            ['((a|a){4}){4}b', 'unsupported'], ['(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|(a+)+$', 'unsupported'],
            ['x'.repeat(30_000), 'invalid'], ['('.repeat(200) + ')'.repeat(200), 'unsupported']];
        for (const [regex, code] of bad) {
            assert.throws(() => new Tokenizer({ model: wordLevel(['a']), pre_tokenizer: split(regex) }),
                { name: 'FormatError', code: `tokenizer-${code}` }, regex);
        }
    });
});

describe('normalizers', () => {
    const none = { type: 'WhitespaceSplit' };
    it('do what the reference does', () => {
        cuts(none, 'ΑΣ Σ', ['ας'.replace('ς', 'σ'), 'σ'], { type: 'Lowercase' });
        cuts(none, 'é', ['e'], { type: 'Sequence', normalizers: [{ type: 'NFD' }, { type: 'StripAccents' }] });
        cuts(none, 'a$&b', ['a$$b'], { type: 'Replace', pattern: { String: '&' }, content: '$' });
        cuts(none, 'Ab世', ['ab', '世'], { type: 'BertNormalizer' });
    });
});

describe('decoding', () => {
    const tokenizer = new Tokenizer(METASPACE);
    it('a run of bytes that is no text gives U+FFFD for each', () => {
        const ids = (/** @type {number[]} */ ...bytes) => bytes.map((byte) => byte + 1);
        assert.equal(tokenizer.decode(ids(0xC3, 0xA9)), 'é');
        assert.equal(tokenizer.decode(ids(0x61, 0xC3)), '\uFFFD\uFFFD');
    });
    it('the leading space is that of the whole text', () => {
        assert.deepEqual(tokenizer.encode('ab a'), [261, 260]);
        assert.equal(tokenizer.decode([261, 260]), 'ab a');
        assert.equal(tokenizer.decode([262, 261], { skipSpecialTokens: true }), 'ab');
        const stream = new TextStream(tokenizer);
        assert.deepEqual([261, 260, 0xC3 + 1, 0xA9 + 1, 258].map((id) => stream.push(id)), ['ab', ' a', '', '', 'éa']);
    });
    it('ids that the tokenizer does not have are nothing; what is no id throws', () => {
        assert.equal(tokenizer.decode([258, 5000, 259]), 'ab');
        assert.throws(() => tokenizer.decode([-1]), RangeError);
    });
    it('a stop string may hold a special token, which is not shown', () => {
        for (const [stop, ids, text] of [['<|end|>', [261, 262, 258], 'ab'], ['b<|end|>', [261, 262], 'a'],
            ['<|end|>.', [261, 262, 258, 262, 263, 258], 'aba']]) {
            const stream = new TextStream(tokenizer, [/** @type {string} */ (stop)]);
            const got = /** @type {number[]} */ (ids).map((id) => stream.push(id)).join('') + stream.end();
            assert.equal(got, text);
            assert.ok(stream.stopped);
        }
    });
    const model = wordLevel(['a', '##b', 'c</w>', '▁d', '  ', '.', "n't", ...BYTES]);
    const decoders = [null, { type: 'WordPiece' }, { type: 'BPEDecoder' }, { type: 'Metaspace' }, { type: 'ByteLevel' },
        { type: 'CTC', pad_token: 'a', word_delimiter_token: '.' }, METASPACE.decoder,
        { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 2 }] },
        { type: 'Sequence', decoders: [{ type: 'Fuse' }, { type: 'Replace', pattern: { Regex: 'a ?' }, content: 'x' }] }];
    it('every byte of a broken run is a piece of its own', () => {
        const decoder = { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'WordPiece', cleanup: false }] };
        const one = new Tokenizer({ model, decoder });
        const ids = ['a', '<0x9F>', '<0xAC>', '##b', '<0xC3>', '<0xA9>'].map((token) => /** @type {number} */ (one.idOf(token)));
        assert.equal(one.decode(ids), 'a \uFFFD \uFFFDb \u00E9');
    });
    it('streaming gives what decoding gives, on random ids', () => {
        const random = rng(3);
        for (const one of [EMBEDDED, ...decoders.map((decoder) => ({ model, decoder }))].map((json) => new Tokenizer(json))) {
            for (let round = 0; round < 60; round++) {
                const ids = Array.from({ length: 1 + Math.floor(random() * 30) }, () => Math.floor(random() * 20));
                const stream = new TextStream(one, [], { skipSpecialTokens: false });
                assert.equal(ids.map((id) => stream.push(id)).join('') + stream.end(), one.decode(ids));
            }
        }
    });
    it('takes linear time', () => {
        const stream = new TextStream(tokenizer, ['never', 'a'.repeat(50) + '!']);
        const start = performance.now();
        for (let i = 0; i < 100_000; i++) stream.push(258 + (i % 3));
        stream.end();
        assert.ok(performance.now() - start < 30_000);
    });
});

describe('long and odd texts', () => {
    it('words without end', () => {
        for (const tokenizer of [new Tokenizer(EMBEDDED), new Tokenizer(METASPACE)]) {
            for (const letter of ['a', ' ', '\n', 'é']) {
                const start = performance.now();
                assert.ok(tokenizer.encode(letter.repeat(400_000)).length > 1000);
                assert.ok(performance.now() - start < 30_000, `${JSON.stringify(letter)} ${performance.now() - start} ms`);
            }
        }
    });
    it('spaces without end that are taken off at both ends', () => {
        const vocabulary = { model: 't5', tokens: ['<unk>', '</s>', 'a', '▁'], scores: [0, 0, -1, -2], token_type: [2, 3, 1, 1],
            remove_extra_whitespaces: true, add_eos_token: false, unknown_token_id: 0 };
        const tokenizer = new Tokenizer(tokenizerFromGguf(new Map(Object.entries(vocabulary)
            .map(([key, value]) => [`tokenizer.ggml.${key}`, value]))).json);
        for (const [text, ids] of /** @type {[string, number[]][]} */ ([
            ['a', [2]], ['  a   a  ', [2, 3, 2]], ['   ', []], ['', []], [`a${' '.repeat(400_000)}a`, [2, 3, 2]],
        ])) {
            const start = performance.now();
            assert.deepEqual(tokenizer.encode(text), ids);
            assert.ok(performance.now() - start < 30_000);
        }
    });
    it('spaces without end, each of which is a token that takes others along', () => {
        const model = { type: 'BPE', vocab: numbered(['?', 'a']), merges: [], unk_token: '?' };
        for (const sides of [{ lstrip: true }, { rstrip: true }]) {
            const tokenizer = new Tokenizer({ model, added_tokens: [{ id: 2, content: ' ', normalized: false, ...sides }] });
            const start = performance.now();
            assert.equal(tokenizer.encode(' '.repeat(150_000)).length, 150_000);
            assert.ok(performance.now() - start < 30_000);
        }
    });
    it('half surrogate pairs are U+FFFD', () => {
        const tokenizer = new Tokenizer(EMBEDDED);
        assert.deepEqual(tokenizer.encode('a\uD800b\uDC00'), tokenizer.encode('a\uFFFDb\uFFFD'));
    });
});

describe('patterns that match nothing, cut as the reference cuts', () => {
    it('not right behind another match, nor within a character', () => {
        const pieces = ['c ', '1', 'c,', 'b+', 'z\t'];
        cuts(split('[a-z]*', 'MergedWithNext'), pieces.join(''), pieces);
        cuts(split('[a-z]*', 'MergedWithPrevious', true), pieces.join(''), pieces);
        cuts(split('\\B', 'MergedWithNext'), 'Sa😀b', ['S', 'a😀b']);
        cuts(split('\\B'), 'a😀😀b', ['a😀', '😀b']);
    });
    it('what is put in their place', () => {
        for (const [Regex, content, text, expected] of [
            ['a*', '-', 'baac', '-b-c-'], ['\\s*', '_', ' a  b', '_a_b_'], ['[a-z]*|中', 'xy', 'ab中c', 'xy中xy'],
        ]) {
            const change = { type: 'Replace', pattern: { Regex }, content };
            const normalized = new Tokenizer({ model: wordLevel([expected]), normalizer: change });
            assert.deepEqual(normalized.encode(text), [1], Regex);
            const decoded = new Tokenizer({ model: wordLevel([text]), decoder: change });
            assert.equal(decoded.decode([1]), expected);
        }
    });
    it('a group that may be left out', () => {
        cuts(split('(?: ?+|\\p{Alpha}+)?', 'Contiguous'), ' ks b+x', [' ', 'k', 's', ' ', 'b', '+', 'x']);
        cuts(split("(?:'*\\p{M}?+|\\P{L})?1?+", 'Removed'), "K $'+  ß", ['K', ' ', '$', '+', ' ', ' ', 'ß']);
    });
});

describe('added tokens', () => {
    // By transformers 5.24 on the same two files.
    it('are also those of tokenizer_config.json', () => {
        const file = {
            added_tokens: [{ id: 5, content: '<x>' }, { id: 6, content: '<y>' }], pre_tokenizer: { type: 'WhitespaceSplit' },
            model: wordLevel(['a', 'b', '</s>', '<m>']),
        };
        const end = { __type: 'AddedToken', content: '</s>', lstrip: false };
        const listed = { 3: { content: '</s>', special: true }, 8: { content: '<z>' }, 5: { content: '<x>', rstrip: true } };
        for (const [config, first, shown, second, left] of /** @type {[object, number[], string, number[], string][]} */ ([
            [{ eos_token: '</s>', pad_token: null, added_tokens_decoder: listed }, [1, 3, 2, 5, 1, 6, 2], 'a b <x> a <y> b', [7, 0, 0], '<z> ? ?'],
            [{ eos_token: end, unk_token: '?', additional_special_tokens: ['<y>', '<m>'], image_token: '<i>' },
                [1, 3, 2, 5, 1, 6, 2], 'a b <x> a <y> b', [0, 4, 7, 0, 0, 2], 'b'],
            [{ extra_special_tokens: { z_token: '<z>' }, additional_special_tokens: ['<m>'] },
                [0, 5, 1, 6, 2], '? <x> a <y> b', [7, 4, 0, 0], '? ?'],
            [{ extra_special_tokens: [], additional_special_tokens: ['<m>'], pad_token: '<p>', add_bos_token: true },
                [0, 5, 1, 6, 2], '? <x> a <y> b', [0, 4, 0, 7, 0, 0], '? ? ? ?'],
        ])) {
            const tokenizer = new Tokenizer(file, config);
            assert.deepEqual(['a</s>b <x> a<y>b', '<z><m><i><p><s>a ?b'].map((text) => tokenizer.encode(text)), [first, second]);
            assert.deepEqual([first, second].map((ids) => tokenizer.decode(ids, { skipSpecialTokens: true })), [shown, left]);
        }
        for (const config of [{ added_tokens_decoder: 'x', extra_special_tokens: 1 }, { added_tokens_decoder: { 7: null, 8: { content: '' } } }]) {
            assert.deepEqual(new Tokenizer(file, config).encode('a<m>'), [0]);
        }
        assert.throws(() => new Tokenizer(file, { split_special_tokens: true }), { code: 'tokenizer-unsupported', message: /split_special_tokens/ });
        assert.ok(new Tokenizer(file, { split_special_tokens: false }));
        assert.throws(() => new Tokenizer(file, { pad_token: { content: 'p', lstrip: 1 } }), /tokenizer_config\.json\.lstrip must be true or false/);
    });
    const letters = numbered([...'abcdefghijklmnopqrstuvwxyz .,_']);
    const added = [{ id: 40, content: 'cat', single_word: true }, { id: 41, content: '<l>', lstrip: true },
        { id: 42, content: '<r>', rstrip: true }, { id: 43, content: '<r><l>' }];
    const tokenizer = new Tokenizer({ model: { type: 'BPE', vocab: letters, merges: [] }, added_tokens: added });
    const read = (/** @type {string} */ text) => tokenizer.encode(text).map((id) => (id < 40 ? tokenizer.tokenOf(id) : id));
    it('single words, spaces beside, the longest', () => {
        assert.deepEqual(read('a cat.'), ['a', ' ', 40, '.']);
        assert.deepEqual(read('cats'), [...'cats']);
        assert.deepEqual(read('_cat'), [...'_cat']);
        assert.deepEqual(read('a  <l> b'), ['a', 41, ' ', 'b']);
        assert.deepEqual(read('a <r>  b'), ['a', ' ', 42, 'b']);
        assert.deepEqual(read('<r><l>'), [43]);
    });
});

describe('files that are not what they should be', () => {
    it('GGUF metadata', () => {
        const sound = { model: 'llama', tokens: ['<unk>', '<s>', '</s>', 'a'], scores: [0, 0, 0, -1], token_type: [2, 3, 3, 1] };
        const make = (/** @type {object} */ change) => tokenizerFromGguf(new Map(Object.entries({ ...sound, ...change })
            .map(([key, value]) => [`tokenizer.ggml.${key}`, value])));
        assert.deepEqual(make({}).endTokens, [2]);
        const more = { tokens: ['<unk>', '<|im_end|>', '</s>', '<|file_sep|>'] };
        assert.deepEqual(make(more).endTokens, [2, 3, 1], 'what ends turns, files and texts, whatever its type says');
        assert.deepEqual(make({ ...more, fim_sep_token_id: 0, fim_pad_token_id: 'x' }).endTokens, [2, 0, 1]);
        assert.deepEqual(new Tokenizer(make({}).json).encode('a'), [1, 0, 3]);
        assert.deepEqual(new Tokenizer(make({ add_space_prefix: false, add_bos_token: false }).json).encode('a'), [3]);
        for (const change of [{ model: 'x' }, { model: 7 }, { tokens: 'a' }, { tokens: [1] }, { tokens: [] },
            { tokens: ['a', 'a'] }, { scores: [1] }, { token_type: [1] }, { scores: ['a', 'b', 'c', 'd'] },
            { model: 'gpt2', pre: 'no such' }, { model: 'gpt2', pre: 'gpt-2' }, { add_bos_token: 1 }, { scores: [NaN, 0, 0, 0] }]) {
            assert.throws(() => make(change), { name: 'FormatError', code: /^tokenizer-/ }, JSON.stringify(change));
        }
    });
    it('nesting without end', () => {
        let normalizer = /** @type {object} */ ({ type: 'NFC' });
        for (let i = 0; i < 1000; i++) normalizer = { type: 'Sequence', normalizers: [normalizer] };
        assert.throws(() => new Tokenizer({ model: wordLevel(['a']), normalizer }), { code: 'tokenizer-invalid' });
    });
    it('changed at random: a FormatError or a tokenizer that works', () => {
        const random = rng(5);
        const pick = (/** @type {any[]} */ list) => list[Math.floor(random() * list.length)];
        const values = [null, true, -1, 0, 1e9, '', 'x', '▁', [], {}, [[]], '__proto__', { type: 'Sequence' }, 'a'.repeat(500)];
        const sources = [METASPACE, { model: wordLevel(['a']), pre_tokenizer: split('\\p{L}+|\\s*[\\r\\n]+'), decoder: { type: 'WordPiece' } },
            { model: { type: 'Unigram', vocab: [['<unk>', 0], ['a', -1], ['▁', -2]], unk_id: 0 }, pre_tokenizer: { type: 'Metaspace' },
                post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id: 'a' } }, { Sequence: { id: 'A' } }],
                    special_tokens: { a: { ids: [1] } } } }];
        for (let round = 0; round < 600; round++) {
            const file = structuredClone(pick(sources));
            let node = file;
            for (let depth = 0; depth < 6; depth++) {
                const key = pick(Object.keys(node));
                if (key === undefined) break;
                if (node[key] === null || typeof node[key] !== 'object' || random() < 0.3) {
                    if (random() < 0.2) delete node[key];
                    else node[key] = pick(values);
                    break;
                }
                node = node[key];
            }
            try {
                const tokenizer = new Tokenizer(file);
                const text = 'a ab. \nb é\uD800 <|end|>';
                assert.equal(typeof tokenizer.decode(tokenizer.encode(text)), 'string');
            } catch (error) {
                assert.ok(error instanceof FormatError, `${/** @type {Error} */ (error).stack} ${JSON.stringify(file).slice(-900)}`);
            }
        }
    });
});

it('byte-level tokens give the text of their bytes, however characters are cut and broken off', () => {
    const tokenizer = new Tokenizer(JSON.parse(EMBEDDED.toString()));
    const next = rng(7);
    // Ids whose bytes are known: single bytes, among them beginnings and rests of characters, and words with and without a space.
    const parts = [
        [0x61], [0x20], [0x0a], [0x7f], [0xc3], [0xa9], [0xe2], [0x82], [0xac], [0xf0], [0x9f], [0x98], [0x80], [0xff], [0xef], [0xbb], [0xbf],
    ];
    const letterOf = (/** @type {number} */ byte) => {
        const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
        const before = Array.from({ length: byte }, (_, i) => i).filter((i) => !((i > 32 && i < 127) || (i > 160 && i !== 173))).length;
        return String.fromCharCode(printable ? byte : 256 + before);
    };
    const ids = parts.map(([byte]) => /** @type {number} */ (tokenizer.idOf(letterOf(byte))));
    assert.ok(ids.every((id) => id !== undefined));
    for (let round = 0; round < 300; round++) {
        const chosen = Array.from({ length: 12 }, () => Math.floor(next() * parts.length));
        const bytes = Uint8Array.from(chosen.flatMap((i) => parts[i]));
        assert.equal(tokenizer.decode(chosen.map((i) => ids[i])), new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes), String(chosen));
    }
});

it('a table of replacements that leads back to itself goes through no text from each of its letters', () => {
    // From each letter to the first node again, and none ends a text: the place of a letter is its code, which it is labelled with.
    const units = Uint32Array.from({ length: 256 }, (_, byte) => (byte === 0 ? 0 : byte << 10 | byte));
    const bytes = Uint8Array.from([0, 4, 0, 0, ...new Uint8Array(units.buffer), 0]);
    const change = charsmap(bytes, true, 'normalizer');
    const text = 'ab'.repeat(200_000);
    const start = performance.now();
    assert.equal(change(text), text);
    assert.ok(performance.now() - start < 30_000);
});

it('a table of replacements that ends nowhere makes no text of a letter', () => {
    // A trie with one letter, a, whose replacement begins at 0; 1 MB of text without the zero that would end it.
    const units = new Uint32Array(256);
    units[0] = 128 << 10;
    units[128 ^ 0x61] = 0x61 | 1 << 8 | 1 << 10;
    const bytes = Uint8Array.from([0, 4, 0, 0, ...new Uint8Array(units.buffer)]);
    const table = new Uint8Array(bytes.length + 1_000_000).fill(0x62);
    table.set(bytes);
    for (const longest of [true, false]) {
        const change = charsmap(table, longest, 'normalizer');
        assert.match(change('xa'), /^xb+$/);
        assert.ok(change('a'.repeat(1000)).length < 1000 * 1000);
    }
});
