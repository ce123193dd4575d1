// Ids and texts of every kind of tokenizer against what the reference implementations give: the sets in ../shared, which
// is no part of the project. Without it these tests are skipped; components.test.js stands alone.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { readGguf } from '../../js/files/gguf.js';
import { openFile } from '../../js/files/source.js';
import { tokenizerFromGguf } from '../../js/text/gguf-vocabulary.js';
import { TextStream } from '../../js/text/text-stream.js';
import { Tokenizer } from '../../js/text/tokenizer.js';
import { sharedFolder } from '../shared.js';

const shared = sharedFolder('');
const skip = shared ? false : 'no ../shared/models/tokenizers beside the project';

/** @param {string} path @returns {any} */
const json = (path) => JSON.parse(readFileSync(new URL(path, shared), 'utf8'));

/** @param {string} path @param {Record<string, any>} [others] @returns {Promise<Tokenizer>} */
async function fromGguf(path, others = {}) {
    const { pairs } = await readGguf(await openFile(readFileSync(new URL(path, shared))), path);
    const metadata = new Map(Array.from(pairs, ([key, { value }]) => [key, value]));
    for (const [key, value] of Object.entries(others)) metadata.set(key, value);
    const { json: file, config } = tokenizerFromGguf(metadata);
    return new Tokenizer(file, config);
}

/** @param {Tokenizer} tokenizer @param {number[]} ids @param {boolean} skipSpecialTokens @returns {string} */
function streamed(tokenizer, ids, skipSpecialTokens) {
    const stream = new TextStream(tokenizer, [], { skipSpecialTokens });
    return ids.map((id) => stream.push(id)).join('') + stream.end();
}

describe('tokenizer.json of each family', { skip }, () => {
    for (const name of shared ? readdirSync(new URL('models/tokenizers/', shared)) : []) {
        it(name, () => {
            const { cases, decode } = json(`models/tokenizers/${name}/cases.json`);
            const tokenizer = new Tokenizer(readFileSync(new URL(`models/tokenizers/${name}/tokenizer.json`, shared)));
            for (const { text, ids, ids_with_special: special = ids, decoded, decoded_skip_special: shown = decoded } of cases) {
                assert.deepEqual(tokenizer.encode(text, { addSpecialTokens: false }), ids, text);
                assert.deepEqual(tokenizer.encode(text), special, text);
                assert.equal(tokenizer.decode(ids), decoded);
                assert.equal(tokenizer.decode(special, { skipSpecialTokens: true }), shown);
                assert.equal(streamed(tokenizer, ids, false), decoded);
                assert.equal(streamed(tokenizer, special, true), shown);
            }
            for (const { ids, text } of decode) {
                assert.equal(tokenizer.decode(ids), text);
                assert.equal(streamed(tokenizer, ids, false), text);
            }
        });
    }
});

describe('GGUF vocabularies', { skip }, () => {
    const pre = shared ? json('models/gguf/pre/pre.json') : { texts: [], cases: [] };
    for (const one of pre.cases) {
        it(`tokenizer.ggml.pre ${one.pre}`, async () => {
            const { file, ids } = one.same_as ? pre.cases.find((/** @type {any} */ c) => c.pre === one.same_as) : one;
            const tokenizer = await fromGguf(`models/${file}`, { 'tokenizer.ggml.pre': one.pre });
            pre.texts.forEach((/** @type {string} */ text, /** @type {number} */ i) =>
                assert.deepEqual(tokenizer.encode(text, { addSpecialTokens: false }), ids[i], text));
        });
    }
    // By llama.cpp: white space beyond ASCII lies in no range of letters there.
    for (const [name, text, ids] of /** @type {[string, string, number[]][]} */ ([
        ['deepseek-coder', '\ufa06\u2029 \n', [171, 101, 228, 300, 492, 198]],
        ['deepseek-coder', 'a\u2003 \n', [64, 300, 225, 220, 198]],
        ['deepseek-llm', '1  \u3000\u201dx', [16, 274, 636, 222, 300, 251, 87]],
        ['deepseek-llm', 'a\u2029 \n', [64, 300, 492, 198]],
    ])) {
        it(`white space under ${name}: ${JSON.stringify(text)}`, async () => {
            assert.deepEqual((await fromGguf(`models/gguf/pre/${name}.gguf`)).encode(text, { addSpecialTokens: false }), ids);
        });
    }
    for (const file of shared ? readdirSync(new URL('models/gguf/models/', shared)) : []) {
        const { file: gguf, tokenizer_texts: texts } = file.endsWith('.json') ? json(`models/gguf/models/${file}`) : {};
        if (!texts) continue;
        it(gguf, async () => {
            const tokenizer = await fromGguf(`models/gguf/models/${gguf}`);
            for (const { text, ids, tokenizers_ids: other } of texts) {
                const got = tokenizer.encode(text);
                if (!other || JSON.stringify(got) !== JSON.stringify(other)) assert.deepEqual(got, ids, text);
            }
        });
    }
    for (const name of ['deepseek-coder', 'gpt-2', 'llama-spm', 'phi-3']) {
        it(`ggml-vocab-${name}.gguf`, async () => {
            const path = `data/tokenizers/ggml-vocab-${name}.gguf`;
            const tokenizer = await fromGguf(path);
            const texts = readFileSync(new URL(`${path}.inp`, shared), 'utf8').split('\n__ggml_vocab_test__\n');
            const lines = readFileSync(new URL(`${path}.out`, shared), 'utf8').split('\n');
            texts.forEach((text, i) =>
                assert.equal(tokenizer.encode(text, { addSpecialTokens: false }).join(' '), lines[i].trim(), text));
        });
    }
    for (const name of ['types-length', 'tokens-not-strings', 'tokens-scalar', 'tokenizer-model-unknown', 'pre-unknown']) {
        it(`${name} is refused`, async () => {
            await assert.rejects(fromGguf(`models/gguf/malformed/${name}.gguf`), { name: 'FormatError', code: /^tokenizer-/ });
        });
    }
});

describe('cases from the field', { skip }, () => {
    for (const name of ['added-token-single-word', 'pre-tokenizer-sequence', 'whitespace-byte-order-mark']) {
        it(name, () => {
            const { tokenizers, items } = json(`cases/${name}/expected.json`);
            for (const one of tokenizers ?? [{ file: 'tokenizer.json', items }]) {
                const tokenizer = new Tokenizer(readFileSync(new URL(`cases/${name}/${one.file}`, shared)));
                for (const { text, ids } of one.items) assert.deepEqual(tokenizer.encode(text), ids, text);
            }
        });
    }
    it('decode-padded-id, truncated-character', () => {
        for (const name of ['decode-padded-id', 'truncated-character']) {
            const { greedy, text } = json(`cases/${name}/expected.json`);
            const tokenizer = new Tokenizer(readFileSync(new URL(`cases/${name}/tokenizer.json`, shared)));
            assert.equal(tokenizer.decode(greedy), text);
            assert.equal(streamed(tokenizer, greedy, true), text);
        }
    });
    it('stop-on-special-token', () => {
        const { stop, tokens, text } = json('cases/stop-on-special-token/expected.json');
        const tokenizer = new Tokenizer(readFileSync(new URL('cases/stop-on-special-token/tokenizer.json', shared)));
        const stream = new TextStream(tokenizer, stop);
        assert.equal(tokens.map((/** @type {number} */ id) => stream.push(id)).join('') + stream.end(), text);
        assert.ok(stream.stopped);
    });
});
