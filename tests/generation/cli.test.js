// The terminal command, run as users run it.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadModel } from '../../js/generation/index.js';
import { SIMD } from '../binary.js';
import { WORKERS, testRuntime } from '../paired.js';
import { tinyFiles } from './checkpoint.js';

const CLI = fileURLToPath(new URL('../../js/cli.js', import.meta.url));
const SIZE = { positions: 20000 };
const files = tinyFiles({ size: SIZE });
/** Without an end token a text ends only when the context is full, long after tests have stopped looking. */
const config = JSON.stringify({ ...JSON.parse(new TextDecoder().decode(files.config)), eos_token_id: null });
const folder = mkdtempSync(join(tmpdir(), 'cached-attention-'));
after(() => rmSync(folder, { recursive: true }));
const NAMES = { config: 'config.json', weights: 'model.safetensors', tokenizer: 'tokenizer.json' };
for (const part of /** @type {(keyof typeof NAMES)[]} */ (Object.keys(NAMES))) {
    writeFileSync(join(folder, NAMES[part]), part === 'config' ? config : files[part]);
}
const RELAXED = process.execArgv.filter((arg) => arg.includes('relaxed'));
const COMMON = ['--model', folder, '--workers', String(WORKERS), '--simd', SIMD];
/** Writes for as long as tests look. */
const ENDLESS = [...COMMON, 'the thing', '--sampler', 'random', '--seed', '3'];

/**
 * @param {string[]} args
 * @param {(child: import('node:child_process').ChildProcessWithoutNullStreams) => void} [meanwhile]
 * @returns {Promise<{ code: number | null, signal: string | null, stdout: string, stderr: string }>}
 */
function run(args, meanwhile = (child) => child.stdin.end()) {
    return new Promise((resolve) => {
        const child = spawn(process.execPath, [...RELAXED, CLI, ...args], { timeout: 60_000 });
        let stdout = '';
        let stderr = '';
        child.stdout.setEncoding('utf8').on('data', (text) => { stdout += text; });
        child.stderr.setEncoding('utf8').on('data', (text) => { stderr += text; });
        child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
        meanwhile(child);
    });
}

