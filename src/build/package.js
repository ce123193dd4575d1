// Packs the package as `npm publish` would, looks at what is in it, and uses it as somebody else's project does.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { join, posix } from 'node:path';
import { tsc } from './build.js';
import { root, run, say } from './system.js';

/** What users get, and nothing else. */
const ALLOWED = [/^dist\//, /^README\.md$/, /^LICENSE$/, /^package\.json$/];
const FORBIDDEN = [/^dist\/embedded\/(?!model\.gguf$|README\.md$)/, /\.test\.js$/, /\.py$/];
const REQUIRED = [
    'README.md',
    'LICENSE',
    'dist/index.js',
    'dist/cli.js',
    'dist/inline.js',
    'dist/isolate.js',
    'dist/unmoved.jsx',
    'dist/worker.js',
    'dist/worker.js.map',
    'dist/generation/index.js',
    'dist/layers/index.js',
    'dist/dispose.d.ts',
    'dist/index.d.ts',
    'dist/generation/index.d.ts',
    'dist/inline.d.ts',
    'dist/isolate.d.ts',
    'dist/layers/index.d.ts',
    'dist/worker.d.ts',
    'dist/wasm/cmha-simd128.wasm',
    'dist/wasm/cmha-relaxed.wasm',
    'dist/embedded/model.gguf',
];
/** Of an install, with the model, which is most of it; and of a line of code, which an uncaught error prints. */
const MOST_BYTES = 8_000_000;
const LONGEST_LINE = 2_000;

const USE = `
import { createRuntime, CachedGroupQueryAttention, CachedMultiHeadAttention, KVCache, Tensor } from 'cached-attention';
import { RMSNormalization } from 'cached-attention/layers';
import { loadModel } from 'cached-attention/generation';

const runtime = await createRuntime({ workers: 0, simd: 'simd128' });
const layer = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4 });
const x = { shape: [1, 3, 8], data: new Float32Array(24).fill(0.5) };
const { attentionOutput } = await layer.call(x, x);
if (attentionOutput.data.length !== 24) throw new Error('unexpected output');
const grouped = new CachedGroupQueryAttention(runtime, { headDim: 4, numQueryHeads: 4, numKeyValueHeads: 2, ropeMaxWavelength: 10000 });
const normed = await new RMSNormalization(runtime).call((await grouped.call(x, x)).attentionOutput);
if (normed.data.length !== 24) throw new Error('unexpected output of grouped queries');
const model = await loadModel(runtime);
for await (const { text } of model.generate('Once upon a time', { maxNewTokens: 2 })) {
    if (typeof text !== 'string') throw new Error('unexpected text');
}
runtime.dispose();
if (!KVCache || !Tensor) throw new Error('missing export');
`;

/** The same program after a bundler has made one CommonJS file of it, with nothing beside it but the model. */
const INLINE = `
import { createRuntime, CachedMultiHeadAttention } from 'cached-attention/inline';

(async () => {
    const runtime = await createRuntime({ workers: 1 });
    if (runtime.explain().workers !== 1) throw new Error(runtime.explain().fallbacks.join());
    const layer = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4 });
    const x = { shape: [1, 3, 8], data: new Float32Array(24).fill(0.5) };
    const { attentionOutput } = await layer.call(x, x);
    if (attentionOutput.data.length !== 24) throw new Error('unexpected output');
    runtime.dispose();
})();
`;

/** A bundle of the main entry in a project that has the package: files that it left behind are found where they are installed. */
const BUNDLED = INLINE.replace('cached-attention/inline', 'cached-attention')
    .replace("';\n", "';\nimport { loadModel } from 'cached-attention/generation';\n")
    .replace('    runtime.dispose();', "    await (await loadModel(runtime)).score('Once upon a time');\n    runtime.dispose();");

/** Compiled, not run: options and results as TypeScript's users write them. */
const TYPED = `
import { createRuntime, KVCache, type Tensor } from 'cached-attention';
import { loadModel, ModelCache, PrefixStore, TopPSampler } from 'cached-attention/generation';

const runtime = await createRuntime({ workers: 'auto', simd: 'auto', maxMemory: 2 ** 30 });
const model = await loadModel(runtime, 'model.gguf', { weights: 'auto', contextLength: 4096, cacheDtype: 'float16' });
export const logits: Tensor = await model.forward([1, 2], { positions: 'all' });
export const inside: Tensor = (await model.forward([1, 2], { hiddenStates: [0, 'final'], attention: { layers: [0], heads: [1] } })).logits;
export const cache: ModelCache = model.createCache({ length: 512, dtype: 'int8', batch: 2 });
model.createCache({ window: 1024, sinks: 4 }).remove(0, 1, { shift: false });
for await (const item of model.generate(['a', 'b'], { json: { type: 'object' }, candidates: 3, maxNewTokens: 9 })) {
    show(item.index, item.candidates?.[0].probability);
}
for await (const item of model.generate('a', { choices: ['b', 'c'], draft: 'prompt', draftTokens: 4, prefixes: new PrefixStore() })) {
    show(item.draft?.accepted, item.finish);
}
show((await model.score('text', { each: true, candidates: 2 })).each?.[0].nats, model.parseToolCalls('text').calls.length);
const keys = new KVCache(runtime, { batch: 1, length: 8, numHeads: 2, keyDim: 4, dtype: 'float16' });
keys.remove(0, 1, { rope: null });
keys.remove(0, 1, { rope: undefined });
show(new TopPSampler({ p: 0.9, seed: undefined }).p, model.tokenizer?.encode('a', { addSpecialTokens: undefined }).length);
export const same: KVCache = await KVCache.load(runtime, 'keys.cache');
export const rows: number[][] = (await ModelCache.load<number[][]>(model, 'rows.cache')).tokens;
// @ts-expect-error tokens are a list of numbers; of any type they would pass
show((await ModelCache.load(model, 'text.cache')).tokens);
function show(...values: (number | string | undefined)[]) {
    return values;
}
`;

/** A strict project without Node's types. */
const TYPESCRIPT = {
    compilerOptions: {
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        target: 'es2022',
        module: 'nodenext',
        types: [],
        skipLibCheck: false,
        lib: ['es2022', 'dom', 'dom.iterable'],
    },
    files: ['use.mts', 'typed.mts'],
};

/** The same with them, and without a browser's. */
const IN_NODE = { types: ['node'], typeRoots: [join(root, 'node_modules/@types')], lib: ['es2022'] };

/** @returns {Promise<string[]>} what is wrong with the package */
export async function checkPackage() {
    const folder = join(root, 'build/package');
    rmSync(folder, { recursive: true, force: true });
    const installed = join(folder, 'node_modules/cached-attention');
    mkdirSync(installed, { recursive: true });
    const why = 'users get the package that `npm pack` writes';
    const [{ filename, files, size, unpackedSize }] = JSON.parse(
        run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
            what: 'Packing',
            why,
            todo: 'see what npm says below',
        }),
    );
    /** @type {string[]} */
    const paths = files.map((/** @type {{ path: string }} */ file) => file.path);
    say(`  ${paths.length} files, ${size} bytes packed, ${unpackedSize} unpacked`);
    const problems = [
        ...paths
            .filter((path) => !ALLOWED.some((rule) => rule.test(path)) || FORBIDDEN.some((rule) => rule.test(path)))
            .map((path) => `${path} does not belong in the package`),
        ...REQUIRED.filter((path) => !paths.includes(path)).map((path) => `${path} is missing from the package`),
        ...(unpackedSize > MOST_BYTES ? [`the package takes ${unpackedSize} bytes, more than ${MOST_BYTES}`] : []),
        ...paths.filter((path) => path.endsWith('.js')).flatMap(longLines),
        ...paths.filter((path) => path.endsWith('.d.ts')).flatMap((path) => [...privateTypes(path), ...missingScripts(path, paths)]),
        ...wrongEntries(),
    ];
    if (problems.length > 0) return problems;

    run('tar', ['xzf', join(folder, filename), '-C', installed, '--strip-components=1'], {
        what: 'Unpacking the package',
        why,
        todo: 'see below',
    });
    writeFileSync(join(folder, 'use.mjs'), USE);
    run(process.execPath, [join(folder, 'use.mjs')], {
        what: 'Using the package from another project',
        why,
        todo: 'see below',
        cwd: folder,
    });
    say('  used from another project: ok');
    await useInOneFile(folder);
    say('  used in one file, ES module or CommonJS: ok');
    writeFileSync(join(folder, 'use.mts'), USE);
    writeFileSync(join(folder, 'typed.mts'), TYPED);
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(TYPESCRIPT));
    run(...tsc(folder), {
        what: 'Using the package from TypeScript',
        why: 'its declarations have to stand by themselves',
        todo: 'see below',
    });
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ ...TYPESCRIPT, compilerOptions: { ...TYPESCRIPT.compilerOptions, ...IN_NODE } }));
    run(...tsc(folder), {
        what: 'Using the package from a TypeScript program for Node, without a browser\'s types',
        why: 'its declarations have to stand by themselves',
        todo: 'see below',
    });
    say('  used from TypeScript: ok');
    return [];
}

