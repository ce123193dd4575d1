// dist/: what the npm package holds. The JavaScript of js/ in as few files as entries allow, minified but in short lines and
// with source maps, by which stack traces are read (methods keep their names), and beside it what it loads: binaries, the
// worker, the model. src/build/types.js adds declarations beside the entries.

import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { root, say, since } from './system.js';

const source = join(root, 'js');
const target = join(root, 'dist');

/** Entries, by where they lie in dist/. Code that they share goes to files at the top, where assets.js has to be. */
const ENTRIES = {
    index: 'js/index.js',
    'layers/index': 'js/layers/index.js',
    'generation/index': 'js/generation/index.js',
    inline: 'js/inline.js',
    isolate: 'js/isolate.js',
    cli: 'js/cli.js',
};

/** Scripts with declarations beside them: all that package.json offers. Later ones take from earlier ones what these declare. */
export const DECLARED = ['index', 'layers/index', 'generation/index', 'inline', 'isolate', 'worker'];

/** What src/build/types.js writes: those, and what they refer to. */
export const DECLARATIONS = [...DECLARED, 'dispose'].map((name) => `${name}.d.ts`);

/** What is copied as it is. */
const COPIED = [
    'wasm/cmha-relaxed.wasm',
    'wasm/cmha-simd128.wasm',
    // It holds its config and tokenizer too.
    'embedded/model.gguf',
    'embedded/README.md',
    'unmoved.jsx',
];

/** @type {import('esbuild').BuildOptions} */
const OPTIONS = {
    absWorkingDir: root,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    minify: true,
    // An uncaught error prints the line that it is in: a few lines of a terminal. Of 200 they cost a page 0.6 kB more, endless 0.5 less.
    lineLimit: 400,
    legalComments: 'inline',
    sourcemap: 'linked',
    logLevel: 'error',
    write: false,
};

/**
 * Properties whose names begin with _ are nobody else's: they get short ones. But for the option of this package's tests, and for
 * what runtimes are known by, which nothing else may happen to have.
 */
const PRIVATE = { mangleProps: /^_[a-z]/, reserveProps: /^_(?:test|runSync)$/, mangleCache: {} };

/** Brings dist/ up to date: binaries and worker go into js/inlined first. */
export async function buildDist() {
    const start = performance.now();
    const { build } = await import('esbuild');
    const values = await valuesForNames();
    const worker = await build({
        ...OPTIONS,
        plugins: [rewriting(values)],
        entryPoints: { worker: 'js/engine/worker.js' },
        outdir: 'dist',
    });
    buildInlined(textOf(worker, 'worker.js'));
    const main = await build({
        ...OPTIONS,
        ...PRIVATE,
        plugins: [rewriting(values, inOnePiece())],
        entryPoints: ENTRIES,
        outdir: 'dist',
        splitting: true,
        chunkNames: '[name]-[hash]',
        external: ['*/unmoved.jsx?unmoved', 'node:*'],
    });
    /** @type {Map<string, string | Uint8Array>} */
    const files = new Map(COPIED.map((path) => [path, readFileSync(join(source, path))]));
    for (const { path, text } of [...(worker.outputFiles ?? []), ...(main.outputFiles ?? [])]) {
        const name = path.slice(target.length + 1).replaceAll('\\', '/');
        files.set(name, withDeclarations(name, name.endsWith('.js') ? withHints(text) : text));
    }
    checkFiles(files, Object.keys(main.mangleCache ?? {}));
    for (const path of existsSync(target) ? filesIn(target, '') : []) {
        if (!files.has(path) && !DECLARATIONS.includes(path)) rmSync(join(target, path));
    }
    removeEmpty(target);
    let written = 0;
    for (const [path, content] of files) written += writeIfChanged(join(target, path), content) ? 1 : 0;
    if (written > 0) say(`  dist is up to date after ${since(start)}`);
}

/** What becomes of a module's text on its way into dist. @typedef {(text: string, path: string) => string} Rewrite */

/** @param {Rewrite[]} steps @returns {import('esbuild').Plugin} */
const rewriting = (...steps) => ({
    name: 'rewriting',
    setup: ({ onLoad }) => onLoad({ filter: /[\\/]js[\\/].*\.js$/ }, ({ path }) => (
        { contents: steps.reduce((text, step) => step(text, path), readFileSync(path, 'utf8')) }
    )),
});

