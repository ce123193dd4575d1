// What a model's files say of generation: the start token, the end tokens, and the sampling that is used unless the caller says otherwise.

import { FormatError, show } from '../check.js';
import { freeze } from '../model/description.js';
import { Fields } from '../model/fields.js';

/** @typedef {import('../files/tensor-source.js').TensorSource} TensorSource */
/** @typedef {import('../text/tokenizer.js').Tokenizer} Tokenizer */

/**
 * @typedef {object} Defaults
 * @property {number | null} startToken
 * @property {number[]} endTokens
 * @property {{ sampler?: string, temperature?: number, topK?: number, topP?: number, minP?: number, repetitionPenalty?: number,
 *   noRepeatNgram?: number, stop?: string[] } | null} sampling null where no file says anything of it
 * @property {string[]} harmless fields that were set aside
 */

/** Longer lists of end tokens or stop strings are refused: no model needs them, and they would take time with every token. */
const MOST_ENDS = 1024;

/**
 * @param {TensorSource} source
 * @param {number} vocabulary
 * @param {Tokenizer | null} tokenizer
 * @param {number[]} [endTokens] that the vocabulary knows of itself
 * @returns {Defaults}
 */
export function readDefaults(source, vocabulary, tokenizer, endTokens = []) {
    const where = source.format === 'gguf' ? 'metadata' : 'config.json';
    const start = ids(source.config.bos_token_id, where, 'bos_token_id', vocabulary)[0] ?? null;
    const ends = new Set(ids(source.config.eos_token_id, where, 'eos_token_id', vocabulary));
    let sampling = null;
    /** @type {string[]} */
    let harmless = [];
    if (source.generation) {
        const fields = new Fields(source.generation, 'generation_config.json');
        ids(fields.any('eos_token_id'), fields.where, 'eos_token_id', vocabulary).forEach((id) => ends.add(id));
        fields.ignore('bos_token_id');
        sampling = readSampling(fields);
        harmless = fields.finish().map((name) => `generation_config.json: ${name}`);
    }
    const id = tokenizer?.idOf(/** @type {string} */ (tokenizer.specialTokens.get('eos_token')));
    for (const end of id === undefined ? endTokens : [...endTokens, id]) {
        if (end < vocabulary) ends.add(end);
    }
    return freeze({ startToken: start, endTokens: [...ends], sampling, harmless });
}

/** @param {Fields} f @returns {Defaults['sampling']} */
function readSampling(f) {
    const draws = f.flag('do_sample', false);
    const temperature = f.number('temperature', 1);
    const topK = f.number('top_k', 50);
    const topP = f.number('top_p', 1);
    const minP = f.number('min_p', 0);
    const penalty = f.positiveOrNone('repetition_penalty');
    const ngram = f.number('no_repeat_ngram_size', 0);
    const always = {
        ...(penalty !== null && penalty !== 1 && { repetitionPenalty: penalty }),
        ...(Number.isInteger(ngram) && ngram > 0 && { noRepeatNgram: ngram }),
        ...readStops(f),
    };
    if (!draws || temperature <= 0) {
        return { temperature: 0, ...always };
    }
    const bounds = {
        ...(Number.isInteger(topK) && topK > 0 && { topK }),
        ...(topP < 1 && topP >= 0 && { topP }),
    };
    return {
        temperature, ...always, ...bounds,
        // Without a bound the default would be top_k with k = 5.
        ...(!('topK' in bounds || 'topP' in bounds) && { sampler: 'random' }),
        ...(minP > 0 && minP <= 1 && { minP }),
    };
}

/** @param {Fields} f @returns {{ stop?: string[] }} */
function readStops(f) {
    const given = f.any('stop_strings');
    const stop = given === undefined ? [] : [given].flat();
    if (stop.length > MOST_ENDS || !stop.every((text) => typeof text === 'string' && text !== '')) {
        f.refuse('stop_strings', `a string or a list of at most ${MOST_ENDS}, none empty`, given);
    }
    return stop.length > 0 ? { stop } : {};
}

/**
 * @param {unknown} value an id, a list of ids, or nothing
 * @param {string} where
 * @param {string} name
 * @param {number} vocabulary
 * @returns {number[]}
 */
function ids(value, where, name, vocabulary) {
    const list = value === undefined || value === null ? [] : Array.isArray(value) ? value : [value];
    if (list.length > MOST_ENDS) {
        throw new FormatError('config-invalid', `${where}: ${name} must have at most ${MOST_ENDS} ids, got ${list.length}`);
    }
    for (const id of list) {
        if (!(Number.isInteger(id) && id >= 0)) {
            throw new FormatError('config-invalid', `${where}: ${name} must be a token id or a list of them, got ${show(id)}`);
        }
    }
    // A file may name tokens beyond its embedding, which are never generated.
    return list.filter((id) => id < vocabulary);
}
