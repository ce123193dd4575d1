// Calls of functions in what a model has written, in the forms that chat templates teach:
//
//   <tool_call>{"name": ..., "arguments": {...}}</tool_call>       Hermes, Qwen, SmolLM, Granite 4; also a list between the tags
//   <tool_call>name <arg_key>key</arg_key> <arg_value>value</arg_value> ... </tool_call>                GLM
//   <tool_call><function=name><parameter=key>value</parameter> ... </function></tool_call>       Qwen 3 Coder, also without the outer tag
//   <function=name>{...}</function>                                Llama 3.1
//   [TOOL_CALLS][{"name": ..., "arguments": {...}, "id": ...}]     Mistral
//   [TOOL_CALLS]name[CALL_ID]id[ARGS]{...}                         Mistral's later ones
//   <|tool_call|>[{"name": ..., "arguments": {...}}]               Granite 3, Phi 4; functools[...] where its prompt says so
//   <｜tool▁call▁begin｜>function<｜tool▁sep｜>name ```json {...} ```    DeepSeek R1 and its distills, within ｜tool▁calls▁begin｜ and end
//   <｜tool▁call▁begin｜>name<｜tool▁sep｜>{...}<｜tool▁call▁end｜>         DeepSeek V3.1
//   <start_function_call>call:name{key:<escape>text<escape>}<end_function_call>                         FunctionGemma
//   <|tool_call_start|>[name(key='value', ...), ...]<|tool_call_end|>                                  LFM2; without markers Llama 3.2
//   to=functions.name<|channel|>commentary json<|message|>{...}    gpt-oss, the channel before or behind the name
//   {"name": ..., "parameters": {...}}                             Llama 3: the whole text, perhaps behind <|python_tag|>, several with ;
//
// Each consists of an opening marker, perhaps a name and an id, the arguments, and a closing marker; any closing marker ends any call.
//
// Calls and markers within the model's reasoning do not count. Its opening tag may be missing, as some templates write it into the prompt.
//
// Markers that are special tokens are missing in the text that generate() gives. So a text that is nothing but such JSON is a call, too,
// and so are name{...} and [name(...)] with the name of one of the given tools.

import { FormatError, checkOptionNames, show, typeError } from '../check.js';
import { isObject } from '../files/json.js';

/**
 * @typedef {object} ToolCall
 * @property {string} name
 * @property {Record<string, any>} arguments
 * @property {string} [id] if the form has one
 *
 * @typedef {object} ParsedCalls
 * @property {string} text the text beside the calls
 * @property {ToolCall[]} calls in order
 *
 * @typedef {Map<unknown, any>} Tools what the properties of each tool's arguments are, by its name
 */

