// What a page has to load of the package: the larger binary, and the JavaScript without text generation. And what the other
// entries, the whole package and the tests' fixtures come to, so that nothing grows unnoticed.

import { readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { root, say } from './system.js';

/**
 * In bytes, gzipped, each file by itself as a server sends it. Half of it is the binary, and most of that is products with
 * weights of seventeen types as files have them, which spare a page the decoding of a model to four to eight times its size.
 */
const BUDGET = 78_300;

/** The same for the scripts of an entry alone, with what they import. @type {Record<string, number>} */
const SCRIPTS = { 'generation/index.js': 177_300, 'inline.js': 117_300, 'isolate.js': 2_000 };

/** Raw bytes of all that lies beside the scripts in the folders of tests that read models, tokenizers and other files. */
const FIXTURES = 6_775_000;
const FIXTURE_FOLDERS = ['files', 'model', 'text', 'unit'];

/** Prints the table and returns whether it is within the budgets. @returns {boolean} */
export function checkSize() {
    const size = (/** @type {string} */ path) => {
        const bytes = readFileSync(path);
        return { path: relative(root, path), raw: bytes.length, gzipped: gzipSync(bytes, { level: 9 }).length };
    };
    const folder = join(root, 'dist/wasm');
    const binaries = readdirSync(folder)
        .filter((name) => name.endsWith('.wasm'))
        .map((name) => size(join(folder, name)));
    const largest = binaries.sort((a, b) => b.gzipped - a.gzipped)[0];
    const scripts = reachable(['index.js', 'worker.js']).map((path) => size(join(root, 'dist', path)));
    const row = (/** @type {string} */ name, /** @type {number} */ raw, /** @type {number} */ gzipped) =>
        say(`  ${name.padEnd(36)} ${String(raw).padStart(8)} ${String(gzipped).padStart(8)}`);
    say(`  ${'bytes'.padEnd(36)} ${'raw'.padStart(8)} ${'gzipped'.padStart(8)}`);
    for (const { path, raw, gzipped } of [...binaries, ...scripts]) row(path, raw, gzipped);
    const counted = [largest, ...scripts];
    const total = counted.reduce((sum, file) => sum + file.gzipped, 0);
    row(
        'largest binary and all scripts',
        counted.reduce((sum, file) => sum + file.raw, 0),
        total,
    );
    say(`  budget: ${BUDGET} gzipped, ${total <= BUDGET ? `${BUDGET - total} left` : `exceeded by ${total - BUDGET}`}`);
    let within = total <= BUDGET;
    for (const [entry, limit] of Object.entries(SCRIPTS)) {
        const files = reachable([entry]).map((path) => size(join(root, 'dist', path)));
        const sum = files.reduce((all, file) => all + file.gzipped, 0);
        row(`dist/${entry} and its imports`, files.reduce((all, file) => all + file.raw, 0), sum);
        if (sum > limit) say(`  more than the ${limit} that it may have`);
        within &&= sum <= limit;
    }
    const fixtures = FIXTURE_FOLDERS.flatMap((folder) => readdirSync(join(root, 'tests', folder), { recursive: true, withFileTypes: true }))
        .filter((entry) => entry.isFile() && !/\.(?:js|py|md)$/.test(entry.name));
    const sum = fixtures.reduce((all, { parentPath, name }) => all + statSync(join(parentPath, name)).size, 0);
    say(`  ${fixtures.length} fixtures in tests/{${FIXTURE_FOLDERS}}: ${sum} bytes, of ${FIXTURES} that they may have`);
    return within && sum <= FIXTURES;
}

/**
 * What some entries import, directly or not; what is imported when all else fails does not count.
 * @param {string[]} entries
 * @returns {string[]} paths in dist/
 */
function reachable(entries) {
    const found = new Set(entries);
    for (const path of found) {
        const text = readFileSync(join(root, 'dist', path), 'utf8');
        for (const [, specifier] of text.matchAll(/(?:from|import)\s*["'](\.[^"']+\.js)["']/g)) {
            found.add(join(dirname(path), specifier));
        }
    }
    return [...found].sort();
}
