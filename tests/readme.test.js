// The README's examples, run as they stand: modules that import the package by its name.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'node:test';

const root = new URL('../', import.meta.url);
const readme = readFileSync(new URL('README.md', root), 'utf8');
const examples = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1]);
const folder = new URL('build/readme/', root);
mkdirSync(folder, { recursive: true });

/** A whole folder of a chat model, which is not committed. */
const chat = ['../../', '../../../'].map((up) => new URL(`${up}shared/models/hf-complete/llama-chatml/`, import.meta.url)).find((url) => existsSync(url));

/** @param {number} number @param {string} [before] @returns {string} what the example prints */
function run(number, before = '') {
    const file = fileURLToPath(new URL(`example-${number}.js`, folder));
    writeFileSync(file, before + examples[number]);
    return execFileSync(process.execPath, [file], { encoding: 'utf8', timeout: 60_000 });
}

test('there are three examples, the first two of about 20 lines together', () => {
    assert.equal(examples.length, 3);
    assert.ok(examples.slice(0, 2).join('').trim().split('\n').length <= 30);
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

test('a chat: two turns with one cache', { skip: chat ? false : 'shared/models is not here' }, () => {
    const output = run(2, `const source = ${JSON.stringify(chat?.href)};\n`);
    assert.match(output, /family: 'llama'/);
});

test('every file that the README links to is there', () => {
    const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map((match) => match[1]).filter((link) => !link.includes(':'));
    assert.ok(links.length > 0);
    for (const link of links) readFileSync(new URL(link, root));
});
