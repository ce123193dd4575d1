// Chat templates: from messages to the text that a model was trained on. The template comes with the model.

import { FormatError, plainObject, rangeError, show, typeError } from '../check.js';
import { Template } from './jinja/index.js';
import { trimEnd } from './jinja/space.js';
import { Dict, TemplateError, fromJs } from './jinja/values.js';

/** Most characters of a template: ten times the largest one known. */
const MAX_SOURCE = 2 ** 18;
/** Marks the end of the last message in the text, as in transformers: its content may occur elsewhere, too. */
const MARK = 'CONTINUE_FINAL_MESSAGE_TAG ';
/** Variables that render() sets itself, and what of its arguments says them. @type {Record<string, string>} */
const RESERVED = {
    messages: 'the first argument', add_generation_prompt: 'addGenerationPrompt', continue_final_message: 'continueFinalMessage',
};

/**
 * A turn of a conversation. Other properties reach the template as they are: `tool_calls`, `name`, `reasoning_content`, ...
 * @typedef {{ role: string, content?: string | object | null | undefined, [name: string]: any }} Message
 */

/**
 * @typedef {object} RenderOptions
 * @property {boolean} [addGenerationPrompt] whether the text ends with the beginning of an answer (default: true, unless
 *   continueFinalMessage is)
 * @property {boolean} [continueFinalMessage] whether the text ends with the last message's content, to be continued (default: false)
 * @property {readonly object[]} [tools] functions that may be called, as JSON schemas
 */

export class ChatTemplate {
    /** @type {Map<string, Template>} */
    #templates;
    /** @type {Map<string, any>} */
    #tokens;

    /**
     * @param {string | Map<string, string>} source one template, or several by name: 'default', 'tool_use'
     * @param {object} [options]
     * @param {Map<string, string> | Record<string, string>} [options.specialTokens] texts by name: bos_token, eos_token
     * @param {string} [options.name] of the file, for messages
     */
    constructor(source, { specialTokens = {}, name = 'the chat template' } = {}) {
        const sources = source instanceof Map ? source : new Map([['default', source]]);
        if (sources.size === 0) throw new FormatError('template-invalid', `${name} is empty: no template`);
        this.#templates = new Map(Array.from(sources, ([key, text]) => [key, parsed(text, name)]));
        this.#tokens = specialTokens instanceof Map ? new Map(specialTokens) : new Map(Object.entries(specialTokens));
        for (const [key, text] of this.#tokens) {
            if (typeof text !== 'string') throw typeError(`specialTokens.${key}`, 'a text', text);
        }
    }

    /**
     * @param {readonly Message[]} messages
     * @param {RenderOptions & Record<string, unknown>} [options] all others are variables of the template
     * @returns {string}
     */
    render(messages, options = {}) {
        checkMessages(messages);
        plainObject('options', options);
        const { addGenerationPrompt, continueFinalMessage = false, tools, ...variables } = options;
        checkFlags(addGenerationPrompt, continueFinalMessage);
        if (tools !== undefined && tools !== null && !Array.isArray(tools)) throw typeError('tools', 'an array', tools);
        for (const name of Object.keys(variables)) {
            if (Object.hasOwn(RESERVED, name)) {
                throw typeError(`options.${name}`, `absent: ${RESERVED[name]} says it`, variables[name]);
            }
        }
        // A text that ends within an answer cannot end with the beginning of one.
        const prompts = addGenerationPrompt ?? !continueFinalMessage;
        const chat = fromJs(messages, 'messages').map(prepared);
        const final = continueFinalMessage ? markFinal(chat.at(-1)) : '';
        const values = new Map([...this.#tokens, ...Object.entries({
            messages: chat, tools: fromJs(tools ?? null, 'tools'), documents: null,
            add_generation_prompt: prompts,
        })]);
        for (const [name, value] of Object.entries(variables)) {
            if (value !== undefined) values.set(name, fromJs(value, name));
        }
        const template = this.#choose(tools);
        if (messages.length === 0 && template.reads.has('messages')) {
            throw rangeError('messages', 'at least one: a chat template cannot be applied to an empty conversation', messages);
        }
        const text = template.render(values);
        return continueFinalMessage ? upToFinal(text, final) : text;
    }

    /** Whether tools that are given become part of the text. */
    get readsTools() {
        return this.#choose([]).reads.has('tools');
    }

    /** @param {unknown} tools @returns {Template} */
    #choose(tools) {
        const special = tools === undefined || tools === null ? undefined : this.#templates.get('tool_use');
        const template = special ?? this.#templates.get('default');
        if (template) return template;
        const names = [...this.#templates.keys()];
        throw new FormatError('template-invalid', `the model's chat templates are ${show(names)}, none is 'default'`);
    }
}

