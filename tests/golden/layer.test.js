// Every golden call of the tiers core, edge, error and parent, with the tolerance that the manifest gives.

import { test } from 'node:test';
import { testRuntime } from '../runtime.js';
import { COMMITTED, TIERS, readManifest } from './golden.js';
import { WAYS, runCase } from './cases.js';

const runtime = await testRuntime();

for (const entry of readManifest(COMMITTED).cases.filter(({ tier }) => TIERS.includes(tier))) {
    test(`${entry.tier}: ${entry.name}`, async () => {
        for (const way of WAYS) await runCase(runtime, COMMITTED, entry, way);
    });
}
