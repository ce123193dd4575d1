// Tool calls in answers: the forms by hand, and, where ../shared is there, what real templates make of a call, read back.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { parseToolCalls } from '../../js/text/tool-calls.js';
import { json, tinyFiles, tinyTokenizer } from '../generation/checkpoint.js';
import { testRuntime } from '../paired.js';
import { sharedFolder } from '../shared.js';

const CALL = { name: 'get_weather', arguments: { place: 'Rome "}]', unit: 'C' } };
const body = JSON.stringify(CALL);
const args = JSON.stringify(CALL.arguments);

const r1 = `<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n\`\`\`json\n${args}\n\`\`\`<｜tool▁call▁end｜>`;
const pair = (/** @type {string} */ key, /** @type {string} */ value) => `<arg_key>${key}</arg_key>\n<arg_value>${value}</arg_value>`;
const parameter = (/** @type {string} */ key, /** @type {string} */ value) => `<parameter=${key}>\n${value}\n</parameter>`;
const v31 = (/** @type {string} */ name) => `<｜tool▁call▁begin｜>${name}<｜tool▁sep｜>${args}<｜tool▁call▁end｜>`;

/** @type {[string, string, any][]} */
const FORMS = [
    ['Hermes and Qwen', `<tool_call>\n${body}\n</tool_call>`, { text: '', calls: [CALL] }],
    ['several, with words', `Let me look.\n<tool_call>\n${body}\n</tool_call>\n<tool_call>${body}</tool_call> So.`,
        { text: 'Let me look.\n\n So.', calls: [CALL, CALL] }],
    ['a list between the tags', `<tool_call>[${body}, ${body}]</tool_call>`, { text: '', calls: [CALL, CALL] }],
    ['several between the tags', `So: <tool_call>\n${body}\n${body}</tool_call>.`, { text: 'So: .', calls: [CALL, CALL] }],
    ['without an end tag', `<tool_call>${body}`, { text: '', calls: [CALL] }],
    ['Mistral', `[TOOL_CALLS] [{"name": "get_weather", "arguments": ${args}, "id": "abc"}]`, { text: '', calls: [{ ...CALL, id: 'abc' }] }],
    ['Mistral, later', `[TOOL_CALLS]get_weather[CALL_ID]abc[ARGS]${args}[TOOL_CALLS]get_weather[ARGS]${args}`,
        { text: '', calls: [{ ...CALL, id: 'abc' }, CALL] }],
    ['Granite and Phi', `<|tool_call|>[${body}]<|/tool_call|>`, { text: '', calls: [CALL] }],
    ['Llama', `{"name": "get_weather", "parameters": ${args}}`, { text: '', calls: [CALL] }],
    ['Llama, several', `<|python_tag|>{"name": "get_weather", "parameters": ${args}}; ${body}`, { text: '', calls: [CALL, CALL] }],
    ['a list where the marker was no text', ` [${body}]`, { text: '', calls: [CALL] }],
    ['arguments as text', `<tool_call>{"name": "a", "arguments": "{\\"b\\": 1}"}</tool_call>`,
        { text: '', calls: [{ name: 'a', arguments: { b: 1 } }] }],
    ['no arguments', '<tool_call>{"name": "now"}</tool_call>', { text: '', calls: [{ name: 'now', arguments: {} }] }],
    ['no arguments, as text', '<tool_call>{"name": "now", "arguments": ""}</tool_call>', { text: '', calls: [{ name: 'now', arguments: {} }] }],
    ['nested as in the OpenAI form', `<tool_call>{"id": "x", "function": ${body}}</tool_call>`, { text: '', calls: [{ ...CALL, id: 'x' }] }],
    ['DeepSeek R1', `<think>\nHm.\n</think>\n\n<｜tool▁calls▁begin｜>${r1}\n${r1}<｜tool▁calls▁end｜>`,
        { text: '<think>\nHm.\n</think>\n\n\n', calls: [CALL, CALL] }],
    ['DeepSeek R1, cut behind the fence', r1.slice(0, -'<｜tool▁call▁end｜>'.length), { text: '', calls: [CALL] }],
    ['DeepSeek V3.1', `<｜tool▁calls▁begin｜>${v31('get_weather')}${v31('function')}<｜tool▁calls▁end｜>`,
        { text: '', calls: [CALL, { ...CALL, name: 'function' }] }],
    ['GLM 4.5', `\n<tool_call>f\n${pair('a', 'x <b>\n"1"')}\n${pair('n', '[1, {}]')}\n</tool_call>`,
        { text: '\n', calls: [{ name: 'f', arguments: { a: 'x <b>\n"1"', n: [1, {}] } }] }],
    ['GLM 4.7', '<tool_call>f<arg_key>a</arg_key><arg_value></arg_value></tool_call><tool_call>now</tool_call>',
        { text: '', calls: [{ name: 'f', arguments: { a: '' } }, { name: 'now', arguments: {} }] }],
    ['Qwen 3 Coder', `So.\n<tool_call>\n<function=f>\n${parameter('a', 'x <b>\n\n"1"')}\n${parameter('n', '[1, {}]')}\n</function>\n</tool_call>`,
        { text: 'So.\n', calls: [{ name: 'f', arguments: { a: 'x <b>\n\n"1"', n: [1, {}] } }] }],
    ['Qwen 3 Coder, several, without the outer tag', `<function=now>\n</function>\n<function=f>\n<parameter=a></parameter>\n</function>\n</tool_call>`,
        { text: '\n', calls: [{ name: 'now', arguments: {} }, { name: 'f', arguments: { a: '' } }] }],
    ['Qwen 3 Coder, several between the tags', `<tool_call>\n<function=now>\n</function>\n<function=now></function></tool_call>`,
        { text: '', calls: [{ name: 'now', arguments: {} }, { name: 'now', arguments: {} }] }],
    ['Llama 3.1', `<function=get_weather>${args}</function>`, { text: '', calls: [CALL] }],
    ['a tag of a function that is spoken of', 'Write <function=name> first.', { text: 'Write <function=name> first.', calls: [] }],
    ['LFM2', `<|tool_call_start|>[get_weather(place='Rome "}]', unit="C"), now()]<|tool_call_end|>So.`,
        { text: 'So.', calls: [CALL, { name: 'now', arguments: {} }] }],
    ['LFM2, what Python spells otherwise',
        `<|tool_call_start|>[a.b(t=True, f=False, n=None, x=-1.5e3, s='it\\'s\\n\\x41\\u00e9', l=['(a=', {"k": 'v)'},], )]<|tool_call_end|>`,
        { text: '', calls: [{ name: 'a.b', arguments: { t: true, f: false, n: null, x: -1500, s: "it's\nAé", l: ['(a=', { k: 'v)' }] } }] }],
    ['LFM2, as JSON', `<|tool_call_start|>[${body}]<|tool_call_end|>`, { text: '', calls: [CALL] }],
    ['a list of what only looks like calls', '[see(a=1)]', { text: '[see(a=1)]', calls: [] }],
    ['FunctionGemma',
        '<start_function_call>call:f{a:<escape>x, y: {"z"}<escape>,n:[1,-2.5e3,true],o:{p:null, q:<escape><escape>}}<end_function_call>',
        { text: '', calls: [{ name: 'f', arguments: { a: 'x, y: {"z"}', n: [1, -2500, true], o: { p: null, q: '' } } }] }],
    ['FunctionGemma, several', '<start_function_call>call:now{}<end_function_call><start_function_call>call:f{a:1,b:None}',
        { text: '', calls: [{ name: 'now', arguments: {} }, { name: 'f', arguments: { a: 1, b: null } }] }],
    ['gpt-oss', `<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json${
        ''}<|message|>${args}<|call|>`, { text: '<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant', calls: [CALL] }],
    ['gpt-oss, the name first', ` to=functions.get_weather<|channel|>commentary json<|message|>${args}`, { text: ' ', calls: [CALL] }],
    ['Phi 4 mini', `<|tool_call|>${body}<|/tool_call|><|tool_call|>${body}<|/tool_call|>`, { text: '', calls: [CALL, CALL] }],
    ['Phi 4 mini by its prompt', `functools[${body}]`, { text: '', calls: [CALL] }],
    ['Llama 3.2 1B', `{"type": "function", "function": "get_weather", "parameters": ${args}}`, { text: '', calls: [CALL] }],
    ['words that are no markers', 'functools[0]; to=functions.x', { text: 'functools[0]; to=functions.x', calls: [] }],
    ['a name outside of JSON, not known', `get_weather${args}`, { text: `get_weather${args}`, calls: [] }],
    ['markers in an argument of JSON without any', `<|python_tag|>${JSON.stringify({ name: 'say', parameters: { text: `<tool_call>${body}` } })}`,
        { text: '', calls: [{ name: 'say', arguments: { text: `<tool_call>${body}` } }] }],
    ['a call that was only thought of', `<think>I could <tool_call>${body}</tool_call>.\n</think>\n\n<tool_call>${body}</tool_call>`,
        { text: `<think>I could <tool_call>${body}</tool_call>.\n</think>\n\n`, calls: [CALL] }],
    ['a marker that was thought of', `<think>The <tool_call> tag.</think>[TOOL_CALLS][${body}]`,
        { text: '<think>The <tool_call> tag.</think>', calls: [CALL] }],
    ['thoughts that the prompt began', `The <tool_call> tag.</think>\n${body}`, { text: 'The <tool_call> tag.</think>', calls: [CALL] }],
    ['thoughts without end', '<think>The <tool_call> tag', { text: '<think>The <tool_call> tag', calls: [] }],
    ['an end of thoughts in an argument', '<tool_call>{"name": "say", "arguments": {"text": "a </think> b\\n</think>"}}</tool_call>',
        { text: '', calls: [{ name: 'say', arguments: { text: 'a </think> b\n</think>' } }] }],
    ['words alone', 'It is {warm} in "Rome".', { text: 'It is {warm} in "Rome".', calls: [] }],
    ['JSON that is no call', '{"warm": true}', { text: '{"warm": true}', calls: [] }],
    ['words behind JSON', `${body} is how`, { text: `${body} is how`, calls: [] }],
    ['nothing', '', { text: '', calls: [] }],
    ['an empty list', '[]', { text: '[]', calls: [] }],
    ['brackets without end', '['.repeat(1e5), { text: '['.repeat(1e5), calls: [] }],
    ['brackets in brackets', `${'['.repeat(1e5)}${']'.repeat(1e5)}`, { text: `${'['.repeat(1e5)}${']'.repeat(1e5)}`, calls: [] }],
];

