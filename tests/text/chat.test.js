// Chat templates: own small templates, what they give by Jinja's documentation and Python's; and, where the folder
// ../shared stands beside the repository, the templates of models as transformers renders them.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { FormatError } from '../../js/check.js';
import { ChatTemplate } from '../../js/text/chat.js';
import { sharedFolder } from '../shared.js';

const USER = { role: 'user', content: 'Hi' };
const CHATML = '{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}'
    + '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}';

/** @param {string} template @param {Record<string, unknown>} [variables] @returns {string} */
function render(template, variables = {}) {
    return new ChatTemplate(template).render([], variables);
}

describe('the text of a conversation', () => {
    test('with and without the beginning of an answer', () => {
        const template = new ChatTemplate(CHATML);
        assert.equal(template.render([USER]), '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n');
        assert.equal(template.render([USER], { addGenerationPrompt: false }), '<|im_start|>user\nHi<|im_end|>\n');
    });

    test('the last message is continued', () => {
        const template = new ChatTemplate(CHATML);
        /** @param {import('../../js/text/chat.js').Message['content']} content */
        const answer = (content) => [USER, { role: 'assistant', content }];
        const begun = '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n';
        assert.equal(template.render(answer('Hel'), { continueFinalMessage: true }), `${begun}Hel`);
        assert.equal(template.render(answer('Hel \n'), { continueFinalMessage: true }), `${begun}Hel \n`);
        const trimming = new ChatTemplate('{% for m in messages %}[{{ m.content | trim }}]{% endfor %}');
        assert.equal(trimming.render(answer(' Hel \n'), { continueFinalMessage: true }), '[Hi][Hel');
        const parts = [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }, { type: 'image' }];
        const joined = new ChatTemplate('{% for p in messages[-1].content %}{{ p.text }}|{% endfor %}');
        assert.equal(joined.render(answer(parts), { continueFinalMessage: true }), 'a|b');
        for (const content of [null, [{ type: 'image' }]]) {
            const run = () => template.render(answer(content), { continueFinalMessage: true });
            assert.throws(run, /no text to continue/);
        }
        const silent = new ChatTemplate('nothing');
        assert.throws(() => silent.render(answer('x'), { continueFinalMessage: true }), /does not appear/);
        const both = { continueFinalMessage: true, addGenerationPrompt: true };
        assert.throws(() => template.render(answer('x'), both), /^TypeError: addGenerationPrompt must be false/);
    });

    test('the last message is continued where its content stands elsewhere too, in its own last part of text', () => {
        const template = new ChatTemplate(CHATML);
        const continued = (/** @type {string} */ content) => template.render([{ role: 'assistant', content }], { continueFinalMessage: true });
        for (const content of ['end', 'i', '<|im_end|>', '']) assert.equal(continued(content), `<|im_start|>assistant\n${content}`);
        const twice = new ChatTemplate('{{ messages[0].content }}; {{ messages[1].content }}!');
        const messages = [{ role: 'user', content: 'a' }, { role: 'assistant', content: ' a ' }];
        assert.equal(twice.render(messages, { continueFinalMessage: true }), 'a;  a ');
        assert.deepEqual(messages[1], { role: 'assistant', content: ' a ' });
        const cut = new ChatTemplate("{{ messages[0].content.split('b')[1] }}");
        assert.throws(() => cut.render([{ role: 'assistant', content: 'abc' }], { continueFinalMessage: true }), /does not appear/);
    });

    test('what a message has is what transformers hands to a template', () => {
        const template = new ChatTemplate('{% for m in messages %}{{ m | tojson }}{{ m.content is defined }}{% endfor %}');
        const shown = (/** @type {any} */ message) => template.render([{ role: 'a', ...message }]);
        assert.equal(shown({ content: null, tool_calls: [{ id: null }] }), '{"role": "a", "tool_calls": [{"id": null}]}False');
        assert.equal(shown({ content: 'x', reasoning: 'r' }),
            '{"thinking": "r", "role": "a", "content": "x", "reasoning": "r", "reasoning_content": "r"}True');
        assert.equal(shown({ content: '', reasoning_content: 'r', thinking: 't' }),
            '{"thinking": "t", "role": "a", "content": "", "reasoning_content": "r"}True');
        assert.equal(shown({ reasoning_content: null, thinking: '' }), '{"thinking": "", "role": "a", "reasoning_content": ""}False');
    });

    test('special tokens, tools and variables', () => {
        const source = '{{ bos_token }}{{ tools is none }}{{ documents is none }}{{ custom }}';
        const template = new ChatTemplate(source, { specialTokens: { bos_token: '<s>' } });
        assert.equal(template.render([]), '<s>TrueTrue');
        assert.equal(template.render([], { tools: [], custom: [1, 1.5] }), '<s>FalseTrue[1, 1.5]');
        const fromMap = new ChatTemplate('{{ eos_token }}', { specialTokens: new Map([['eos_token', '</s>']]) });
        assert.equal(fromMap.render([]), '</s>');
        assert.equal(fromMap.render([], { eos_token: 'other' }), 'other');
    });

    test('of several templates the one for tools', () => {
        const both = new ChatTemplate(new Map([['default', 'plain'], ['tool_use', 'tools']]));
        assert.equal(both.render([]), 'plain');
        assert.equal(both.render([], { tools: [{}] }), 'tools');
        assert.equal(new ChatTemplate(new Map([['default', 'plain']])).render([], { tools: [{}] }), 'plain');
        const rag = new ChatTemplate(new Map([['rag', 'x']]));
        assert.throws(() => rag.render([]), { code: 'template-invalid', message: /"rag"/ });
        assert.throws(() => new ChatTemplate(new Map()), FormatError);
        assert.throws(() => new ChatTemplate(/** @type {any} */ (5)), FormatError);
    });

    test('what a tool gave is for the template', () => {
        const template = new ChatTemplate('{% set c = messages[0].content %}{{ c | tojson if c is mapping else c }}{{ messages[0].content }}');
        // By transformers 5.24.
        assert.equal(template.render([{ role: 'tool', content: { t: 21, wind: null } }]), '{"t": 21, "wind": null}{\'t\': 21, \'wind\': None}');
        const continued = () => template.render([{ role: 'assistant', content: { t: 21 } }], { continueFinalMessage: true });
        assert.throws(continued, /no text to continue/);
    });

    test('messages are checked at the door', () => {
        const template = new ChatTemplate(CHATML);
        for (const [messages, message] of [
            ['Hi', /^messages must be an array of \{ role, content \}, got "Hi"/],
            [['Hi'], /^messages\[0\] must be an object \{ role, content \}, got "Hi"/],
            [[USER, { content: 'x' }], /^messages\[1\]\.role must be a text, got undefined/],
            [[{ role: 'user', content: 5 }],
                /^messages\[0\]\.content must be a text, an array of parts, an object or null, got 5/],
            [[{ ...USER, extra: () => 1 }], /^messages\[0\]\.extra must be made of plain objects/],
            [[{ ...USER, date: new Date(0) }], /^messages\[0\]\.date must be made of plain objects.*a Date/],
        ]) {
            assert.throws(() => template.render(/** @type {any} */ (messages)), { name: 'TypeError', message });
        }
        /** @type {any} */
        const cycle = { ...USER };
        cycle.self = cycle;
        assert.throws(() => template.render([cycle]), /nested more than 100 deep/);
        for (const options of [{ tools: {} }, { addGenerationPrompt: 1 }, { continueFinalMessage: 'yes' },
            { messages: [] }]) {
            assert.throws(() => template.render([USER], /** @type {any} */ (options)), TypeError);
        }
        assert.throws(() => template.render([USER], { add_generation_prompt: true }),
            { name: 'TypeError', message: 'options.add_generation_prompt must be absent: addGenerationPrompt says it, got true' });
    });

    test('what the template raises is in the message', () => {
        assert.throws(() => render("{{ raise_exception('roles must ' ~ 'alternate') }}"), /roles must alternate/);
    });

    test('the clock', () => {
        const year = String(new Date().getFullYear());
        assert.equal(render("{{ strftime_now('%Y%%') }}"), `${year}%`);
    });
});