/** @param {string} folder of a project that has the package */
async function useInOneFile(folder) {
    const { build } = await import('esbuild');
    for (const [name, program, format] of /** @type {[string, string, 'cjs' | 'esm'][]} */ ([
        ['inline.cjs', INLINE, 'cjs'], ['bundled.cjs', BUNDLED, 'cjs'], ['bundled.mjs', BUNDLED, 'esm'],
    ])) {
        const entry = join(folder, `${name}.js`);
        writeFileSync(entry, program);
        const outfile = join(folder, 'one', name);
        // It warns of import.meta, which is empty in CommonJS.
        await build({ entryPoints: [entry], bundle: true, platform: 'node', format, outfile, logLevel: 'error' });
        run(process.execPath, [outfile], {
            what: `Using the package in one file, ${name}`,
            why: "that is what 'cached-attention/inline' is for, and where the package is installed any bundle has its files",
            todo: 'see below',
            cwd: folder,
        });
    }
}

/** @param {string} path @returns {string[]} */
function longLines(path) {
    const longest = Math.max(...readFileSync(join(root, path), 'utf8').split('\n').map((line) => line.length));
    return longest > LONGEST_LINE ? [`${path} has a line of ${longest} letters, which an error in it prints`] : [];
}

/**
 * JSR, and Deno where it is given a script's address, know types only by the script's first line.
 * @returns {string[]}
 */
