// node src/build/build.js [--wasm] [--site ADDRESS]
//
// What `npm run build` does: set up, compile both wasm variants into js/wasm/, and make dist/, which is what the package
// holds, with its type declarations, and what the demo page loads. With --wasm, only the binaries; with --site, build/site too: the
// page, to be put on a host at that address.

import { existsSync, readFileSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildDist, DECLARATIONS } from './dist.js';
import { buildPage, publish } from './page.js';
import { buildInterface } from './interface.js';
import { setup } from '../setup/setup.js';
import { isMain, main, root, run, say, since } from './system.js';

/** All that runs: the binaries, the package and the page. @param {import('../setup/setup.js').Tools} tools */
export async function buildAll(tools) {
    say('Building');
    buildWasm(tools);
    await buildDist();
    await buildPage();
}

/** Compiles js/wasm/cmha-*.wasm. @param {import('../setup/setup.js').Tools} tools */
export function buildWasm({ emscripten, generator }) {
    buildInterface();
    const start = performance.now();
    const folder = join(root, 'build/wasm');
    const env = { ...process.env, ...emscripten.env, CMHA_NODE_DIR: dirname(process.execPath) };
    // A tree configured by another toolchain, or in a checkout that has moved since, cannot be built on.
    configure(
        folder,
        [
            '-G',
            generator,
            `-DCMAKE_TOOLCHAIN_FILE=${join(emscripten.folder, 'cmake/Modules/Platform/Emscripten.cmake')}`,
        ],
        `Emscripten ${emscripten.version}`,
        env,
    );
    const output = compile(folder, env, 'the WebAssembly binaries');
    const sizes = output.split('\n').filter((line) => /^cmha-\S+\.wasm: /.test(line));
    for (const line of sizes) say(`  ${line}`);
    say(`  js/wasm is up to date after ${since(start)}`);
}

/**
 * Compiles the same sources for this machine, with sanitizers.
 * @param {import('../setup/setup.js').Tools} tools @param {boolean} simde the SIMD128 kernels, through SIMDe, or the plain C ones
 * @returns {string} the build folder
 */
export function buildNative({ generator, compiler }, simde) {
    const folder = join(root, simde ? 'build/native-simde' : 'build/native-plain');
    configure(
        folder,
        [
            '-G',
            generator,
            `-DCMAKE_C_COMPILER=${compiler}`,
            '-DCMHA_SANITIZE=ON',
            '-DCMHA_WERROR=ON',
            `-DCMHA_SIMDE=${simde ? 'ON' : 'OFF'}`,
        ],
        '',
        process.env,
    );
    compile(folder, process.env, 'the native tests');
    return folder;
}

/** Checks the types in js/ and writes the declarations in dist/; nothing to do when no source has changed since. */
export async function buildTypes() {
    const start = performance.now();
    const begin = new Date();
    const stamp = join(root, 'build/types.stamp');
    const sources = [
        ...sourceFiles(join(root, 'js')),
        ...['tsconfig.json', 'package-lock.json', 'src/build/types.json', 'src/build/types.js'].map((path) => join(root, path)),
    ];
    if (existsSync(stamp) && DECLARATIONS.every((path) => existsSync(join(root, 'dist', path)))) {
        const checked = statSync(stamp).mtimeMs;
        const list = readFileSync(stamp, 'utf8');
        if (list === sources.join('\n') && sources.every((file) => statSync(file).mtimeMs < checked)) return;
    }
    rmSync(stamp, { force: true });
    // typescript is installed by setup(), which the caller has run.
    const { EMITTED, rollUpTypes } = await import('./types.js');
    rmSync(EMITTED, { recursive: true, force: true });
    run(...tsc(join(root, 'src/build/types.json')), {
        what: 'The type check',
        why: 'the types in the JSDoc comments are what users of the package see',
        todo: 'mend what the lines below name',
    });
    rollUpTypes();
    writeFileSync(stamp, sources.join('\n'));
    // What was saved while it was checked has not been.
    utimesSync(stamp, begin, begin);
    say(`  types checked, declarations written, in ${since(start)}`);
}

/** The command that runs tsc. @param {string} project its tsconfig.json, or the folder of it @returns {[command: string, args: string[]]} */
export function tsc(project) {
    return [process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--project', project]];
}

/** The JavaScript that is written by hand. @param {string} folder @returns {string[]} */
function sourceFiles(folder) {
    const made = ['js/wasm', 'js/inlined'].map((path) => join(root, path));
    return readdirSync(folder, { withFileTypes: true })
        .flatMap((entry) => {
            const path = join(folder, entry.name);
            if (entry.isDirectory()) return made.includes(path) ? [] : sourceFiles(path);
            return entry.name.endsWith('.js') ? [path] : [];
        })
        .sort();
}

/**
 * Runs CMake's first half, unless the same was done before.
 * @param {string} folder @param {string[]} args @param {string} extra what else a configured tree depends on
 * @param {NodeJS.ProcessEnv} env
 */
function configure(folder, args, extra, env) {
    const stamp = join(folder, 'configured.txt');
    const wanted = [root, ...args, extra].join('\n');
    if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
    rmSync(folder, { recursive: true, force: true });
    run('cmake', ['-S', root, '-B', folder, ...args], {
        what: 'Configuring the build',
        why: 'CMake reads CMakeLists.txt first',
        todo: 'see what it says below',
        env,
    });
    writeFileSync(stamp, wanted);
}

/** @param {string} folder @param {NodeJS.ProcessEnv} env @param {string} what @returns {string} */
function compile(folder, env, what) {
    return run('cmake', ['--build', folder, '--parallel'], {
        what: `Building ${what}`,
        why: 'the sources in src/ have to compile without a warning',
        todo: 'see what the compiler says below',
        env,
    });
}

if (isMain(import.meta.url)) {
    await main(async () => {
        const { values } = parseArgs({ options: { wasm: { type: 'boolean' }, site: { type: 'string' } } });
        const tools = setup();
        if (values.wasm) return buildWasm(tools);
        await buildAll(tools);
        await buildTypes();
        if (values.site !== undefined) publish(values.site);
    });
}
