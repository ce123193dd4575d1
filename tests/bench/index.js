// node tests/bench/index.js [PART...] [--json FILE] [--svg FILE] [--no-peers]
//
// What `npm run bench` does: builds, installs the peers on first use, runs the parts that are named (all without
// names), and ends with one table of what must be reached. Every part checks correctness before it times anything.
//
//   layer      one layer beside onnxruntime-web, tfjs and the machine's limits, both variants, 1 and 2 threads
//   scaling    more threads: prefill, long and short caches, more workers than cores
//   overhead   what a call costs on a tiny layer; garbage per decoded token
//   growth     sweeps of S and T: time and memory; draws roofline and growth curves (all parts: into web/bench.svg)
//   caches     a long cache of floats, halves and bytes
//   quantized  the layer as quantize() leaves it
//   model      the embedded model through `generate`; SmolLM2's shape beside onnxruntime-web and llama.cpp
//   texts      drafts, several texts at once, saved prefixes; SMOLLM2=FILE names the model
//   page       the bench page in Chromium, beside the peers
//   demo       the demo page in Chromium: its first letters, what shifts, frames while it writes
//   kernels    every C kernel beside its limit and its largest error
//   operations the operations of a call one by one: where the time goes
//
// --no-peers leaves the peers out, and with them the only network access.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { buildAll } from '../../src/build/build.js';
import { relaxedNode } from '../../src/setup/node.js';
import { setup } from '../../src/setup/setup.js';
import { SetupError, capture, heading, main, root, run, say, since } from '../../src/build/system.js';
import { mustTable } from './lib/report.js';

const PARTS = ['layer', 'scaling', 'overhead', 'growth', 'caches', 'quantized', 'model', 'texts', 'page', 'demo', 'kernels', 'operations'];
const WITH_PEERS = ['layer', 'growth', 'page', 'model'];
const here = join(root, 'tests/bench');

await main(async () => {
    const { values, positionals } = parseArgs({
        allowPositionals: true,
        options: { json: { type: 'string' }, svg: { type: 'string' }, 'no-peers': { type: 'boolean', default: false } },
    });
    const unknown = positionals.find((part) => !PARTS.includes(part));
    if (unknown) {
        throw new SetupError({
            what: `There is no part '${unknown}'.`,
            why: 'nothing was run',
            todo: `name some of: ${PARTS.join(', ')}`,
        });
    }
    const parts = positionals.length > 0 ? positionals : PARTS;
    const svg = values.svg ? resolve(values.svg) : positionals.length > 0 ? undefined : join(root, 'web/bench.svg');
    const start = performance.now();
    await buildAll(setup());
    const node = relaxedNode();
    const peers = !values['no-peers'] && parts.some((part) => WITH_PEERS.includes(part));
    if (peers) installPeers(here, ['--ignore-scripts']);
    // What is left out are builds for other processors, half a gigabyte.
    if (peers && parts.includes('model') && process.platform === 'linux' && process.arch === 'x64') {
        installPeers(join(here, 'native'), ['--ignore-scripts', '--omit=optional']);
    }

    const machine = describeMachine(node);
    say(`\n${machine.join('\n')}`);
    /** @type {import('./lib/report.js').Must[]} */
    const musts = [];
    /** @type {Record<string, unknown>} */
    const data = {};
    for (const part of parts) {
        const begin = performance.now();
        heading(part);
        const { run: runPart } = await import(`./parts/${part}.js`);
        const result = await runPart({ node, say, peers, svg });
        musts.push(...result.musts);
        data[part] = result.data;
        if (result.musts.length > 0) say(`\n${mustTable(result.musts)}`);
        say(`\n  ${part}: ${since(begin)}`);
    }
    if (parts.length > 1) {
        heading('what must be reached');
        say(mustTable([...musts].sort((a, b) => a.must - b.must)));
    }
    const missed = musts.filter(({ pass }) => !pass).length;
    say(`\n${musts.length - missed} of ${musts.length} reached, all in ${since(start)}`);
    if (values.json) writeFileSync(values.json, `${JSON.stringify({ machine, musts, data }, null, 1)}\n`);
});

/** The peers belong to the benchmark alone: they are installed here, not with the package. @param {string} folder @param {string[]} how */
function installPeers(folder, how) {
    const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const installed = Object.entries(dependencies).every(([name, version]) => {
        const file = join(folder, 'node_modules', name, 'package.json');
        return existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).version === version;
    });
    if (installed) return;
    say(
        `Installing the peers: ${Object.entries(dependencies)
            .map(([name, version]) => `${name} ${version}`)
            .join(', ')}`,
    );
    // Not `npm ci`: of builds for other processors that the lock lacks, where a registry lacks them, it makes an error.
    run('npm', ['install', '--no-save', ...how, '--no-audit', '--no-fund'], {
        cwd: folder,
        what: 'Installing the peers',
        why: 'the layer is measured beside them',
        todo: "check the network and npm's settings, or leave them out: npm run bench -- --no-peers",
    });
}

/** @param {import('./lib/line-up.js').Node} node @returns {string[]} */
function describeMachine(node) {
    const [cpu] = cpus();
    const v8 = capture(node.path, ['-p', 'process.versions.v8'])?.trim();
    return [
        `machine: ${cpu.model}, ${cpus().length} cores, ${process.platform} ${process.arch}`,
        `runtime: ${node.description}, V8 ${v8}; every contestant in a process of its own`,
        `load:    ${loadavg()[0].toFixed(2)} before the start (other work on these cores spoils the figures)`,
    ];
}
