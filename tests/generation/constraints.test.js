// Texts that are held to something: JSON by a schema, choices, a pattern, what a function allows. The model is made of random
// numbers, so that it would write anything; a text is judged by JSON.parse, by RegExp and by a validator written for this.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { Automaton } from '../../js/generation/constraints/automaton.js';
import { Expressions } from '../../js/generation/constraints/expressions.js';
import { jsonBySchema } from '../../js/generation/constraints/json-schema.js';
import { pattern } from '../../js/generation/constraints/pattern.js';
import { TokenBytes, tokenBytes } from '../../js/generation/constraints/vocabulary.js';
import { Tokenizer } from '../../js/text/tokenizer.js';
import { rng } from '../rng.js';
import { there } from '../there.js';
import { testRuntime } from '../paired.js';
import { LETTERS, json, tinyConfig, tinyFiles, tinyTokenizer } from './checkpoint.js';
import { PATTERNS, SCHEMAS, isValid } from './schemas.js';

const SIZE = { positions: 400 };
const runtime = await testRuntime();
const model = await loadModel(runtime, tinyFiles({ size: SIZE }));
const { tokenizer } = model;
assert.ok(tokenizer);

/** @param {any} options @param {any} [target] @param {any} [prompt] */
async function write(options, target = model, prompt = 'a') {
    let text = '';
    /** @type {number[]} */
    const tokens = [];
    let finish;
    for await (const item of target.generate(prompt, options)) {
        text += item.text;
        tokens.push(item.token);
        ({ finish } = item);
    }
    return { text, tokens, finish };
}

