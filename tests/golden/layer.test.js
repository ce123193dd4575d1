// Every golden call of the tiers core, edge, error and parent, with the tolerance that the manifest gives.

import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { testRuntime } from '../runtime.js';
import { COMMITTED, TIERS, readManifest } from './golden.js';
import { WAYS, runCase } from './cases.js';

/** GOLDEN_DIRECTORY: a folder of the same form to test instead. */
const DIRECTORY = process.env.GOLDEN_DIRECTORY ? pathToFileURL(`${process.env.GOLDEN_DIRECTORY}/`) : COMMITTED;

const runtime = await testRuntime();

for (const entry of readManifest(DIRECTORY).cases.filter(({ tier }) => TIERS.includes(tier))) {
    test(`${entry.tier}: ${entry.name}`, async () => {
        for (const way of WAYS) await runCase(runtime, DIRECTORY, entry, way);
    });
}
