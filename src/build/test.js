// node src/build/test.js [FILTER...]
//
// What `npm test` does: set up, build, and run every test. With filters, only the test files whose path holds one of them.
//
//   types      the JSDoc types of all there is, tests included, and the .d.ts files
//   size       what a page has to load, and what the tests bring along, against budgets
//   package    what `npm pack` would publish, used from another project
//   native     tests/native/*.c on src/*.c, under the address and undefined-behaviour sanitizers
//   matrix     test files that use tests/runtime.js, in both binaries with 0 and 2 workers; through tests/paired.js, in each binary
//              with one of these; those that use tests/binary.js, which say themselves how many workers they have, in both binaries
//   once       the other test files; most of them beside those for browsers
//   browser    tests/browser, in Chromium, and some of it (IN_FIREFOX) in Firefox too where that is installed

import { availableParallelism } from 'node:os';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { buildAll, buildNative, buildTypes, tsc } from './build.js';
import { findFirefox } from '../setup/browser.js';
import { relaxedNode } from '../setup/node.js';
import { checkPackage } from './package.js';
import { setup } from '../setup/setup.js';
import { checkSize } from './size.js';
import { capture, heading, main, root, say, show, since, unlock } from './system.js';

const tests = join(root, 'tests');
/** Folders that must hold tests: an empty one would pass unnoticed. */
const EXPECTED = ['golden', 'unit', 'property', 'fuzz', 'browser'];

/** With workers, too, a file keeps little more than one core busy: most of what it does is JavaScript. */
const CORES = availableParallelism();
/** At a time: pages wait often, for frames and for what a visitor reads, but two take memory enough. */
const BROWSERS = Math.min(2, CORES);

/** What every browser has to do. With CMHA_TEST_BROWSER=firefox in the environment all of tests/browser runs in Firefox. */
const IN_FIREFOX = [
    'runtime', 'files', 'origins', 'isolate', 'demo', 'demo-journeys', 'demo-parts', 'demo-inside', 'demo-accessible',
].map((name) => join(tests, `browser/${name}.test.js`));

/** What waits for workers and programs, and not without end: not to be run beside what keeps the cores busy. */
const IMPATIENT = /^(?:property|readme)/;

/** @typedef {{ name: string, passed: number, failed: number, skipped: number, seconds: string }} Result */
/** @typedef {(name: string, body: () => Promise<Partial<Result>> | Partial<Result>) => Promise<void>} Group */

