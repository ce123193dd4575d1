// node src/build/vendor.js
//
// Copies @huggingface/tokenizers into js/vendor/: pages and module workers without a bundler cannot resolve bare names, so
// js/text/tokenizer.js imports it by its path. Its licence goes with it.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMain, main, root, say } from './system.js';

const PACKAGE = '@huggingface/tokenizers';

const DECLARATIONS = `export class Tokenizer {
    constructor(tokenizer: object, config: object);
    encode(text: string, options?: { add_special_tokens?: boolean }): { ids: (number | undefined)[] };
}
`;

/** Writes js/vendor/ unless it is up to date. */
export function vendor() {
    const source = join(root, 'node_modules', PACKAGE);
    const { version, license } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
    // A comment of this form stays when bundlers take others out.
    const banner = `/*! ${PACKAGE} ${version}, ${license}: see vendor/tokenizers.LICENSE. Copied by src/build/vendor.js. */\n`;
    const folder = join(root, 'js/vendor');
    mkdirSync(folder, { recursive: true });
    const changed = [
        writeIfChanged(
            join(folder, 'tokenizers.js'),
            banner + readFileSync(join(source, 'dist/tokenizers.min.mjs'), 'utf8'),
        ),
        writeIfChanged(join(folder, 'tokenizers.d.ts'), banner + DECLARATIONS),
        writeIfChanged(join(folder, 'tokenizers.LICENSE'), readFileSync(join(source, 'LICENSE'), 'utf8')),
    ];
    if (changed.includes(true)) say(`  js/vendor holds ${PACKAGE} ${version}`);
}

/** @param {string} path @param {string} text @returns {boolean} */
function writeIfChanged(path, text) {
    let before = null;
    try {
        before = readFileSync(path, 'utf8');
    } catch {
        // It is not there yet.
    }
    if (before !== text) writeFileSync(path, text);
    return before !== text;
}

if (isMain(import.meta.url)) await main(vendor);
