// What the scripts of src/build and src/setup have in common.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

test('a script knows that it was started, also in a checkout that is reached by a link', (t) => {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'scripts-')));
    t.after(() => rmSync(folder, { recursive: true }));
    mkdirSync(join(folder, 'real'));
    symlinkSync(join(folder, 'real'), join(folder, 'link'));
    const system = JSON.stringify(new URL('../../src/build/system.js', import.meta.url).href);
    writeFileSync(join(folder, 'real/script.mjs'), `import { isMain } from ${system};\nconsole.log(isMain(import.meta.url));\n`);
    writeFileSync(join(folder, 'real/other.mjs'), "import './script.mjs';\n");
    const said = (/** @type {string} */ path) => execFileSync(process.execPath, [join(folder, path)], { encoding: 'utf8' }).trim();
    assert.deepEqual(['real/script.mjs', 'link/script.mjs', 'link/other.mjs'].map(said), ['true', 'true', 'false']);
});

for (const [script, some] of [['fuzz', 'tests/native/fuzz.c'], ['matrix', 'Page, strict CSP']]) {
    test(`${script}: a word that nothing has in its name is an error, which says what there is`, () => {
        const path = fileURLToPath(new URL(`../${script}/index.js`, import.meta.url));
        // One of two, too: the other would hide it.
        for (const words of [['no such thing'], [some, 'no such thing']]) {
            const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...words], { encoding: 'utf8', env: { ...process.env, FUZZ_ROUNDS: '1' } });
            assert.equal(status, 1);
            assert.equal(stdout, '', 'nothing is run');
            assert.match(stderr, /Nothing has 'no such thing' in its name/);
            assert.ok(stderr.includes(some), stderr);
        }
    });
}