describe('json', () => {
    for (const [name, schema] of Object.entries(SCHEMAS)) {
        test(name, async () => {
            const texts = new Set();
            for (let seed = 0; seed < 12; seed++) {
                const { text, tokens, finish } = await write({ json: schema, sampler: 'random', temperature: 1 + seed / 4, seed, maxNewTokens: 100 });
                const value = JSON.parse(text);
                assert.ok(isValid(schema, value), text);
                assert.ok(finish === 'end' ? tokens.at(-1) === 0 : finish === 'length' && tokens.length === 100, finish);
                texts.add(text);
            }
            assert.ok(texts.size > 1 || name === 'const' || name.startsWith('empty'), 'there should be several');
        });
    }

    test('with every way to search, and with room for the shortest text alone', async () => {
        const schema = SCHEMAS.nested;
        for (const options of [
            { sampler: 'greedy' }, { sampler: 'beam', numBeams: 4 }, { sampler: 'contrastive', topK: 6 }, { topP: 0.9, seed: 1 },
        ]) {
            for (const maxNewTokens of [21, 22, 40]) {
                const { text } = await write({ json: schema, maxNewTokens, ...options });
                assert.ok(isValid(schema, JSON.parse(text)), text);
            }
        }
        // {"list":[{"k":"x"}]} with "in"... a byte a token, but for what the merges make.
        const refused = { name: 'RangeError', message: /3 tokens.*the shortest takes \d+/ };
        assert.throws(() => model.generate('a', { json: schema, maxNewTokens: 3 }), refused);
        assert.throws(() => model.generate(new Array(395).fill(5), { json: schema }), { name: 'RangeError', message: /5 tokens/ });
    });

    test('with a draft the tokens are the same', async () => {
        for (const more of [{ sampler: 'greedy' }, { sampler: 'random', seed: 4 }]) {
            const options = { json: SCHEMAS.nested, maxNewTokens: 120, ...more };
            assert.deepEqual(await write({ ...options, draft: 'prompt' }), await write(options));
            assert.deepEqual(await write({ ...options, draft: model }), await write(options));
        }
    });

    test('a model without an end token stops where nothing can follow', async () => {
        const endless = await loadModel(runtime, { ...tinyFiles({ size: SIZE }), config: json({ ...tinyConfig(SIZE), eos_token_id: null }) });
        assert.deepEqual(endless.endTokens, []);
        const { text, finish } = await write({ json: SCHEMAS['required and optional'], seed: 1 }, endless);
        assert.ok(isValid(SCHEMAS['required and optional'], JSON.parse(text)));
        assert.equal(finish, 'stop');
        assert.throws(() => endless.generate('a', { json: { type: 'null' }, sampler: 'beam' }), { name: 'TypeError', message: /end token/ });
        endless.dispose();
    });

    test('an end token ends a text, also where its tokenizer calls it a token like others', async () => {
        for (const special of [true, false, null]) {
            const file = tinyTokenizer();
            file.added_tokens = special === null ? [] : [{ ...file.added_tokens[0], special }];
            const own = await loadModel(runtime, { ...tinyFiles({ size: SIZE }), tokenizer: json(file) });
            assert.deepEqual(own.endTokens, [0]);
            // It would come at once, and its text may stand in a string.
            const { text, tokens } = await write({ json: { type: 'string', minLength: 9 }, logitBias: { 0: 1e3 }, maxNewTokens: 60 }, own);
            assert.ok(JSON.parse(text).length >= 9, text);
            assert.ok(!tokens.slice(0, -1).includes(0));
        }
    });

    test('without a byte that a schema needs it is refused; one that it does not need is not missed', async () => {
        const without = (/** @type {string} */ letter) => {
            const changed = /** @type {any} */ (tinyTokenizer());
            // A special token stands for no text.
            changed.added_tokens.push({ ...changed.added_tokens[0], id: changed.model.vocab[letter], content: letter });
            return loadModel(runtime, { ...tinyFiles({ size: SIZE }), tokenizer: json(changed) });
        };
        const braceless = await without('}');
        assert.throws(() => braceless.generate('a', { json: { type: 'object' } }), { name: 'RangeError', message: /can write/ });
        braceless.dispose();
        // Half of é: only its own token, which is both halves, can write it, and other characters that begin with it cannot be.
        const half = await without(LETTERS[0xc3]);
        const texts = new Set();
        for (let seed = 0; seed < 20; seed++) {
            const { text } = await write({ json: { type: 'string', maxLength: 3 }, sampler: 'random', temperature: 3, seed }, half);
            assert.ok(!/[\u00c0-\u00e8\u00ea-\u00ff\ufffd]/.test(JSON.parse(text)), text);
            texts.add(text);
        }
        assert.equal((await write({ choices: ['é'] }, half)).text, 'é');
        half.dispose();
    });

    /** @type {[any, RegExp][]} */
    const wrong = [
        [true, /^json must be a JSON Schema, an object, got true$/], [{}, /^json must be a schema with a type, .*, got an object with keys \[\]/],
        [{ type: 'date' }, /^json\.type must be of object, array.* got "date"/],
        [{ type: 'string', format: 'date' }, /^json\.format: this keyword is not supported/],
        [{ type: 'object', properties: { a: { type: 'integer', multipleOf: 3 } } }, /^json\.a\.multipleOf: /],
        [{ type: 'string', minimum: 3 }, /^json\.minimum: /], [{ oneOf: [] }, /^json must be a schema with .*, got an object with keys \["oneOf"\]/], [{ anyOf: [] }, /^json\.anyOf must be a list/],
        [{ anyOf: [{ type: 'null' }], type: 'null' }, /^json\.type: /], [{ enum: [] }, /^json\.enum must be/],
        [{ enum: ['a', 1], type: 'string' }, /^json\.enum must be of type string, got 1/],
        [{ enum: [undefined] }, /^json must be made of what JSON has, got undefined/],
        [{ type: 'object', required: ['a'] }, /^json\.required/],
        [{ type: 'object', additionalProperties: { type: 'null' } }, /^json\.additionalProperties/],
        [{ type: 'array' }, /^json\.items must be a JSON Schema, an object/],
        [{ type: 'array', items: { type: 'null' }, minItems: 3, maxItems: 2 }, /^json\.maxItems must be at least 3/],
        [{ type: 'string', maxLength: -1 }, /^json\.maxLength/], [{ type: 'string', maxLength: 1e9 }, /^json\.maxLength/],
        ...['a', '^a\\$', '^', 'a$', '^a\\\\\\$'].map((pattern) => /** @type {[any, RegExp]} */ (
            [{ type: 'string', pattern }, /^json\.pattern must be of the whole string/])),
        [{ type: 'string', pattern: '^a$', maxLength: 3 }, /^json\.pattern/],
        [{ type: 'number', minimum: 0.5 }, /^json\.minimum must be an integer/],
        [{ type: 'integer', minimum: 5, maximum: 4 }, /^json\.minimum must be at most/],
        [{ $ref: '#/$defs/a', $defs: { a: { type: 'array', items: { $ref: '#/$defs/a' } } } }, /\$ref must be no schema that this one is a part of/],
        [{ type: 'array', items: { $id: 'https://example.com/a', type: 'null' } }, /^json\.items\.\$id: this keyword is not supported here/],
        [{ $ref: 'https://example.com/a' }, /^json\.\$ref/], [{ $ref: '#/$defs/__proto__', $defs: {} }, /^json\.\$ref/],
    ];
    for (const [schema, message] of wrong) {
        test(`${JSON.stringify(schema)} is refused`, () => {
            assert.throws(() => model.generate('a', { json: schema }), { message });
        });
    }
});

