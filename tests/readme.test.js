// The README's examples, run as they stand: modules that import the package by its name.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'node:test';

const root = new URL('../', import.meta.url);
const readme = readFileSync(new URL('README.md', root), 'utf8');
const examples = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1]);
const folder = new URL('build/readme/', root);
mkdirSync(folder, { recursive: true });

/** @param {number} number @returns {string} what the example prints */
function run(number) {
    const file = fileURLToPath(new URL(`example-${number}.js`, folder));
    writeFileSync(file, examples[number]);
    return execFileSync(process.execPath, [file], { encoding: 'utf8', timeout: 60_000 });
}

test('there are two examples, about 20 lines together', () => {
    assert.equal(examples.length, 2);
    assert.ok(examples.join('').trim().split('\n').length <= 30);
});

test('the layer: ten cached steps, and what the runtime says of itself', () => {
    const output = run(0);
    for (let t = 0; t < 10; t++) assert.match(output, new RegExp(`^${t} \\[ 1, 1, 64 \\] Float32Array`, 'm'));
    assert.match(output, /variant: '(simd128|relaxed)'/);
});

test('the model: a story that goes on from its prompt', () => {
    const text = run(1);
    assert.ok(text.startsWith('Once upon a time'), text);
    assert.ok(text.split(/\s+/).length > 20, text);
});

test('every file that the README links to is there', () => {
    const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map((match) => match[1]).filter((link) => !link.includes(':'));
    assert.ok(links.length > 0);
    for (const link of links) readFileSync(new URL(link, root));
});
