// From a prompt, in any of its forms, to its tokens.

import { rangeError, typeError } from '../check.js';
import { checkIds } from '../model/reader.js';

/** @typedef {import('./language-model.js').LanguageModel} LanguageModel */

/** @typedef {string | ArrayLike<number> | readonly import('../text/chat.js').Message[]} Prompt text, token ids, or messages */

/**
 * Tells a list of prompts from one prompt: a list of numbers or of messages is one.
 * @param {unknown} prompt
 * @returns {unknown[] | null} the prompts; null if it is a single one
 */
export function promptList(prompt) {
    if (!Array.isArray(prompt) || prompt.length === 0) {
        return null;
    }
    const [first] = prompt;
    return typeof first === 'string' || Array.isArray(first) || ArrayBuffer.isView(first) ? prompt : null;
}

/** @param {any} prompt @returns {boolean} whether it is messages */
export function isChat(prompt) {
    return Array.isArray(prompt) && typeof (prompt[0] ?? 0) === 'object';
}

/**
 * @param {LanguageModel} model
 * @param {any} prompt
 * @param {{ tools?: readonly object[] }} options
 * @param {string} [name] of the prompt, for messages
 * @returns {Uint32Array}
 */
export function promptIds(model, prompt, { tools }, name = 'prompt') {
    const chat = isChat(prompt);
    if (tools !== undefined && !chat) {
        throw new TypeError('tools belong to a prompt of messages');
    }
    let ids;
    if (chat) {
        const tokenizer = model._needTokenizer(name);
        if (Array.isArray(tools) && tools.length > 0 && model._template?.readsTools === false) {
            throw new TypeError('tools must be absent, got some: this model\'s chat template reads none; a system message may describe them');
        }
        ids = tokenizer.encode(tokenizer.applyChatTemplate(prompt, tools === undefined ? {} : { tools }), { addSpecialTokens: false });
    } else if (typeof prompt === 'string') {
        ids = model.promptTokens(prompt);
    } else if (typeof prompt === 'object' && prompt !== null && 'length' in prompt) {
        ids = prompt;
    } else {
        throw typeError(name, 'a string, a list of tokens or a list of messages', prompt);
    }
    const checked = checkIds(name, ids, model.vocabularySize);
    if (checked.length === 0) {
        const why = typeof prompt === 'string' ? ': this model\'s tokenizer begins a text with none of its own' : '';
        throw rangeError(name, `at least one token${why}`, prompt);
    }
    return checked;
}