describe('choices and patterns', () => {
    test('one of the choices, also where one begins another', async () => {
        const choices = ['the', 'thing', 'then', 'é', '日本', 'a', ''];
        const seen = new Set();
        for (let seed = 0; seed < 60; seed++) {
            const { text, finish } = await write({ choices, sampler: 'random', temperature: 4, seed });
            assert.ok(choices.includes(text), text);
            assert.equal(finish, 'end');
            seen.add(text);
        }
        assert.ok(seen.size > 3, 'several of them should be drawn');
    });

    test('patterns are the same texts as RegExp\'s', () => {
        const tokens = new TokenBytes(tokenizer, model.vocabularySize);
        const texts = [''];
        for (let from = 0, n = 0; n < 5; n++) {
            const to = texts.length;
            for (; from < to; from++) for (const letter of 'abcde.-]1\n'.slice(0, n < 3 ? 10 : 4)) texts.push(texts[from] + letter);
        }
        for (const source of PATTERNS) {
            const automaton = new Automaton(tokens, (e) => pattern(e, source));
            const expected = new RegExp(`^(?:${source})$`, 'u');
            let matching = 0;
            for (const text of texts) {
                /** @type {import('../../js/generation/constraints/automaton.js').State | null} */
                let state = automaton.start;
                for (const byte of new TextEncoder().encode(text)) state = state && automaton.step(state, byte);
                assert.equal(state?.accepts ?? false, expected.test(text), `${source} and ${JSON.stringify(text)}`);
                matching += Number(expected.test(text));
            }
            assert.ok(matching > 0, source);
        }
    });

    test('counts of counts are one count: a text has one way to go on, however long it is', () => {
        const tokens = new TokenBytes(tokenizer, model.vocabularySize);
        for (const [source, most] of /** @type {[string, number][]} */ ([
            ['(a*){65536}', Infinity], ['(a?){2,9}', 9], ['((a{0,9}){0,9}){1,9}', 729], ['(a*)*', Infinity], ['(a{0,3})+', Infinity],
            ['((a{1,9}){1,9}){0,9}', 729],
        ])) {
            const automaton = new Automaton(tokens, (e) => pattern(e, `${source}b`));
            /** @type {import('../../js/generation/constraints/automaton.js').State | null} */
            let state = automaton.start;
            for (let n = 0; n < 800; n++) {
                assert.equal(state !== null && automaton.step(state, 98)?.accepts, n <= most, `${n} times a by ${source}`);
                state = state && automaton.step(state, 97);
                assert.ok((state?.ways.length ?? 0) <= 1, source);
            }
        }
    });

    test('of the ways to split a text among counts few are followed: the others match nothing more', () => {
        const tokens = new TokenBytes(tokenizer, model.vocabularySize);
        for (const source of ['((a|b){1,50}c?){1,50}', '((a*b?){1,40}c?){1,40}', '((a{0,20}b{0,20}){0,20}c{0,20}){0,20}', '(((a|aa){1,30}b?){1,30}c?){1,30}']) {
            const automaton = new Automaton(tokens, (e) => pattern(e, source));
            let { start: state } = automaton;
            for (let n = 0; n < 40; n++) {
                state = there(automaton.step(state, 97));
                assert.ok(state.ways.length < 10, `${state.ways.length} after ${n + 1} by ${source}`);
            }
        }
    });

    test('a pattern is followed however long it is: no stack is too small for it', () => {
        const tokens = new TokenBytes(tokenizer, model.vocabularySize);
        const source = 'the cat.'.repeat(500);
        const automaton = new Automaton(tokens, (e) => pattern(e, source));
        const text = new TextEncoder().encode('the catx'.repeat(500));
        /** @type {import('../../js/generation/constraints/automaton.js').State | null} */
        let state = automaton.start;
        for (const [at, byte] of text.entries()) {
            assert.ok(state && !state.accepts);
            const bits = automaton.allowed(state, 1e6);
            assert.ok(bits.some((word) => word !== 0), `at ${at}`);
            state = automaton.step(state, byte);
        }
        assert.equal(state?.accepts, true);
        assert.equal(state?.goesOn, false);
    });

    test('a tokenizer that decodes with spaces or ends of words between the tokens is refused', () => {
        const model = { type: 'BPE', vocab: { a: 0, b: 1, 'b</w>': 2 }, merges: [] };
        assert.equal(tokenBytes(new Tokenizer({ model, decoder: { type: 'Fuse' } }), 3).size, 3);
        for (const decoder of [null, { type: 'BPEDecoder', suffix: '</w>' }]) {
            const own = new Tokenizer({ model, decoder });
            assert.notEqual(own.decode([0, 0, 2]), 'aab</w>');
            assert.throws(() => tokenBytes(own, 3), /^TypeError: constraint: not with a tokenizer of kind BPE, whose tokens are not pieces/);
        }
    });

    test('a token may be as long as it likes', () => {
        const file = tinyTokenizer();
        const long = 'th'.repeat(150_000);
        file.model.vocab = { ...file.model.vocab, [long]: model.vocabularySize };
        const tokens = new TokenBytes(new Tokenizer(file), model.vocabularySize + 1);
        const automaton = new Automaton(tokens, (e) => pattern(e, '(th)*e'));
        assert.equal(tokens.longest, long.length);
        const bits = automaton.allowed(automaton.start, 1e6);
        for (const [word, isAllowed] of /** @type {[string, boolean][]} */ ([[long, true], ['th', true], ['t', true], ['h', false], ['the', true], ['ing', false]])) {
            const id = word === long ? model.vocabularySize : file.model.vocab[word];
            assert.equal(Boolean(bits[id >>> 5] & (1 << (id & 31))), isAllowed, word.slice(0, 9));
        }
    });

    test('of thousands of choices a byte follows those that have it', () => {
        const tokens = tokenBytes(tokenizer, model.vocabularySize);
        const words = Array.from({ length: 3000 }, (_, i) => `${i * 7919 % 10007} and ${i}`);
        for (const [text, build] of /** @type {[string, (e: Expressions) => any][]} */ ([
            [words[100], (e) => e.either(words.map((word) => e.text(word)))],
            [JSON.stringify({ a: words[100] }), (e) => jsonBySchema(e, { type: 'object', properties: { a: { enum: words } }, required: ['a'] })],
        ])) {
            let count = 0;
            const automaton = new Automaton(tokens, (e) => {
                const { derive } = e;
                e.derive = (...all) => {
                    count++;
                    derive.apply(e, all);
                };
                return build(e);
            });
            /** @type {import('../../js/generation/constraints/automaton.js').State | null} */
            let state = automaton.start;
            for (const byte of new TextEncoder().encode(text)) {
                assert.ok(state);
                automaton.allowed(state, 1e6);
                state = automaton.step(state, byte);
            }
            assert.ok(state?.accepts);
            // Those that begin with each byte, and few later: not all of them with each of 256 bytes.
            assert.ok(count < 20 * words.length, `${count}`);
        }
    });

    test('what ends alike is followed once: a thousand things that may be missing take a thousand steps, not a million', (t) => {
        const tokens = new TokenBytes(tokenizer, model.vocabularySize);
        const { derive } = Expressions.prototype;
        t.after(() => { Expressions.prototype.derive = derive; });
        let calls = 0;
        /** @param {Parameters<typeof derive>} given */
        Expressions.prototype.derive = function counted(...given) {
            calls++;
            derive.apply(this, given);
        };
        for (const [source, text] of [['a?b?', 'aabbab'], ['(abc|de)?', 'deabcde'], ['a*b?c*', 'aabbcab']]) {
            const automaton = new Automaton(tokens, (e) => pattern(e, source.repeat(400)));
            const expected = new RegExp(`^(?:${source.repeat(400)})$`);
            /** @type {import('../../js/generation/constraints/automaton.js').State | null} */
            let state = automaton.start;
            Array.from(text).forEach((letter, i) => {
                calls = 0;
                state = state && automaton.step(state, letter.charCodeAt(0));
                assert.ok(calls <= 5000, `${calls} for ${source}`);
                assert.equal(state?.accepts ?? false, expected.test(text.slice(0, i + 1)), `${source} and ${text.slice(0, i + 1)}`);
            });
            assert.notEqual(state, null);
        }
    });

    test('sets of characters of every length in UTF-8', () => {
        const tokens = new TokenBytes(tokenizer, model.vocabularySize);
        const random = rng(5);
        for (const set of ['[^a]', '[\\u{7e}-\\u{801}]', '[é-日]', '[\\u{ff00}-\\u{10050}\\u{10ffff}]', '[😀-😎x]', '[\\ud83d\\uDE00-\\uD83D\\ude0e]|\\ud800\\udc50', '\\S', '[^\\u{100}-\\u{20000}]']) {
            const automaton = new Automaton(tokens, (e) => pattern(e, set));
            const expected = new RegExp(`^(?:${set})$`, 'u');
            const points = [
                0x7e, 0x7f, 0x80, 0x7ff, 0x800, 0x801, 0xffff, 0x10000, 0x10050, 0x10051, 0x10ffff, 0x1f600, 0x1f60e, 0x1f60f, 97, 10, 32,
            ];
            for (let i = 0; i < 3000; i++) points.push(Math.floor(random() * (i % 2 ? 0x3000 : 0x110000)));
            for (const point of points.filter((n) => n < 0xd800 || n > 0xdfff)) {
                /** @type {import('../../js/generation/constraints/automaton.js').State | null} */
                let state = automaton.start;
                for (const byte of new TextEncoder().encode(String.fromCodePoint(point))) state = state && automaton.step(state, byte);
                assert.equal(state?.accepts ?? false, expected.test(String.fromCodePoint(point)), `${set} and ${point.toString(16)}`);
            }
        }
    });

    test('a text that matches, with characters of several bytes', async () => {
        for (const source of ['[é日😀]{3}', '\\d{3}-\\d{4}|none', '(?:ab|[^ -~]){1,5}']) {
            for (let seed = 0; seed < 8; seed++) {
                const { text } = await write({ pattern: source, sampler: 'random', temperature: 3, seed, maxNewTokens: 40 });
                assert.match(text, new RegExp(`^(?:${source})$`, 'u'));
            }
        }
    });

    for (const source of ['(?=a)', '(?<!a)b', '\\1', '\\bcat', '\\p{L}', '(?<n>a)', '(a', 'a)', '[a', 'a**', '*', 'a{3,2}', 'a{9999999}',
        'a^b', 'a$b', '[]',
        '\\', '[b-a]', '\\ud800', '('.repeat(100), 'a'.repeat(5000)]) {
        test(`${source.slice(0, 12)} is refused`, () => {
            assert.throws(() => model.generate('a', { pattern: source }), { name: 'RangeError', message: /^pattern must be/ });
        });
    }

    const spaced = [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'Fuse' }];
    for (const [what, decoder, choices] of /** @type {[string, object, string[]][]} */ ([
        ['keeps its spaces', { type: 'Sequence', decoders: spaced }, ['yes', ' no', '  yes']],
        ['loses a space', { type: 'Sequence', decoders: [...spaced, { type: 'Strip', content: ' ', start: 1, stop: 0 }] }, ['yes', ' no', '  yes']],
        ['loses the space of its first token', { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true }, ['yes', ' no', '  yes']],
        ['loses all', { type: 'Sequence', decoders: [...spaced, { type: 'Strip', content: ' ', start: 99, stop: 0 }] }, ['yes', 'no']],
    ])) {
        test(`a text that ${what} at its beginning is what it is held to all the same`, async () => {
            const letters = ['</s>', '▁', '▁yes', 'yes', '▁no', 'n', 'o', '{', '}', '▁{', '"', ':', '1', ...'abcdefg'];
            const words = {
                version: '1.0', added_tokens: [{ id: 0, content: '</s>', special: true }], normalizer: null, pre_tokenizer: null,
                post_processor: null, decoder, model: { type: 'BPE', vocab: Object.fromEntries(letters.map((letter, id) => [letter, id])), merges: [] },
            };
            const target = await loadModel(runtime, { ...tinyFiles(), tokenizer: json(words) });
            const seen = new Set();
            for (let seed = 0; seed < 20; seed++) {
                const how = { sampler: 'random', temperature: 9, seed, maxNewTokens: 12 };
                assert.ok(choices.includes((await write({ ...how, choices }, target, [1])).text));
                assert.match((await write({ ...how, pattern: 'a[b-e ]{2,4}' }, target, [1])).text, /^a[b-e ]{2,4}$/);
                const { text, tokens } = await write({ ...how, json: { type: 'object', properties: { a: { const: 1 } } } }, target, [1]);
                assert.ok(['{}', '{"a":1}', '{"a": 1}'].includes(text), text);
                seen.add(letters[tokens[0]]);
            }
            assert.deepEqual([...seen].sort(), what === 'keeps its spaces' ? ['{'] : ['{', '▁', '▁{']);
            target.dispose();
        });
    }

    test('as many tokens as the shortest text takes, with the space that it loses', async () => {
        const decoder = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true };
        const words = {
            version: '1.0', added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder,
            model: { type: 'BPE', vocab: { x: 0, '▁': 1, '▁yes': 2, no: 3 }, merges: [] },
        };
        const target = await loadModel(runtime, { ...tinyFiles(), tokenizer: json(words) });
        assert.equal((await write({ choices: ['no'], maxNewTokens: 1 }, target, [1])).text, 'no');
        assert.equal((await write({ choices: [' yes'], maxNewTokens: 2 }, target, [1])).text, ' yes');
        assert.throws(() => target.generate([1], { choices: [' yes'], maxNewTokens: 1 }), { name: 'RangeError', message: /the shortest takes 2/ });
        target.dispose();
    });

    test('other kinds of values, and two at once, are refused by name', () => {
        assert.throws(() => model.generate('a', { pattern: /** @type {any} */ (/a/) }), { name: 'TypeError', message: /^pattern/ });
        for (const choices of ['a', [], [1], ['\ud800']]) {
            assert.throws(() => model.generate('a', { choices: /** @type {any} */ (choices) }), { name: 'TypeError', message: /^choices/ });
        }
        assert.throws(() => model.generate('a', { pattern: 'a', choices: ['a'] }), { name: 'TypeError', message: /^choices and pattern: / });
        assert.throws(() => model.generate('a', { pattern: 'a', noRepeatNgram: 2 }), { name: 'TypeError', message: /^noRepeatNgram/ });
    });
});

