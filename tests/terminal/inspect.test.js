// The table of what explain() says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { table } from '../../js/terminal/inspect.js';

const EXPLAINED = {
    architecture: 'llama',
    contextLength: 2048,
    weights: { q4_k: { tensors: 12, bytes: 1_234_567 }, f32: { tensors: 3, bytes: 512 } },
    bytes: { weights: 5_000_000, total: 6_000_000_000 },
    ends: [1, 2],
    harmless: [],
    chatTemplate: null,
    tied: true,
    layers: [{ window: 4096 }, { window: null }],
    missing: undefined,
};

test('names with their values beside them, what is nested indented', () => {
    assert.equal(table(EXPLAINED, {}), `architecture   llama
contextLength  2048
weights
  q4_k
    tensors    12
    bytes      1234567 (1.2 MB)
  f32
    tensors    3
    bytes      512
bytes
  weights      5000000 (5.0 MB)
  total        6000000000 (6.0 GB)
ends           1, 2
harmless       none
chatTemplate   none
tied           yes
layers
  0
    window     4096
  1
    window     none
`);
});

test('on a terminal no line is wider than it, and nothing is lost', () => {
    const words = Array.from({ length: 60 }, (_, i) => `word${i}`).join(' ');
    const text = table({ name: words, ['x'.repeat(50)]: 'y'.repeat(100) }, { isTTY: true, columns: 60 });
    for (const line of text.split('\n')) assert.ok(line.length <= 60, line);
    assert.equal(text.split('\n').slice(0, -5).join(' ').replaceAll(/\s+/g, ' ').includes('word0 word1 word2'), true);
    assert.equal(text.replaceAll(/\s/g, ''), `name${words.replaceAll(' ', '')}${'x'.repeat(50)}${'y'.repeat(100)}`);
});

test('text of a file commands no terminal, and a row is a line', () => {
    const hostile = { template: 'a\n\x1b[2J\rb', '\x1b]0;x\x07': 1 };
    assert.equal(table(hostile, { isTTY: true, columns: 80 }), 'template      a\\n\\x1b[2J\\rb\n\\x1b]0;x\\x07  1\n');
    assert.ok(table(hostile, {}).includes('a\\n\x1b[2J\rb'));
});

test('maps, typed arrays, and no end of depth', () => {
    assert.equal(table({ m: new Map([['a', 1]]), t: Int32Array.of(3, 4), f: () => 1 }, {}), 'm\n  a  1\nt    3, 4\n');
    const cycle = {};
    cycle.self = cycle;
    assert.ok(table({ cycle }, {}).endsWith('...\n'));
});

test('what is long takes time in proportion', () => {
    const [letters, words] = ['x'.repeat(1_000_000), 'xy '.repeat(333_333)];
    const begin = performance.now();
    const lines = table({ letters, words }, { isTTY: true, columns: 40 }).split('\n');
    // Line by line of what is left it would be minutes.
    assert.ok(performance.now() - begin < 30_000);
    assert.ok(lines.every((line) => line.length <= 40));
    assert.equal(lines.join('').replaceAll(/[^x]/g, '').length, letters.length + 333_333);
});
