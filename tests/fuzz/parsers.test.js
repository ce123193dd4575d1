// The parsers of texts by themselves, with nothing around them: headers of safetensors files, configs of all families,
// tokenizers, vocabularies of GGUF files, chat templates, headers of saved caches, tool calls and PyTorch's pickles, each with seeded damage. Each is taken, and
// then works, or is refused with a FormatError in few words. FUZZ_ROUNDS and FUZZ_SEED make it longer and different, FUZZ_ONLY runs
// those whose name holds it.

import { Costs } from './costs.js';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { checksum } from '../../js/blocks/cache-bytes.js';
import { FormatError } from '../../js/check.js';
import { ByteReader } from '../../js/files/byte-reader.js';
import { openModel } from '../../js/files/open.js';
import { readStateDict } from '../../js/files/pytorch.js';
import { readHeader } from '../../js/files/safetensors.js';
import { readZipDirectory, readZipMember } from '../../js/files/zip.js';
import { loadModel } from '../../js/generation/index.js';
import { readDefaults } from '../../js/generation/defaults.js';
import { createRuntime } from '../../js/index.js';
import { planOf } from '../../js/model/assemble.js';
import { readCache } from '../../js/model/cache-file.js';
import { ChatTemplate } from '../../js/text/chat.js';
import { tokenizerFromGguf } from '../../js/text/gguf-vocabulary.js';
import { TemplateError } from '../../js/text/jinja/values.js';
import { Tokenizer } from '../../js/text/tokenizer.js';
import { parseToolCalls } from '../../js/text/tool-calls.js';
import { llamaPairs } from '../files/gguf-writer.js';
import { json, readCases, weightsOf } from '../model/golden.js';
import { there } from '../there.js';
import { VALUES, damage } from './damage.js';

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 100_000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

/** What a damaged text may take whatever its size. */
const BASE_BYTES = 2 ** 17;
/** A few hundred characters. */
const LONGEST_MESSAGE = 800;

const { random, below, pick, bend, spoil, spoilBytes } = damage(SEED);

/** @param {Uint8Array} bytes */
function readerOf(bytes) {
    let left = [bytes];
    return new ByteReader(async () => left.pop() ?? null, () => { left = []; }, bytes.length);
}

const encoder = new TextEncoder();
const cases = readCases();
const plain = there(cases.find(({ name }) => name === 'llama-mqa-f16'));

function safetensors() {
    const tensor = (/** @type {string} */ dtype, /** @type {number[]} */ shape, /** @type {number} */ begin, /** @type {number} */ end) =>
        ({ dtype, shape, data_offsets: [begin, end] });
    const header = {
        __metadata__: { format: 'pt' }, a: tensor('F32', [2, 3], 0, 24), 'b.weight': tensor('BF16', [4], 24, 32),
        c: tensor('F8_E4M3', [3, 8], 32, 56),
    };
    const words = ['"', '{', '}', '[', ']', ',', ':', '0', '-1', '1e9', '"F32"', '"shape"', '"data_offsets"', '"a"', '\\', '\\u0000'];
    return () => {
        const bent = encoder.encode(random() < 0.5 ? JSON.stringify(bend(header)) : spoil(JSON.stringify(header), words));
        const bytes = new Uint8Array(8 + bent.length + (random() < 0.1 ? below(100) : 56));
        new DataView(bytes.buffer).setUint32(0, random() < 0.05 ? pick([0, 1, 2 ** 31, bent.length + 1]) : bent.length, true);
        bytes.set(bent, 8);
        return { size: bytes.length, what: Buffer.from(bent).toString(), run: () => readHeader(readerOf(bytes)) };
    };
}

const GENERATION = { temperature: 0.7, top_k: 20, top_p: 0.9, eos_token_id: [1, 2], do_sample: true };

async function configs() {
    const sources = await Promise.all(cases.map(async ({ name, config, old }) => {
        const opened = await openModel({ config: json(config), weights: weightsOf(name) });
        opened.close();
        return { opened, configs: old === null ? [config] : [config, old] };
    }));
    const fields = [...new Set(sources.flatMap(({ configs }) => configs.flatMap((config) => Object.keys(config))))];
    return () => {
        const { opened, configs } = pick(sources);
        let config = bend(pick(configs));
        if (config === null || typeof config !== 'object') config = {};
        if (random() < 0.2) config = { ...config, [pick(fields)]: pick(VALUES) };
        const generation = random() < 0.2 ? bend(GENERATION) : null;
        /** @type {any} */
        const source = { ...opened, config, generation: typeof generation === 'object' ? generation : null };
        const what = JSON.stringify(config);
        return { size: what.length, what, run: () => readDefaults(source, planOf(source).description.vocabulary, null) };
    };
}

