// The full golden set, where it is present: every call straight from it, and the committed fixtures are copies of it.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { testRuntime } from '../runtime.js';
import { files, print, reduce } from './copy.js';
import { COMMITTED, NO_SHARED, SHARED, TIERS, hasShared, readManifest } from './golden.js';
import { WAYS, runCase } from './cases.js';

const skip = hasShared ? false : NO_SHARED;
const runtime = await testRuntime();

test('the committed fixtures are what copy.js makes', { skip }, () => {
    const manifest = reduce(readManifest(SHARED));
    assert.equal(readFileSync(new URL('manifest.json', COMMITTED), 'utf8'), print(manifest));
    assert.deepEqual(readdirSync(COMMITTED).sort(), ['manifest.json', ...files(manifest)].sort());
    for (const file of files(manifest)) {
        assert.ok(readFileSync(new URL(file, COMMITTED)).equals(readFileSync(new URL(file, SHARED))), file);
    }
});

test('every call of the tiers that must match, straight from the full set', { skip }, async () => {
    const cases = readManifest(SHARED).cases.filter(({ tier }) => TIERS.includes(tier));
    /** @type {Record<string, number>} */
    const calls = {};
    for (const entry of cases) {
        for (const way of WAYS) {
            calls[entry.tier] = (calls[entry.tier] ?? 0) + await runCase(runtime, SHARED, entry, way);
        }
    }
    const counts = Object.entries(calls).map(([tier, count]) => `${tier} ${count / WAYS.length}`);
    console.log(`golden calls compared in ${WAYS.length} ways each: ${counts.join(', ')}`);
    assert.deepEqual(Object.keys(calls).sort(), [...TIERS].sort());
});
