// What the demo page has of others, for answers in Markdown: marked, and DOMPurify, which takes out what could do harm. Put into
// one file, web/vendor/markdown.js, which the page loads when the first answer is shown.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root, say } from './system.js';

const TARGET = 'web/vendor/markdown.js';
const ENTRY = "export { marked } from 'marked';\nexport { default as DOMPurify } from 'dompurify';\n";

/** Brings web/vendor up to date. */
export async function buildPage() {
    const { build } = await import('esbuild');
    const result = await build({
        stdin: { contents: ENTRY, resolveDir: root },
        bundle: true,
        format: 'esm',
        minify: true,
        target: 'es2022',
        legalComments: 'eof',
        banner: { js: '// @ts-nocheck: made by src/build/page.js' },
        write: false,
    });
    const target = join(root, TARGET);
    const { text } = result.outputFiles[0];
    if (existsSync(target) && readFileSync(target, 'utf8') === text) return;
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
    say(`  ${TARGET} is up to date`);
}
