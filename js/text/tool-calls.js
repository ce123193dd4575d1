// Calls of functions in what a model has written, in the forms that chat templates teach:
//
//   <tool_call>{"name": ..., "arguments": {...}}</tool_call>       Hermes, Qwen, SmolLM, Granite 4; also a list between the tags
//   [TOOL_CALLS][{"name": ..., "arguments": {...}, "id": ...}]     Mistral
//   [TOOL_CALLS]name[CALL_ID]id[ARGS]{...}                         Mistral's later ones
//   <|tool_call|>[{"name": ..., "arguments": {...}}]               Granite 3, Phi 4
//   {"name": ..., "parameters": {...}}                             Llama 3: the whole text, perhaps behind <|python_tag|>, several with ;
//
// Markers that are special tokens are not in the text that generate() gives; then what is left, a text that is nothing but such JSON,
// is a call too.

import { FormatError, checkOptionNames, show, typeError } from '../check.js';
import { isObject } from '../files/json.js';

/**
 * @typedef {object} ToolCall
 * @property {string} name
 * @property {Record<string, any>} arguments
 * @property {string} [id] where the form has one
 *
 * @typedef {object} ParsedCalls
 * @property {string} text what stands beside the calls
 * @property {ToolCall[]} calls in order
 */

const OPEN = /<tool_call>|<\|tool_call\|>|\[TOOL_CALLS\]/g;
const CLOSE = /^\s*(?:<\/tool_call>|<\|\/tool_call\|>)/;
const NAMED = /^\s*([\w.-]+)\s*(?:\[CALL_ID\]\s*([\w-]+)\s*)?(?:\[ARGS\]\s*)?(?=\{)/;

/**
 * @param {string} text of an answer
 * @param {{ tools?: object[] }} [options] the tools that the template was given: a text without markers is a call only of one of them
 * @returns {ParsedCalls}
 * @throws {FormatError} `tool-call-invalid` for a call that is begun and is not what it should be
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
    return text.search(OPEN) >= 0 ? marked(text) : bare(text, tools && new Set(tools.map(nameOf)));
}

/** @param {any} tool in either form that templates take @returns {unknown} */
function nameOf(tool) {
    return tool?.function?.name ?? tool?.name;
}

/** @param {string} text with markers @returns {ParsedCalls} */
function marked(text) {
    /** @type {ToolCall[]} */
    const calls = [];
    let beside = '';
    let at = 0;
    OPEN.lastIndex = 0;
    for (let open = OPEN.exec(text); open !== null; open = OPEN.exec(text)) {
        beside += text.slice(at, open.index);
        at = open.index + open[0].length;
        const [all = '', name, id] = NAMED.exec(text.slice(at, at + 256)) ?? [];
        at += all.length;
        const end = jsonEnd(text, at);
        const value = parsed(text.slice(at, end));
        calls.push(...(name === undefined ? callsOf(value) : [callOf({ name, arguments: value, id })]));
        at = end + (CLOSE.exec(text.slice(end, end + 64))?.[0].length ?? 0);
        OPEN.lastIndex = at;
    }
    return { text: beside + text.slice(at), calls };
}

/**
 * @param {string} text
 * @param {Set<unknown> | undefined} names
 * @returns {ParsedCalls}
 */
function bare(text, names) {
    /** @type {ToolCall[]} */
    const calls = [];
    let at = /^\s*(?:<\|python_tag\|>)?\s*/.exec(text)?.[0].length ?? 0;
    try {
        while (at < text.length) {
            const end = jsonEnd(text, at);
            calls.push(...callsOf(parsed(text.slice(at, end))));
            at = end + (/^\s*(?:;\s*)?/.exec(text.slice(end))?.[0].length ?? 0);
        }
    } catch (error) {
        if (error instanceof FormatError) {
            return { text, calls: [] };
        }
        throw error;
    }
    return names && !calls.every(({ name }) => names.has(name)) ? { text, calls: [] } : { text: calls.length > 0 ? '' : text, calls };
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
    // Some write the arguments as a text of JSON.
    const own = typeof told === 'string' ? parsed(told) : told;
    if (!isObject(own) || typeof given.name !== 'string') {
        throw invalid('an object of a name and arguments', value);
    }
    return { name: given.name, arguments: own, ...(typeof given.id === 'string' && { id: given.id }) };
}

/** @param {string} text @param {number} from @returns {number} where the JSON that begins there, an object or a list, ends */
function jsonEnd(text, from) {
    let depth = 0;
    for (let at = from; at < text.length; at++) {
        const letter = text[at];
        if (letter === '"') {
            for (at++; at < text.length && text[at] !== '"'; at++) {
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