/** The reasoning. A closing tag alone counts at a line's end or before another tag, where none stands within JSON. */
const THOUGHT = /^\s*<think>[^]*?(?:<\/think>|$)|^[^]*?<\/think>(?=\n|<|$)/;
/** Opening markers. Those that may be ordinary words count only if a call follows. */
const OPEN = new RegExp([
    '<tool_call>', '(?=<function=[\\w.-]{1,128}>\\s*(?:<parameter=|</function>|\\{))',
    '<\\|tool_call(?:_start)?\\|>', '\\[TOOL_CALLS\\]', 'functools(?=\\[\\s*\\{)', '<start_function_call>',
    '(?:<｜tool▁calls▁begin｜>)?<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>(?!\\s*\\{))?',
    '(?:<\\|channel\\|>commentary )?to=functions\\.(?=[^{]{1,128}<\\|message\\|>)',
].join('|'), 'g');
/** A name outside of the JSON, perhaps an id, and what stands before the arguments. */
const NAMED = new RegExp([
    '^\\s*(call:)?([\\w.-]+)\\s*(?:\\[CALL_ID\\]\\s*([\\w-]+)\\s*)?(?:\\[ARGS\\]|<｜tool▁sep｜>|[^{]*<\\|message\\|>)?',
    '\\s*(?:```(?:json)?\\s*)?(?=\\{|<arg_key>|</tool_call>)',
].join(''));
const CLOSE = new RegExp([
    '^(?:\\s*```)?(?:\\s*(?:</tool_call>|<\\|/tool_call\\|>|<\\|tool_call_end\\|>|<end_function_call>|<\\|call\\|>',
    '|<｜tool▁call▁end｜>(?:\\s*<｜tool▁calls▁end｜>)?))?',
].join(''));
/** One argument in GLM's form. */
const PAIR = /\s*<arg_key>([^<]*)<\/arg_key>\s*<arg_value>([^]*?)<\/arg_value>/y;
/** A function of Qwen 3 Coder's form or Llama's, and one of its arguments: each stands on lines of its own. */
const FUNCTION = /^\s*<function=([\w.-]+)>\s*/;
const PARAMETER = /\s*<parameter=([^<>]+)>\n?([^]*?)\n?<\/parameter>/y;
/** A list of Python's calls, and the parts of one that JSON spells otherwise. */
const PYTHONIC = /^\s*\[\s*[A-Za-z_][\w.-]*\s*\(/;
const UNLIKE = /"[^"\\]*(?:\\[^][^"\\]*)*"|'[^'\\]*(?:\\[^][^'\\]*)*'|-?\d[\w.+-]*|([A-Za-z_][\w.-]*)\s*([=(]?)|\)|,(?=\s*[)\]}])/g;
/** In Python's strings. */
const ESCAPE = /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|([^]))/g;
/** @type {Record<string, string>} */
const ESCAPED = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', 0: '\0', '\n': '', '\\': '\\', "'": "'", '"': '"' };
/** What a template writes where an argument is no string, in Python's words. @type {Record<string, unknown>} */
const PYTHON = { True: true, False: false, None: null };
/** In FunctionGemma's arguments: an escaped string, or a word, which is a key if a colon follows; templates write null as None. */
const UNQUOTED = /<escape>([^]*?)<escape>|([^\s{}[\],:<]+)(:?)/g;

/**
 * @param {string} text of an answer
 * @param {{ tools?: readonly object[] }} [options] the tools that the template was given: then a text without markers counts as a call only of
 *   one of them, and an unquoted argument is a string where its schema says so
 * @returns {ParsedCalls}
 * @throws {FormatError} `tool-call-invalid` for a call that has begun and is malformed
 */
export function parseToolCalls(text, options = {}) {
    if (typeof text !== 'string') {
        throw typeError('text', 'a string', text);
    }
    checkOptionNames('parseToolCalls', options, ['tools']);
    const { tools } = options;
    if (tools !== undefined && !Array.isArray(tools)) {
        throw typeError('tools', 'an array', tools);
    }
    // Both forms that templates take: { type, function: { name, ... } } and { name, ... }.
    const known = tools && new Map(tools.map((/** @type {any} */ tool) => {
        const own = tool?.function ?? tool;
        return [own?.name, own?.parameters?.properties];
    }));
    const [thought] = THOUGHT.exec(text) ?? [''];
    const answer = text.slice(thought.length);
    // If the whole answer is a call without markers, a marker in it belongs to an argument.
    const whole = bare(answer, known);
    const { text: beside, calls } = whole.calls.length > 0 || answer.search(OPEN) < 0 ? whole : marked(answer, known);
    return { text: thought + beside, calls };
}