/**
 * What stands in the tables of js/engine's interface.js, weight-types.js and protocol.js is known when dist is made, as C's enums
 * are when C is compiled: `LINEAR.x` becomes its number. Tables that nobody looks at as a whole are left out then.
 * @returns {Promise<Rewrite>}
 */
async function valuesForNames() {
    const paths = ['interface', 'weight-types', 'protocol'].map((name) => join(source, `engine/${name}.js`));
    // As they are now, whatever was imported before.
    const modules = await Promise.all(paths.map((path) => import(`${pathToFileURL(path)}?${statSync(path).mtimeMs}`)));
    /** @type {Record<string, any>} */
    const tables = Object.assign({}, ...modules);
    const imports = /^import \{([^}]*)\} from '[^']*\/(?:interface|weight-types|protocol)\.js';$/gm;
    return (text, file) => {
        if (paths.includes(file)) return text.replaceAll('Object.freeze(', '/* @__PURE__ */ Object.freeze(');
        const imported = [...text.matchAll(imports)].flatMap(([, list]) => list.split(',')).map((name) => name.trim());
        const names = imported.filter((name) => typeof tables[name] === 'object');
        if (names.length === 0) return text;
        // A name with a dot behind it, whole; of WEIGHT, whose entries are tables, with the entry's field.
        const uses = new RegExp(`(?<![.\\w$])(${names.join('|')})\\.(\\w+)(?:\\.(\\w+))?(?![\\w(])`, 'g');
        const written = text.replace(uses, (use, name, key, field) => {
            const value = field === undefined ? tables[name][key] : tables[name][key]?.[field];
            return /^(?:number|string)$/.test(typeof value) ? `(${JSON.stringify(value)})` : use;
        });
        // A module that has all its values does not bring the table along.
        const isLeft = (/** @type {string} */ name) => written.split(new RegExp(`\\b${name}\\b`)).length > 2;
        return written.replace(imports, (line, list) => (list.split(',').some((/** @type {string} */ name) => isLeft(name.trim())) ? line : ''));
    };
}

/**
 * esbuild makes a file of what the same scripts import. Other entries, and what is loaded later, import each another part of
 * the main entry's modules; here they import all of them, so that these are one file: as eight they are 3.5 kB more, gzipped. A
 * bare import of what has no side effects does nothing else.
 * @returns {Rewrite}
 */
function inOnePiece() {
    const main = join(root, ENTRIES.index);
    const loaded = filesIn(source, '').filter((name) => name.endsWith('.js')).flatMap((name) => {
        const imports = readFileSync(join(source, name), 'utf8').matchAll(/\bimport\('(\.[^']+\.js)'\)/g);
        return [...imports].map(([, path]) => join(source, dirname(name), path));
    });
    const entries = Object.entries(ENTRIES).filter(([name]) => name !== 'index' && name !== 'isolate');
    const others = new Set([...loaded, ...entries.map(([, path]) => join(root, path))]);
    return (text, path) => (others.has(path) ? `${text}\nimport ${JSON.stringify(main)};` : text);
}