describe('parseToolCalls', () => {
    for (const [name, text, expected] of FORMS) test(name, () => assert.deepEqual(parseToolCalls(text), expected));

    test('with the tools: a text without markers is a call only of one of them', () => {
        for (const tools of [[{ type: 'function', function: { name: 'get_weather' } }], [{ name: 'get_weather' }]]) {
            assert.deepEqual(parseToolCalls(body, { tools }).calls, [CALL]);
        }
        assert.deepEqual(parseToolCalls(body, { tools: [{ name: 'other' }] }), { text: body, calls: [] });
        // As Mistral's later forms are where markers are left out.
        const tools = [{ name: 'get_weather' }];
        assert.deepEqual(parseToolCalls(`get_weather${args}get_weather${args}`, { tools }), { text: '', calls: [CALL, CALL] });
        const python = "[get_weather(place='Rome \"}]', unit='C')]";
        assert.deepEqual(parseToolCalls(python, { tools }), { text: '', calls: [CALL] });
        assert.deepEqual(parseToolCalls(python, { tools: [{ name: 'other' }] }), { text: python, calls: [] });
        assert.deepEqual(parseToolCalls(`other${args}`, { tools }), { text: `other${args}`, calls: [] });
    });

    test('with the tools: an argument without quotes that is a text stays one', () => {
        const answer = `<tool_call>f\n${pair('a', '1')}\n${pair('b', '1')}\n</tool_call>`;
        const parameters = { type: 'object', properties: { a: { type: 'string' }, b: { type: 'integer' } } };
        for (const tools of [[{ type: 'function', function: { name: 'f', parameters } }], [{ name: 'f', parameters }]]) {
            assert.deepEqual(parseToolCalls(answer, { tools }).calls[0].arguments, { a: '1', b: 1 });
        }
        const lines = `<function=f>${parameter('a', 'True')}${parameter('b', 'None')}${parameter('c', 'True')}</function>`;
        assert.deepEqual(parseToolCalls(lines, { tools: [{ name: 'f', parameters }] }).calls[0].arguments, { a: 'True', b: null, c: 'True' });
        for (const odd of [null, 5, { properties: null }, { properties: { a: null } }]) {
            const tools = /** @type {any} */ ([null, { name: 'f', parameters: odd }]);
            assert.deepEqual(parseToolCalls(answer, { tools }).calls[0].arguments, { a: 1, b: 1 });
        }
    });

    test('a call that is begun and is none', () => {
        for (const text of ['<tool_call>', '<tool_call>{"name": "a"', '<tool_call>{name: "a"}</tool_call>',
            '<tool_call>{"arguments": {}}</tool_call>',
            '<tool_call>[1]</tool_call>',
            `<tool_call>${'['.repeat(1e5)}${']'.repeat(1e5)}`, `<tool_call>[${'{"a":'.repeat(1e5)}1${'}'.repeat(1e5)}]`,
            '<tool_call>f<arg_key>a</arg_key><arg_value>1', '<tool_call>f<arg_key>a</arg_key>b</tool_call>',
            '<tool_call><function=f>', '<tool_call><function=f><parameter=a>1</function>', '<function=f>\n<parameter=a>\n1', '<function=f>{"a": 1}',
            '<｜tool▁call▁begin｜>f<｜tool▁sep｜>7',
            '<start_function_call>call:f{a:<escape>x}<end_function_call>', '<start_function_call>call:f', '<start_function_call>call:f{a:b c}',
            ...['f(1)]', 'f(a=b)]', 'f(a=1]', 'f(a=1)', "f(a='1)]", 'f(a=1) g()]', 'f(a=(1, 2))]'].map((call) => `<|tool_call_start|>[${call}`),
            '[TOOL_CALLS]7', '<tool_call>{"name": "a", "arguments": [1]}', '<tool_call>"a\\', '<tool_call>]']) {
            assert.throws(() => parseToolCalls(text), { name: 'FormatError', code: 'tool-call-invalid' });
        }
        assert.throws(() => parseToolCalls(/** @type {any} */ (7)), TypeError);
        assert.throws(() => parseToolCalls('', { tools: /** @type {any} */ ('a') }), TypeError);
        for (const text of ['{"name": "a", "arguments": {"__proto__": {}}}', `a${pair('__proto__', '{}')}</tool_call>`]) {
            assert.equal(Object.getPrototypeOf(parseToolCalls(`<tool_call>${text}`).calls[0].arguments), Object.prototype);
        }
    });

    test('a long answer takes a time that grows with it', () => {
        const { calls } = parseToolCalls(`<tool_call>${body}</tool_call> and `.repeat(20000));
        assert.equal(calls.length, 20000);
        // Of each form: what never ends, and what looks like its parts again and again.
        for (const text of ['<tool_call>a<arg_key>', '<tool_call>a<arg_key>a</arg_key><arg_value>', '<start_function_call>call:a{<escape>a<escape>',
            '<start_function_call>call:a{', 'to=functions.a', 'functools[ ', '<｜tool▁calls▁begin｜>', '</arg_key><arg_value>', 'a', ' ',
            '<|tool_call_start|>[a(', '[a(b=', "[a(b='", "'\\", '<function=a>', '<function=a><parameter=b>', '<parameter=b></parameter>',
            '<escape>', '```', '</think> ']) {
            for (const begin of ['', '<tool_call>a<arg_key>', '<tool_call>a<arg_key>b</arg_key><arg_value>', '<start_function_call>call:a{',
                '<function=a>', '<function=a><parameter=b>', '{"a": "']) {
                try {
                    parseToolCalls(begin + text.repeat(5e4), { tools: [{ name: 'a' }] });
                } catch (error) {
                    assert.equal(/** @type {any} */ (error).code, 'tool-call-invalid');
                }
            }
        }
    });
});

