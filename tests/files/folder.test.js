// Folders that programs keep files in: each file is there whole or not at all, whoever writes it.

import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openFolder } from '../../js/files/folder.js';

test('folders within folders that several open, and one that can never be', { timeout: 20_000 }, async (t) => {
    const path = await mkdtemp(join(tmpdir(), 'folder-'));
    t.after(() => rm(path, { recursive: true }));
    const deep = join(path, 'a/b/c');
    const folders = await Promise.all(Array.from({ length: 8 }, () => openFolder(deep)));
    await folders[0].write('one', new Uint8Array(3));
    assert.deepEqual((await folders[7].list()).map(({ name }) => name), ['one']);
    await assert.rejects(openFolder(join(deep, 'one/more')), { code: 'ENOTDIR' });
    if (process.platform === 'linux') await assert.rejects(openFolder('/proc/cached-attention/prefixes'), { code: 'ENOENT' });
});

test('a file that several write at once is of one of them, and nothing else stays', async (t) => {
    const path = await mkdtemp(join(tmpdir(), 'folder-'));
    t.after(() => rm(path, { recursive: true }));
    const folders = await Promise.all(Array.from({ length: 8 }, () => openFolder(path)));
    for (let round = 0; round < 5; round++) {
        await Promise.all(folders.map((folder, i) => folder.write('one', new Uint8Array(100_000 * (i + 1)).fill(i + 1))));
        const bytes = await folders[0].read('one');
        assert.equal(bytes.length, 100_000 * bytes[0]);
        assert.ok(bytes.every((byte) => byte === bytes[0]));
        assert.deepEqual(await readdir(path), ['one']);
    }
});