/** @param {unknown} source @param {string} name @returns {Template} */
function parsed(source, name) {
    if (typeof source !== 'string') throw new FormatError('template-invalid', `${name} is no text: ${show(source)}`);
    if (source.length > MAX_SOURCE) {
        throw new FormatError('template-unsupported',
            `${name} has ${source.length} characters, at most ${MAX_SOURCE} can be run`);
    }
    return new Template(source);
}

/** @param {unknown} addGenerationPrompt @param {unknown} continueFinalMessage */
function checkFlags(addGenerationPrompt, continueFinalMessage) {
    if (addGenerationPrompt !== undefined && typeof addGenerationPrompt !== 'boolean') {
        throw typeError('addGenerationPrompt', 'a boolean', addGenerationPrompt);
    }
    if (typeof continueFinalMessage !== 'boolean') {
        throw typeError('continueFinalMessage', 'a boolean', continueFinalMessage);
    }
    if (continueFinalMessage && addGenerationPrompt) {
        throw new TypeError('addGenerationPrompt must be false where continueFinalMessage is true, got true');
    }
}

/** @param {unknown} messages */
function checkMessages(messages) {
    if (!Array.isArray(messages)) throw typeError('messages', 'an array of { role, content }', messages);
    for (const [i, message] of messages.entries()) {
        if (typeof message !== 'object' || message === null || Array.isArray(message)) {
            throw typeError(`messages[${i}]`, 'an object { role, content }', message);
        }
        if (typeof message.role !== 'string') throw typeError(`messages[${i}].role`, 'a text', message.role);
        const { content } = message;
        // The result of a tool may be any object; some templates want that.
        if (!['string', 'object', 'undefined'].includes(typeof content)) {
            throw typeError(`messages[${i}].content`, 'a text, an array of parts, an object or null', content);
        }
    }
}

/**
 * A message as transformers passes it to the template: without null values, and with the reasoning under both names that templates read.
 * @param {Dict} message
 * @returns {Dict}
 */
function prepared(message) {
    const given = new Map([...message.entries()].filter(([, value]) => value !== null));
    const thought = given.get('reasoning_content') ?? given.get('thinking') ?? given.get('reasoning');
    return new Dict(thought === undefined ? given : [['thinking', thought], ...given, ['reasoning_content', thought]]);
}

/** Appends the mark to a message's content, or to its last part with a text. @param {Dict | undefined} message @returns {string} that text */
function markFinal(message) {
    const content = message?.get('content');
    const [holder, key] = Array.isArray(content) ? [content.findLast((part) => part instanceof Dict && part.has('text')), 'text']
        : [message, 'content'];
    const text = holder?.get(key);
    if (typeof text !== 'string') throw new TemplateError('continueFinalMessage: the last message has no text to continue');
    holder.set(key, text + MARK);
    return text;
}

/** @param {string} text @param {string} final @returns {string} the text, cut after the last message's content */
function upToFinal(text, final) {
    const at = text.lastIndexOf(MARK.trim());
    if (at < 0 || !text.includes(final.trim())) {
        throw new TemplateError('continueFinalMessage: the last message does not appear in the text');
    }
    // White space at the content's end stays if the template has kept it.
    return text.startsWith(MARK, at) ? text.slice(0, at) : trimEnd(text.slice(0, at));
}
