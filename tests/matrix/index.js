// npm run test:matrix [WORD...]: the packed package as strangers meet it. Each environment whose name holds one of the words
// (all of them without) is an app of its own in build/matrix, with the tarball and a bundler or runtime installed from the
// registry, about 1 GB and some minutes; so `npm test` does not run this. A page's result is read in
// Chromium; pages without a bundler are opened in Firefox too, where it is installed.

import { execFile, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, extname, join } from 'node:path';
import { promisify } from 'node:util';
import puppeteer from 'puppeteer-core';
import { browserArguments, findBrowser, findFirefox } from '../../src/setup/browser.js';
import { main, namesWith, root, run, say, SetupError } from '../../src/build/system.js';
import { BUNDLERS, PAGES, PROGRAM, RUNTIMES } from './environments.js';

/** @typedef {import('./environments.js').Environment} Environment */
/** @typedef {{ text?: string, workers?: number, fallbacks?: string[], error?: string }} Outcome what PROGRAM leaves */

const folder = join(root, 'build/matrix');
const TYPES = new Map([['.html', 'text/html'], ['.js', 'text/javascript'], ['.mjs', 'text/javascript'], ['.wasm', 'application/wasm']]);
let nextPort = 5300;

await main(async () => {
    const firefoxPath = findFirefox();
    const inFirefox = firefoxPath === null ? [] : PAGES.map((page) => ({ ...page, name: `${page.name}, Firefox` }));
    const all = [...RUNTIMES, ...BUNDLERS, ...PAGES, ...inFirefox];
    const wanted = namesWith(process.argv.slice(2), all.map(({ name }) => name));
    const environments = all.filter(({ name }) => wanted.has(name));
    const executablePath = findBrowser();
    if (executablePath === null) {
        throw new SetupError({ what: 'No Chromium was found', why: 'pages run in it', todo: 'install it, or set CHROME_PATH' });
    }
    mkdirSync(folder, { recursive: true });
    const [{ filename }] = JSON.parse(
        run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
            what: 'Packing', why: 'the package is tried as it is published', todo: 'run npm run build first',
        }),
    );
    const browser = await puppeteer.launch({ executablePath, headless: true, args: [...browserArguments] });
    const firefox = firefoxPath === null ? null
        : await puppeteer.launch({ browser: 'firefox', executablePath: firefoxPath, headless: true });
    let failed = 0;
    let expected = '';
    try {
        for (const environment of environments) {
            let outcome;
            try {
                const isFirefox = inFirefox.includes(environment);
                outcome = await tryOut(environment, join(folder, filename), isFirefox && firefox ? firefox : browser);
            } catch (error) {
                outcome = { error: /** @type {Error} */ (error).message };
            }
            expected ||= outcome.text ?? '';
            const problem = judge(outcome, environment, expected);
            failed += problem === '' ? 0 : 1;
            say(`${problem === '' ? '    ok' : 'FAILED'}  ${environment.name}: ${problem || outcome.error || `${outcome.workers} workers`}`);
        }
    } finally {
        await browser.close();
        await firefox?.close();
    }
    say(`${environments.length - failed} of ${environments.length} environments`);
    return failed > 0 ? 1 : 0;
});

/** @param {Outcome} outcome @param {Environment} environment @param {string} expected @returns {string} what is wrong */
function judge({ error, text, workers = 0, fallbacks }, { alone = false, refusal }, expected) {
    if (refusal) return error && refusal.test(error) ? '' : `${error ?? 'no error'}, where ${refusal} is right`;
    if (error !== undefined) return error.slice(0, 800);
    if (text !== expected) return `another text: ${text}`;
    if (alone === (workers === 0)) return '';
    return `${workers} workers: ${fallbacks?.join('; ')}`;
}

/**
 * @param {Environment} environment @param {string} tarball @param {import('puppeteer-core').Browser} browser
 * @returns {Promise<Outcome>}
 */
