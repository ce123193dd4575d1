// The environments of npm run test:matrix: what is installed, what the app is, how it is built or served, and what is right there.

import { NODE_PACKAGES } from '../../src/setup/node.js';

/**
 * @typedef {object} Environment
 * @property {string} name
 * @property {string[]} [packages]  installed beside the package
 * @property {Record<string, string>} [files]  of the app, beside program.js
 * @property {string} [build]  a command
 * @property {string} [serve]  a command that serves the page at PORT
 * @property {string} [output]  the folder that is served where `serve` is absent
 * @property {Record<string, string>} [headers]  that it is served with
 * @property {string} [script]  a command that prints what came out, instead of a page
 * @property {boolean} [alone]  no workers are right here
 * @property {RegExp} [refusal]  what the browser's own rules forbid, as the error must say
 */

/** The layer, and text of the package's model, on threads where they can be had. */
export const PROGRAM = `import { createRuntime, CachedMultiHeadAttention } from 'cached-attention';
import { loadModel } from 'cached-attention/generation';

export async function program() {
    try {
        const runtime = await createRuntime({ workers: 2 });
        const layer = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4 });
        const x = { shape: [1, 3, 8], data: new Float32Array(24).fill(0.5) };
        if ((await layer.call(x, x)).attentionOutput.data.length !== 24) throw new Error('unexpected output');
        const model = await loadModel(runtime);
        let text = '';
        for await (const item of model.generate('Once upon a time', { maxNewTokens: 12, temperature: 0 })) text += item.text;
        const { workers, fallbacks } = runtime.explain();
        runtime.dispose();
        return { text, workers, fallbacks };
    } catch (error) {
        return { error: String(error?.message ?? error) };
    }
}
`;

const ISOLATED = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };
const PAGE = "import { program } from './program.js';\nprogram().then((outcome) => { globalThis.outcome = outcome; });\n";
const html = (/** @type {string} */ body) =>
    `<!doctype html><html><head><meta charset="utf-8"><link rel="icon" href="data:,"></head><body>${body}</body></html>\n`;
const HTML = html('<script type="module" src="./page.js"></script>');
const MAP = (/** @type {string} */ base) => html(`<script type="importmap">${JSON.stringify({
    imports: { 'cached-attention': `${base}dist/index.js`, 'cached-attention/generation': `${base}dist/generation/index.js` },
})}</script><script type="module" src="./page.js"></script>`);
/** Without an import map, which is an inline script. */
const DIRECT = PROGRAM.replace("'cached-attention'", "'./package/dist/index.js'")
    .replace("'cached-attention/generation'", "'./package/dist/generation/index.js'");

const RUN = { 'run.js': "import { program } from './program.js';\nconsole.log(JSON.stringify(await program()));\n" };

const NODE = NODE_PACKAGES[`${process.platform}-${process.arch}`] ?? 'node';

/** @type {Environment[]} */
export const RUNTIMES = [
    { name: `Node ${process.versions.node}`, files: RUN, script: 'node run.js' },
    ...['22', '24', '26'].map((version) => ({
        // The package `node` fetches this one by an install script, which npm may be set to refuse.
        name: `Node ${version}`, packages: [`${NODE}@${version}`], files: RUN, script: `node_modules/${NODE}/bin/node run.js`,
    })),
    { name: 'Deno', packages: ['deno'], files: RUN, script: 'npx deno run --no-prompt --allow-all run.js' },
    { name: 'Bun', packages: ['bun'], files: RUN, script: 'npx bun run run.js' },
];

const vite = ['5', '6', '7', '8'].flatMap((version) => {
    const files = {
        'index.html': HTML, 'page.js': PAGE,
        'vite.config.js': `export default { server: { headers: ${JSON.stringify(ISOLATED)} } };\n`,
    };
    const packages = [`vite@${version}`];
    return [
        { name: `Vite ${version}, dev`, packages, files, serve: 'npx vite --port PORT --strictPort' },
        { name: `Vite ${version}, build`, packages, files, build: 'npx vite build', output: 'dist', headers: ISOLATED },
    ];
});

const packs = [['webpack', 'npx webpack', ['webpack@5', 'webpack-cli']], ['rspack', 'npx rspack build', ['@rspack/core', '@rspack/cli']]]
    .map(([name, command, packages]) => ({
        name: `${name}, build`, packages: /** @type {string[]} */ (packages), output: 'dist', headers: ISOLATED,
        files: { 'page.js': PAGE, 'page.html': html('<script src="./main.js"></script>') },
        // A warning is a failure: the comments that spare users one have been lost before.
        build: `${command} --mode production --entry ./page.js > log.txt && cp page.html dist/index.html && ! grep -i 'critical dependency' log.txt`,
    }));

