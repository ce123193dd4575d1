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

test('found by the modules, though the folder that the process runs in is gone', () => {
    const gone = "const folder = fs.mkdtempSync(os.tmpdir() + '/gone-'); process.chdir(folder); fs.rmdirSync(folder);";
    for (const before of ['', gone]) {
        assert.match(found(before), /^file:\/\/.*\/dist\/embedded\/model\.gguf$/);
    }
});