/** Writes js/inlined, which the entry `inline` imports. @param {string} worker the text of dist/worker.js */
function buildInlined(worker) {
    const base64 = (/** @type {string} */ variant) =>
        gzipSync(readFileSync(join(source, `wasm/cmha-${variant}.wasm`)), { level: 9 })
            .toString('base64')
            .replace(/.{1,120}/g, '$&\n');
    const note = '// Made by src/build/dist.js.\n\n';
    const binary = (/** @type {string} */ variant) =>
        `/** @type {string} */\nexport const ${variant.toUpperCase()} = \`\n${base64(variant)}\`;\n`;
    writeIfChanged(join(source, 'inlined/binaries.js'), `${note}${binary('relaxed')}\n${binary('simd128')}`);
    const text = worker.replace(/\n\/\/# sourceMappingURL=.*\n/, '\n');
    const lines = JSON.stringify(text).replaceAll('\\n', "\\n\\\n");
    writeIfChanged(
        join(source, 'inlined/worker-text.js'),
        `${note}/** @type {string} */\nexport const WORKER_TEXT = ${lines};\n`,
    );
}

/** @param {import('esbuild').BuildResult} result @param {string} name */
function textOf(result, name) {
    const file = result.outputFiles?.find(({ path }) => path.endsWith(name));
    return file?.text ?? '';
}

/**
 * What esbuild takes out and bundlers need: `import.meta.url` in one line (Vite looks for just that text; a line that
 * is broken within it is broken before it, and source maps still fit), and an address in two parts. Vite's pre-bundler puts it
 * together and leaves the file where it is, which is its purpose (js/assets.js); Rollup, which knows no query, does not and passes it by.
 * @param {string} text
 */
function withHints(text) {
    return text
        .replace(/\bimport\s*\.\s*meta\s*\.\s*url\b/g, (text) => (text.includes('\n') ? '\nimport.meta.url' : text))
        .replace('import("./unmoved.jsx?unmoved")', 'import("./unmoved.jsx"+"?unmoved")');
}

/**
 * In an entry's first line, where its declarations are: Deno and JSR read no `types` of package.json where they are given the
 * script. Its source map begins a line later.
 * @param {string} name in dist/ @param {string} text
 */
function withDeclarations(name, text) {
    const [entry] = name.split(/\.js(?:\.map)?$/);
    if (!DECLARED.includes(entry)) return text;
    if (name.endsWith('.map')) return text.replace(/^ *"mappings": "/m, '$&;');
    return `/* @ts-self-types="./${basename(entry)}.d.ts" */\n${text}`;
}

/** What bundlers and pages rely on. @param {Map<string, string | Uint8Array>} files @param {string[]} renamed properties */
function checkFiles(files, renamed) {
    const problems = [];
    for (const [path, content] of files) {
        if (!path.endsWith('.js')) continue;
        const text = String(content);
        if (path.includes('/') && text.includes('import.meta')) {
            problems.push(`${path} uses import.meta: only files at the top lie where addresses are relative to`);
        }
        if (/\bimport\((?!["'])/.test(text)) problems.push(`${path} imports what no bundler can tell`);
        if (path !== 'cli.js' && /(?<![.\w])process\.(?!versions\b|type\b)/.test(text)) {
            problems.push(`${path} uses process by its name alone, for which Parcel wants a package of that name`);
        }
        for (const [, name] of text.matchAll(/[[?:]["'`](_[a-z]\w*)["'`]/g)) {
            if (renamed.includes(name)) problems.push(`${path} may ask for the property ${name} by a text: it has another name in dist`);
        }
        if (path === 'worker.js' && /\bimport\s*[{"'*]|\bexports?\b|import\.meta/.test(text.replace(/exports:/g, ''))) {
            problems.push('worker.js must be one file without imports or exports: it runs as a module and, where a bundler has '
                + 'made it one, as a script');
        }
    }
    const main = [...files].filter(([path]) => path.endsWith('.js')).map(([, content]) => String(content));
    const expression = /new\s+Worker\(\s*new\s+URL\(\s*"\.\/worker\.js",\s*import\.meta\.url\s*\),\s*\{\s*type:\s*"module"\s*\}/;
    const workers = main.filter((text) => expression.test(text));
    if (workers.length !== 1) problems.push('the expression that bundlers know a worker by is gone');
    for (const path of COPIED.filter((name) => /\.(wasm|gguf)$/.test(name))) {
        const asset = new RegExp(`new\\s+URL\\(\\s*"\\./${path.replaceAll('.', '\\.')}",\\s*import\\.meta\\.url\\s*\\)`);
        if (!main.some((text) => asset.test(text))) problems.push(`the expression that bundlers know ${path} by is gone`);
    }
    if (problems.length > 0) throw new Error(problems.join('\n'));
}

/** @param {string} path @param {string | Uint8Array} content @returns {boolean} */
function writeIfChanged(path, content) {
    if (existsSync(path) && readFileSync(path).equals(Buffer.from(content))) return false;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return true;
}

/** @param {string} folder @param {string} prefix @returns {string[]} */
function filesIn(folder, prefix) {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
        entry.isDirectory() ? filesIn(join(folder, entry.name), `${prefix}${entry.name}/`) : [prefix + entry.name],
    );
}

/** @param {string} folder */
function removeEmpty(folder) {
    if (!existsSync(folder)) return;
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
        if (entry.isDirectory()) removeEmpty(join(folder, entry.name));
    }
    if (readdirSync(folder).length === 0) rmdirSync(folder);
}
