// Checks of arguments, and the words for what came. Where Keras raises ValueError these throw TypeError (wrong kind of
// thing) or RangeError (right kind, wrong value); every message names the argument, what was expected and what came.

/** Characters of a value that stand in a message. */
const MOST_SHOWN = 200;

/**
 * A value as it should stand in an error message: short, and unmistakable about its type.
 * @param {unknown} value that may be anything: what it answers when it is looked at is not to be relied on
 * @returns {string}
 */
export function show(value) {
    try {
        const text = describe(value, 0);
        return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN - 3)}...` : text;
    } catch {
        return 'what cannot be looked at';
    }
}

/**
 * What a value calls itself: of another realm (a frame, a sandbox of tests) it is no instance of what is known here, and the same.
 * @param {unknown} value
 */
export const classOf = (value) => Object.prototype.toString.call(value).slice(8, -1);

/** @param {unknown} value @param {number} depth of arrays that it lies in @returns {string} */
function describe(value, depth) {
    if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
    if (typeof value === 'bigint') return value > -(2n ** 64n) && value < 2n ** 64n ? `${value}n` : 'a large bigint';
    if (typeof value === 'function') return value.name ? `function ${value.name}` : 'a function';
    if (typeof value !== 'object' || value === null) return String(value);
    if (ArrayBuffer.isView(value)) {
        const view = /** @type {ArrayBufferView & { length?: number }} */ (value);
        return `${value.constructor.name}(${view.length ?? view.byteLength})`;
    }
    if (Array.isArray(value)) {
        const isListed = value.length <= 8 && depth < 3;
        return isListed ? `[${Array.from(value, (each) => describe(each, depth + 1)).join(', ')}]` : `an array of ${value.length}`;
    }
    const { shape } = /** @type {{ shape?: unknown }} */ (value);
    if (Array.isArray(shape)) return `a tensor of shape ${describe(shape, depth)}`;
    const name = /** @type {any} */ (value)[Symbol.toStringTag] ?? value.constructor?.name; // minified, classes of this package keep the tag
    return name && name !== 'Object' ? `a ${name}` : `an object with keys ${describe(Object.keys(value), depth)}`;
}

/**
 * @param {string} argument its name
 * @param {string} expected
 * @param {unknown} got
 * @returns {TypeError}
 */
export function typeError(argument, expected, got) {
    return new TypeError(`${argument} must be ${expected}, got ${show(got)}`);
}

/**
 * @param {string} argument its name
 * @param {string} expected
 * @param {unknown} got
 * @returns {RangeError}
 */
export function rangeError(argument, expected, got) {
    return new RangeError(`${argument} must be ${expected}, got ${show(got)}`);
}

/**
 * @param {string} argument its name
 * @returns {TypeError} for an object of this package that does not come as itself: what is private to it is not there then
 */
export function wrappedError(argument) {
    return new TypeError(`${argument} must be the object itself, got a Proxy around it `
        + '(where a framework makes these: Vue has markRaw() and shallowRef())');
}

/**
 * @param {any} runtime
 * @param {string} what  is to be made on it
 * @throws {TypeError} unless it is a runtime
 * @throws {Error} after its dispose(), and when its workers have failed
 */
export function checkRuntime(runtime, what) {
    if (typeof runtime?._runSync !== 'function') throw typeError('runtime', 'made by createRuntime()', runtime);
    runtime._check(what);
}

/**
 * @param {string} owner  of the options
 * @param {string} name  that none of them has
 * @param {readonly string[]} known
 * @returns {TypeError}
 */
export function unknownOption(owner, name, known) {
    return new TypeError(`options of ${owner} must be ${known.length > 0 ? `of ${known.join(', ')}` : 'none'}, got ${show(name)}`);
}

/**
 * An option that nobody knows would be ignored, so it is refused.
 * @param {string} owner  of the options
 * @param {unknown} options
 * @param {readonly string[]} known
 * @throws {TypeError} unless it is an object of these names
 */
export function checkOptionNames(owner, options, known) {
    if (typeof options !== 'object' || options === null) {
        throw typeError(`the options of ${owner}`, `an object${known.length > 0 ? ` of ${known.join(', ')}` : ''}`, options);
    }
    for (const name of Object.keys(options)) {
        if (!known.includes(name)) throw unknownOption(owner, name, known);
    }
}

/**
 * @param {string} argument
 * @param {unknown} value
 * @returns {number} the value, an integer > 0
 */
export function positiveInteger(argument, value) {
    if (typeof value !== 'number') throw typeError(argument, 'a positive integer', value);
    if (!Number.isSafeInteger(value) || value <= 0) throw rangeError(argument, 'a positive integer', value);
    return value;
}

/**
 * @param {string} argument
 * @param {unknown} value
 * @returns {number} the value, a finite number
 */
export function finiteNumber(argument, value) {
    if (typeof value !== 'number') throw typeError(argument, 'a number', value);
    if (!Number.isFinite(value)) throw rangeError(argument, 'a finite number', value);
    return value;
}

/**
 * @param {string} argument
 * @param {unknown} value
 * @returns {number} the value, a finite number above 0
 */
export function positiveNumber(argument, value) {
    const number = finiteNumber(argument, value);
    if (number <= 0) throw rangeError(argument, 'a number above 0', value);
    return number;
}

/**
 * Keras takes whatever Python counts as true or false here; booleans and 0 or 1 are what that comes to.
 * @param {string} argument
 * @param {unknown} value
 * @returns {boolean}
 */
export function booleanOrBit(argument, value) {
    if (typeof value !== 'boolean' && value !== 0 && value !== 1) throw typeError(argument, 'a boolean', value);
    return Boolean(value);
}

/**
 * @param {string} argument
 * @param {unknown} value
 * @returns {value is Record<string, any>} true; throws unless it is an object that is neither array nor typed array
 */
export function plainObject(argument, value) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || ArrayBuffer.isView(value)) {
        throw typeError(argument, 'an object of named options', value);
    }
    return true;
}

/**
 * @param {string} argument
 * @param {unknown} given what may answer otherwise the next time, or say that it is longer than anything
 * @param {number} length that it must have
 * @param {number} most
 * @param {(argument: string, value: any, most: number) => number} [check] of each
 * @returns {number[]} its numbers, each read once: integers from 0 to `most`
 */
export function indexList(argument, given, length, most, check = integerWithin) {
    const list = /** @type {any} */ (given);
    if (list?.length !== length) throw rangeError(argument, `a list of ${length}`, list);
    return Array.from({ length }, (_, i) => check(argument, list[i], most));
}

/**
 * @param {string} argument
 * @param {any} value
 * @param {number} most
 * @returns {number} the value, an integer from 0 to `most`
 */
export function integerWithin(argument, value, most) {
    if (!(Number.isInteger(value) && value >= 0 && value <= most)) throw rangeError(argument, `an integer from 0 to ${most}`, value);
    return value;
}

/** @param {AbortSignal | null | undefined} signal of any realm, so it is known by what it can do; null is none, as fetch() has it */
export function checkSignal(signal) {
    if (signal != null && typeof signal.throwIfAborted !== 'function') {
        throw typeError('signal', 'an AbortSignal', signal);
    }
}

/** @param {unknown} onProgress an option */
export function checkProgress(onProgress) {
    if (onProgress !== undefined && typeof onProgress !== 'function') throw typeError('onProgress', 'a function', onProgress);
}

/**
 * Bytes that came from outside and are not what they should be. `code` is stable and meant for programs; the message is
 * meant for people and may change. postMessage() takes the message of an Error along and no code: a worker posts it beside.
 *
 * Codes of any file: `truncated`, `too-large` (a count or length beyond the file, or a text beyond its bound),
 * `wrong-file` (HTML, a Git LFS pointer, a pickle, ...), `unsupported-format`, `duplicate-name`, `weight-type`,
 * `integer-range`.
 * Codes of a GGUF file: `version`, `bad-type`, `bad-value`, `bad-tensor`, `bad-offsets`, `missing-key`,
 * `tokenizer-invalid`.
 * Codes of a folder or a model in parts: `weights-missing`, `weights-ambiguous`, `index-invalid`, `shard-missing`,
 * `shard-extra`, `shard-mismatch`; of its texts, each with `-not-json` and `-invalid`: `config`, `tokenizer`,
 * `tokenizer-config`, `special-tokens-map`, `generation-config`, `index`; `template-not-utf8`.
 * Codes of a safetensors file: `truncated`, `header-too-short`, `header-too-large`, `header-not-utf8`,
 * `header-not-json`, `header-not-object`, `duplicate-name`, `bad-metadata`, `bad-entry`, `bad-dtype`, `bad-shape`,
 * `shape-overflow`, `bad-offsets`, `size-mismatch`, `tensor-overlap`, `tensor-gap`, `trailing-bytes`.
 * Codes of a file of Keras: `hdf5-truncated`, `hdf5-invalid`, `hdf5-unsupported`, `zip-truncated`, `zip-invalid`,
 * `zip-unsupported`, `keras-no-weights`, `keras-no-layer`, `keras-bad-layer`.
 * Codes of a PyTorch checkpoint: those of a zip, `pickle-invalid`, `pickle-unsupported`, `pytorch-invalid`, `pytorch-unsupported`.
 * Codes of a model: `architecture` (a family that is not supported), `config-missing`, `config-not-json`, `config-invalid`,
 * `config-unsupported`, `config-missing-key`, `config-unknown`, `tokenizer-missing`, `tokenizer-not-json`,
 * `tokenizer-invalid`, `tokenizer-unsupported`, `tensor-missing`, `tensor-unknown`, `tensor-shape`, `tensor-dtype`.
 * Codes of a chat template: `template-invalid`, `template-unsupported`; of a call in an answer: `tool-call-invalid`.
 * Codes of a saved cache: `cache-invalid`, `cache-version`, `cache-model`, `cache-checksum`.
 */
export class FormatError extends Error {
    /**
     * @param {string} code
     * @param {string} message
     * @param {ErrorOptions} [options]
     */
    constructor(code, message, options) {
        super(message, options);
        this.name = 'FormatError';
        /** @type {string} stable, one of the codes above */
        this.code = code;
    }
}

/** @param {boolean} condition of bytes that came from outside @param {string} code @param {string} message @returns {asserts condition} */
export function checkFormat(condition, code, message) {
    if (!condition) throw new FormatError(code, message);
}