/** @param {string} text with markers @param {Tools | undefined} tools @returns {ParsedCalls} */
function marked(text, tools) {
    /** @type {ToolCall[]} */
    const calls = [];
    let beside = '';
    let at = 0;
    OPEN.lastIndex = 0;
    for (let open = OPEN.exec(text); open !== null; open = OPEN.exec(text)) {
        beside += text.slice(at, open.index);
        let end = readCalls(text, open.index + open[0].length, tools, calls);
        // Several may stand in one tag.
        while (open[0] === '<tool_call>' && /^\s*(?:\{|<function=)/.test(text.slice(end, end + 64))) {
            end = readCalls(text, end, tools, calls);
        }
        at = end + (CLOSE.exec(text.slice(end, end + 64))?.[0].length ?? 0);
        OPEN.lastIndex = at;
    }
    return { text: beside + text.slice(at), calls };
}

/** @param {string} text @param {Tools | undefined} tools @returns {ParsedCalls} */
function bare(text, tools) {
    /** @type {ToolCall[]} */
    const calls = [];
    let at = /^\s*(?:<\|python_tag\|>)?\s*/.exec(text)?.[0].length ?? 0;
    try {
        // A name outside of JSON may be any word, unless it is known.
        while (at < text.length && (tools || (/[[{]/.test(text[at]) && !PYTHONIC.test(text.slice(at, at + 256))))) {
            const end = readCalls(text, at, tools, calls);
            at = end + (/^\s*(?:;\s*)?/.exec(text.slice(end))?.[0].length ?? 0);
        }
    } catch (error) {
        if (!(error instanceof FormatError)) {
            throw error;
        }
        at = 0;
    }
    const are = at === text.length && calls.length > 0 && calls.every(({ name }) => !tools || tools.has(name));
    return are ? { text: '', calls } : { text, calls: [] };
}

/**
 * @param {string} text
 * @param {number} from after the opening marker
 * @param {Tools | undefined} tools
 * @param {ToolCall[]} calls to which the calls found are added
 * @returns {number} where they end, before a closing marker
 */
function readCalls(text, from, tools, calls) {
    const [opening, of] = FUNCTION.exec(text.slice(from, from + 256)) ?? [];
    if (opening !== undefined) {
        return readFunction(text, from + opening.length, of, tools, calls);
    }
    if (PYTHONIC.test(text.slice(from, from + 256))) {
        const end = jsonEnd(text, from, '"\'');
        calls.push(...callsOf(parsed(fromPython(text.slice(from, end)))));
        return end;
    }
    const [all = '', unquoted, name, id] = NAMED.exec(text.slice(from, from + 256)) ?? [];
    const at = from + all.length;
    if (name !== undefined && (unquoted || text[at] === '<')) {
        const [end, given] = unquoted ? withoutQuotes(text, at) : pairs(PAIR, text, at, tools?.get(name));
        if (!unquoted && !/^\s*(?:<\/tool_call>|$)/.test(text.slice(end))) {
            throw invalid('pairs of <arg_key> and <arg_value>', text.slice(at));
        }
        calls.push(callOf({ name, arguments: given }));
        return end;
    }
    const end = jsonEnd(text, at);
    const value = parsed(text.slice(at, end));
    calls.push(...(name === undefined ? callsOf(value) : [callOf({ name, arguments: value, id })]));
    return end;
}

/**
 * @param {string} text
 * @param {number} from after the opening tag
 * @param {string} name
 * @param {Tools | undefined} tools
 * @param {ToolCall[]} calls to which the call is added
 * @returns {number} where it ends
 */
function readFunction(text, from, name, tools, calls) {
    const isJson = text[from] === '{';
    const jsonAt = isJson ? jsonEnd(text, from) : from;
    const [at, given] = isJson ? [jsonAt, parsed(text.slice(from, jsonAt))] : pairs(PARAMETER, text, from, tools?.get(name));
    const [closing] = /^\s*<\/function>/.exec(text.slice(at, at + 64)) ?? [];
    if (closing === undefined) {
        throw invalid('<parameter=key>value</parameter> up to </function>', text.slice(from));
    }
    calls.push(callOf({ name, arguments: given }));
    return at + closing.length;
}

/**
 * @param {RegExp} pair of a key and a value
 * @param {string} text
 * @param {number} from
 * @param {any} properties what the arguments are, if known
 * @returns {[end: number, arguments: Record<string, unknown>]}
 */
function pairs(pair, text, from, properties) {
    /** @type {Map<string, unknown>} */
    const found = new Map();
    let at = from;
    pair.lastIndex = at;
    for (let one = pair.exec(text); one !== null; one = pair.exec(text)) {
        const [, key, value] = one;
        const type = properties?.[key]?.type;
        found.set(key, type === 'string' ? value : type !== undefined && Object.hasOwn(PYTHON, value) ? PYTHON[value] : jsonOr(value));
        at = pair.lastIndex;
    }
    return [at, Object.fromEntries(found)];
}

/** @param {string} text @returns {unknown} itself, where it is not JSON */
function jsonOr(text) {
    try {
        return JSON.parse(text);
    } catch {
        return text;
    }
}

/** @param {string} text @param {number} from @returns {[number, unknown]} */
function withoutQuotes(text, from) {
    const close = text.indexOf('<end_function_call>', from);
    const end = close < 0 ? text.length : close;
    return [end, parsed(text.slice(from, end).replace(UNQUOTED, (_, string, word, colon) =>
        string === undefined && !colon ? (word === 'None' ? 'null' : word) : `${JSON.stringify(string ?? word)}${colon ?? ''}`))];
}

/** @param {string} text a list of Python's calls @returns {string} the same as JSON, if it is one */
function fromPython(text) {
    return text.replace(UNLIKE, (part, word, behind) => {
        if (part === ')') return '}}';
        if (part[0] === ',') return '';
        if (part[0] === '"' || part[0] === "'") {
            return JSON.stringify(part.slice(1, -1).replace(ESCAPE, (all, hex, unicode, letter) =>
                (letter === undefined ? String.fromCharCode(Number.parseInt(hex ?? unicode, 16)) : ESCAPED[letter] ?? all)));
        }
        if (!behind) return Object.hasOwn(PYTHON, part) ? String(PYTHON[part]) : part;
        return behind === '=' ? `${JSON.stringify(word)}:` : `{"name":${JSON.stringify(word)},"arguments":{`;
    });
}

/** @param {string} what @param {unknown} got @returns {FormatError} */
function invalid(what, got) {
    return new FormatError('tool-call-invalid', `a tool call must be ${what}, got ${show(got)}`);
}

/** @param {string} text @returns {unknown} */
function parsed(text) {
    try {
        return JSON.parse(text);
    } catch {
        throw invalid('JSON', text);
    }
}

/** @param {unknown} value @returns {ToolCall[]} */
function callsOf(value) {
    return Array.isArray(value) ? value.map(callOf) : [callOf(value)];
}

/** @param {any} value @returns {ToolCall} */
function callOf(value) {
    const given = isObject(value) && isObject(value.function) ? { id: value.id, ...value.function } : value;
    const told = isObject(given) ? given.arguments ?? given.parameters ?? {} : null;
    // Small models of Llama 3 and Granite 3 may write the name as `function`.
    const name = given?.name ?? given?.function;
    // Some models write the arguments as a string of JSON.
    const own = typeof told === 'string' ? parsed(told || '{}') : told;
    if (!isObject(own) || typeof name !== 'string') {
        throw invalid('an object of a name and arguments', value);
    }
    return { name, arguments: own, ...(typeof given.id === 'string' && { id: given.id }) };
}

/**
 * @param {string} text @param {number} from @param {string} [quotes]
 * @returns {number} where the JSON that begins there, an object or a list, ends
 */
function jsonEnd(text, from, quotes = '"') {
    let depth = 0;
    for (let at = from; at < text.length; at++) {
        const letter = text[at];
        if (quotes.includes(letter)) {
            for (at++; at < text.length && text[at] !== letter; at++) {
                at += Number(text[at] === '\\');
            }
        } else if (letter === '{' || letter === '[') {
            depth++;
        } else if (letter === '}' || letter === ']') {
            depth--;
        }
        if (depth === 0 && !/\s/.test(letter)) {
            if (letter === '}' || letter === ']') {
                return at + 1;
            }
            break;
        }
    }
    throw invalid('whole JSON', text.slice(from));
}