const TEXT = 'The café, 12 times: a b\n<s>ab</s> 漢字';

/** @param {any} file @param {any} config */
function useTokenizer(file, config) {
    const tokenizer = new Tokenizer(file, config);
    const ids = tokenizer.encode(TEXT);
    assert.equal(typeof tokenizer.decode(ids, { skipSpecialTokens: true }), 'string');
}

function tokenizers() {
    /** @type {any[]} */
    const files = JSON.parse(readFileSync(new URL('../text/kinds/cases.json', import.meta.url), 'utf8'))
        .map((/** @type {any} */ { tokenizer }) => tokenizer);
    files.push({
        model: { type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0], ['▁', -1], ['a', -2], ['b', -2.5], ['▁ab', -1.5]], byte_fallback: false },
        normalizer: { type: 'Sequence', normalizers: [{ type: 'NFKC' }, { type: 'StripAccents' },
            { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' }] },
        pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
        decoder: { type: 'Sequence', decoders: [{ type: 'Metaspace', replacement: '▁' },
            { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
        post_processor: { type: 'TemplateProcessing', pair: [],
            single: [{ Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: '<s>', type_id: 0 } }],
            special_tokens: { '<s>': { id: '<s>', ids: [5], tokens: ['<s>'] } } },
        added_tokens: [{ id: 5, content: '<s>', special: true, lstrip: true, rstrip: false, single_word: false, normalized: false }],
    });
    const config = { bos_token: '<s>', eos_token: { content: '</s>' } };
    return () => {
        const whole = pick(files);
        // Where the vocabulary is large it would be bent nearly always.
        const { model, ...others } = whole;
        const file = random() < 0.5 ? { ...bend(others), model } : bend(whole);
        const size = JSON.stringify(file)?.length ?? 0;
        return { size, what: JSON.stringify(file)?.slice(-600), run: () => useTokenizer(file, random() < 0.1 ? bend(config) : config) };
    };
}

const OPTIONAL = ['add_bos_token', 'unknown_token_id', 'precompiled_charsmap'].map((name) => `tokenizer.ggml.${name}`);
const SCORES = Float32Array.of(0, 0, -1, -2, -3, -4);

function vocabularies() {
    /** @type {[string, any][]} */
    const pairs = llamaPairs().filter(([key]) => key.startsWith('tokenizer.')).map(([key, , value]) => [key, value]);
    return () => {
        const metadata = new Map(pairs);
        if (random() < 0.5) metadata.set('tokenizer.ggml.model', pick(['llama', 't5', 'bert'])).set('tokenizer.ggml.scores', SCORES);
        for (let i = 0; i <= below(2); i++) {
            const key = pick([...metadata.keys(), ...OPTIONAL]);
            if (random() < 0.1) metadata.delete(key);
            else metadata.set(key, bend(metadata.get(key) ?? null));
        }
        const what = JSON.stringify([...metadata]);
        return { size: what.length, what, run: () => {
            const { json: file, config } = tokenizerFromGguf(metadata);
            useTokenizer(file, config);
        } };
    };
}

function templates() {
    const sources = [
        '{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}'
            + '{% if add_generation_prompt %}<|im_start|>{% endif %}',
        "{%- set ns = namespace(first=true) -%}{%- for m in messages -%}{%- if loop.first and m['role'] == 'system' -%}{{ m.content | trim }}"
            + "{%- else -%}{{ '[INST] ' ~ m.content.split('x')[0] | upper }}{%- set ns.first = false -%}{%- endif -%}{%- endfor -%}",
        "{% macro show(a, b=2) %}{{ a[::-1] ~ b }}{% endmacro %}{{ show(messages[0].content) }}{{ messages | map(attribute='role') | join(', ') }}"
            + "{% if tools is defined and tools %}{{ tools | tojson(indent=2) }}{% endif %}{{ raise_exception('no') if messages | length > 3 }}",
        "{{ '%05.1f|%s' | format(3.14159, bos_token) }}{% for i in range(3) %}{{ loop.index0 * 2 ** i // 3 % 5 }}{% endfor %}{# done #}",
    ];
    const words = ['{{', '}}', '{%', '%}', '{#', '-', '(', ')', '[', ']', '|', '~', '**', '%', "'", '"', '\\', ' for x in ', ' if ', ' else ',
        'endfor', 'loop', 'range(9)', 'messages', '.content', '.items()', '| length', '| list', '| tojson',
        'is defined', 'not', 'none', '1e9', '-1', '\n', '\u2028'];
    const messages = [{ role: 'system', content: ' Be brief. ' }, { role: 'user', content: 'Hi, x or y?' }];
    return () => {
        let source = pick(sources);
        for (let i = 0; i <= below(3); i++) source = spoil(source, words);
        return { size: source.length, what: source, run: () => {
            const template = new ChatTemplate(source, { specialTokens: { bos_token: '<s>' } });
            assert.equal(typeof template.render(messages, { tools: [{ name: 'f' }] }), 'string');
        } };
    };
}

function toolCalls() {
    const call = { name: 'get_weather', arguments: { place: 'Rome "}]', unit: 'C', list: [1, { deep: [null] }] }, id: 'abc' };
    const body = JSON.stringify(call);
    const args = JSON.stringify(call.arguments);
    const sources = [
        "<|tool_call_start|>[a(b='c\\'', d=[1, {'e': None}], f=True), g()]<|tool_call_end|>",
        `Let me look.\n<tool_call>\n${body}\n</tool_call>\n<tool_call>${body}</tool_call> So.`, `<tool_call>[${body}, ${body}]</tool_call>`,
        `[TOOL_CALLS] [${body}]`, `[TOOL_CALLS]get_weather[CALL_ID]abc[ARGS]${args}[TOOL_CALLS]get_weather[ARGS]${args}`,
        `<|tool_call|>[${body}]<|/tool_call|>`, `<|python_tag|>${body}; ${body}`,
        `{"name": "a", "parameters": ${args}}`, JSON.stringify([{ function: call }]),
        JSON.stringify({ name: 'a', arguments: args }),
        `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>a\n\`\`\`json\n${args}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
        `<｜tool▁call▁begin｜>a<｜tool▁sep｜>${args}<｜tool▁call▁end｜>`, `get_weather${args}`,
        '<tool_call>a\n<arg_key>b</arg_key>\n<arg_value>c</arg_value>\n<arg_key>d</arg_key>\n<arg_value>[1]</arg_value>\n</tool_call>',
        '<start_function_call>call:a{b:<escape>c<escape>,d:[1,{e:null}]}<end_function_call>', `functools[${body}]`,
        `<|channel|>commentary to=functions.a <|constrain|>json<|message|>${args}<|call|>`,
    ];
    const words = [
        '<tool_call>', '<|tool_call_start|>', '(', ')', '=', "'", '</tool_call>', '<|tool_call|>', '[TOOL_CALLS]',
        '[CALL_ID]', '[ARGS]', '<|python_tag|>', '<escape>',
        '<｜tool▁call▁begin｜>', '<｜tool▁sep｜>', '```', '<arg_key>', '</arg_key>', '<arg_value>', '</arg_value>', 'call:',
        '<start_function_call>', '<|message|>', 'to=functions.', '{', '}', '[', ']', '"', '\\', '\\u',
        ';', ',', ':', 'null', '1e999', '-', '"__proto__"', '"name"', '"arguments"', '"function"',
        '[['.repeat(50), '{"a":'.repeat(50), '\ud800', ' '.repeat(40),
        `${'['.repeat(9000)}${']'.repeat(9000)}`, `${'{"a":['.repeat(9000)}7${']}'.repeat(9000)}`,
    ];
    return () => {
        let source = pick(sources);
        if (random() < 0.2) source = JSON.stringify(bend(call));
        for (let i = 0; i <= below(3); i++) source = spoil(source, random() < 0.99 ? words.slice(0, -2) : words);
        const tools = random() < 0.3 ? [bend({ type: 'function', function: { name: 'get_weather' } })] : undefined;
        return { size: source.length, what: source.slice(0, 600), run: () => {
            const { text, calls } = parseToolCalls(source, { tools });
            assert.ok(text.length <= source.length && calls.every(({ name }) => typeof name === 'string'));
        } };
    };
}

async function caches() {
    const runtime = await createRuntime({ workers: 0 });
    const model = await loadModel(runtime, { config: json(plain.config), weights: weightsOf(plain.name) });
    const cache = model.createCache({ batch: 2 });
    (await model.forward([[1, 2, 3], [4, 5]], { cache })).dispose();
    const saved = /** @type {Uint8Array} */ (await cache.save());
    const length = new DataView(saved.buffer, saved.byteOffset).getUint32(8, true);
    const header = JSON.parse(Buffer.from(saved.subarray(16, 16 + length)).toString());
    const body = saved.subarray(16 + length);
    return () => {
        const bent = JSON.stringify(bend(header));
        const text = Buffer.from(random() < 0.2 ? spoil(bent, ['"', '{', ']', ',', '1e9', '-']) : bent);
        const padded = Buffer.concat([text, Buffer.alloc((16 - text.length % 16) % 16, ' ')]);
        const pages = random() < 0.1 ? body.subarray(0, below(body.length)) : body;
        const bytes = new Uint8Array(Buffer.concat([saved.subarray(0, 16), padded, pages]));
        const view = new DataView(bytes.buffer);
        view.setUint32(8, padded.length, true);
        // A sum that does not fit is what nearly all other damage comes to.
        view.setUint32(12, random() < 0.02 ? 1 : checksum(bytes.subarray(16)), true);
        return { size: bytes.length, what: bent, run: () => readCache(model.network, bytes) };
    };
}

async function pickles() {
    const all = ['types', 'protocol4', 'harmful', 'strided', 'nested'].map((name) =>
        new Uint8Array(readFileSync(new URL(`../files/fixtures/pytorch/${name}.bin`, import.meta.url))));
    const found = await Promise.all(all.map((bytes) => {
        const [name, member] = there([...readZipDirectory(bytes)].find(([each]) => each.endsWith('/data.pkl')));
        return readZipMember(bytes, { ...member, name });
    }));
    return () => {
        const bytes = random() < 0.05 ? pick(found) : spoilBytes(pick(found));
        return { size: bytes.length, what: Buffer.from(bytes).toString('latin1'), run: () => readStateDict(bytes) };
    };
}

/** @param {() => { size: number, what: string, run: () => unknown }} make @param {Costs} costs @returns {Promise<Map<string, number>>} */
async function fuzz(make, costs) {
    /** @type {Map<string, number>} */
    const seen = new Map();
    for (let round = 0; round < ROUNDS; round++) {
        const { size, what, run } = make();
        let outcome = 'taken';
        costs.begin();
        try {
            await run();
        } catch (error) {
            const { stack, message } = /** @type {Error} */ (error);
            const isTold = error instanceof FormatError || error instanceof TemplateError || /^no$/.test(message);
            assert.ok(isTold && message.length < LONGEST_MESSAGE, `round ${round}: ${stack}\n${what}`);
            outcome = error instanceof FormatError ? error.code : 'template';
        }
        costs.end(size, `round ${round}`);
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
    costs.tell(ROUNDS, seen);
    assert.equal(/** @type {any} */ ({}).x, undefined);
    return seen;
}

/** With the fewest kinds of outcome that show that damage is noticed in more places than one. @type {[string, number, () => any][]} */
const PARSERS = [
    ['safetensors headers', 10, safetensors], ['configs', 5, configs], ['tokenizers', 3, tokenizers], ['GGUF vocabularies', 3, vocabularies],
    ['chat templates', 3, templates], ['headers of caches', 4, caches],
    ['tool calls', 2, toolCalls], ['pickles', 4, pickles],
];
for (const [name, kinds, prepare] of PARSERS) {
    if (!name.includes(process.env.FUZZ_ONLY ?? '')) continue;
    // Outside of test(), whose hooks on every promise take most of the time otherwise.
    const result = await fuzz(await prepare(), new Costs(SEED, { base: BASE_BYTES })).catch((error) => ({ error }));
    test(`${ROUNDS} damaged ${name}, seed ${SEED}`, () => {
        if ('error' in result) throw result.error;
        const outcomes = JSON.stringify(Object.fromEntries(result));
        assert.ok(ROUNDS < 1000 || (result.size >= kinds && (result.get('taken') ?? 0) > ROUNDS / 50), outcomes);
    });
}