await main(async () => {
    const filters = process.argv.slice(2);
    const start = performance.now();
    const tools = setup({ tests: true });
    await buildAll(tools);
    const newer = relaxedNode();
    say(`  relaxed SIMD runs on ${newer.description}`);
    unlock();

    // What runs then ends (system.js passes the signal on); nothing after it begins.
    let isStopped = false;
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => { isStopped = true; });

    /** @type {Result[]} */
    const results = [];
    /** @type {Group} */
    const group = async (name, body) => {
        if (isStopped) return;
        const begin = performance.now();
        heading(name);
        let result;
        try {
            result = await body();
        } catch (error) {
            say(error instanceof Error ? error.message : String(error));
            result = { failed: 1 };
        }
        results.push({ name, passed: 0, failed: 0, skipped: 0, seconds: since(begin), ...result });
    };
    const files = testFiles(tests).filter(
        (file) => filters.length === 0 || filters.some((filter) => relative(root, file).includes(filter)),
    );
    const browser = files.filter((file) => file.startsWith(join(tests, 'browser')));
    const onBinary = files.filter((file) => !browser.includes(file) && reaches(file, join(tests, 'binary.js')));
    const onRuntime = onBinary.filter((file) => reaches(file, join(tests, 'runtime.js')));
    const paired = onRuntime.filter((file) => reaches(file, join(tests, 'paired.js')));
    const once = files.filter((file) => !browser.includes(file) && !onBinary.includes(file));

    if (files.length === 0) say(`No test file's path holds ${filters.join(' or ')}`);
    if (filters.length === 0) await wholeProject(group, tools, files);
    for (const simd of ['simd128', 'relaxed']) {
        for (const workers of [0, 2]) {
            const node =
                simd === 'relaxed'
                    ? newer
                    : { path: process.execPath, flags: [], description: `Node ${process.versions.node}` };
            const env = { CMHA_TEST_SIMD: simd, CMHA_TEST_WORKERS: String(workers) };
            const isPair = (simd === 'simd128') === (workers === 0);
            const matrix = (workers === 0 ? onBinary : onRuntime).filter((file) => isPair || !paired.includes(file));
            if (matrix.length > 0)
                await group(`${simd}, ${workers} workers, ${node.description}`, () =>
                    nodeTests(node, matrix, CORES, env),
                );
        }
    }
    const here = { path: process.execPath, flags: [] };
    // Pages wait most of the time, and the cores with them.
    const patient = browser.length > 0 ? once.filter((file) => !IMPATIENT.test(relative(tests, file))) : [];
    const others = once.filter((file) => !patient.includes(file));
    if (others.length > 0) await group('once', () => nodeTests(here, others, CORES, {}));
    const beside = patient.length > 0 ? testsBeside(here, patient) : null;
    if (browser.length > 0)
        await group('browser', () => nodeTests(here, browser, BROWSERS, { CHROME_PATH: tools.browser ?? '' }));
    const inFirefox = browser.filter((file) => IN_FIREFOX.includes(file));
    if (inFirefox.length > 0 && findFirefox() === null) {
        say('\nFirefox is not installed (nor named by FIREFOX_PATH), so nothing was tested in it');
    } else if (inFirefox.length > 0) {
        await group('browser, Firefox', () => nodeTests(here, inFirefox, BROWSERS, { CMHA_TEST_BROWSER: 'firefox' }));
    }
    if (beside !== null) await group('once, beside the browsers', beside);

    const status = summarize(results, since(start));
    if (isStopped) say('stopped before all had run');
    return isStopped ? 1 : status;
});

/**
 * What is checked of the project as a whole, besides its test files.
 * @param {Group} group
 * @param {ReturnType<typeof setup>} tools
 * @param {string[]} files with tests
 */
async function wholeProject(group, tools, files) {
    await group('types', async () => {
        // One behind the other: tests import the package by its name, and so its declarations.
        await buildTypes();
        return (await show(...tsc(root))) === 0 ? { passed: 2 } : { passed: 1, failed: 1 };
    });
    await group('size', () => (checkSize() ? { passed: 1 } : { failed: 1 }));
    await group('package', async () => {
        const problems = await checkPackage();
        for (const problem of problems) say(`  ${problem}`);
        return { passed: problems.length ? 0 : 1, failed: problems.length };
    });
    if (tools.simde) {
        await group('native, SIMD128 through SIMDe, under sanitizers', () => native(buildNative(tools, true)));
    }
    await group('native, plain C, under sanitizers', () => native(buildNative(tools, false)));
    await group('every folder has tests', () => {
        const empty = EXPECTED.filter((folder) => !files.some((file) => file.startsWith(join(tests, folder))));
        for (const folder of empty) say(`  tests/${folder} holds no *.test.js`);
        return { passed: EXPECTED.length - empty.length, failed: empty.length };
    });
}

/** @param {Omit<Result, 'name' | 'seconds'>} counts */
function countsOf({ passed, failed, skipped }) {
    return `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`;
}

/** @param {Result[]} results @param {string} time that all took @returns {number} the exit status */
function summarize(results, time) {
    heading('summary');
    const sum = { passed: 0, failed: 0, skipped: 0 };
    for (const result of results) {
        say(`  ${result.failed ? 'FAILED' : '    ok'}  ${result.name}: ${countsOf(result)}, ${result.seconds}`);
        for (const key of /** @type {const} */ (['passed', 'failed', 'skipped'])) sum[key] += result[key];
    }
    say(`  all in ${time}\n`);
    say(countsOf(sum));
    return sum.failed > 0 || sum.passed === 0 ? 1 : 0;
}

