// The metadata of a GGUF file, as little of a reader as the tests of vocabularies need. For sound files only.

/** @type {[number, string][]} bytes and the getter of each scalar type, by its number; 8 and 9 are text and list */
const SCALARS = [[1, 'getUint8'], [1, 'getInt8'], [2, 'getUint16'], [2, 'getInt16'], [4, 'getUint32'], [4, 'getInt32'],
    [4, 'getFloat32'], [1, 'getUint8'], [0, ''], [0, ''], [8, 'getBigUint64'], [8, 'getBigInt64'], [8, 'getFloat64']];

/** @param {Uint8Array} bytes @returns {Map<string, any>} */
export function readGgufMetadata(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const utf8 = new TextDecoder();
    let at = 4;
    const number = (/** @type {number} */ type) => {
        const [size, getter] = SCALARS[type];
        const value = /** @type {any} */ (view)[getter](at, true);
        at += size;
        return type === 7 ? value !== 0 : typeof value === 'bigint' ? Number(value) : value;
    };
    const text = () => {
        const length = number(10);
        at += length;
        return utf8.decode(bytes.subarray(at - length, at));
    };
    /** @param {number} type @returns {any} */
    const value = (type) => {
        if (type === 8) return text();
        if (type !== 9) return number(type);
        const items = number(4);
        return Array.from({ length: number(10) }, () => value(items));
    };
    const version = number(4);
    if (version < 2 || version > 3) throw new Error(`GGUF ${version}`);
    number(10);
    const metadata = new Map();
    for (let count = number(10); count > 0; count--) {
        const key = text();
        metadata.set(key, value(number(4)));
    }
    return metadata;
}
