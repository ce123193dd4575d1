// dist/: what the npm package holds. The JavaScript of js/ without its comments and blanks (names stay, so stack traces can
// be read), and beside it everything that it loads: binaries, the model, the copied tokenizer. tsc adds dist/types.

import { cpSync, existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { root, say, since } from './system.js';

const source = join(root, 'js');
const target = join(root, 'dist');
/** How the model was made: kept in the repository, of no use to the library. */
const NOT_SHIPPED = join(source, 'embedded/train');

/** Brings dist/ up to date. */
export async function buildDist() {
    const start = performance.now();
    const files = filesIn(source, [NOT_SHIPPED]).map((path) => relative(source, path));
    if (existsSync(target)) {
        for (const path of filesIn(target, [join(target, 'types')])) {
            if (!files.includes(relative(target, path))) rmSync(path);
        }
    }
    const changed = files.filter((path) => modified(join(source, path)) > modified(join(target, path)));
    if (changed.length === 0) return;
    const isScript = (/** @type {string} */ path) => path.endsWith('.js') && !path.startsWith('vendor');
    for (const path of changed.filter((path) => !isScript(path))) cpSync(join(source, path), join(target, path));
    const { build } = await import('esbuild');
    await build({
        entryPoints: changed.filter(isScript).map((path) => join(source, path)),
        outbase: source,
        outdir: target,
        format: 'esm',
        target: 'es2023',
        minifyWhitespace: true,
        minifySyntax: true,
        logLevel: 'error',
    });
    say(`  dist is up to date after ${since(start)}`);
}

/** @param {string} folder @param {string[]} without @returns {string[]} */
function filesIn(folder, without) {
    return readdirSync(folder, { withFileTypes: true })
        .flatMap((entry) => {
            const path = join(folder, entry.name);
            if (entry.isDirectory()) return without.includes(path) ? [] : filesIn(path, without);
            return entry.name.endsWith('.d.ts') ? [] : [path];
        })
        .sort();
}

/** @param {string} path */
function modified(path) {
    return existsSync(path) ? statSync(path).mtimeMs : 0;
}
