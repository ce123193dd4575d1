// What may stand on the command line, and what it comes to: options of createRuntime(), loadModel() and generate().
// Those check the values; a message of theirs gets the option's name with its dashes.

/** Something wrong with the command line. */
export class UsageError extends Error {}

/**
 * @typedef {object} Option
 * @property {string} flag as it is typed, without the dashes
 * @property {string} option its name in the library
 * @property {'runtime' | 'load' | 'generate' | 'hub'} of
 * @property {'number' | 'text' | 'texts' | 'threads'} kind
 */

/** @type {Option[]} */
const OPTIONS = /** @type {Option[]} */ ([
    ['weights', 'weights', 'load', 'text'],
    ['context-length', 'contextLength', 'load', 'number'],
    ['cache-dtype', 'cacheDtype', 'load', 'text'],
    ['file', 'file', 'hub', 'text'],
    ['revision', 'revision', 'hub', 'text'],
    ['workers', 'workers', 'runtime', 'threads'],
    ['simd', 'simd', 'runtime', 'text'],
    ['max-new-tokens', 'maxNewTokens', 'generate', 'number'],
    ['sampler', 'sampler', 'generate', 'text'],
    ['temperature', 'temperature', 'generate', 'number'],
    ['top-k', 'topK', 'generate', 'number'],
    ['top-p', 'topP', 'generate', 'number'],
    ['min-p', 'minP', 'generate', 'number'],
    ['repetition-penalty', 'repetitionPenalty', 'generate', 'number'],
    ['seed', 'seed', 'generate', 'number'],
    ['stop', 'stop', 'generate', 'texts'],
].map(([flag, option, of, kind]) => ({ flag, option, of, kind })));

/** Which of them each command takes. */
const OF_COMMAND = {
    generate: ['runtime', 'load', 'hub', 'generate'],
    chat: ['runtime', 'load', 'hub', 'generate'],
    inspect: ['runtime', 'load', 'hub'],
};

/** For node:util's parseArgs(). */
export const PARSE = {
    model: { type: /** @type {const} */ ('string') },
    system: { type: /** @type {const} */ ('string') },
    help: { type: /** @type {const} */ ('boolean'), short: 'h' },
    version: { type: /** @type {const} */ ('boolean') },
    ...Object.fromEntries(OPTIONS.map(({ flag, kind }) => {
        return [flag, { type: /** @type {const} */ ('string'), multiple: kind === 'texts' }];
    })),
};

/**
 * @typedef {object} Settings
 * @property {string} [model] where it is
 * @property {string} [system] what the conversation begins with
 * @property {Record<string, any>} runtime for createRuntime()
 * @property {Record<string, any>} load for loadModel()
 * @property {Record<string, any>} hub for huggingFace()
 * @property {Record<string, any>} generate for model.generate()
 */

/**
 * @param {keyof typeof OF_COMMAND} command
 * @param {Record<string, any>} values as parseArgs() gives them
 * @returns {Settings}
 */
export function settings(command, values) {
    /** @type {Settings} */
    const result = {
        model: values.model, system: values.system, runtime: { workers: 'auto' }, load: {}, hub: {}, generate: {},
    };
    if (values.system !== undefined && command !== 'chat') throw new UsageError(`--system is no option of ${command}`);
    for (const { flag, option, of, kind } of OPTIONS) {
        const value = values[flag];
        if (value === undefined) continue;
        if (!OF_COMMAND[command].includes(of)) throw new UsageError(`--${flag} is no option of ${command}`);
        const isNumber = kind === 'number' || (kind === 'threads' && value !== 'auto');
        result[of][option] = isNumber ? number(flag, value) : value;
    }
    return result;
}

/** @param {string} flag @param {string} value @returns {number} */
function number(flag, value) {
    if (value.trim() === '' || !Number.isFinite(Number(value))) {
        throw new UsageError(`--${flag} must be a number, got ${JSON.stringify(value)}`);
    }
    return Number(value);
}

/**
 * @param {unknown} error
 * @returns {unknown} a UsageError that names the option as it is typed, if the error is about one; else the error
 */
export function inDashes(error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) return error;
    const found = OPTIONS.find(({ option }) => new RegExp(`^(options\\.)?${option}\\b`).test(error.message));
    if (!found) return error;
    const rest = error.message.replace(/^(options\.)?\w+/, '');
    return new UsageError(`--${found.flag}${rest}`, { cause: error });
}
