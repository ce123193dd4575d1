// Makes the committed fixtures from the full golden set: node tests/golden/copy.js
//
// Left out are the tier `info`, the weight files and, from the manifest, what no test reads.

import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { COMMITTED, SHARED, TIERS, readManifest } from './golden.js';

/** @param {any} manifest the full one @returns {import('./golden.js').Manifest} what is committed of it */
export function reduce(manifest) {
    const { set, seed, keras, keras_hub: kerasHub, backend, suites } = manifest;
    /** @type {import('./golden.js').Case[]} */
    const cases = manifest.cases;
    const { weights_h5: _, ...kept } = suites;
    const reduced = {
        set, seed, keras, keras_hub: kerasHub, backend,
        cases: cases.filter(({ tier }) => TIERS.includes(tier)).map((entry) => ({
            name: entry.name,
            file: entry.file,
            tier: entry.tier,
            constructor: entry.constructor,
            build: entry.build,
            attention_axes_after_build: entry.attention_axes_after_build,
            weights: entry.weights,
            calls: entry.calls,
            tolerance: entry.tolerance,
            notes: entry.notes,
        })),
        suites: kept,
    };
    return reduced;
}

/** @param {import('./golden.js').Manifest} manifest @returns {string[]} every file that its cases and suites name */
export function files({ cases, suites }) {
    const found = new Set(cases.map(({ file }) => file));
    for (const suite of Object.values(suites)) {
        for (const { file } of Array.isArray(suite) ? suite : [suite]) if (file) found.add(file);
    }
    return [...found];
}

/** @param {import('./golden.js').Manifest} manifest @returns {string} one case, or suite, per line */
export function print({ cases, suites, ...head }) {
    const lines = Object.entries(suites).map(([name, suite]) => `${JSON.stringify(name)}:${JSON.stringify(suite)}`);
    const rows = cases.map((entry) => JSON.stringify(entry));
    return `${JSON.stringify(head).slice(0, -1)},"cases":[\n${rows.join(',\n')}\n],`
        + `"suites":{\n${lines.join(',\n')}\n}}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    const manifest = reduce(readManifest(SHARED));
    rmSync(COMMITTED, { recursive: true, force: true });
    mkdirSync(COMMITTED, { recursive: true });
    writeFileSync(new URL('manifest.json', COMMITTED), print(manifest));
    for (const file of files(manifest)) copyFileSync(new URL(file, SHARED), new URL(file, COMMITTED));
}
