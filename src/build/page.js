// What the demo page has of others, for answers in Markdown: marked, and DOMPurify, which takes out what could do harm. Put into
// one file, web/vendor/markdown.js, which the page loads when the first answer is shown. And dist/worker.js beside the page: its
// service worker gives headers, and so isolation, only to workers whose script lies below it.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root, say } from './system.js';

const TARGET = 'web/vendor';
const ENTRY = "export { marked } from 'marked';\nexport { default as DOMPurify } from 'dompurify';\n";

/** Brings web/vendor up to date; dist/ has to be there. */
export async function buildPage() {
    const { build } = await import('esbuild');
    const result = await build({
        stdin: { contents: ENTRY, resolveDir: root },
        bundle: true,
        format: 'esm',
        minify: true,
        target: 'es2022',
        legalComments: 'eof',
        write: false,
    });
    put('markdown.js', result.outputFiles[0].text);
    put('worker.js', readFileSync(join(root, 'dist/worker.js'), 'utf8').replace(/\n\/\/# sourceMappingURL=.*\n/, '\n'));
}

/** @param {string} name @param {string} code */
function put(name, code) {
    const text = `// @ts-nocheck: made by src/build/page.js\n${code}`;
    const target = join(root, TARGET, name);
    if (existsSync(target) && readFileSync(target, 'utf8') === text) return;
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
    say(`  ${TARGET}/${name} is up to date`);
}
