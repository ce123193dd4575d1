// node check-wasm.js FILE.wasm HEADER.h...
//
// The last step of linking: a module that imports anything but env.memory could not be instantiated by js/engine/wasm.js, and
// one whose exports differ from the header's list would fail only when called. Then writes the variant, which is in the
// file's name, into a section of its own: users may hand over binaries under other names. Prints the size, raw and gzipped.

import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { gzipSync } from 'node:zlib';

const [file, ...headers] = process.argv.slice(2);
const bytes = readFileSync(file);
const { imports, exports } = readInterface(bytes);
const declared = new Set(headers.flatMap((header) => declaredNames(readFileSync(header, 'utf8'))));
const exported = new Set(exports.filter((name) => !name.startsWith('__')));

const problems = [
    ...imports
        .filter((name) => name !== 'env.memory')
        .map(
            (name) =>
                `it imports ${name}: the C code calls a function that src/ does not define (the C library is not linked)`,
        ),
    ...[...declared]
        .filter((name) => !exported.has(name))
        .map((name) => `${name} is marked CMHA_API but not defined in src/*.c`),
    ...[...exported]
        .filter((name) => !declared.has(name))
        .map((name) => `it exports ${name}, which no header marks with CMHA_API`),
    ...['__stack_pointer', '__heap_base']
        .filter((name) => !exports.includes(name))
        .map((name) => `it lacks the export ${name}`),
];
if (problems.length > 0) {
    console.error(`${basename(file)} is unusable:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    process.exit(1);
}
const section = ['cached-attention', /cmha-(\w+)\.wasm$/.exec(file)?.[1] ?? ''].map((text) => Buffer.from(text));
const body = Buffer.concat([Buffer.from([section[0].length]), ...section]);
writeFileSync(file, Buffer.concat([bytes, Buffer.from([0, body.length]), body])); // kind 0: a custom section
console.log(
    `${basename(file)}: ${exported.size} functions, ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzipped`,
);

/** The function names that a header marks with CMHA_API. @param {string} text @returns {string[]} */
function declaredNames(text) {
    const code = text
        .replace(/\/\*[\s\S]*?\*\//g, '')
        .replace(/\/\/.*/g, '')
        .replace(/^\s*#.*(?:\\\n.*)*/gm, '');
    return [...code.matchAll(/\bCMHA_API\b[^;{]*?\b(\w+)\s*\(/g)].map((match) => match[1]);
}

/**
 * Import and export names, read from the bytes: a Node without relaxed SIMD cannot compile that variant, but can build it.
 * @param {Buffer} wasm @returns {{ imports: string[], exports: string[] }}
 */
function readInterface(wasm) {
    let at = 8; // past magic and version
    const uint = () => {
        let value = 0;
        for (let shift = 0; ; shift += 7) {
            const byte = wasm[at++];
            value += (byte & 127) * 2 ** shift;
            if (byte < 128) return value;
        }
    };
    const name = () => {
        const length = uint();
        return wasm.toString('utf8', at, (at += length));
    };
    const limits = () => {
        const flags = uint();
        uint();
        if (flags & 1) uint();
    };
    /** @type {string[]} */ const imports = [];
    /** @type {string[]} */ const exports = [];
    while (at < wasm.length) {
        const section = wasm[at++];
        const size = uint();
        const end = at + size;
        if (section === 2) {
            for (let count = uint(); count > 0; count--) {
                imports.push(`${name()}.${name()}`);
                const kind = wasm[at++];
                if (kind === 0) uint();
                else if (kind === 1) {
                    at++;
                    limits();
                } else if (kind === 2) limits();
                else if (kind === 3) at += 2;
                else throw new Error(`${file}: import of unknown kind ${kind}`);
            }
        } else if (section === 7) {
            for (let count = uint(); count > 0; count--) {
                exports.push(name());
                at++;
                uint();
            }
        }
        at = end;
    }
    return { imports, exports };
}
