// The bar that is drawn while a model is loaded.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { progressBar, progressLine, size } from '../../js/terminal/progress.js';

test('as wide as the terminal', () => {
    for (const columns of [8, 20, 40, 79, 80, 200]) {
        for (const loaded of [0, 1, 333, 500, 999, 1000]) {
            assert.equal(progressLine({ loaded, total: 1000 }, columns).length, columns, `${loaded} in ${columns}`);
        }
    }
    assert.equal(progressLine({ loaded: 500, total: 1000 }, 29), '[######      ]  50% of 1.0 kB');
    assert.equal(progressLine({ loaded: 1000, total: 1000 }, 29), '[############] 100% of 1.0 kB');
});

test('where there is no room, or no total', () => {
    assert.equal(progressLine({ loaded: 500, total: 1000 }, 17), '[#####     ]  50%');
    assert.equal(progressLine({ loaded: 500, total: 1000 }, 3), '50%');
    assert.equal(progressLine({ loaded: 5_300_000, total: 0 }, 80), '5.3 MB');
    assert.equal(progressLine({ loaded: 5_300_000, total: NaN }, 80), '5.3 MB');
    assert.match(progressLine({ loaded: 2000, total: 1000 }, 40), /^\[#+\] 100%/);
});

test('sizes', () => {
    const expected = [[0, '0 B'], [999, '999 B'], [1000, '1.0 kB'], [999_949, '999.9 kB'], [999_950, '1.0 MB'],
        [5e9, '5.0 GB'], [5e15, '5000.0 TB']];
    for (const [bytes, text] of expected) assert.equal(size(/** @type {number} */ (bytes)), text);
});

test('drawn on a terminal only, when it changes, at the width it has then; gone in the end', () => {
    let text = '';
    const terminal = { isTTY: true, columns: 40, write: (/** @type {string} */ more) => { text += more; } };
    const bar = progressBar(terminal);
    bar.show({ loaded: 0, total: 1e9 });
    bar.show({ loaded: 1, total: 1e9 });
    assert.equal(text, `\r${progressLine({ loaded: 0, total: 1e9 }, 40)}`);
    terminal.columns = 60;
    bar.show({ loaded: 1, total: 1e9 });
    assert.ok(text.endsWith(`\r${progressLine({ loaded: 0, total: 1e9 }, 60)}`));
    bar.clear();
    assert.ok(text.endsWith('\r\x1b[K'));
    const { length } = text;
    bar.clear();
    assert.equal(text.length, length);
    const pipe = { columns: 40, write: () => assert.fail('a pipe gets no bar') };
    progressBar(pipe).show({ loaded: 1, total: 2 });
    progressBar(pipe).clear();
});
