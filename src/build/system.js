// Running commands, finding programs, and saying what goes on: shared by every script in this folder.

import { spawn, spawnSync } from 'node:child_process';
import {
    accessSync, closeSync, constants, existsSync, mkdirSync, openSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync,
} from 'node:fs';
import { constants as system, getPriority, setPriority } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout's top folder. */
export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '');

/** Something a person has to solve: printed without a stack trace. */
export class SetupError extends Error {
    /** @param {{ what: string, why: string, todo: string, output?: string }} parts */
    constructor({ what, why, todo, output }) {
        super(
            [
                what,
                `  why it matters: ${why}`,
                `  what to do:     ${todo.replaceAll('\n', '\n                  ')}`,
                ...(output ? [`  its last words:\n${tail(output, 60)}`] : []),
            ].join('\n'),
        );
    }
}

/** @param {string} text */
export function say(text) {
    console.log(text);
}

/** @param {string} text */
export function heading(text) {
    console.log(`\n== ${text} ${'='.repeat(Math.max(3, 100 - text.length))}`);
}

/** The seconds since `start` (from performance.now()), as text. @param {number} start */
export function since(start) {
    return `${((performance.now() - start) / 1000).toFixed(1)} s`;
}

/**
 * What a script is asked for: the names that hold one of the words after it, in whatever case; all of them without.
 * @param {string[]} words
 * @param {string[]} names
 * @returns {Set<string>}
 * @throws {SetupError} for a word that no name holds: it would pass unnoticed
 */
export function namesWith(words, names) {
    const holding = (/** @type {string} */ word) => names.filter((name) => name.toLowerCase().includes(word.toLowerCase()));
    const useless = words.find((word) => holding(word).length === 0);
    if (useless !== undefined) {
        throw new SetupError({ what: `Nothing has '${useless}' in its name.`, why: 'nothing was run', todo: `name some of:\n${names.join('\n')}` });
    }
    return new Set(words.length > 0 ? words.flatMap(holding) : names);
}

/** Where a program is, or null. @param {...string} names the first one found wins @returns {string | null} */
export function which(...names) {
    const suffixes = process.platform === 'win32' ? ['.exe', '.cmd', '.bat', ''] : [''];
    for (const name of names) {
        for (const folder of (process.env.PATH ?? '').split(delimiter)) {
            for (const suffix of suffixes) {
                const path = join(folder, name + suffix);
                if (folder !== '' && isExecutable(path)) return path;
            }
        }
    }
    return null;
}

/** @param {string} path */
function isExecutable(path) {
    try {
        accessSync(path, constants.X_OK);
        return statSync(path).isFile();
    } catch {
        return false;
    }
}

/**
 * Runs a command without showing its output; null when it fails.
 * @param {string} command @param {string[]} args @returns {string | null} its standard output
 */
export function capture(command, args) {
    const { status, stdout } = spawnSync(command, args, { encoding: 'utf8', cwd: root, maxBuffer: 2 ** 28 });
    return status === 0 ? stdout : null;
}

/**
 * Runs a command quietly; its output is shown only when it fails.
 * @param {string} command @param {string[]} args
 * @param {{ what: string, why: string, todo: string, env?: NodeJS.ProcessEnv, cwd?: string }} options
 * @returns {string} its standard output
 */
export function run(command, args, { what, why, todo, env = process.env, cwd = root }) {
    const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
        encoding: 'utf8',
        cwd,
        env,
        maxBuffer: 2 ** 28,
        stdio: ['inherit', 'pipe', 'pipe'],
    });
    if (status !== 0) {
        const reason = error ? error.message : signal ? `ended by ${signal}` : `exit code ${status}`;
        throw new SetupError({
            what: `${what} failed (${reason}): ${command} ${args.join(' ')}`,
            why,
            todo,
            output: `${stdout ?? ''}${stderr ?? ''}`,
        });
    }
    return stdout;
}

/**
 * Runs a command with its output shown; or, beside what else goes on, behind it in line for the cores, with its output in a file.
 * @param {string} command @param {string[]} args @param {{ env?: NodeJS.ProcessEnv, log?: string }} [options] log: the file
 * @returns {Promise<number>} its exit code
 */
export function show(command, args, { env = process.env, log } = {}) {
    return new Promise((resolve, reject) => {
        const output = log === undefined ? 'inherit' : openSync(log, 'w');
        const child = spawn(command, args, { cwd: root, env, stdio: ['inherit', output, output] });
        if (typeof output === 'number') closeSync(output);
        if (log !== undefined && child.pid !== undefined) setPriority(child.pid, Math.max(getPriority(), system.priority.PRIORITY_BELOW_NORMAL));
        // Ctrl-C reaches the child as well; this process waits for it to end in its own way.
        const wait = () => {};
        const end = () => child.kill('SIGTERM');
        process.on('SIGINT', wait).on('SIGTERM', end);
        child.on('error', reject);
        child.on('close', (code, signal) => {
            process.off('SIGINT', wait).off('SIGTERM', end);
            if (signal !== null && signal !== 'SIGINT') say(`  ${command} was ended by ${signal}`);
            resolve(code ?? (signal === 'SIGINT' ? 130 : 1));
        });
    });
}

const lockFile = join(root, 'build/lock');

/**
 * Waits until no other script of this folder sets up or builds in this checkout (`npm start` and `npm test` at once, say),
 * and keeps others waiting until unlock() or the end of this process.
 */
export function lock() {
    mkdirSync(dirname(lockFile), { recursive: true });
    for (let tries = 0; ; tries++) {
        try {
            writeFileSync(lockFile, String(process.pid), { flag: 'wx' });
            process.on('exit', unlock);
            return;
        } catch (error) {
            if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
        }
        // A holder that was killed has left its file behind. An empty one is being written.
        const holder = readText(lockFile);
        if (holder === String(process.pid)) return;
        if (holder && !isRunning(Number(holder))) rmSync(lockFile, { force: true });
        else if (tries === 0) say(`Waiting for another run (process ${holder}) to finish setting up`);
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    }
}

export function unlock() {
    if (readText(lockFile) === String(process.pid)) rmSync(lockFile, { force: true });
}

/** The text of a file, or nothing: it can go at any moment. @param {string} path */
function readText(path) {
    try {
        return readFileSync(path, 'utf8');
    } catch {
        return '';
    }
}

/** @param {number} id */
function isRunning(id) {
    try {
        return process.kill(id, 0);
    } catch (error) {
        return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
    }
}

/** Runs a script's main function; a SetupError ends it with its text alone. @param {() => Promise<number | void> | number | void} body */
export async function main(body) {
    try {
        process.exitCode = (await body()) ?? 0;
    } catch (error) {
        if (!(error instanceof SetupError)) throw error;
        console.error(`\n${error.message}\n`);
        process.exitCode = 1;
    }
}

/** Whether `script` (its import.meta.url) is what `node` was started with, by whatever link. @param {string} script */
export function isMain(script) {
    const [, started] = process.argv;
    return started !== undefined && existsSync(started) && fileURLToPath(script) === realpathSync(started);
}

/** @param {string} text @param {number} lines */
function tail(text, lines) {
    return text
        .trimEnd()
        .split('\n')
        .slice(-lines)
        .map((line) => `    ${line}`)
        .join('\n');
}