test('a schema that answers otherwise the next time is what it was at first, for its caller and for whoever asks for the same', async () => {
    for (const [name, first, then] of [['json', { const: 'first' }, { const: 'other' }], ['choices', ['first'], ['other']]]) {
        let asked = 0;
        const lying = new Proxy(/** @type {any} */ (first), {
            get: (target, key, receiver) => Reflect.get(asked++ < 4 + Number(name === 'json') ? target : then, key, receiver),
        });
        for (const given of [lying, first]) {
            assert.equal((await write({ [String(name)]: given, maxNewTokens: 30 })).text.replaceAll('"', ''), 'first', String(name));
        }
    }
});

test('what a state allows is what can be reached from it, however far in a text it is', () => {
    const tokens = new TokenBytes(tokenizer, model.vocabularySize);
    const anyOf = [{ type: 'string', minLength: 5, maxLength: 60 }, { type: 'integer' }, { enum: ['the', 'thé'] }];
    const schema = { type: 'array', maxItems: 40, items: { anyOf } };
    const automaton = new Automaton(tokens, (e) => jsonBySchema(e, schema));
    const random = rng(2);
    const bit = (/** @type {Uint32Array} */ bits, /** @type {number} */ id) => (bits[id >>> 5] >>> (id & 31)) & 1;
    let { start: state } = automaton;
    for (let i = 0; i < 400; i++) {
        // Below `worst` the masks come from the state itself, above from one that stands for all that are alike.
        const room = i % 3 === 0 ? state.fewest + 1 + Math.floor(random() * 3) : 1e6;
        const bits = automaton.allowed(state, room);
        /** @type {number[]} */
        const ids = [];
        for (let id = 0; id < model.vocabularySize; id++) {
            const next = automaton.after(state, id);
            const expected = next !== null && next.fewest <= room - 1;
            assert.equal(bit(bits, id), Number(expected), `token ${id} after ${i}`);
            if (expected) ids.push(id);
        }
        assert.ok(ids.length > 0 || state.accepts, 'a dead end');
        if (ids.length === 0) break;
        state = /** @type {typeof state} */ (automaton.after(state, ids[Math.floor(random() * ids.length)]));
    }
});