/** [template, what it gives] */
const FEATURES = [
    // Whitespace: a newline after a block goes, so does what stands before it in its line; '-' takes all, '+' nothing.
    ['{% if true %}\nx\n{% endif %}\ny\n', 'x\ny'],
    ['a\n   {% if true %}b{% endif %}\n {# c #}\n', 'a\nb'],
    ['a  {%- if true -%}  b  {%- endif -%}  {{- " c " -}} ', 'ab c '],
    ['  {%+ if true %}x{% endif +%}\ny', '  x\ny'],
    ['{% raw %}{{ x }}{% endraw %}', '{{ x }}'],
    ['{', '{'],
    ['a\r\nb\rc', 'a\nb\nc'],
    // Python's output
    ['{{ true }}{{ none }}{{ 1.0 }} {{ 1e16 }} {{ 7 / 7 }} {{ 12345678901234567890 }}',
        'TrueNone1.0 1e+16 1.0 12345678901234567890'],
    ["{{ [1, 'a', none] }}{{ (1,) }}{{ {'k': \"it's\"} }}", "[1, 'a', None](1,){'k': \"it's\"}"],
    ["{{ ['\\n\\\\é\\x00'] }}", "['\\n\\\\é\\x00']"],
    // Operators
    ['{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 3 }} {{ 2 ** -1 }} {{ 7.5 // 2 }}', '3 -4 2 8 0.5 3.0'],
    ["{{ 1 ~ 'a' ~ none }}{{ 'ab' * 2 }}{{ [1] + [2] }}", '1aNoneabab[1, 2]'],
    ["{{ 1 < 2 < 3 }}{{ 1 == 1.0 }}{{ 'b' in 'abc' }}{{ 4 not in [4] }}{{ not 1 or 2 }}", 'TrueTrueTrueFalse2'],
    ["{{ 'a' if 0 else 'b' }}[{{ 'a' if 0 }}]", 'b[]'],
    // Items and slices; characters are counted, not halves of them
    ["{{ 'héllo'[1:3] }}{{ [1, 2, 3][::-1] }}{{ 'a🚀b'[1] }}{{ 'a🚀b' | length }}{{ 'a🚀b'[::-1] }}", 'él[3, 2, 1]🚀3b🚀a'],
    ['{{ range(4)[1:] }}{{ range(9)[::-2] }}{{ range(9)[-3:][1] }}', 'range(1, 4)range(8, -1, -2)7'],
    ["{{ {'items': 1}['items'] }}{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}", '1a1b2'],
    ["[{{ nope }}{{ {}.nope }}{{ [][5] }}{{ nope | default('d') }}{{ nope is defined }}]", '[dFalse]'],
    // Statements
    ['{% for x in [3, 4] %}{{ loop.index }}{{ x }}{{ "," if not loop.last }}{% else %}none{% endfor %}', '13,24'],
    ['{% for x in [] %}x{% else %}none{% endfor %}', 'none'],
    // A body that was left early does not keep Jinja from what stands for no item at all.
    ['{% for x in [1, 2] %}{{ x }}{% break %}{% else %}none{% endfor %}', '1none'],
    ['{% for x in [1, 2] %}{{ x }}{% continue %}{% else %}none{% endfor %}', '12none'],
    ['{% for x in [1, 2] %}{% if loop.last %}{% break %}{% endif %}{{ x }}{% else %}none{% endfor %}', '1'],
    ['{% for x in range(9) if x % 2 %}{{ loop.length }}{{ x }} {% endfor %}', '41 43 45 47 '],
    ['{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}',
        '02'],
    ['{% for n in [1, [2, [3]]] recursive %}{{ n if n is number else "(" ~ loop(n) ~ ")" }}{% endfor %}', '1(2(3))'],
    ['{% set x = 1 %}{% for i in [5] %}{% set x = i %}{{ x }}{% endfor %}{{ x }}', '51'],
    ['{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}', '3'],
    ['{% set x %}a{{ 1 }}{% endset %}{{ x }}{% set a, b = 1, 2 %}{{ b }}{% filter upper %}c{% endfilter %}', 'a12C'],
    ["{% macro f(a, b='B') %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, k=4) }}{{ f(b=1) }}",
        "12(3,){'k': 4}1(){}"],
    ["{% macro f() %}<{{ caller('x') }}>{% endmacro %}{% call(v) f() %}{{ v }}y{% endcall %}", '<xy>'],
    ['{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}', '3'],
    ['{% generation %}x{% endgeneration %}{% block b %}y{% endblock %}', 'xy'],
    // An unknown filter behind a condition counts only when it is reached.
    ['{% if false %}{{ 1 | nosuch }}{% endif %}{{ 1 | nosuch if false else 2 }}', '2'],
    // Methods
    ["{{ ' a '.strip() }}{{ 'a,b'.split(',') }}{{ 'a b  c'.split() }}{{ 'a.b.c'.rsplit('.', 1) }}",
        "a['a', 'b']['a', 'b', 'c']['a.b', 'c']"],
    ["{{ 'xax'.strip('x') }}{{ 'ab'.startswith(('b', 'a')) }}{{ 'abc'.find('c') }}{{ '-'.join(['a', 'b']) }}",
        'aTrue2a-b'],
    ["{{ '{0}{k:>3}'.format(1, k=2) }}{{ '%s=%03d' % ('a', 7) }}{{ \"it's\".title() }}", "1  2a=007It'S"],
    ["{{ '%c%c' % (128640, 'é') }} {{ '%#x %#o' % (-255, 8) }} {{ '%a' % 'é🚀' }} {{ '{!a}'.format(['ÿ']) }}",
        "🚀é -0xff 0o10 '\\xe9\\U0001f680' ['\\xff']"],
    // Filters
    ['{{ {"b": [1, 2.0, none], "a": "é<"} | tojson }}', '{"b": [1, 2.0, null], "a": "é<"}'],
    ['{{ {"a": [1], "b": {}} | tojson(indent=2) }}', '{\n  "a": [\n    1\n  ],\n  "b": {}\n}'],
    // transformers' own: ensure_ascii comes first
    ["{{ 'é' | tojson(true) }}{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':')) }}",
        '"\\u00e9"{"a":2,"b":1}'],
    // Keys are sorted as they are, not as JSON spells them
    ["{{ {10: 1, 9: 2} | tojson(sort_keys=true) }}{{ {'🚀': 1, '\uffff': 2} | tojson(sort_keys=true) }}",
        '{"9": 2, "10": 1}{"\uffff": 2, "🚀": 1}'],
    ["{{ ['b', 'A'] | sort | join('-') }}{{ [3, 1] | max }}{{ [1, 2, 3] | select('odd') | list }}", 'A-b3[1, 3]'],
    ["{{ [{'n': 2}, {'n': 1}] | map(attribute='n') | list }}{{ [{'n': 2}] | selectattr('n', 'gt', 1) | list }}",
        "[2, 1][{'n': 2}]"],
    ["{{ 'a\\nb' | indent(2) }}{{ 2.5 | round }}{{ '7x' | int }}{{ 'hello world' | title }}", 'a\n  b2.00Hello World'],
    ["{{ {'b': 1, 'a': 2} | dictsort }}{{ {'a': 1} | items | list }}", "[('a', 2), ('b', 1)][('a', 1)]"],
    // Tests
    ["{{ 1 is number }}{{ true is integer }}{{ 'a' is iterable }}{{ {} is mapping }}{{ 4 is divisibleby 2 }}",
        'TrueFalseTrueTrueTrue'],
    ["{{ 'a' is not string }}{{ none is none }}{{ 1 is eq 1.0 }}{{ 'a' is in ['a'] }}", 'FalseTrueTrueTrue'],
];

