// What a file is, its first bytes say, not its name. A file that is something else is refused by what it is.

import { FormatError, show } from '../check.js';

/** So many bytes are waited for: they tell all that can be read, and nearly all that cannot. */
export const FIRST_BYTES = 512;

/** So many are looked at, if they have come. */
const MOST_BYTES = 2056;

/** A header longer than this is none (the reference implementation's cap). */
const MAX_SAFETENSORS_HEADER = 100_000_000;

/** @param {string} text latin1, so that a letter is a byte */
const beginsWith = (text) => (/** @type {string} */ head) => head.startsWith(text);

/** Where a zip file has the name of its first member, and how that of a `.keras` file may begin. */
const ZIP_NAME = 30;
const KERAS_MEMBER = /^(metadata\.json|config\.json|model\.weights\.h5)/;

const JSON_FILE = 'JSON';

const HDF5 = '\x89HDF\r\n\x1a\n';
/** Where HDF5 may begin behind a block of the user's. */
const BEHIND_BLOCKS = [512, 1024, 2048];

/** Files that people give by mistake. @type {[string, (head: string) => boolean][]} */
const OTHERS = [
    ['HDF5 behind a user block, which `h5unjam` takes off', (head) => BEHIND_BLOCKS.some((at) => head.startsWith(HDF5, at))],
    ['a Git LFS pointer instead of the file: get the file itself with `git lfs pull`',
        beginsWith('version https://git-lfs')],
    ['an HTML page', isHtml],
    ['an XML document, perhaps the error of a server', (head) => /^(\xef\xbb\xbf)?\s*<\?xml\b/.test(head)],
    ['a PyTorch checkpoint', isPyTorch],
    ['a zip file', isZip],
    ['a pickle, perhaps a PyTorch checkpoint of before version 1.6, of which save_pretrained() in Python makes safetensors',
        (head) => /^\x80[\x02-\x05]/.test(head)],
    ['a gzip file', beginsWith('\x1f\x8b')],
    ['a zstd file', beginsWith('\x28\xb5\x2f\xfd')],
    ['an xz file', beginsWith('\xfd7zXZ')],
    ['a file of GGML before GGUF', (head) => /^(lmgg|fmgg|tjgg|algg)/.test(head)],
    ['a TensorFlow Lite model', (head) => head.slice(4, 8) === 'TFL3'],
    // A version, then a producer, a graph or sets of operations; zeros behind would make it a length of safetensors.
    ['an ONNX model', (head) => /^\x08[\x01-\x20][\x12\x3a\x42].(?!\0{4})/s.test(head)],
    ['a SentencePiece model', (head) => /^\n.\n.(<unk>|<pad>|<s>)/s.test(head)],
    ['a NumPy file', beginsWith('\x93NUMPY')],
    ['a tar archive', (head) => head.slice(257, 262) === 'ustar'],
    [JSON_FILE, (head) => /^\s*[{[]/.test(head)],
];

/** @param {string} head */
function isHtml(head) {
    // A comment ends with the first `-->`: were there other ways to read one, many of them would take for ever.
    return /^(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--((?!-->).)*-->\s*)*<(!doctype\s+html|html|head|body)\b/is.test(head);
}

/** @param {string} head */
function isPyTorch(head) {
    return isZip(head) && /^[^/]*\/data\.pkl/.test(head.slice(ZIP_NAME));
}

/** @param {string} head */
function isZip(head) {
    return /^PK(\x03\x04|\x05\x06)/.test(head);
}

/**
 * A server that has no such file may answer with its start page.
 * @param {Uint8Array} bytes the first ones
 */
export function isPage(bytes) {
    return isHtml(latin1(bytes));
}

/**
 * @param {Uint8Array} bytes the first ones of a file that should be JSON
 * @returns {string | null} what it plainly is instead
 */
export function otherThanJson(bytes) {
    const head = latin1(bytes);
    return OTHERS.find(([what, is]) => what !== JSON_FILE && is(head))?.[0] ?? null;
}

/** @param {Uint8Array} bytes */
function latin1(bytes) {
    return String.fromCharCode(...bytes.subarray(0, MOST_BYTES));
}

/**
 * @param {Uint8Array} bytes the first FIRST_BYTES of a file or more, or all it has
 * @param {string} name of the file, for messages
 * @returns {'gguf' | 'safetensors' | 'pytorch' | 'keras'} keras: HDF5, or the zip that a `.keras` file is
 * @throws {FormatError} `truncated`, `unsupported-format`, `wrong-file`
 */
export function kindOf(bytes, name) {
    if (bytes[0] === 0x47 && bytes[1] === 0x47 && bytes[2] === 0x55 && bytes[3] === 0x46) {
        return 'gguf';
    }
    const head = latin1(bytes);
    if (bytes.length < 8) {
        throw bytes.length === 0 || 'GGUF'.startsWith(head) ? new FormatError('truncated',
            `${name} has only ${bytes.length} bytes`) : wrongFile(`neither GGUF nor safetensors: ${show(head)}`, name);
    }
    const length = headerLength(bytes);
    if (length <= MAX_SAFETENSORS_HEADER && bytes[8] === 0x7b) {
        return 'safetensors';
    }
    if (head.startsWith(HDF5) || (isZip(head) && KERAS_MEMBER.test(head.slice(ZIP_NAME)))) {
        return 'keras';
    }
    if (isPyTorch(head)) {
        return 'pytorch';
    }
    const other = OTHERS.find(([, is]) => is(head));
    if (other) {
        throw wrongFile(other[0], name);
    }
    // No text has zeros here, so it is a number: what is wrong with the header will be said.
    if (length < 2 ** 32) {
        return 'safetensors';
    }
    throw wrongFile(`neither GGUF nor safetensors: it begins with ${show(head.slice(0, 8))}`, name);
}

/** @param {Uint8Array} bytes */
function headerLength(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
}

/** @param {string} what @param {string} name */
function wrongFile(what, name) {
    return new FormatError('wrong-file', `${name} is ${what}; wanted is a GGUF or safetensors file`);
}