describe('allowed', () => {
    test('is asked before every token, with what has been written, whatever the search', async () => {
        for (const sampler of ['greedy', 'random', 'beam', 'contrastive']) {
            /** @type {number[][]} */
            const asked = [];
            const allowed = (/** @type {Int32Array} */ tokens) => {
                asked.push([...tokens]);
                return tokens.length === 2 ? null : new Set([10 + 2 * tokens.length, 11 + 2 * tokens.length]);
            };
            const numBeams = sampler === 'beam' ? 3 : undefined;
            const { tokens } = await write({ allowed, sampler, numBeams, maxNewTokens: 5, logitBias: { 0: -Infinity } });
            tokens.forEach((token, i) => assert.ok(i === 2 || token === 10 + 2 * i || token === 11 + 2 * i, `${sampler}: ${tokens}`));
            assert.equal(tokens.length, 5);
            const histories = asked.map((history) => history.join());
            for (let n = 0; n < 5; n++) assert.ok(histories.includes(tokens.slice(0, n).join()), `${sampler}: ${n}`);
        }
    });

    test('the most probable of those allowed, by the model\'s own logits', async () => {
        const ids = model.promptTokens('a');
        const { data } = await model.forward(ids);
        const some = [3, 77, 150, 299];
        const [best] = [...some].sort((a, b) => data[b] - data[a]);
        assert.deepEqual((await write({ allowed: () => Uint16Array.from(some), sampler: 'greedy', maxNewTokens: 1 })).tokens, [best]);
    });

    test('a wrong answer is an error, none is no token', async () => {
        /** @type {[any, RegExp][]} */
        const answers = [[[300], /what allowed\(\) gives must be an integer from 0 to 299, got 300/], [['a'], /got "a"/], [7, /must be ids, or null/],
            [Promise.resolve([1]), /must be ids/], [[], /no token is left/]];
        for (const [answer, message] of answers) {
            for (const sampler of ['greedy', 'top_k', 'beam', 'contrastive']) {
                await assert.rejects(write({ allowed: () => answer, sampler }), { message });
            }
        }
        assert.throws(() => model.generate('a', { allowed: /** @type {any} */ ([1]) }), { name: 'TypeError', message: /^allowed/ });
    });
});

test('bias and bans count in every search', async () => {
    const plain = await write({ sampler: 'beam', numBeams: 2, maxNewTokens: 4 });
    for (const sampler of ['beam', 'contrastive']) {
        const { tokens } = await write({ sampler, maxNewTokens: 4, logitBias: Object.fromEntries(plain.tokens.map((token) => [token, -Infinity])) });
        assert.ok(tokens.every((token) => !plain.tokens.includes(token)), sampler);
    }
});

test('one batch, each text with its own', async () => {
    const each = [
        { json: SCHEMAS.nested, seed: 1 }, { choices: ['yes', 'no'], seed: 2 }, { pattern: '\\d{4}', seed: 3 }, { seed: 4, maxNewTokens: 9 },
    ];
    const texts = ['', '', '', ''];
    for await (const { index = 0, text } of model.generate(['a', 'b', 'c', 'd'], each)) texts[index] += text;
    assert.deepEqual(texts, await Promise.all(['a', 'b', 'c', 'd'].map(async (prompt, i) => (await write(each[i], model, prompt)).text)));
});
