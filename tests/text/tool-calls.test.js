// Tool calls in answers: the forms by hand, and, where ../shared is there, what real templates make of a call, read back.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { parseToolCalls } from '../../js/text/tool-calls.js';
import { json, tinyFiles, tinyTokenizer } from '../generation/checkpoint.js';
import { testRuntime } from '../runtime.js';
import { sharedFolder } from '../shared.js';

const CALL = { name: 'get_weather', arguments: { place: 'Rome "}]', unit: 'C' } };
const body = JSON.stringify(CALL);
const args = JSON.stringify(CALL.arguments);

/** @type {[string, string, any][]} */
const FORMS = [
    ['Hermes and Qwen', `<tool_call>\n${body}\n</tool_call>`, { text: '', calls: [CALL] }],
    ['several, with words', `Let me look.\n<tool_call>\n${body}\n</tool_call>\n<tool_call>${body}</tool_call> So.`,
        { text: 'Let me look.\n\n So.', calls: [CALL, CALL] }],
    ['a list between the tags', `<tool_call>[${body}, ${body}]</tool_call>`, { text: '', calls: [CALL, CALL] }],
    ['without an end tag', `<tool_call>${body}`, { text: '', calls: [CALL] }],
    ['Mistral', `[TOOL_CALLS] [{"name": "get_weather", "arguments": ${args}, "id": "abc"}]`, { text: '', calls: [{ ...CALL, id: 'abc' }] }],
    ['Mistral, later', `[TOOL_CALLS]get_weather[CALL_ID]abc[ARGS]${args}[TOOL_CALLS]get_weather[ARGS]${args}`,
        { text: '', calls: [{ ...CALL, id: 'abc' }, CALL] }],
    ['Granite and Phi', `<|tool_call|>[${body}]<|/tool_call|>`, { text: '', calls: [CALL] }],
    ['Llama', `{"name": "get_weather", "parameters": ${args}}`, { text: '', calls: [CALL] }],
    ['Llama, several', `<|python_tag|>{"name": "get_weather", "parameters": ${args}}; ${body}`, { text: '', calls: [CALL, CALL] }],
    ['a list where the marker was no text', ` [${body}]`, { text: '', calls: [CALL] }],
    ['arguments as text', `<tool_call>{"name": "a", "arguments": "{\\"b\\": 1}"}</tool_call>`, { text: '', calls: [{ name: 'a', arguments: { b: 1 } }] }],
    ['no arguments', '<tool_call>{"name": "now"}</tool_call>', { text: '', calls: [{ name: 'now', arguments: {} }] }],
    ['nested as in the OpenAI form', `<tool_call>{"id": "x", "function": ${body}}</tool_call>`, { text: '', calls: [{ ...CALL, id: 'x' }] }],
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
    });

    test('a call that is begun and is none', () => {
        for (const text of ['<tool_call>', '<tool_call>{"name": "a"', '<tool_call>{name: "a"}</tool_call>', '<tool_call>{"arguments": {}}</tool_call>',
            '<tool_call>[1]</tool_call>',
            `<tool_call>${'['.repeat(1e5)}${']'.repeat(1e5)}`, `<tool_call>[${'{"a":'.repeat(1e5)}1${'}'.repeat(1e5)}]`,
            '[TOOL_CALLS]7', '<tool_call>{"name": "a", "arguments": [1]}', '<tool_call>"a\\', '<tool_call>]']) {
            assert.throws(() => parseToolCalls(text), { name: 'FormatError', code: 'tool-call-invalid' });
        }
        assert.throws(() => parseToolCalls(/** @type {any} */ (7)), TypeError);
        assert.throws(() => parseToolCalls('', { tools: /** @type {any} */ ('a') }), TypeError);
        assert.equal(Object.getPrototypeOf(parseToolCalls('<tool_call>{"name": "a", "arguments": {"__proto__": {}}}').calls[0].arguments), Object.prototype);
    });

    test('a long answer takes a time that grows with it', () => {
        const { calls } = parseToolCalls(`<tool_call>${body}</tool_call> and `.repeat(20000));
        assert.equal(calls.length, 20000);
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

const chat = sharedFolder('models/chat/');
test('what real templates make of a call', { skip: chat ? false : '../shared is not there' }, () => {
    if (!chat) return;
    const { cases } = JSON.parse(readFileSync(new URL('real.json', chat), 'utf8'));
    let read = 0;
    for (const { template, conversation, text } of cases) {
        // From where the answer begins to its end token.
        const answer = /(?:<\|im_start\|>assistant\n|<\|end_header_id\|>\n\n|\[\/INST\]|<\|end_of_role\|>)((?:Let me look\.\n)?(?:<tool_call>|\[TOOL_CALLS\]|\{"name").*?)(?:<\|im_end\|>|<\|eot_id\|>|<\/s>|<\|end_of_text\|>)/s
            .exec(String(text))?.[1];
        if (conversation.startsWith('tool-') && answer !== undefined) {
            const [{ name, arguments: given }, ...others] = parseToolCalls(answer).calls;
            assert.deepEqual([name, given, others], ['get_weather', { place: 'Rome', unit: 'C' }, []], template);
            read++;
        }
    }
    assert.ok(read >= 12, `${read} of them were found`);
});
