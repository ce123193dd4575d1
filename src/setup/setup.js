// node src/setup/setup.js [--tests]
//
// Makes sure that this machine has what the build needs (with --tests: what the tests need too), and installs what is
// missing where it can. Says what it found, what it installs and why. A second run only looks.

import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { findBrowser } from './browser.js';
import { hasApt, install } from './debian.js';
import { findEmscripten, installEmscripten } from './emscripten.js';
import { SetupError, isMain, lock, main, root, run, say, since, which } from '../build/system.js';

/**
 * @typedef {object} Tools
 * @property {import('./emscripten.js').Emscripten} emscripten
 * @property {'Ninja' | 'Unix Makefiles'} generator what CMake writes files for
 * @property {string | null} compiler a native C compiler, for the tests
 * @property {boolean} simde whether SIMDe's headers are here
 * @property {string | null} browser a Chromium, for the tests
 */

/**
 * @typedef {object} Need
 * @property {string} name
 * @property {string} why
 * @property {() => string | null} find
 * @property {string[]} packages Debian's
 * @property {string} todo for a machine without apt
 * @property {boolean} [optional] the build does without, and says so
 */

/** @type {Need[]} */
const BUILD = [
    {
        name: 'Python 3',
        why: 'Emscripten is written in it',
        find: () => which('python3'),
        packages: ['python3'],
        todo: 'install Python 3.8 or newer',
    },
    {
        name: 'CMake',
        why: 'CMakeLists.txt describes the build',
        find: () => which('cmake'),
        packages: ['cmake'],
        todo: 'install CMake 3.20 or newer',
    },
    {
        name: 'Ninja or Make',
        why: 'CMake hands the work to one of them',
        find: () => which('ninja', 'make'),
        packages: ['ninja-build'],
        todo: 'install Ninja or Make',
    },
];

/** @type {Need[]} */
const TESTS = [
    {
        name: 'a native C compiler',
        why: 'the C core is tested under sanitizers too',
        find: () => which('gcc', 'clang', 'cc'),
        packages: ['gcc', 'libc6-dev'],
        todo: 'install gcc or clang',
    },
    {
        name: 'SIMDe',
        why: 'it lets the sanitizers see the SIMD kernels; without it they see the plain C ones',
        find: findSimde,
        packages: ['libsimde-dev'],
        todo: 'install SIMDe (brew install simde)',
        optional: true,
    },
    {
        name: 'Chromium',
        why: 'the demo page is tested in a real browser',
        find: findBrowser,
        packages: ['chromium', 'fonts-liberation'],
        todo: 'install Chromium or Chrome, or name one in CHROME_PATH',
    },
];

/**
 * Leaves the checkout locked for the build that follows; unlock() ends that.
 * @param {{ tests?: boolean }} [options]
 * @returns {Tools}
 */
export function setup({ tests = false } = {}) {
    const start = performance.now();
    lock();
    say('Setting up');
    if (typeof process.getBuiltinModule !== 'function') {
        throw new SetupError({
            what: `This is Node ${process.versions.node}`,
            why: 'the library and its tools are written for Node 20.16 and newer',
            todo: 'install a newer Node',
        });
    }
    const needs = [...BUILD, ...(tests ? TESTS : [])];
    provide(needs.filter((need) => need.find() === null));
    for (const need of needs) say(`  ${need.name}: ${need.find() ?? `not here, and not needed: ${need.why}`}`);

    const emscripten = findEmscripten() ?? installEmscripten();
    say(`  Emscripten: ${emscripten.version}, ${emscripten.from}`);
    installPackages();
    say(`  ready after ${since(start)}`);
    return {
        emscripten,
        generator: which('ninja') ? 'Ninja' : 'Unix Makefiles',
        compiler: which('gcc', 'clang', 'cc'),
        simde: findSimde() !== null,
        browser: findBrowser(),
    };
}

/** The folder of headers that SIMDe is in, or null. */
function findSimde() {
    const folders = ['/usr/include', '/usr/local/include', '/opt/homebrew/include'];
    return folders.find((folder) => existsSync(join(folder, 'simde/wasm/simd128.h'))) ?? null;
}

/** Installs what is missing. @param {Need[]} missing */
function provide(missing) {
    for (const { name, why } of missing) say(`  missing: ${name} (${why})`);
    const needed = missing.filter(({ optional }) => !optional);
    if (hasApt()) {
        installAll(needed);
        try {
            installAll(missing.filter(({ optional }) => optional));
        } catch (error) {
            say(`  ${error instanceof Error ? error.message : error}`);
        }
    }
    const left = needed.filter((need) => need.find() === null);
    if (left.length === 0) return;
    throw new SetupError({
        what: `This machine lacks ${left.map((need) => need.name).join(', ')}`,
        why: reasons(left),
        todo: `${left.map((need) => need.todo).join('; ')}; then run this again`,
    });
}

/** In one go. @param {Need[]} needs */
function installAll(needs) {
    if (needs.length > 0) install(needs.flatMap((need) => need.packages), reasons(needs));
}

/** @param {Need[]} needs */
function reasons(needs) {
    return needs.map(({ name, why }) => `${name}: ${why}`).join('; ');
}

/** `npm ci`, when node_modules is absent or older than the lock file. */
function installPackages() {
    const installed = join(root, 'node_modules/.package-lock.json');
    if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs)
        return;
    say('  npm ci: node_modules is absent or older than package-lock.json');
    run('npm', ['ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund'], {
        what: 'Installing the npm packages',
        why: 'the bundler, the type checker and the browser driver come from npm',
        todo: "check the network and npm's settings (`npm ping`), then run `npm ci` to see more",
    });
}

if (isMain(import.meta.url)) {
    await main(async () => {
        setup({ tests: process.argv.includes('--tests') });
    });
}