const next = ['--turbopack', '--webpack'].flatMap((bundler) => {
    const files = {
        'app/layout.js': 'export default function Layout({ children }) { return <html><body>{children}</body></html>; }\n',
        'app/page.js': "import Client from './client.js';\nexport default function Page() { return <Client/>; }\n",
        'app/client.js': "'use client';\nimport { useEffect } from 'react';\nimport { program } from '../program.js';\n"
            + 'export default function Client() {\n'
            + '    useEffect(() => { program().then((outcome) => { globalThis.outcome = outcome; }); }, []);\n    return <p/>;\n}\n',
        'next.config.mjs': `const headers = ${JSON.stringify(Object.entries(ISOLATED).map(([key, value]) => ({ key, value })))};\n`
            + "export default { headers: async () => [{ source: '/(.*)', headers }], turbopack: { root: import.meta.dirname } };\n",
    };
    const packages = ['next@latest', 'react@latest', 'react-dom@latest'];
    return [
        { name: `Next ${bundler}, dev`, packages, files, serve: `npx next dev ${bundler} -p PORT` },
        { name: `Next ${bundler}, build`, packages, files, build: `npx next build ${bundler}`, serve: 'npx next start -p PORT' },
    ];
});

const P = 'node_modules/cached-attention/dist';

/** @type {Environment[]} */
export const BUNDLERS = [
    ...vite, ...packs, ...next,
    {
        name: 'Rollup, with import-meta-assets', output: 'dist', headers: ISOLATED,
        packages: ['rollup@4', '@rollup/plugin-node-resolve', '@web/rollup-plugin-import-meta-assets'],
        files: {
            'page.js': PAGE, 'index.html': HTML,
            'rollup.config.js': "import resolve from '@rollup/plugin-node-resolve';\n"
                + "import { importMetaAssets } from '@web/rollup-plugin-import-meta-assets';\n"
                + "export default { input: 'page.js', output: { dir: 'dist' }, plugins: [resolve(), importMetaAssets()] };\n",
        },
        build: 'npx rollup -c && cp index.html dist/',
    },
    {
        name: 'esbuild, files copied', packages: ['esbuild'], output: 'dist', headers: ISOLATED,
        files: { 'page.js': PAGE, 'index.html': HTML },
        build: `npx esbuild page.js --bundle --format=esm --outdir=dist && cp -r index.html ${P}/wasm ${P}/worker.js ${P}/embedded dist/`,
    },
    {
        name: 'Parcel 2, build', packages: ['parcel@2'], output: 'dist', headers: ISOLATED,
        files: { 'page.js': PAGE, 'index.html': HTML }, build: 'npx parcel build index.html --no-cache --no-autoinstall',
    },
];

const policy = (/** @type {string} */ rules) => ({ ...ISOLATED, 'Content-Security-Policy': rules });
const direct = { 'page.js': PAGE, 'program.js': DIRECT, 'index.html': HTML };

/** @type {Environment[]} */
export const PAGES = [
    { name: 'Page, import map', files: { 'page.js': PAGE, 'index.html': MAP('./package/') }, headers: ISOLATED },
    { name: 'Page, no headers', files: { 'page.js': PAGE, 'index.html': MAP('./package/') }, alone: true },
    {
        name: 'Page, another origin', headers: ISOLATED,
        // The host answers as a CDN under its other name.
        files: {
            'page.js': PAGE,
            'index.html': html(`<script>
const map = document.createElement('script'), base = 'http://127.0.0.1:' + location.port + '/package/dist/';
map.type = 'importmap';
map.textContent = JSON.stringify({ imports: { 'cached-attention': base + 'index.js', 'cached-attention/generation': base + 'generation/index.js' } });
document.currentScript.after(map);
</script><script type="module" src="./page.js"></script>`),
        },
    },
    {
        name: 'Page, isolate.js',
        files: {
            ...direct,
            'index.html': html('<script src="./isolate.js"></script>' +
                '<script type="module">if (crossOriginIsolated) import("./page.js");</script>'),
        },
        build: `cp ${P}/isolate.js .`,
    },
    { name: 'Page, strict CSP', files: direct, headers: policy("default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src data:") },
    { name: 'Page, CSP without wasm', files: direct, headers: policy("default-src 'self'; img-src data:"), refusal: /'wasm-unsafe-eval'/ },
    { name: 'Page, Trusted Types', files: direct, headers: policy("require-trusted-types-for 'script'") },
];
