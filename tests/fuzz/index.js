// npm run fuzz [WORD...]
//
// The long runs: every parser, the arguments of calls and the C core (tests/native/fuzz.c), each with FUZZ_ROUNDS inputs
// (10,000,000 by default: a night for one of them) from FUZZ_SEED (the time, by default). With words, only those whose file's
// path holds one of them. The C core runs under clang's libFuzzer where that can be had, else under a generator's bytes.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { main, namesWith, root, say } from '../../src/build/system.js';
import { buildNativeFuzzer } from '../native/clang.js';

const ROUNDS = process.env.FUZZ_ROUNDS ?? '10000000';
const SEED = process.env.FUZZ_SEED ?? String(Date.now() % 1e9);

const files = ['tests/fuzz', 'tests/files'].flatMap((folder) => readdirSync(join(root, folder)).map((name) => join(root, folder, name)))
    .filter((file) => file.endsWith('.test.js') && readFileSync(file, 'utf8').includes('FUZZ_ROUNDS'));
const native = join(root, 'tests/native/fuzz.c');
const env = { ...process.env, FUZZ_ROUNDS: ROUNDS, FUZZ_SEED: SEED };

let failed = 0;

/** @param {string} command @param {string[]} args */
function run(command, args) {
    const begin = performance.now();
    const { status } = spawnSync(command, args, { cwd: root, env, stdio: 'inherit' });
    say(`  ${status === 0 ? 'ok' : 'FAILED'}, ${((performance.now() - begin) / 1000).toFixed(0)} s`);
    if (status !== 0) failed = 1;
}

await main(async () => {
    const wanted = namesWith(process.argv.slice(2), [...files, native].map((file) => relative(root, file)));
    for (const name of wanted) {
        say(`${name}: ${ROUNDS} rounds, seed ${SEED}`);
        if (join(root, name) !== native) {
            run(process.execPath, ['--test', '--test-timeout=2147483647', join(root, name)]);
            continue;
        }
        const { path, isGuided } = buildNativeFuzzer();
        const corpus = join(root, 'build/fuzz/corpus');
        mkdirSync(corpus, { recursive: true });
        // libFuzzer reads from the corpus, and adds to it what reaches new branches.
        run(path, isGuided ? [`-runs=${ROUNDS}`, `-seed=${SEED}`, '-max_len=96', '-print_final_stats=1', corpus] : [ROUNDS, SEED]);
    }
    return failed;
});