describe('Jinja as its documentation has it', () => {
    for (const [template, text] of FEATURES) test(template, () => assert.equal(render(template), text));

    for (const [template, message] of /** @type {[string, RegExp][]} */ ([
        ['{{ nope.x }}', /'nope' is undefined/],
        ['{{ nope() }}', /'nope' is undefined/],
        ["{{ 'a' + none }}", /can only concatenate str \(not "NoneType"\) to str/],
        ['{{ 1 / 0 }}', /division by zero/],
        ['{{ 2.0 ** 5000 }}', /a power is too large for a float/],
        ["{{ '%c' % 'ab' }}", /%c requires the number of a character, or one/],
        ["{{ '%c' % -1 }}", /%c requires the number of a character, or one/],
        ["{{ {1: 1, 'a': 2} | tojson(sort_keys=true) }}", /'<' not supported between instances of 'str' and 'int'/],
        ['{% for x in none %}{% endfor %}', /'NoneType' object is not iterable/],
        ['{% set l = [] %}{{ l.append(1) }}', /access to attribute 'append' of 'list' object is unsafe/],
        ["{{ ''.__class__.__mro__ }}", /access to attribute '__class__' of 'str' object is unsafe/],
        ['{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}', /macro 'f' takes at most 1 argument/],
        ['\n\n{{ none | length }}', /line 3: object of type 'NoneType' has no len/],
    ])) {
        test(`${template} is refused when it runs`, () => {
            assert.throws(() => render(template), { name: 'TemplateError', message });
        });
    }

    for (const [template, code, message] of /** @type {[string, string, RegExp][]} */ ([
        ['{% for x in %}{% endfor %}', 'template-invalid', /expected an expression, got end of statement block/],
        ['{% if true %}x', 'template-invalid', /'if' is not closed/],
        ['{{ 1 | nosuch }}', 'template-invalid', /line 1: no filter named 'nosuch'/],
        ['\n{{ 1 is nosuch }}', 'template-invalid', /line 2: no test named 'nosuch'/],
        ['{% nosuch %}', 'template-invalid', /unknown tag 'nosuch'/],
        ['{{ "x }}', 'template-invalid', /a string is not closed/],
        ['{% break %}', 'template-invalid', /'break' outside a loop/],
        ['{{ x | urlize }}', 'template-unsupported', /the filter 'urlize'/],
        ['{% do x %}', 'template-unsupported', /the tag 'do'/],
    ])) {
        test(`${template} is refused when it is read`, () => {
            assert.throws(() => new ChatTemplate(template), { name: 'FormatError', code, message });
        });
    }

    test('other templates are not there', () => {
        const template = new ChatTemplate("{% if x %}{% include 'y' %}{% endif %}z");
        assert.equal(template.render([]), 'z');
        assert.throws(() => template.render([], { x: 1 }), { code: 'template-unsupported', message: /'include'/ });
    });
});

