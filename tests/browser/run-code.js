// Runs the program that the page offers to copy, as it stands there but for where the package is.

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { relaxedNode } from '../../src/setup/node.js';

/** @param {string} code @returns {Promise<string>} what it writes */
export async function runCode(code) {
    const folder = await mkdtemp(join(tmpdir(), 'code-'));
    const entry = (/** @type {string} */ name) => new URL(`../../js/${name}`, import.meta.url).href;
    const own = code.replace("'cached-attention'", `'${entry('index.js')}'`)
        .replace("'cached-attention/generation'", `'${entry('generation/index.js')}'`);
    // It asks for the variant that the page ran.
    const { path, flags } = code.includes("simd: 'relaxed'") ? relaxedNode() : { path: process.execPath, flags: [] };
    try {
        await writeFile(join(folder, 'story.mjs'), own);
        return (await promisify(execFile)(path, [...flags, join(folder, 'story.mjs')])).stdout;
    } finally {
        await rm(folder, { recursive: true });
    }
}
