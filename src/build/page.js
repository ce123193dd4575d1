// What is made for the demo page. Its modules in two files, of the page and of its worker with the package in it: sixty requests take
// longer than all else that stands between a visitor and the first word. The same for the worker of the bench page. What it has of others, for answers in Markdown: marked, and DOMPurify, which
// takes out what could do harm, in one file that is loaded with the first answer. And dist/worker.js beside the page: its service
// worker gives headers, and so isolation, only to workers whose script lies below it.

import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { root, say } from './system.js';

const VENDOR = 'web/vendor';
const OTHERS = "export { marked } from 'marked';\nexport { default as DOMPurify } from 'dompurify';\n";
const NOT_TYPED = '// @ts-nocheck: made by src/build/page.js\n';

/** Brings what is made for the page up to date; dist/ has to be there. */
export async function buildPage() {
    const { build } = await import('esbuild');
    /** @type {import('esbuild').BuildOptions & { write: false }} */
    const common = { bundle: true, format: 'esm', minify: true, target: 'es2022', write: false, banner: { js: NOT_TYPED.trim() } };
    const others = await build({ ...common, stdin: { contents: OTHERS, resolveDir: root }, legalComments: 'eof' });
    put(`${VENDOR}/markdown.js`, others.outputFiles[0].text);
    put(`${VENDOR}/worker.js`, NOT_TYPED + readFileSync(join(root, 'dist/worker.js'), 'utf8').replace(/\n\/\/# sourceMappingURL=.*\n/, '\n'));
    const own = await build({
        ...common,
        entryPoints: ['main', 'generator', 'bench/worker'].map((name) => join(root, `web/${name}.js`)),
        // What stands beside the page when it is built, and what means something only to a bundler of its user.
        external: ['./vendor/*', '*?unmoved', 'node:*'],
        outdir: join(root, 'web'),
        outExtension: { '.js': '.min.js' },
        sourcemap: true,
        sourcesContent: false,
    });
    for (const { path, text } of own.outputFiles) put(relative(root, path), text);
}

/**
 * All that a static host needs, in a folder: the page and what it loads, and in the page the address at which it will lie, without
 * which link previews have no picture.
 * @param {string} site where the folder will lie
 * @param {string} [folder]
 */
export function publish(site, folder = join(root, 'build/site')) {
    const address = new URL('web/', site.replace(/\/?$/, '/'));
    if (!/^https?:$/.test(address.protocol)) throw new Error(`--site must be an address that begins with https://, got ${site}`);
    rmSync(folder, { recursive: true, force: true });
    for (const part of ['web', 'dist']) {
        cpSync(join(root, part), join(folder, part), { recursive: true, filter: (path) => !/\.map$|\.d\.ts$|serve\.js$/.test(path) });
    }
    const index = join(folder, 'web/index.html');
    const picture = '<meta property="og:image" content="';
    const [before, after] = readFileSync(index, 'utf8').split(`${picture}screenshot.png">`);
    writeFileSync(index, `${before}<meta property="og:url" content="${address}">\n    ${picture}${address}screenshot.png">${after}`);
    say(`  ${relative(root, folder)} is what a host needs, to lie at ${new URL('..', address)}`);
}

/** @param {string} name @param {string} text */
function put(name, text) {
    const target = join(root, name);
    if (existsSync(target) && readFileSync(target, 'utf8') === text) return;
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
    say(`  ${name} is up to date`);
}