describe('hostile templates', () => {
    const grow = (/** @type {string} */ body) => `{% set ns = namespace(s='ab', l=[]) %}{% for i in range(99999) %}${body}{% endfor %}`;
    for (const [name, template, limit] of /** @type {[string, string, RegExp][]} */ ([
        ['loops', grow('{% for j in range(99999) %}{% endfor %}'), /steps/],
        ['text that doubles', grow('{% set ns.s = ns.s ~ ns.s %}'), /characters/],
        ['text times a number', "{{ 'a' * 10 ** 12 }}", /characters/],
        ['a width', "{{ '%999999999d' % 1 }}", /characters/],
        ['lists that double', grow('{% set ns.l = [ns.l, ns.l] %}{{ ns.l | length }}') + '{{ ns.l }}', /steps|levels/],
        ['lists in lists', grow('{% set ns.l = [ns.l] %}') + '{{ ns.l }}', /levels/],
        ['numbers', '{{ 9 ** 9 ** 9 ** 9 ** 9 }}', /1024 bits/],
        ['macros without end', '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}', /levels/],
        ['a search that compares everything', "{% set s = 'a' * 4000000 %}{{ s.find('a' * 2000000 ~ 'b') }}", /steps/],
        ['long texts compared',
            `{% set a = 'x' * 8000000 %}{% set b = 'x' * 8000000 %}${grow('{% if a == b %}{% endif %}')}`, /steps/],
        ['replace', "{{ ('a' * 100000).replace('a', 'b' * 1000) }}", /characters/],
        ['texts put into texts', `{% set s = 'x' * 8000000 %}${grow("{% set x = '%s' % s %}")}`, /steps/],
        ['texts to be taken off', `{% set s = 'x' * 8000000 %}${grow("{% set x = 'abc'.strip(s) %}")}`, /steps/],
        ['texts that are no numbers', `{% set s = '1' * 4000000 ~ 'x' %}${grow('{% set x = s | float %}')}`, /steps/],
        ['texts that are looked at', `{% set s = 'x' * 8000000 %}${grow('{% if s is lower %}{% endif %}')}`, /steps/],
        ['long texts in another case', "{{ (['A' * 8000000] * 1000) | sort | length }}", /steps/],
        ['attributes of attributes', "{{ range(100) | map(attribute='a.' * 400000, default='x') | list }}", /steps/],
        ['flags without end', "{{ ('%' ~ '0' * 200000) % 1 }}", /incomplete format/],
        ['fields without end', "{{ ('{' ~ '[' * 200000 ~ '}').format(1) }}", /Invalid format field/],
        ['digits in threes', "{{ '{:,}'.format('1' * 200000) }}", /Cannot specify ',' with 's'/],
    ])) {
        test(`${name}: refused by the name of the limit, soon`, () => {
            const start = performance.now();
            assert.throws(() => render(template), limit);
            // A second where nothing else runs; the bound leaves room for a busy machine.
            assert.ok(performance.now() - start < 30_000);
        });
    }

    test('deep and long sources', () => {
        for (const source of ['{{ '.concat('('.repeat(50000)), `{{ ${'not '.repeat(20000)}1 }}`,
            `{{ 1${'+1'.repeat(20000)} }}`, '{% if 1 %}'.repeat(10000), `{{ ${'['.repeat(20000)}`,
            'x'.repeat(300000)]) {
            assert.throws(() => new ChatTemplate(source), FormatError);
        }
    });

    test('nothing of JavaScript is in reach', () => {
        const names = ['constructor', '__proto__', 'toString', 'prototype', 'hasOwnProperty', 'length', 'map', 'call'];
        for (const value of ["''", '[]', '{}', '1', '1.5', 'range', 'namespace()', 'messages', '(1,)', 'cycler(1)']) {
            for (const name of names) {
                const template = `{{ ${value}.${name} is defined }}{{ ${value}['${name}'] is defined }}`;
                const said = new ChatTemplate(template).render(value === 'messages' ? [USER] : []);
                assert.equal(said, 'FalseFalse', template);
            }
        }
        for (const name of names) assert.equal(render(`{{ ${name} is defined }}`), 'False');
        assert.equal(render("{{ {'__proto__': 2}.__proto__ }}"), '2');
        for (const written of ['{% set ns.__proto__ = 1 %}', '{% set ns._x = 1 %}', '{% set ns = namespace(_x=1) %}']) {
            assert.throws(() => render(`{% set ns = namespace(x=1) %}${written}`), /names in it do not begin with _/);
        }
        assert.throws(() => render('{{ 1 | constructor }}'), FormatError);
        assert.throws(() => render("{{ [1] | map('constructor') | list }}"), /No filter named/);
        assert.equal(/** @type {any} */ ({}).polluted, undefined);
    });
});

