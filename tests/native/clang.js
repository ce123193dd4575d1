// node tests/native/clang.js coverage
//
// What clang can do and other compilers cannot: libFuzzer, and which branches of src/ the native tests reach.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isMain, root, run, say, which } from '../../src/build/system.js';

const FLAGS = [
    '-std=c11', '-g', '-O1', '-ffp-contract=off', '-fno-math-errno', '-fno-omit-frame-pointer', '-Wno-unknown-pragmas',
    '-I', join(root, 'src'), '-I', join(root, 'src/ops'),
];
const SANITIZE = ['-UNDEBUG', '-fno-sanitize-recover=all'];

/** The newest clang there is, one that came with Emscripten too. @returns {string | null} */
function findClang() {
    const versions = Array.from({ length: 12 }, (_, i) => 25 - i);
    return which('clang', ...versions.map((n) => `clang-${n}`))
        ?? versions.map((n) => `/usr/lib/llvm-${n}/bin/clang`).find((path) => existsSync(path)) ?? null;
}

/** @param {string} folder @returns {string[]} */
const sources = (folder) => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.c')).map((name) => join(root, folder, name));

/** SIMDe lets a native compiler run the very SIMD128 kernels. @param {string} compiler @returns {string[]} */
function simde(compiler) {
    const input = '#include <simde/wasm/simd128.h>\n';
    const probe = spawnSync(compiler, ['-E', '-x', 'c', '-'], { input, stdio: ['pipe', 'ignore', 'ignore'] });
    return probe.status === 0 ? ['-DCMHA_SIMDE'] : [];
}

/** @returns {{ path: string, isGuided: boolean }} tests/native/fuzz.c as a program, under libFuzzer if that is there */
export function buildNativeFuzzer() {
    const folder = join(root, 'build/fuzz');
    mkdirSync(folder, { recursive: true });
    const path = join(folder, 'fuzz');
    const all = [join(root, 'tests/native/fuzz.c'), ...sources('src'), '-lm', '-o', path];
    const clang = findClang();
    if (clang) {
        const guided = ['-DCMHA_LIBFUZZER', '-fsanitize=fuzzer,address,undefined', ...SANITIZE];
        const { status } = spawnSync(clang, [...FLAGS, ...simde(clang), ...guided, ...all], { stdio: 'ignore' });
        if (status === 0) return { path, isGuided: true };
    }
    say('  no clang with libFuzzer (Debian: clang-19 and libclang-rt-19-dev): bytes from a generator instead');
    const compiler = which('cc', 'gcc', 'clang') ?? 'cc';
    run(compiler, [...FLAGS, ...simde(compiler), '-fsanitize=address,undefined', ...SANITIZE, ...all], {
        what: 'the fuzzer of the C core', why: 'the compiler refuses it', todo: 'install gcc or clang with the address sanitizer',
    });
    return { path, isGuided: false };
}

/** Prints what share of the branches of src/ the native tests reach, asserts left out. */
function coverage() {
    const clang = findClang();
    if (!clang) throw new Error('coverage needs clang, with compiler-rt and llvm-cov beside it');
    const folder = join(root, 'build/coverage');
    mkdirSync(folder, { recursive: true });
    const need = { what: 'the coverage of src/', why: 'it failed', todo: 'Debian: apt-get install clang-19 libclang-rt-19-dev llvm-19' };
    const programs = sources('tests/native').map((source) => {
        const program = join(folder, basename(source, '.c'));
        run(clang, [...FLAGS, ...simde(clang), '-DNDEBUG', '-fprofile-instr-generate', '-fcoverage-mapping', source, ...sources('src'),
            '-lm', '-lpthread', '-o', program], need);
        run(program, [], { ...need, env: { ...process.env, LLVM_PROFILE_FILE: `${program}.profraw` } });
        return program;
    });
    // Of the same version as clang: a profile of another is not read.
    const beside = join(dirname(realpathSync(clang)), 'llvm-');
    const tool = (/** @type {string} */ name) => (existsSync(beside + name) ? beside + name : `llvm-${name}`);
    const data = join(folder, 'all.profdata');
    run(tool('profdata'), ['merge', '-o', data, ...programs.map((program) => `${program}.profraw`)], need);
    spawnSync(tool('cov'), ['report', programs[0], ...programs.slice(1).flatMap((program) => ['-object', program]),
        `-instr-profile=${data}`, '--show-region-summary=false', '--ignore-filename-regex=tests/|simde'], { stdio: 'inherit' });
}

if (isMain(import.meta.url)) coverage();