async function tryOut({ name, packages = [], files = {}, build, serve, output = '.', headers = {}, script }, tarball, browser) {
    const app = join(folder, name.replace(/\W+/g, '-').toLowerCase());
    const stamp = join(app, 'installed.txt');
    mkdirSync(app, { recursive: true });
    if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== packages.join(' ')) {
        writeFileSync(join(app, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
        if (packages.length > 0) await sh(app, `npm install --no-audit --no-fund ${packages.join(' ')}`);
        writeFileSync(stamp, packages.join(' '));
    }
    await sh(app, `rm -rf node_modules/cached-attention node_modules/.vite .next .parcel-cache dist
        npm install --no-audit --no-fund --no-package-lock ${tarball}`);
    for (const [path, text] of Object.entries({ 'program.js': PROGRAM, ...files })) {
        mkdirSync(dirname(join(app, path)), { recursive: true });
        writeFileSync(join(app, path), text);
    }
    if (build) await sh(app, build);
    if (script) {
        const printed = await sh(app, script);
        const line = printed.split('\n').find((text) => text.startsWith('{'));
        return line ? JSON.parse(line) : { error: printed.slice(-500) };
    }
    const port = nextPort++;
    if (serve) return during(app, serve.replaceAll('PORT', String(port)), port, () => visit(browser, `http://localhost:${port}/`));
    if (output === '.') cpSync(join(app, 'node_modules/cached-attention'), join(app, 'package'), { recursive: true });
    const close = await host(join(app, output), port, headers);
    try {
        return await visit(browser, `http://localhost:${port}/`);
    } finally {
        close();
    }
}

/** @param {string} cwd @param {string} command @returns {Promise<string>} */
async function sh(cwd, command) {
    try {
        const { stdout } = await promisify(execFile)('bash', ['-c', command], {
            cwd, timeout: 300_000, killSignal: 'SIGKILL', maxBuffer: 2 ** 28, env: { ...process.env, CI: '1' },
        });
        return stdout;
    } catch (error) {
        const { stdout, stderr, message } = /** @type {any} */ (error);
        throw new Error(`${stdout ?? ''}\n${stderr ?? ''}`.trim().slice(-800) || message);
    }
}

/**
 * A bundler's own server, for as long as `use` takes.
 * @param {string} cwd
 * @param {string} command
 * @param {number} port
 * @param {() => Promise<Outcome>} use
 */
async function during(cwd, command, port, use) {
    const child = spawn('bash', ['-c', `exec ${command}`], { cwd, detached: true, stdio: 'ignore' });
    try {
        for (let tries = 0; ; tries++) {
            if (tries > 240 || child.exitCode !== null) throw new Error('its server does not start');
            const answers = await fetch(`http://localhost:${port}/`).then(() => true, () => false);
            if (answers) break;
            await new Promise((resolve) => { setTimeout(resolve, 250); });
        }
        return await use();
    } finally {
        // The whole group: bundlers start servers of their own.
        try {
            process.kill(-(child.pid ?? 0), 'SIGKILL');
        } catch {
            // It has ended by itself.
        }
    }
}

/**
 * A static host; `/other/` answers as another origin would when it is asked under another name.
 * @param {string} files
 * @param {number} port
 * @param {Record<string, string>} headers
 */
async function host(files, port, headers) {
    const server = createServer((request, response) => {
        const path = decodeURIComponent(new URL(request.url ?? '', 'http://localhost').pathname);
        const file = join(files, path.endsWith('/') ? `${path}index.html` : path);
        const isCdn = request.headers.host?.startsWith('127.0.0.1');
        const sent = isCdn ? { 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin' } : headers;
        for (const [name, value] of Object.entries(sent)) response.setHeader(name, value);
        if (path.includes('..') || !existsSync(file)) {
            response.writeHead(404).end();
        } else {
            response.setHeader('Content-Type', TYPES.get(extname(file)) ?? 'application/octet-stream').end(readFileSync(file));
        }
    });
    await new Promise((resolve) => { server.listen(port, () => resolve(null)); });
    return () => {
        server.closeAllConnections();
        server.close();
    };
}

/** @param {import('puppeteer-core').Browser} browser @param {string} url @returns {Promise<Outcome>} */
async function visit(browser, url) {
    const context = await browser.createBrowserContext();
    const page = await context.newPage();
    /** @type {string[]} */
    const trouble = [];
    page.on('pageerror', (error) => trouble.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && trouble.push(message.text()));
    try {
        await page.goto(url, { waitUntil: 'domcontentloaded' });
        for (let tries = 0; tries < 300; tries++) {
            const outcome = await page.evaluate(() => /** @type {any} */ (globalThis).outcome).catch(() => undefined);
            if (outcome) return outcome;
            await new Promise((resolve) => { setTimeout(resolve, 200); });
        }
        return { error: trouble.join('; ').slice(0, 800) || 'no result' };
    } finally {
        await context.close();
    }
}