/**
 * Runs test files under node:test.
 * @param {{ path: string, flags: string[] }} node @param {string[]} files
 * @param {number} concurrency files at a time @param {Record<string, string>} env
 * @param {string} [log] where the output goes, if it is not shown
 * @returns {Promise<Partial<Result>>}
 */
async function nodeTests(node, files, concurrency, env, log) {
    const counts = join(root, log === undefined ? 'build/test-counts.json' : 'build/test-counts-beside.json');
    mkdirSync(dirname(counts), { recursive: true });
    rmSync(counts, { force: true });
    const code = await show(
        node.path,
        [
            ...node.flags,
            '--test',
            `--test-concurrency=${concurrency}`,
            // Nothing may hang: a test file that has not ended by then has failed.
            '--test-timeout=1200000',
            `--test-reporter=${new URL('reporter.js', import.meta.url)}`,
            ...files.map((file) => relative(root, file)),
        ],
        { env: { ...process.env, ...env, CMHA_TEST_COUNTS: counts }, log },
    );
    if (!existsSync(counts)) {
        say(`  the tests' process ended, with ${code}, before they did`);
        return { failed: 1 };
    }
    const result = JSON.parse(readFileSync(counts, 'utf8'));
    return code !== 0 && result.failed === 0 ? { ...result, failed: 1 } : result;
}

/**
 * Begins to run test files beside what else goes on.
 * @param {{ path: string, flags: string[] }} node @param {string[]} files
 * @returns {() => Promise<Partial<Result>>} waits for them, and shows what they said
 */
function testsBeside(node, files) {
    const begin = performance.now();
    const log = join(root, 'build/test-beside.log');
    const ended = nodeTests(node, files, CORES, {}, log).then((result) => ({ ...result, seconds: since(begin) }));
    // Who waits for them is told.
    ended.catch(() => {});
    return async () => {
        const result = await ended;
        process.stdout.write(readFileSync(log));
        return result;
    };
}

/** @param {string} folder @returns {Promise<Partial<Result>>} */
async function native(folder) {
    const names = [
        ...(capture('ctest', ['--test-dir', folder, '--show-only']) ?? '').matchAll(/Test +#\d+: (\S+)/g),
    ].map((match) => match[1]);
    if (names.length === 0) throw new Error('  tests/native holds no test');
    const code = await show('ctest', [
        '--test-dir',
        folder,
        '--output-on-failure',
        '--no-tests=error',
        '--parallel',
        String(CORES),
    ]);
    const log = join(folder, 'Testing/Temporary/LastTestsFailed.log');
    const failed = code === 0 ? 0 : existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').length : 1;
    return { passed: names.length - failed, failed };
}

/** @param {string} folder @returns {string[]} */
function testFiles(folder) {
    return readdirSync(folder, { withFileTypes: true })
        .flatMap((entry) => {
            const path = join(folder, entry.name);
            if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : testFiles(path);
            return entry.name.endsWith('.test.js') ? [path] : [];
        })
        .sort();
}

/**
 * Whether a module imports another, directly or through modules in tests/.
 * @param {string} file
 * @param {string} target
 * @returns {boolean}
 */
function reaches(file, target, seen = new Set()) {
    if (file === target) return true;
    if (seen.has(file) || !file.startsWith(tests) || !existsSync(file)) return false;
    seen.add(file);
    const imports = readFileSync(file, 'utf8').matchAll(/(?:\bfrom|\bimport|\bimport\()\s*['"](\.[^'"]+)['"]/g);
    return [...imports].some((match) => reaches(resolve(dirname(file), match[1]), target, seen));
}
