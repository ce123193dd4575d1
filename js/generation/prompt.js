// From what a prompt may be to its tokens.

import { rangeError, typeError } from '../check.js';
import { checkIds } from '../model/reader.js';

/** @typedef {import('./language-model.js').LanguageModel} LanguageModel */

/**
 * @param {LanguageModel} model
 * @param {unknown} prompt
 * @param {{ tools?: object[] }} options
 * @returns {Uint32Array}
 */
export function promptIds(model, prompt, { tools }) {
    const chat = Array.isArray(prompt) && prompt.length > 0 && typeof prompt[0] === 'object' && prompt[0] !== null;
    if (tools !== undefined && !chat) {
        throw new TypeError('tools belong to a prompt of messages');
    }
    let ids;
    if (chat) {
        const tokenizer = model._needTokenizer('prompt');
        ids = tokenizer.encode(tokenizer.applyChatTemplate(prompt, tools === undefined ? {} : { tools }), { addSpecialTokens: false });
    } else if (typeof prompt === 'string') {
        ids = model.promptTokens(prompt);
    } else if (typeof prompt === 'object' && prompt !== null && 'length' in prompt) {
        ids = prompt;
    } else {
        throw typeError('prompt', 'a string, a list of tokens or a list of messages', prompt);
    }
    const checked = checkIds('prompt', ids, model.vocabularySize);
    if (checked.length === 0) {
        throw rangeError('prompt', 'at least one token: this model has no start token', prompt);
    }
    return checked;
}
