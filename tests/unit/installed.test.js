// js/installed.js: where the package is installed, for a bundle that has left its files behind, whatever became of the folder that it
// runs in.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

/** @param {string} before what the process does first @returns {string} the address of the model that is found, or what is thrown */
function found(before) {
    const program = `import fs from 'node:fs';
        import os from 'node:os';
        import { installedAssets } from ${JSON.stringify(new URL('../../js/installed.js', import.meta.url).href)};
        ${before}
        const nowhere = () => new URL('file:///nowhere/model.gguf');
        const assets = installedAssets({ relaxed: nowhere, simd128: nowhere, model: nowhere });
        console.log(assets && assets.model().href);`;
    return execFileSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' }).trim();
}

test('a Node that has no modules for who asks is told to be too old', async () => {
    const program = `delete process.getBuiltinModule;
        const { createRuntime } = await import(${JSON.stringify(new URL('../../js/index.js', import.meta.url).href)});
        await createRuntime().catch(({ message }) => console.log(message));`;
    const said = execFileSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' }).trim();
    assert.equal(said, `Node must be 20.16 or newer, got ${process.version}`);
});

test('what stands for `process` in a page, version and all, is not taken for Node', () => {
    const program = `globalThis.process = { versions: { node: '18.0.0' }, env: {} };
        const { isNode } = await import(${JSON.stringify(new URL('../../js/engine/threads.js', import.meta.url).href)});
        console.log(isNode);`;
    assert.equal(execFileSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' }).trim(), 'false');
});

test('found by the modules, though the folder that the process runs in is gone', () => {
    const gone = "const folder = fs.mkdtempSync(os.tmpdir() + '/gone-'); process.chdir(folder); fs.rmdirSync(folder);";
    for (const before of ['', gone]) {
        assert.match(found(before), /^file:\/\/.*\/dist\/embedded\/model\.gguf$/);
    }
});