describe('cached-attention', () => {
    test('writes the prompt and what generate() gives, and says how fast', async () => {
        const model = await loadModel(await testRuntime(), files);
        let text = '';
        const items = model.generate('the thing', { seed: 7, topK: 9, temperature: 0.8, maxNewTokens: 30 });
        for await (const item of items) text += item.text;
        const { code, stdout, stderr } = await run([
            ...COMMON, 'the thing', '--seed', '7', '--top-k=9', '--temperature', '0.8', '--max-new-tokens', '30',
        ]);
        assert.equal(stdout, `the thing${text}\n`);
        assert.match(stderr, /^\d+ tokens, [\d.]+ per second; loaded in \d+ ms, first token after \d+ ms; /);
        assert.match(stderr, /; \w+ SIMD, \d+ threads?\n$/);
        assert.equal(code, 0);
    });

    test('a prompt from stdin, a stop string, another sampler', async () => {
        const greedy = [...COMMON, '--sampler', 'greedy', '--max-new-tokens', '5'];
        const { code, stdout } = await run([...greedy, '-'], (child) => child.stdin.end('in the'));
        assert.ok(stdout.startsWith('in the'));
        assert.equal(code, 0);
        const stop = stdout.slice(7, 9);
        const stopped = await run([...greedy, 'in the', '--stop', stop]);
        assert.equal(stopped.stdout, `${stdout.slice(0, 6 + stdout.slice(6).indexOf(stop))}\n`);
    });

    test('a prompt from stdin when none is given', async () => {
        const greedy = [...COMMON, '--sampler', 'greedy', '--max-new-tokens', '3'];
        const piped = await run(greedy, (child) => child.stdin.end('in the'));
        assert.deepEqual([piped.stdout, piped.code], [(await run([...greedy, 'in the'])).stdout, 0]);
        assert.ok(piped.stdout.startsWith('in the'));
        const line = await run(greedy, (child) => child.stdin.end('in the\r\n'));
        assert.equal(line.stdout, piped.stdout, 'what echo ends a line with is no part of the text');
        const word = await run([...greedy, '--', 'chat']);
        assert.ok(word.stdout.startsWith('chat'), word.stderr);
    });

    test('--help and --version', async () => {
        const help = await run(['--help']);
        assert.match(help.stdout, /^Usage: cached-attention/);
        for (const option of [
            'model', 'max-new-tokens', 'temperature', 'top-k', 'top-p', 'seed', 'workers', 'sampler', 'stop', 'simd',
        ]) {
            assert.ok(help.stdout.includes(`--${option} `), option);
        }
        assert.equal(help.code, 0);
        assert.deepEqual(await run(['-h']), help);
        assert.deepEqual(await run(['chat', '--help']), help);
        const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
        assert.deepEqual(await run(['--version']), { code: 0, signal: null, stdout: `${version}\n`, stderr: '' });
    });

    for (const [code, message, args] of /** @type {[number, RegExp, string[]][]} */ ([
        [2, /--nonsense/, ['--nonsense']],
        [2, /one prompt/, ['two', 'prompts']],
        [2, /chat must stand alone.*"hi"/, ['chat', 'hi']],
        [2, /--top-k is no option of inspect/, ['inspect', '--top-k', '3']],
        [2, /--file must go with --model owner\/name/, [...COMMON, '--file', 'x.gguf', 'a']],
        [2, /--seed must be a number, got "x"/, [...COMMON, '--seed', 'x', 'a']],
        [2, /--temperature must be .*, got -1/, [...COMMON, '--temperature=-1', 'a']],
        [2, /--sampler must be .*, got "magic"/, [...COMMON, '--sampler', 'magic', 'a']],
        [2, /--workers/, ['--workers', '1000', 'a']],
        [2, /--simd/, ['--simd', 'avx', 'a']],
        [1, /cannot read.*nowhere/, ['--model', join(folder, 'nowhere'), 'a']],
        [1, /cannot read models\/nowhere\.gguf/, ['--model', 'models/nowhere.gguf', 'a']],
        [1, /neither GGUF nor safetensors/, ['--model', CLI, 'a']],
    ])) {
        test(`exit code ${code} and one line: ${message}`, async () => {
            const result = await run(args);
            assert.equal(result.code, code, result.stderr);
            assert.match(result.stderr, message);
            assert.match(result.stderr, /^cached-attention: [^\n]+\n$/);
            assert.equal(result.stdout, '');
        });
    }

    test('what is said beside the text may have no reader', async () => {
        const { code, stdout } = await run([...COMMON, 'the thing', '--max-new-tokens', '5'], (child) => {
            child.stdin.end();
            child.stderr.destroy();
        });
        assert.ok(stdout.startsWith('the thing') && stdout.endsWith('\n'), stdout);
        assert.equal(code, 0);
    });

    test('--help and --version may have no reader', async () => {
        for (const option of ['--help', '--version']) {
            const { code, stderr } = await run([option], (child) => {
                child.stdin.end();
                child.stdout.destroy();
            });
            assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
        }
    });

    test('text that finds no room is a failure, and says so', { skip: existsSync('/dev/full') ? false : 'no /dev/full' }, () => {
        const full = openSync('/dev/full', 'w');
        for (const args of [['--help'], ['inspect', ...COMMON], [...COMMON, 'the thing', '--max-new-tokens', '5']]) {
            const { status, stderr } = spawnSync(process.execPath, [...RELAXED, CLI, ...args], {
                stdio: ['ignore', full, 'pipe'], encoding: 'utf8', timeout: 60_000,
            });
            assert.equal(status, 1, args.join(' '));
            assert.match(stderr, /^cached-attention: cannot write: ENOSPC[^\n]*\n$/m);
        }
        closeSync(full);
    });

    test('Ctrl-C keeps the text so far and ends with 130', async () => {
        const { code, signal, stdout } = await run(ENDLESS, (child) => {
            child.stdout.once('data', () => setTimeout(() => child.kill('SIGINT'), 50));
        });
        assert.deepEqual({ code, signal }, { code: 130, signal: null });
        assert.ok(stdout.startsWith('the thing') && stdout.endsWith('\n'));
    });

    test('Ctrl-C while it loads', async () => {
        // A server that accepts and says nothing.
        const { createServer } = await import('node:net');
        const server = createServer(() => {}).listen(0, '127.0.0.1');
        await new Promise((resolve) => server.once('listening', resolve));
        const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
        const args = ['--workers', String(WORKERS), '--model', `http://127.0.0.1:${port}/`, 'a'];
        const result = await run(args, (child) => {
            server.once('connection', () => setTimeout(() => child.kill('SIGINT'), 50));
        });
        assert.deepEqual({ ...result, stderr: '' }, { code: 130, signal: null, stdout: '', stderr: '' });
        server.close();
    });

    test('a reader that has had enough is no failure', async () => {
        const { code, stderr } = await run(ENDLESS, (child) => {
            child.stdout.once('data', () => child.stdout.destroy());
        });
        assert.equal(code, 0, stderr);
        assert.doesNotMatch(stderr, /EPIPE/);
    });
});