const shared = sharedFolder('models/chat/');

describe('as transformers renders', { skip: shared ? false : '../shared/models/chat is not there' }, () => {
    if (!shared) return;
    const read = (/** @type {string} */ name) => readFileSync(new URL(name, shared), 'utf8');
    const real = JSON.parse(read('real.json'));
    const features = JSON.parse(read('features.json'));

    /** @param {string} now @param {() => string} body with the clock standing at `now` */
    function at(now, body) {
        const [date, time] = now.split('T').map((part) => part.split(/[-:]/).map(Number));
        const RealDate = Date;
        const instant = new Date(date[0], date[1] - 1, date[2], ...time).getTime();
        globalThis.Date = /** @type {any} */ (class extends RealDate {
            /** @param {any[]} parts */
            constructor(...parts) {
                super(.../** @type {[any]} */ (parts.length > 0 ? parts : [instant]));
            }
        });
        try {
            return body();
        } finally {
            globalThis.Date = RealDate;
        }
    }

    /** @param {any} expected @param {() => string} body */
    function check(expected, body) {
        if (!expected.raises) return assert.equal(body(), expected.text);
        return assert.throws(body, (error) => error instanceof Error
            && (expected.raises !== 'TemplateError' || error.message.includes(expected.message)));
    }

    for (const expected of features.cases) {
        test(`features: ${expected.name}`, () => check(expected, () => at(features.now, () => {
            const { messages = [], add_generation_prompt: prompt = false, ...variables } = expected.variables;
            const template = new ChatTemplate(expected.template, { specialTokens: real.tokens });
            return template.render(messages, { addGenerationPrompt: prompt, ...variables });
        })));
    }

    for (const name of new Set(real.cases.map((/** @type {any} */ one) => one.template))) {
        const cases = real.cases.filter((/** @type {any} */ one) => one.template === name);
        test(`${name}: ${cases.length} cases`, () => {
            const template = new ChatTemplate(read(`templates/${name}.jinja`), { specialTokens: real.tokens });
            for (const expected of cases) {
                const { messages, tools } = real.conversations[expected.conversation];
                check(expected, () => at(real.now, () => template.render(messages, {
                    addGenerationPrompt: expected.add_generation_prompt, ...expected.variables,
                    continueFinalMessage: Boolean(expected.continue_final_message), ...tools && { tools },
                })));
            }
        });
    }
});

test('lists with holes, and lists that say that they are endless, are named', () => {
    const template = new ChatTemplate('{{ messages }}{{ x }}', { specialTokens: new Map(), name: 'a file' });
    const endless = new Proxy(/** @type {unknown[]} */ ([]), { get: (_, name) => (name === 'length' ? 1e9 : undefined) });
    const messages = [{ role: 'user', content: 'a' }];
    const holes = { x: [, 1] };
    assert.throws(() => template.render(messages, holes), { name: 'TypeError', message: /^\S*x\[0\] must be made of .*, got undefined$/ });
    assert.throws(() => template.render(messages, { x: endless }), { name: 'RangeError', message: /^\S*x has more than 1048576 items$/ });
});
