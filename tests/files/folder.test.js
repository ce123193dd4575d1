// Folders that programs keep files in: each file is there whole or not at all, whoever writes it.

import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openFolder } from '../../js/files/folder.js';

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