test('of tokens: markers are seen that generate() does not show', async () => {
    const tokenizer = /** @type {any} */ (tinyTokenizer());
    tokenizer.added_tokens.push({ ...tokenizer.added_tokens[0], id: 266, content: '[TOOL_CALLS]' });
    tokenizer.model.vocab['[TOOL_CALLS]'] = 266;
    const model = await loadModel(await testRuntime(), { ...tinyFiles(), tokenizer: json(tokenizer) });
    const ids = model.tokenizer?.encode(`Yes.[TOOL_CALLS][${body}]`) ?? [];
    assert.ok(ids.includes(266));
    assert.deepEqual(model.parseToolCalls([...ids, ...model.endTokens]), { text: 'Yes.', calls: [CALL] });
    assert.deepEqual(model.parseToolCalls(`[${body}]`).calls, [CALL]);
    assert.throws(() => model.parseToolCalls([999]), RangeError);
});

const ANSWER = new RegExp([
    '(?:<\\|im_start\\|>assistant\\n|<\\|end_header_id\\|>\\n\\n|\\[/INST\\]|<\\|end_of_role\\|>|<｜Assistant｜>',
    '|<think></think>|<\\|start\\|>assistant)',
    '((?:Let me look\\.)?\\s*(?:<tool_call>|\\[TOOL_CALLS\\]|\\{"name"|<｜tool▁calls▁begin｜>| to=functions).*?)',
    '(?:<\\|im_end\\|>|<\\|eot_id\\|>|</s>|<\\|end_of_text\\|>|<｜end▁of▁sentence｜>|<\\|observation\\|>|<\\|call\\|>)',
].join(''), 's');
const chat = sharedFolder('models/chat/');
test('what real templates make of a call', { skip: chat ? false : '../shared is not there' }, () => {
    if (!chat) return;
    const { cases } = JSON.parse(readFileSync(new URL('real.json', chat), 'utf8'));
    let read = 0;
    for (const { template, conversation, text } of cases) {
        // From where the answer begins to its end token.
        const answer = ANSWER.exec(String(text))?.[1];
        if (conversation.startsWith('tool-') && answer !== undefined) {
            const [{ name, arguments: given }, ...others] = parseToolCalls(answer).calls;
            assert.deepEqual([name, given, others], ['get_weather', { place: 'Rome', unit: 'C' }, []], template);
            read++;
        }
    }
    assert.ok(read >= 32, `${read} of them were found`);
});
