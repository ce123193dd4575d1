// Files that people load by mistake: a message says what came instead. kinds/make.py made them with the programs that write
// such files.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { FormatError } from '../../js/check.js';
import { loadModel } from '../../js/generation/index.js';
import { testRuntime } from '../paired.js';

/** @type {{ name: string, says: string, head: string }[]} */
const cases = JSON.parse(readFileSync(new URL('kinds/cases.json', import.meta.url), 'utf8'));
const runtime = await testRuntime();
const config = JSON.stringify({ model_type: 'llama' });

for (const { name, says, head } of cases) {
    test(`wrong-file-behind-the-name: ${name}`, async () => {
        const bytes = Buffer.from(head, 'base64');
        const before = runtime.explain().bytesInUse;
        for (const file of ['model.gguf', 'model.safetensors']) {
            await assert.rejects(loadModel(runtime, [new File([bytes], file), new File([config], 'config.json')]), (error) => {
                assert.ok(error instanceof FormatError, String(error));
                assert.match(error.message, new RegExp(`${file}.*${says}`));
                return true;
            });
        }
        assert.equal(runtime.explain().bytesInUse, before);
    });
}