function wrongEntries() {
    const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    return Object.values(exports).filter(({ types }) => types).flatMap(({ types, default: script }) => {
        const text = readFileSync(join(root, script), 'utf8');
        const [, named] = /^\/\* @ts-self-types="(\.[^"]+)" \*\/\n/.exec(text) ?? [];
        const isRight = named && posix.join(posix.dirname(script), named) === posix.normalize(types);
        return [...(isRight ? [] : [`${script} does not begin with a comment that names ${types}`]), ...wrongMap(script, text)];
    });
}

/**
 * Stack traces are read by the source map, which has to know of that line.
 * @param {string} script @param {string} text @returns {string[]}
 */
function wrongMap(script, text) {
    const map = new SourceMap(JSON.parse(readFileSync(join(root, `${script}.map`), 'utf8')));
    const { sources, sourcesContent } = map.payload;
    return text.split('\n').flatMap((line, row) => [...line.matchAll(/(?<=[;{}()=,])new [A-Z]\w+\(/g)].flatMap(({ 0: made, index }) => {
        const from = /** @type {import('node:module').SourceMapping} */ (map.findEntry(row, index));
        const written = sourcesContent[sources.indexOf(from.originalSource)]?.split('\n')[from.originalLine]?.slice(from.originalColumn);
        return written?.startsWith('new ') ? [] : [`${script}:${row + 1} has '${made}' where its source map has '${written}'`];
    }));
}

/** They find the types of what declarations import by its script, too. @param {string} path @param {string[]} paths @returns {string[]} */
function missingScripts(path, paths) {
    return [...readFileSync(join(root, path), 'utf8').matchAll(/^(?:import|export) .* from '([^']+)';$/gm)]
        .map(([, name]) => posix.join(posix.dirname(path), name))
        .filter((script) => !paths.includes(script))
        .map((script) => `${path} imports ${script}, which is missing from the package`);
}

/** What no editor should offer, and no module on JSR may have. @param {string} path @returns {string[]} */
function privateTypes(path) {
    const code = readFileSync(join(root, path), 'utf8').replace(/\/\*[^]*?\*\//g, '');
    const hidden = /^\s+(?:static |get |set |readonly )*["']?(?:_\w+|__#.*)|\bimport\(.*|\bNodeJS\b|.*\bnode:.*|Array<ArrayBuffer.*/m;
    const found = code.match(hidden) ?? code.match(/^declare global/m);
    return found ? [`${path} has ${found[0].trim()}`] : [];
}
